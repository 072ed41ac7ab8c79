/*
 * A stand-in for what the teaching page asks of the browser beside peer connections: storage,
 * devices, sound, sockets, and the control plane's answers by path.
 */
import { vi } from 'vitest'

export class FakeStorage {
  readonly kept = new Map<string, string>()
  getItem(name: string): string | null {
    return this.kept.get(name) ?? null
  }
  setItem(name: string, value: string): void {
    this.kept.set(name, value)
  }
  removeItem(name: string): void {
    this.kept.delete(name)
  }
}

export class FakeTrack extends EventTarget {
  enabled = true
  readyState = 'live'
  contentHint = ''
  constructor(
    readonly kind: 'audio' | 'video',
    readonly id: string,
  ) {
    super()
  }
  stop(): void {
    this.readyState = 'ended'
  }
  /** The device was pulled out. */
  unplug(): void {
    this.readyState = 'ended'
    this.dispatchEvent(new Event('ended'))
  }
  getSettings(): { deviceId: string } {
    return { deviceId: this.id }
  }
}

class FakeStream {
  constructor(readonly tracks: FakeTrack[] = []) {}
  getTracks(): FakeTrack[] {
    return this.tracks
  }
  getAudioTracks(): FakeTrack[] {
    return this.tracks.filter((track) => track.kind === 'audio')
  }
  getVideoTracks(): FakeTrack[] {
    return this.tracks.filter((track) => track.kind === 'video')
  }
}

export class FakeDevices {
  microphones = ['mic-1']
  cameras = ['cam-1']
  ondevicechange: (() => void) | null = null
  /** Every track ever handed out. */
  readonly tracks: FakeTrack[] = []

  async getUserMedia(wanted: MediaStreamConstraints): Promise<FakeStream> {
    const stream = new FakeStream()
    const kinds = [
      ['audio', this.microphones, wanted.audio],
      ['video', this.cameras, wanted.video],
    ] as const
    for (const [kind, ids, asked] of kinds) {
      if (asked === undefined || asked === false) continue
      const exact = (asked as { deviceId?: { exact?: string } }).deviceId?.exact
      const id = ids.find((one) => exact === undefined || one === exact)
      if (id === undefined) throw new DOMException('', 'NotFoundError')
      stream.tracks.push(new FakeTrack(kind, id))
    }
    this.tracks.push(...stream.tracks)
    return stream
  }

  async enumerateDevices(): Promise<{ kind: string; deviceId: string }[]> {
    return [
      ...this.microphones.map((deviceId) => ({ kind: 'audioinput', deviceId })),
      ...this.cameras.map((deviceId) => ({ kind: 'videoinput', deviceId })),
    ]
  }
}

/** Sound whose loudness the test sets. */
export class FakeSound {
  static peak = 0
  state = 'running'
  createMediaStreamSource(): { connect: () => void; disconnect: () => void } {
    return { connect: () => undefined, disconnect: () => undefined }
  }
}

class FakeAnalyser {
  getFloatTimeDomainData(samples: Float32Array): void {
    samples.fill(0)
    samples[0] = FakeSound.peak
  }
}

class FakeSocket {
  static readonly OPEN = 1
  readyState = 0
  close(): void {}
}

/**
 * Whether a page asks before it is left: browsers look at whether the event was prevented, and Chrome
 * before 119 at its `returnValue` alone.
 */
export function asksBeforeLeaving(window: EventTarget): { now: boolean; before119: boolean } {
  const event = new Event('beforeunload', { cancelable: true })
  Object.defineProperty(event, 'returnValue', { value: '', writable: true })
  window.dispatchEvent(event)
  const told: unknown = event.returnValue
  return { now: event.defaultPrevented, before119: told !== '' }
}

export type ApiAnswer = { status: number; body: unknown } | 'away'

export class FakeBrowser {
  readonly local = new FakeStorage()
  readonly tab = new FakeStorage()
  readonly devices = new FakeDevices()
  readonly window = new EventTarget()
  /** Answers of the control plane by "METHOD path"; what is not here is away. */
  readonly api = new Map<string, ApiAnswer>()
  readonly asked: string[] = []

  install(): void {
    FakeSound.peak = 0
    vi.stubGlobal('location', { origin: 'http://central.test', search: '' })
    vi.stubGlobal('addEventListener', this.window.addEventListener.bind(this.window))
    vi.stubGlobal('localStorage', this.local)
    vi.stubGlobal('sessionStorage', this.tab)
    vi.stubGlobal('navigator', { mediaDevices: this.devices })
    vi.stubGlobal('MediaStream', FakeStream)
    vi.stubGlobal('AudioContext', FakeSound)
    vi.stubGlobal('AnalyserNode', FakeAnalyser)
    vi.stubGlobal('WebSocket', FakeSocket)
    const media = globalThis.fetch
    vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
      if (!url.startsWith('http://central.test')) return media(url, init)
      const path = `${init.method ?? 'GET'} ${url.slice('http://central.test'.length)}`
      this.asked.push(path)
      const answer = this.api.get(path) ?? 'away'
      if (answer === 'away') throw new TypeError('Failed to fetch')
      return new Response(JSON.stringify(answer.body), { status: answer.status })
    })
  }

  count(path: string): number {
    return this.asked.filter((one) => one === path).length
  }
}
