// What was read from the server: kept until a notice says that it may be old.
import { QueryClient } from '@tanstack/react-query'
import type { Message } from './live'
import { Problem } from './problem'

const SIGNED_OUT = 401

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      retry: (count, error) => error instanceof Problem && error.isRetryable && count < 5,
      retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 5_000),
    },
  },
})

export const isSignedOut = (error: unknown): boolean => error instanceof Problem && error.status === SIGNED_OUT

/** Stands for notices that this reader was too slow for. */
const MANY = 'network.many'

/** Stands for all kinds. */
const EVERY = '*'

/** The first parts of the keys of queries that a notice makes old; the key of a query begins with the kind it shows. */
const KINDS: Record<string, readonly string[]> = {
  peer: ['peers', 'networks', 'paths', 'addresses', 'topology'],
  network: ['networks', 'peers', 'paths', 'addresses', 'topology'],
  incident: ['incidents', 'peers', 'topology'],
  federation: ['federation', 'networks'],
  remote: ['remotes', 'federation', 'topology'],
  invitation: ['remotes'],
  bridge: ['bridges', 'remotes', 'topology'],
  grant: ['grants', 'bridges'],
  service: ['services', 'grants'],
  instance: ['instances'],
  finding: ['findings', 'remotes'],
  template: ['templates'],
  directory: ['people'],
  user: ['session', 'accounts'],
  token: ['tokens'],
}

/** So long at most the next reading waits for one that hangs. */
const PATIENCE = 2_000
/** So long at least one reading is behind the other: each costs the server something. */
const GAP = 200
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds))

/** Reads again what notices made old: a reading that is under way is not broken off by the next notice, or a page
 * would never be done while a thousand agents come back. */
class Rereading {
  #kinds = new Set<string>()
  #isBusy = false

  constructor(private readonly client: QueryClient) {}

  of(kinds: readonly string[]): void {
    for (const each of kinds) this.#kinds.add(each)
    if (!this.#isBusy) void this.#work()
  }

  async #work(): Promise<void> {
    this.#isBusy = true
    while (this.#kinds.size > 0) {
      const kinds = this.#kinds
      this.#kinds = new Set()
      const isOld = ({ queryKey }: { queryKey: readonly unknown[] }) => kinds.has(EVERY) || kinds.has(String(queryKey[0]))
      const reading = this.client.invalidateQueries({ predicate: isOld })
      await Promise.all([Promise.race([reading, pause(PATIENCE)]), pause(GAP)])
    }
    this.#isBusy = false
  }
}

const readers = new WeakMap<QueryClient, Rereading>()

/** Read again what is on the screen and may be old after `message`. */
export function follow(message: Message, client: QueryClient = queries): void {
  if (message.type === 'hello') {
    void client.invalidateQueries()
    return
  }
  const reader = readers.get(client) ?? new Rereading(client)
  readers.set(client, reader)
  const kinds = message.event === MANY ? undefined : KINDS[message.subject_kind]
  reader.of([...(kinds ?? [EVERY]), 'audit'])
}
