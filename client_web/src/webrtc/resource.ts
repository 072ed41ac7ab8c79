/*
 * One WHIP or WHEP session as an HTTP resource: made by POST, restarted by PATCH, ended by DELETE.
 *
 * Implements the client's side of RFC 9725 sections 4.2 to 4.4, which WHEP shares. What must not
 * live here: the peer connection, retries, and what is sent or received.
 */
import { Problem, request } from '../http'
import { iceServers, restartFragment, withFragment } from './sdp'

export interface Endpoint {
  url: string
  token: string
}

export class SessionResource {
  #etag: string | null

  private constructor(
    private readonly url: string,
    private readonly token: string,
    readonly iceServers: RTCIceServer[],
    /** The answer now in force. */
    private answer: string,
    etag: string | null,
  ) {
    this.#etag = etag
  }

  get sdp(): string {
    return this.answer
  }

  /** The entity tag of the present ICE session, or null when the server names none. */
  get etag(): string | null {
    return this.#etag
  }

  /** Throws `Problem` or `Unreachable`. */
  static async create(
    endpoint: Endpoint,
    offer: string,
    signal: AbortSignal,
  ): Promise<SessionResource> {
    const response = await request(endpoint.url, endpoint.token, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: offer,
      signal,
    })
    const location = response.headers.get('Location')
    return new SessionResource(
      location === null ? '' : new URL(location, response.url).href,
      endpoint.token,
      iceServers(response.headers.get('Link')),
      response.text,
      response.headers.get('ETag'),
    )
  }

  /**
   * Tell the server the new ICE credentials of `offer`; returns the answer to apply.
   *
   * Throws `Problem` (404, 410 or 412: the session is gone; 409: a newer one has its place) or
   * `Unreachable`.
   */
  async restart(offer: string, signal: AbortSignal): Promise<string> {
    const response = await request(this.url, this.token, {
      method: 'PATCH',
      // A restart addresses whatever ICE session is in force (RFC 9725 section 4.3.3).
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' },
      body: restartFragment(offer),
      signal,
    })
    this.answer = withFragment(this.answer, response.text)
    this.#etag = response.headers.get('ETag') ?? this.#etag
    return this.answer
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
