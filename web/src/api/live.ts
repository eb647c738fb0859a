// The one WebSocket: notices say that something changed, never what. Whoever hears of it reads again.

export interface Notice {
  type: 'notice'
  network: string
  event: string
  subject_kind: string
  subject: string
}
interface Hello {
  type: 'hello'
  revisions: Record<string, number>
}
export type Message = Notice | Hello
export type LinkState = 'connecting' | 'live' | 'lost' | 'ended'

const FIRST_WAIT = 500
const LONGEST_WAIT = 15_000
const ACCESS_ENDED = 4401

/** How long to wait before attempt number `attempt`, with jitter, in milliseconds. */
export function waitBefore(attempt: number, random: number = Math.random()): number {
  return Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt) * (0.5 + random / 2)
}

/** Keeps the stream open until `close`; `heard` gets what the server says, `changed` how the connection is. */
export class Live {
  #socket: WebSocket | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempt = 0
  #isClosed = false

  constructor(
    private readonly heard: (message: Message) => void,
    private readonly changed: (state: LinkState) => void,
    private readonly url: string = `${location.origin.replace(/^http/, 'ws')}/api/v1/events`,
  ) {}

  open(): void {
    if (this.#isClosed) return
    this.changed('connecting')
    const socket = new WebSocket(this.url)
    this.#socket = socket
    socket.onmessage = (event: MessageEvent<string>) => {
      const message = JSON.parse(event.data) as Message
      if (message.type === 'hello') {
        this.#attempt = 0
        this.changed('live')
      }
      this.heard(message)
    }
    socket.onclose = (event) => {
      if (this.#isClosed) return
      if (event.code === ACCESS_ENDED) {
        this.changed('ended')
        return
      }
      this.changed('lost')
      this.#timer = setTimeout(() => this.open(), waitBefore(this.#attempt++))
    }
  }

  /** Try now rather than later, such as when the browser is online again. */
  retry(): void {
    if (this.#socket?.readyState === WebSocket.OPEN || this.#socket?.readyState === WebSocket.CONNECTING) return
    clearTimeout(this.#timer)
    this.open()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#socket?.close()
  }
}
