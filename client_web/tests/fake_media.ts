/*
 * A stand-in for what the library's player asks of the browser: media elements that decode nothing,
 * media sources that open at once, and a relay that is asked by XMLHttpRequest, as hls.js does.
 */
import { vi } from 'vitest'
import { FakeStorage } from './fake_browser'

const ANSWER_MS = 20
const SEGMENTS = 300

export class FakeVideo extends EventTarget {
  readyState = 0
  paused = true
  muted = false
  seeking = false
  ended = false
  volume = 1
  playbackRate = 1
  defaultPlaybackRate = 1
  videoHeight = 180
  duration = NaN
  readonly buffered = { length: 0 }
  seekable = { length: 0, end: (): number => 0 }
  readonly textTracks = Object.assign(new EventTarget(), {
    length: 0,
    *[Symbol.iterator]() {},
  })
  #time = 0
  #source = ''

  get currentTime(): number {
    return this.#time
  }
  set currentTime(time: number) {
    this.#time = time
    this.dispatchEvent(new Event('seeking'))
  }
  get src(): string {
    return this.#source
  }
  set src(source: string) {
    this.#source = source
    this.playbackRate = this.defaultPlaybackRate
    setTimeout(() => FakeSource.made.get(source)?.open(), 0)
  }
  async play(): Promise<void> {
    this.paused = false
  }
  pause(): void {
    this.paused = true
  }
  removeAttribute(name: string): void {
    if (name === 'src') this.#source = ''
  }
  querySelectorAll(): never[] {
    return []
  }
  /** Without a source an element is at its beginning again. */
  load(): void {
    if (this.#source !== '') return
    this.readyState = 0
    this.#time = 0
    this.duration = NaN
  }
  /** The first bytes say how many seconds there are. */
  knows(length: number): void {
    const isNew = this.readyState === 0
    this.readyState ||= 1
    this.duration = length
    if (isNew) this.dispatchEvent(new Event('loadedmetadata'))
  }
  /** It plays at `time`. */
  shows(time: number, length: number): void {
    this.knows(length)
    this.readyState = 4
    this.#time = time
    this.dispatchEvent(new Event('timeupdate'))
  }
}

class FakeSource extends EventTarget {
  static readonly made = new Map<string, FakeSource>()
  static isTypeSupported(): boolean {
    return true
  }
  readyState = 'closed'
  duration = NaN
  readonly sourceBuffers: object[] = []
  readonly activeSourceBuffers: object[] = []
  open(): void {
    this.readyState = 'open'
    this.dispatchEvent(new Event('sourceopen'))
  }
  addSourceBuffer(): object {
    const buffer = Object.assign(new EventTarget(), { buffered: { length: 0 }, updating: false })
    this.sourceBuffers.push(buffer)
    return buffer
  }
  removeSourceBuffer(): void {}
  setLiveSeekableRange(): void {}
  endOfStream(): void {}
}

class FakeSourceBuffer {
  appendBuffer(): void {}
  remove(): void {}
}

/** A relay that has one lesson, its voice and one camera layer, and may be away or refuse. */
export class FakeRelay {
  /** What is answered in place of everything: a status, 0 where nothing answers; null: all is well. */
  fault: number | null = null
  /** Called with each address before it is answered. */
  onAsked: (path: string) => void = () => undefined
  isLive = false
  /** The segments that were asked for, and those that were sent, by number and in order. */
  readonly asked: number[] = []
  readonly sent: number[] = []
  readonly videos: FakeVideo[] = []
  readonly storage = new FakeStorage()

  /** null: it is on its way, and does not arrive before the test is over. */
  answer(url: string): { status: number; text: string } | null {
    const path = new URL(url).pathname.replace(/^\/archives\/[^/]+\//, '')
    this.onAsked(path)
    const segment = /\/(\d+)\.m4s$/.exec(path)
    if (segment !== null) this.asked.push(Number(segment[1]))
    if (this.fault !== null) return { status: this.fault, text: '' }
    if (segment !== null) {
      this.sent.push(Number(segment[1]))
      return null
    }
    if (path === 'screen.m3u8') return { status: 404, text: '' }
    if (path === 'master.m3u8') return { status: 200, text: MASTER }
    const list = /^(camera|voice)\.m3u8$/.exec(path)
    if (list !== null) return { status: 200, text: this.#playlist(list[1] ?? '') }
    return { status: 200, text: '' }
  }

  #playlist(name: string): string {
    const lines = Array.from({ length: SEGMENTS }, (_, at) => `#EXTINF:8.0,\n${name}/${at}.m4s`)
    const head = ['#EXTM3U', '#EXT-X-VERSION:7', '#EXT-X-TARGETDURATION:8']
    const end = this.isLive ? [] : ['#EXT-X-ENDLIST']
    return [...head, `#EXT-X-MAP:URI="${name}/init.mp4"`, ...lines, ...end].join('\n')
  }

  install(): void {
    const { answer, videos } = { answer: this.answer.bind(this), videos: this.videos }
    vi.stubGlobal('self', globalThis)
    vi.stubGlobal('window', globalThis)
    // hls.js reads the browser's status line.
    vi.stubGlobal('status', '')
    vi.stubGlobal('localStorage', this.storage)
    vi.stubGlobal('navigator', { onLine: true, userAgent: 'test' })
    vi.stubGlobal('location', { href: 'http://relay.test/library', origin: 'http://relay.test' })
    vi.stubGlobal('HTMLMediaElement', { HAVE_CURRENT_DATA: 2, HAVE_FUTURE_DATA: 3 })
    vi.stubGlobal('MediaSource', FakeSource)
    vi.stubGlobal('SourceBuffer', FakeSourceBuffer)
    vi.stubGlobal('document', {
      createElement: () => {
        videos.push(new FakeVideo())
        return videos.at(-1)
      },
    })
    vi.spyOn(URL, 'createObjectURL').mockImplementation((source) => {
      const address = `blob:${FakeSource.made.size}`
      FakeSource.made.set(address, source as unknown as FakeSource)
      return address
    })
    vi.spyOn(URL, 'revokeObjectURL').mockImplementation(() => undefined)
    vi.stubGlobal('XMLHttpRequest', function () {
      return new FakeRequest(answer)
    })
  }
}

const MASTER = [
  '#EXTM3U',
  '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="v",NAME="v",DEFAULT=YES,AUTOSELECT=YES,URI="voice.m3u8"',
  '#EXT-X-STREAM-INF:BANDWIDTH=150000,CODECS="vp09.00.31.08,opus",RESOLUTION=320x180,AUDIO="v"',
  'camera.m3u8',
].join('\n')

class FakeRequest {
  readyState = 0
  status = 0
  responseType = ''
  response: unknown = null
  responseText = ''
  responseURL = ''
  statusText = ''
  onreadystatechange: (() => void) | null = null
  onprogress: (() => void) | null = null
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly answer: FakeRelay['answer']) {}

  open(_method: string, url: string): void {
    this.responseURL = url
    this.readyState = 1
  }
  setRequestHeader(): void {}
  getAllResponseHeaders(): string {
    return ''
  }
  getResponseHeader(): null {
    return null
  }
  abort(): void {
    clearTimeout(this.#timer)
  }
  send(): void {
    this.#timer = setTimeout(() => {
      const answer = this.answer(this.responseURL)
      if (answer === null) return
      const { status, text } = answer
      this.readyState = 4
      this.status = status
      this.responseText = text
      this.response = this.responseType === 'arraybuffer' ? new ArrayBuffer(8) : text
      this.onreadystatechange?.()
    }, ANSWER_MS)
  }
}
