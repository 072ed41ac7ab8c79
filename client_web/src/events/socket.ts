/*
 * The page's events connection: one WebSocket that comes back by itself.
 *
 * Lives here: connecting, hello, ping, backing off, and the last known state of the lesson. What
 * must not: anything of the screen. The protocol is classroom/wire/PROTOCOL.md. Two differences
 * from its words, both on the page's side: the first waits are shorter (0.5 s up to 8 s, spread),
 * because a class is sitting in front of the screen, and a refused token is tried again every
 * 30 s, because a room has no hands and the fault may be the server's clock.
 */
import { Backoff } from '../backoff'
import { Observable } from '../observable'
import { Sleeper } from '../sleeper'
import { decode, encode, WireError } from './wire'
import type { CatchUpReason, LessonInfo, PageMessage, PageName, ServerMessage } from './wire'

export type SocketState = 'idle' | 'connecting' | 'open' | 'waiting' | 'refused' | 'closed'

export interface SocketOptions {
  /** ws: or wss: address without the token. */
  url: string
  token: string
  page: PageName
  lang: string
  /** The lesson this page is about, or null for all that the token covers. */
  lesson: string | null
}

export interface Refusal {
  code: string
  detail: string
  fix: string
}

/** How a connection ended: after a welcome, without one, or turned away. */
type End = 'lost' | 'unreachable' | 'refused'

/** Close codes that say the token or the lesson is wrong: 4000 plus the HTTP status. */
const REFUSALS = [4401, 4403, 4404]
const PING_EVERY_MS = 10_000
const SILENCE_LIMIT_MS = 30_000
const CONNECT_LIMIT_MS = 15_000
const REFUSED_WAIT_MS = 30_000

export class EventsSocket extends Observable {
  #state: SocketState = 'idle'
  #socket: WebSocket | null = null
  #lessons = new Map<string, LessonInfo>()
  #name = ''
  #refusal: Refusal | null = null
  #retryAt: number | null = null
  #clockOffsetMs = 0
  #watching: PageMessage | null = null
  #behind: PageMessage | null = null
  readonly #listeners = new Set<(message: ServerMessage) => void>()
  readonly #stop = new AbortController()
  readonly #sleeper = new Sleeper()

  constructor(private readonly options: SocketOptions) {
    super()
  }

  get state(): SocketState {
    return this.#state
  }

