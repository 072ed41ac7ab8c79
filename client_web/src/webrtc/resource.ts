/*
 * One WHIP or WHEP session as an HTTP resource: made by POST, asked after by PATCH, ended by DELETE.
 *
 * Implements the client's side of RFC 9725 sections 4.2 to 4.4, which WHEP shares. What must not
 * live here: the peer connection, retries, and what is sent or received.
 */
import { Problem, request } from '../http'
import { iceServers } from './sdp'

export interface Endpoint {
  url: string
  token: string
}

export class SessionResource {
  private constructor(
    private readonly url: string,
    private readonly token: string,
    readonly iceServers: RTCIceServer[],
    /** The server's answer. */
    readonly sdp: string,
  ) {}

  /** The session that the resource's address names, or null. */
  get session(): string | null {
    return /\/([^/]+)$/.exec(this.url)?.[1] ?? null
  }

  /** The lesson that the resource's address names, or null. */
  get lesson(): string | null {
    return /\/([a-z0-9-]+)\/[^/]+$/.exec(this.url)?.[1] ?? null
  }

  /** Throws `Problem` or `Unreachable`. */
  static async create(
    endpoint: Endpoint,
    offer: string,
    signal: AbortSignal,
  ): Promise<SessionResource> {
    const packed = await pack(offer)
    const response = await request(endpoint.url, endpoint.token, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/sdp',
        ...(packed === null ? {} : { 'Content-Encoding': 'gzip' }),
      },
      body: packed ?? offer,
      signal,
    })
    const location = response.headers.get('Location')
    return new SessionResource(
      location === null ? '' : new URL(location, response.url).href,
      endpoint.token,
      iceServers(response.headers.get('Link')),
      response.text,
    )
  }

  /**
   * Ask whether the server still knows the session: a fragment without credentials and candidates
   * changes nothing (RFC 8840).
   *
   * Throws `Problem` (404, 410 or 412: the session is gone; 409: a newer one has its place) or
   * `Unreachable`.
   */
  async ask(signal: AbortSignal): Promise<void> {
    await request(this.url, this.token, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' },
      body: 'a=end-of-candidates\r\n',
      signal,
    })
  }

  /**
   * End the session; returns the server's refusal, or null.
   *
   * Never throws: a server that cannot be told will notice by itself.
   */
  async remove(): Promise<Problem | null> {
    if (this.url === '') return null
    try {
      // keepalive: the request outlives a page that is being closed or reloaded.
      await request(this.url, this.token, { method: 'DELETE', keepalive: true })
      return null
    } catch (error) {
      // Whether it is already gone or cannot be reached, there is nothing left to do here.
      return error instanceof Problem ? error : null
    }
  }
}

/**
 * `text` packed with gzip, or null in a browser that cannot: an offer of 20 kB is nearly a second of
 * a weak link, and more than what TCP sends in its first flight.
 */
async function pack(text: string): Promise<Blob | null> {
  if (typeof CompressionStream === 'undefined') return null
  const packed = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Response(packed).blob()
}
