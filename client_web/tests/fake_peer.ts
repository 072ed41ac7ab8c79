/*
 * A stand-in for the browser's peer connection and for the server's answers, for the tests of the
 * session's state machine. The real ones meet in tests/live.
 */
import { vi } from 'vitest'

export class FakeTransceiver {
  readonly receiver: { track: { kind: string } }
  readonly sender = {
    transport: { state: 'connected' },
    track: null as unknown,
    getParameters: (): { encodings: RTCRtpEncodingParameters[] } => ({
      encodings: (this.init.sendEncodings ?? []).map((one) =>
        FakePeer.layered ? one : { rid: one.rid ?? '' },
      ),
    }),
    replaceTrack: async (track: unknown): Promise<void> => {
      this.sender.track = track
    },
  }
  readonly mid: string
  codecs: { mimeType: string }[] | null = null

  constructor(
    readonly kind: string,
    readonly init: RTCRtpTransceiverInit,
    at: number,
  ) {
    this.mid = String(at)
    this.receiver = { track: { kind } }
  }

  setCodecPreferences(codecs: { mimeType: string }[]): void {
    this.codecs = codecs
  }
}

export class FakePeer {
  static all: FakePeer[] = []
  /** Whether new peers connect by themselves once they have an answer. */
  static connects = true
  /** Whether this browser knows temporal layers; if not, it forgets that it was asked for them. */
  static layered = true
  /** The answers that it does not take. */
  static refuses: RegExp | null = null
  /** What it takes to apply a description. */
  static takesMs = 0
  /** Whether this one's checks get no answer, however often ICE begins. */
  cut = false
  readonly transceivers: FakeTransceiver[] = []
  connectionState = 'new'
  iceConnectionState = 'new'
  signalingState = 'stable'
  answers: string[] = []
  offers: string[] = []
  currentRemoteDescription: { type: string; sdp: string } | null = null
  stats = new Map<string, Record<string, unknown>>()
  #credentials = 0
  #answers = 0

  constructor() {
    FakePeer.all.push(this)
  }

  static get last(): FakePeer {
    const peer = FakePeer.all[FakePeer.all.length - 1]
    if (peer === undefined) throw new Error('no peer was made')
    return peer
  }

  addTransceiver(what: string | { kind: string }, init: RTCRtpTransceiverInit): FakeTransceiver {
    const kind = typeof what === 'string' ? what : what.kind
    const made = new FakeTransceiver(kind, init, this.transceivers.length)
    this.transceivers.push(made)
    return made
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers
  }