  /** The lesson that this page is about, as last told; kept while the connection is away. */
  get lesson(): LessonInfo | null {
    const { lesson } = this.options
    if (lesson !== null) return this.#lessons.get(lesson) ?? null
    const all = [...this.#lessons.values()]
    const planned = all
      .filter((one) => one.state === 'planned')
      .sort((one, other) => (one.planned_at ?? Infinity) - (other.planned_at ?? Infinity))
    return (
      all.find((one) => one.publishing) ??
      all.find((one) => one.state === 'live') ??
      planned[0] ??
      null
    )
  }

  /** Every lesson heard of. */
  get lessons(): LessonInfo[] {
    return [...this.#lessons.values()]
  }

  /** The name that the token carries, as the server reads it. */
  get name(): string {
    return this.#name
  }

  /** Why the server last refused, or null. */
  get refusal(): Refusal | null {
    return this.#refusal
  }

  /** When the next attempt is due (Date.now() milliseconds), or null while connected. */
  get retryAt(): number | null {
    return this.#retryAt
  }

  /** The server's clock now, in milliseconds since 1970, as far as it is known. */
  get serverNow(): number {
    return Date.now() + this.#clockOffsetMs
  }

  /** Tell the server which media session is this page's own, now and after each welcome. */
  watching(lesson: string, session: string): void {
    const known = this.#watching
    if (known?.kind === 'watching' && known.lesson === lesson && known.session === session) return
    this.#watching = { kind: 'watching', lesson, session }
    if (this.#state === 'open') this.#send(this.#watching)
  }

  /**
   * Tell the relay why nothing live is needed by this page's media session, or (null) that it is;
   * now and after each welcome. `again`: also if that was said before.
   */
  behind(lesson: string, session: string, reason: CatchUpReason | null, again = false): void {
    const known = this.#behind
    const isSame =
      known?.kind === 'catch-up' && known.session === session && known.reason === reason
    // Live is what a session begins with.
    const isPlain = reason === null && (known?.kind !== 'catch-up' || known.session !== session)
    if ((isSame || isPlain) && !again) return
    this.#behind = { kind: 'catch-up', lesson, session, reason }
    if (this.#state === 'open') this.#send(this.#behind)
  }

  /** Hear every message, after this connection has taken note of it. The result ends it. */
  onMessage(listener: (message: ServerMessage) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  start(): void {
    if (this.#state === 'idle') void this.#run()
  }

  /** Try again at once: the network came back, or a person asked. */
  nudge(): void {
    this.#sleeper.wake()
  }

  close(): void {
    this.#stop.abort()
    this.#socket?.close(1000)
    this.#to('closed')
  }

  async #run(): Promise<void> {
    const backoff = new Backoff()
    const stop = this.#stop.signal
    while (!stop.aborted) {
      this.#retryAt = null
      this.#to('connecting')
      const end = await this.#connection()
      if (stop.aborted) return
      if (end === 'lost') backoff.reset()
      const wait = end === 'refused' ? REFUSED_WAIT_MS : backoff.next()
      this.#retryAt = Date.now() + wait
      this.#to(end === 'refused' ? 'refused' : 'waiting')
      await this.#sleeper.sleep(wait, stop)
    }
  }

  /** One connection from opening to closing. */
  #connection(): Promise<End> {
    return new Promise((resolve) => {
      const { url, token, page, lang, lesson } = this.options
      const socket = new WebSocket(`${url}?token=${encodeURIComponent(token)}`)
      socket.binaryType = 'arraybuffer'
      this.#socket = socket
      let welcomed = false
      let refused = false
      let heardAt = performance.now()
      const finish = (): void => {
        clearInterval(pinging)
        clearTimeout(opening)
        // A socket on a dead link may take minutes to close; nobody waits for it here.
        socket.onopen = socket.onmessage = socket.onclose = null
        socket.close()
        resolve(refused ? 'refused' : welcomed ? 'lost' : 'unreachable')
      }
      const opening = setTimeout(finish, CONNECT_LIMIT_MS)
      const pinging = setInterval(() => {
        if (welcomed && performance.now() - heardAt > SILENCE_LIMIT_MS) finish()
        else this.#send({ kind: 'ping', t: Date.now() })
      }, PING_EVERY_MS)
      socket.onopen = () => this.#send({ kind: 'hello', page, lang, lesson })
      socket.onmessage = (event: MessageEvent<unknown>) => {
        heardAt = performance.now()
        const message = this.#read(event.data)
        if (message === null) return
        if (message.kind === 'welcome') {
          welcomed = true
          clearTimeout(opening)
          if (this.#watching !== null) this.#send(this.#watching)
          if (this.#behind !== null) this.#send(this.#behind)
        }
        this.#take(message)
      }
      socket.onclose = (event) => {
        refused = REFUSALS.includes(event.code)
        if (refused) this.#refusal ??= { code: `closed-${event.code}`, detail: '', fix: '' }
        finish()
      }
    })
  }

  #send(message: PageMessage): void {
    const socket = this.#socket
    if (socket?.readyState === WebSocket.OPEN) socket.send(encode(message) as BufferSource)
  }

  #read(data: unknown): ServerMessage | null {
    if (!(data instanceof ArrayBuffer)) return null
    try {
      return decode(new Uint8Array(data))
    } catch (error) {
      // A newer server may say things this page does not know yet; they are passed over.
      if (error instanceof WireError) return null
      throw error
    }
  }

  #take(message: ServerMessage): void {
    switch (message.kind) {
      case 'welcome':
        this.#refusal = null
        this.#name = message.name
        this.#clockOffsetMs = message.server_time * 1000 - Date.now()
        // What the server does not repeat after this welcome is no longer so.
        this.#lessons.clear()
        if (message.lesson !== null) this.#lessons.set(message.lesson.id, message.lesson)
        this.#to('open')
        break
      case 'lesson':
        this.#lessons.set(message.lesson.id, message.lesson)
        this.changed()
        break
      case 'pong': {
        const middle = (message.t + Date.now()) / 2
        this.#clockOffsetMs = message.server_time * 1000 - middle
        break
      }
      case 'error':
        this.#refusal = { code: message.code, detail: message.detail, fix: message.fix }
        this.changed()
        break
    }
    for (const listener of this.#listeners) listener(message)
  }

  #to(state: SocketState): void {
    this.#state = state
    this.changed()
  }
}
