// The one way to the server: typed by its OpenAPI document, with the browser's session and its token against forgery.
import createClient, { type Middleware } from 'openapi-fetch'
import { Problem } from './problem'
import type { paths } from './schema.gen'

const CSRF_COOKIE = '__Host-isthmus-csrf'
const SAFE = new Set(['GET', 'HEAD'])

/** The value of a cookie that scripts may read, empty where there is none. */
export function cookie(name: string, all: string = document.cookie): string {
  const pair = all.split('; ').find((each) => each.startsWith(`${name}=`))
  return pair?.slice(name.length + 1) ?? ''
}

const protect: Middleware = {
  onRequest({ request }) {
    if (!SAFE.has(request.method)) request.headers.set('X-CSRF-Token', cookie(CSRF_COOKIE))
    return request
  },
}

export const client = createClient<paths>({ baseUrl: '/', credentials: 'same-origin' })
client.use(protect)

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** What the server answered; throws a `Problem` for everything that is no success. */
export async function answered<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>
  try {
    answer = await call
  } catch {
    throw Problem.unreachable()
  }
  if (!answer.response.ok) throw Problem.of(answer.response.status, answer.error)
  return answer.data as T
}

/** The `ETag` of an object's version, for `If-Match`. */
export const etag = (version: number): string => `"${version}"`