  async createOffer(options?: { iceRestart?: boolean }): Promise<{ type: string; sdp: string }> {
    if (this.#credentials === 0 || options?.iceRestart === true) this.#credentials += 1
    const sections = this.transceivers.map(
      (one) =>
        `m=${one.kind} 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:${one.mid}\r\n` +
        `a=ice-ufrag:page${this.#credentials}\r\na=ice-pwd:secret\r\n`,
    )
    return { type: 'offer', sdp: 'v=0\r\n' + sections.join('') }
  }

  async setLocalDescription(given: { type: string; sdp: string }): Promise<void> {
    await takeTime()
    this.signalingState = 'have-local-offer'
    this.offers.push(given.sdp)
  }

  async setRemoteDescription(answer: { type: string; sdp: string }): Promise<void> {
    await takeTime()
    if (this.signalingState !== 'have-local-offer')
      throw new DOMException(`Called in wrong state: ${this.signalingState}`, 'InvalidStateError')
    if (FakePeer.refuses?.test(answer.sdp) === true) throw new DOMException('no', 'OperationError')
    this.signalingState = 'stable'
    this.currentRemoteDescription = { type: answer.type, sdp: asChromiumWrites(answer.sdp) }
    this.answers.push(answer.sdp)
    if (FakePeer.connects && !this.cut) this.connect()
  }

  connect(): void {
    this.answerChecks(this.#answers + 1)
    this.connectionState = this.iceConnectionState = 'connected'
  }

  setConfiguration(): void {}

  async getStats(): Promise<Map<string, Record<string, unknown>>> {
    return this.stats
  }

  /** Let the server have answered `count` ICE checks so far. */
  answerChecks(count: number): void {
    this.#answers = count
    this.stats.set('pair', { id: 'pair', type: 'candidate-pair', responsesReceived: count })
  }

  /** Let `bytes` have come in on the section `mid` so far. */
  receive(mid: string, bytes: number, frames = 0): void {
    const entry = { type: 'inbound-rtp', mid, bytesReceived: bytes, framesDecoded: frames }
    this.stats.set(mid, entry)
  }

  close(): void {
    this.signalingState = this.connectionState = 'closed'
  }
}

async function takeTime(): Promise<void> {
  if (FakePeer.takesMs > 0) await new Promise((resolve) => setTimeout(resolve, FakePeer.takesMs))
}

/**
 * A description as Chromium gives it back, whatever order it was given in: each format's map,
 * feedback and parameters together, these by name; the packet time last.
 */
function asChromiumWrites(sdp: string): string {
  const section = (text: string): string => {
    const lines = text.trimEnd().split('\r\n')
    const numbers = lines[0]?.split(' ').slice(3) ?? []
    const formats = numbers.flatMap((number) =>
      ['rtpmap', 'rtcp-fb', 'fmtp'].flatMap((kind) =>
        lines.filter((line) => line.startsWith(`a=${kind}:${number} `)).map(withSortedParameters),
      ),
    )
    const packetTime = lines.filter((line) => line.startsWith('a=ptime:'))
    const rest = lines.filter((line) => !/^a=(rtpmap|rtcp-fb|fmtp|ptime):/.test(line))
    return [...rest, ...formats, ...packetTime, ''].join('\r\n')
  }
  return sdp
    .split(/^(?=m=)/m)
    .map((text) => (text.startsWith('m=') ? section(text) : text))
    .join('')
}

const withSortedParameters = (line: string): string =>
  line.replace(/^(a=fmtp:\d+ )(.*=.*)$/, (_, head: string, all: string) => {
    return head + all.split(';').sort().join(';')
  })

export interface Asked {
  /** Date.now() of the (faked) clock. */
  at: number
  method: string
  url: string
  headers: Headers
  body: string
}

/** Answers by method; 'away' is a server that cannot be reached, 'lost' a request in an outage. */
export type Answer =
  { status: number; body?: string; headers?: Record<string, string> } | 'away' | 'lost'

export class FakeServer {
  readonly asked: Asked[] = []
  answers: Record<string, Answer> = {
    POST: {
      status: 201,
      body: 'v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:srv1\r\na=ice-pwd:p1\r\n',
      headers: { Location: '/sessions/1', ETag: '"one"' },
    },
    PATCH: { status: 204 },
    DELETE: { status: 200 },
  }

  install(): void {
    vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
      const method = init.method ?? 'GET'
      this.asked.push({
        at: Date.now(),
        method,
        url,
        headers: new Headers(init.headers),
        body: String(init.body ?? ''),
      })
      const answer = this.answers[method]
      if (answer === 'lost')
        await new Promise((_, reject) =>
          init.signal?.addEventListener('abort', () => reject(new TypeError('aborted'))),
        )
      if (answer === undefined || typeof answer === 'string') throw new TypeError('Failed to fetch')
      const response = new Response(answer.status === 204 ? null : (answer.body ?? ''), answer)
      Object.defineProperty(response, 'url', { value: url })
      return response
    })
  }

  count(method: string): number {
    return this.asked.filter((one) => one.method === method).length
  }

  last(method: string): Asked {
    const found = this.asked.filter((one) => one.method === method).pop()
    if (found === undefined) throw new Error(`no ${method} was asked`)
    return found
  }
}

/** Put the stand-ins in place of the browser's own. */
export function install(server: FakeServer): void {
  FakePeer.all = []
  FakePeer.connects = true
  FakePeer.layered = true
  FakePeer.refuses = null
  FakePeer.takesMs = 0
  vi.stubGlobal('RTCPeerConnection', FakePeer)
  // Packing takes real time, which the tests' clock does not give.
  vi.stubGlobal('CompressionStream', undefined)
  vi.stubGlobal('MediaStream', class {})
  vi.stubGlobal('RTCRtpReceiver', {
    getCapabilities: (kind: string) => ({
      codecs: (kind === 'audio'
        ? ['audio/opus', 'audio/red', 'audio/PCMU']
        : ['video/VP8', 'video/rtx', 'video/VP9', 'video/H264', 'video/AV1']
      ).map((mimeType) => ({ mimeType })),
    }),
  })
  server.install()
}
