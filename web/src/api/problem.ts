// What the server says no with (RFC 9457), as an error that pages can show.

export interface FieldError {
  pointer: string
  detail: string
  hint?: string
}

interface Body {
  title?: string
  detail?: string
  code?: string
  hint?: string
  request_id?: string
  retryable?: boolean
  errors?: FieldError[]
}

const isBody = (value: unknown): value is Body => typeof value === 'object' && value !== null

export class Problem extends Error {
  readonly status: number
  readonly title: string
  readonly code: string
  readonly hint: string | undefined
  readonly requestId: string | undefined
  readonly isRetryable: boolean
  readonly errors: readonly FieldError[]

  constructor(status: number, body: Body) {
    super(body.detail ?? body.title ?? `The server answered ${status}`)
    this.status = status
    this.title = body.title ?? 'Something went wrong'
    this.code = body.code ?? ''
    this.hint = body.hint
    this.requestId = body.request_id
    this.isRetryable = body.retryable ?? false
    this.errors = body.errors ?? []
  }

  static of(status: number, body: unknown): Problem {
    return new Problem(status, isBody(body) ? body : {})
  }

  /** The server did not answer at all. */
  static unreachable(): Problem {
    return new Problem(0, {
      title: 'The server cannot be reached',
      detail: 'It does not answer. The page goes on trying.',
      code: 'unreachable',
      retryable: true,
    })
  }

  /** The message for one field of a form, by its JSON pointer. */
  at(pointer: string): string | undefined {
    const found = this.errors.find((each) => each.pointer === pointer)
    return found && [found.detail, found.hint].filter(Boolean).join(': ')
  }

  /** The messages for all fields as forms take them: by the whole path, and by the field that holds it. */
  get fields(): Record<string, string> {
    const found: Record<string, string> = {}
    for (const { pointer, detail, hint } of this.errors) {
      const path = pointer.split('/').slice(1)
      const says = [detail, hint].filter(Boolean).join(': ')
      found[path.join('.')] = says
      found[path[0] ?? ''] ??= says
    }
    return found
  }
}
