/*
 * How the pages ask a server, and the two ways in which asking fails.
 *
 * Lives here: one `request` that ends when nothing comes, the reading of problem documents (RFC 9457).
 * What must not: paths of any API, tokens' meaning, anything of the screen.
 */

/** A server answered, and refused. `detail` and `fix` are sentences for people. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly fix: string,
    /** Seconds after which the server asks to be tried again, or null. */
    readonly retryAfter: number | null = null,
  ) {
    super(`${status} ${code}: ${detail}`)
  }

  /** Whether another time may bring a better answer: the server is away, or the request came badly. */
  get isPassing(): boolean {
    return this.status >= 500 || PASSING.includes(this.status)
  }
}

/** 408: it came too slowly, be it for an outage in its middle · 425: too early · 429: too often. */
const PASSING: readonly number[] = [408, 425, 429]

/** No answer: the network or the server is away. Trying again may help. */
export class Unreachable extends Error {}

/**
 * Without a byte for so long there is no answer: weak links need several round trips of up to a second
 * each before the first one. However long an answer is, it may take its time.
 */
export const ANSWER_LIMIT_MS = 15_000

/** A signal that aborts after `ms`; `AbortSignal.timeout` is younger than some tablets. */
export function timeLimit(ms: number): AbortSignal {
  const limit = new AbortController()
  setTimeout(() => limit.abort(), ms)
  return limit.signal
}

/** Ends a request when nothing came for `ms`, or when `stop` aborts. */
export class Patience {
  readonly #end = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly ms: number,
    private readonly stop: AbortSignal | null = null,
  ) {
    if (stop?.aborted === true) this.abort()
    stop?.addEventListener('abort', this.abort)
    this.#wait()
  }

  /** For the request. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  readonly abort = (): void => this.#end.abort()

  /** The body of its answer, piece by piece, to the end or until `take` says that it is enough (false). */
  async each(response: Response, take: (piece: Uint8Array<ArrayBuffer>) => boolean): Promise<void> {
    this.#wait()
    const reader = response.body?.getReader()
    if (reader === undefined) return void take(new Uint8Array(await response.arrayBuffer()))
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      this.#wait()
      if (!take(next.value)) return reader.cancel()
    }
  }

  /** The body of its answer, to the end, as a whole. */
  async read(response: Response): Promise<ArrayBuffer> {
    const pieces: Uint8Array[] = []
    await this.each(response, (piece) => pieces.push(piece) > 0)
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0))
    let at = 0
    for (const piece of pieces) {
      whole.set(piece, at)
      at += piece.byteLength
    }
    return whole.buffer
  }

  /** The request is over. */
  close(): void {
    clearTimeout(this.#timer)
    this.stop?.removeEventListener('abort', this.abort)
  }

  #wait(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.abort, this.ms)
  }
}

/** A good answer, read to its end. */
export interface Answer {
  /** The address that answered, after redirects. */
  url: string
  headers: Headers
  text: string
}

/** Ask `url` with the token; resolves for 2xx, else throws `Problem` or `Unreachable`. */
export async function request(url: string, token: string, init: RequestInit = {}): Promise<Answer> {
  const headers = new Headers(init.headers)
  if (token !== '') headers.set('Authorization', `Bearer ${token}`)
  const patience = new Patience(ANSWER_LIMIT_MS, init.signal)
  const { signal } = patience
  try {
    const response = await fetch(url, { cache: 'no-store', ...init, headers, signal })
    const text = new TextDecoder().decode(await patience.read(response))
    if (response.ok) return { url: response.url || url, headers: response.headers, text }
    throw readProblem(response, text)
  } catch (cause) {
    if (cause instanceof Problem) throw cause
    throw new Unreachable(`no answer from ${url}`, { cause })
  } finally {
    patience.close()
  }
}

/** What `response`, with the text `raw`, refuses. */
export function readProblem(
  response: Pick<Response, 'status' | 'statusText' | 'headers'>,
  raw: string,
): Problem {
  const retryAfter = Number.parseFloat(response.headers.get('Retry-After') ?? '')
  let body: unknown = null
  try {
    body = JSON.parse(raw)
  } catch {
    // A proxy's error page is no problem document; the status alone must do.
  }
  const text = (name: string): string => {
    const value = (body as Record<string, unknown> | null)?.[name]
    return typeof value === 'string' ? value : ''
  }
  const type = text('type')
  return new Problem(
    response.status,
    text('code') || type.slice(type.lastIndexOf('/') + 1).replace(/^.*:/, ''),
    text('detail') || text('title') || response.statusText,
    text('fix'),
    Number.isFinite(retryAfter) ? retryAfter : null,
  )
}
