/*
 * Which lesson a room watches, that it asks for it at once, and which still it shows of it.
 */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { pack, type Packed } from '../src/events/msgpack'
import { decode, type Source } from '../src/events/wire'
import { RoomModel } from '../src/room/model'
import type { Link } from '../src/token'
import { FakePeer, FakeServer, install } from './fake_peer'

const vectors = JSON.parse(
  readFileSync(new URL('../../tests/vectors/wire/valid.json', import.meta.url), 'utf8'),
) as { name: string; hex: string }[]
const welcome = vectors.find((one) => one.name === 'welcome with a lesson')
const WELCOME = Uint8Array.from(Buffer.from(welcome?.hex ?? '', 'hex')).buffer

let server: FakeServer
let sockets: FakeSocket[]

class FakeSocket {
  static readonly OPEN = 1
  readyState = 0
  binaryType = ''
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number }) => void) | null = null

  constructor() {
    sockets.push(this)
  }

  send(): void {}
  close(): void {}
}

beforeEach(() => {
  vi.useFakeTimers()
  sockets = []
  server = new FakeServer()
  install(server)
  vi.stubGlobal('WebSocket', FakeSocket)
  vi.stubGlobal('location', { origin: 'http://relay.test' })
  vi.stubGlobal('addEventListener', () => undefined)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
const created = (lesson: string) => ({
  status: 201,
  body: 'v=0\r\nm=audio 9 X 0\r\n',
  headers: { Location: `/whep/${lesson}/abc` },
})

function opened(lesson: string | null): RoomModel {
  const claims = { name: '', role: 'room', lesson: '*', expiresAt: null }
  const link: Link = { token: 'T', claims, lesson }
  const model = new RoomModel(link, 'en')
  model.start()
  return model
}

function lastSocket(): FakeSocket {
  const socket = sockets.at(-1)
  if (socket === undefined) throw new Error('no socket')
  return socket
}

/** The events connection opens and tells of the lesson vat-ly-9. */
function tell(): void {
  const socket = lastSocket()
  socket.readyState = FakeSocket.OPEN
  socket.onopen?.()
  socket.onmessage?.({ data: WELCOME })
}

describe('a room that opens its page', () => {
  it('asks for the lesson of its link beside opening the events, not after', async () => {
    opened('vat-ly-9')
    await pass(300)
    expect(sockets).toHaveLength(1)
    expect(server.last('POST').url).toBe('http://relay.test/whep/vat-ly-9')
  })
  it('asks for whichever lesson runs when its link names none, and learns its name', async () => {
    server.answers['POST'] = created('vat-ly-9')
    const model = opened(null)
    await pass(300)
    expect(server.last('POST').url).toBe('http://relay.test/whep/-')
    tell()
    await pass(2_000)
    expect(server.count('POST')).toBe(1)
    expect(model.lesson?.id).toBe('vat-ly-9')
    expect(model.viewer?.generation).toBe(1)
    // Made anew, it is that lesson's.
    const [first] = FakePeer.last.transceivers
    if (first !== undefined) first.sender.transport.state = 'closed'
    await pass(2_500)
    expect(server.last('POST').url).toBe('http://relay.test/whep/vat-ly-9')
  })
  it('keeps what it asked for although the events tell of a lesson before the answer', async () => {
    server.answers['POST'] = 'lost'
    opened(null)
    await pass(300)
    tell()
    await pass(3_000)
    expect(server.count('POST')).toBe(1)
  })
  it('waits for the events where there is no lesson yet', async () => {
    server.answers['POST'] = { status: 404 }
    const model = opened(null)
    await pass(30_000)
    expect(server.count('POST')).toBe(1)
    expect(model.viewer).toBeNull()
    server.answers['POST'] = created('vat-ly-9')
    tell()
    await pass(500)
    expect(server.last('POST').url).toBe('http://relay.test/whep/vat-ly-9')
    expect(model.viewer?.state).toBe('live')
  })
})

describe('a still picture', () => {
  const say = (kind: string, body: Packed): void =>
    lastSocket().onmessage?.({ data: pack([1, kind, body]).slice().buffer })
  const sends = (...sources: Source[]): void => {
    const told = decode(new Uint8Array(WELCOME))
    if (told.kind !== 'welcome' || told.lesson === null) throw new Error('no lesson')
    say('lesson', { ...told.lesson, recording: { ...told.lesson.recording }, sources })
  }
  /** The voice goes on for as long. */
  const hear = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      FakePeer.last.receive('0', (heard += 5_000))
      await pass(1_000)
    }
  }
  let heard = 0

  /** A room that hears the voice and has been sent a still of the slides. */
  async function shown(...sources: Source[]): Promise<RoomModel> {
    const fit = class {
      decode = async (): Promise<void> => undefined
    }
    vi.stubGlobal('Image', fit)
    const model = opened('vat-ly-9')
    await pass(300)
    tell()
    sends(...sources)
    await hear(1)
    const picture = { lesson: 'vat-ly-9', source: 'screen', mime: 'image/webp', captured: 1e9 }
    say('still', { still: 1, ...picture, width: 64, height: 36, parts: 1, bytes: 3 })
    say('still-part', { still: 1, part: 0, data: new Uint8Array(3) })
    await hear(1)
    expect(model.still?.source).toBe('screen')
    return model
  }

  it('goes when the teacher shares no more, and comes back with the slides', async () => {
    const model = await shown('voice', 'camera', 'screen')
    await hear(30)
    expect(model.still?.source).toBe('screen')
    sends('voice', 'camera')
    await hear(1)
    expect(model.still).toBeNull()
    sends('voice', 'screen')
    await hear(1)
    expect(model.still?.source).toBe('screen')
  })
  it('goes when the last picture is put away and the voice goes on', async () => {
    const model = await shown('voice', 'screen')
    sends('voice')
    await hear(2)
    expect(model.still?.source).toBe('screen')
    await hear(5)
    expect(model.still).toBeNull()
    // Also when the teacher is cut off long after that.
    await pass(20_000)
    expect(model.flowing).toBe(false)
    expect(model.still).toBeNull()
  })
  it('stays when the teacher is cut off, or the events are', async () => {
    const model = await shown('voice', 'screen')
    sends('voice')
    await hear(1)
    sends()
    await pass(20_000)
    expect(model.still?.source).toBe('screen')
    const other = await shown('voice', 'screen')
    lastSocket().onclose?.({ code: 1006 })
    await hear(20)
    expect(other.still?.source).toBe('screen')
  })
})

describe('the picture of the camera', () => {
  const say = (...sources: Source[]): void => {
    const told = decode(new Uint8Array(WELCOME))
    if (told.kind !== 'welcome' || told.lesson === null) throw new Error('no lesson')
    const lesson = { ...told.lesson, recording: { ...told.lesson.recording }, sources }
    lastSocket().onmessage?.({ data: pack([1, 'lesson', lesson]).slice().buffer })
  }
  let came = 0
  /** Voice, and pictures if it is said, come for so long. */
  const come = async (seconds: number, pictures = true): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      came += 1
      FakePeer.last.receive('0', came * 5_000)
      if (pictures) FakePeer.last.receive('1', came * 9_000, came * 15)
      await pass(1_000)
    }
  }

  async function watching(): Promise<RoomModel> {
    server.answers['POST'] = created('vat-ly-9')
    const model = opened('vat-ly-9')
    await pass(300)
    tell()
    say('voice', 'camera')
    await come(3)
    expect(model.stage).toBe('watching')
    expect(model.shown.camera).not.toBeNull()
    return model
  }

  it('stays after an outage until the next one is there: the voice comes first', async () => {
    const model = await watching()
    say()
    await pass(30_000)
    expect(model.flowing).toBe(false)
    say('voice')
    await come(2, false)
    expect(model.stage).toBe('watching')
    expect(model.shown.camera).not.toBeNull()
    say('voice', 'camera')
    await come(20)
    expect(model.shown.camera).not.toBeNull()
  })
  it('goes when the teacher has put it away meanwhile', async () => {
    const model = await watching()
    say()
    await pass(30_000)
    say('voice')
    await come(8, false)
    expect(model.shown.camera).toBeNull()
  })
  it('does not come back after an outage if it was put away before', async () => {
    const model = await watching()
    say('voice')
    await come(8, false)
    expect(model.shown.camera).toBeNull()
    await pass(30_000)
    await come(1, false)
    expect(model.shown.camera).toBeNull()
  })
})

describe('the materials of a lesson', () => {
  const FILE = { name: 'Ôm.pdf', bytes: 10, digest: 'f'.repeat(64) }
  let asked: string[]
  beforeEach(() => {
    asked = []
    const media = globalThis.fetch
    vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
      if (!url.endsWith('/materials')) return media(url, init)
      asked.push(`${url} ${new Headers(init.headers).get('Authorization') ?? ''}`)
      return Promise.resolve(new Response(JSON.stringify({ materials: [FILE] })))
    })
  })
  it('are asked for at the relay that served the page, once it says that there are some', async () => {
    const model = opened('vat-ly-9')
    await pass(300)
    expect([asked, model.materials.materials]).toEqual([[], []])
    tell()
    await pass(30_000)
    expect(asked).toEqual(['http://relay.test/api/lessons/vat-ly-9/materials Bearer T'])
    expect(model.materials.materials).toEqual([FILE])
  })
  it('stay when the lesson ends, beside those of the next one, until that begins', async () => {
    const model = opened(null)
    server.answers['POST'] = created('vat-ly-9')
    await pass(300)
    tell()
    await pass(1_000)
    const told = decode(new Uint8Array(WELCOME))
    if (told.kind !== 'welcome' || told.lesson === null) throw new Error('no lesson')
    const now = { ...told.lesson, recording: { ...told.lesson.recording } }
    const later = { ...now, id: 'hoa-9', materials: 'e'.repeat(64), publishing: false, sources: [] }
    const say = async (lesson: Packed): Promise<void> => {
      lastSocket().onmessage?.({ data: pack([1, 'lesson', lesson]).slice().buffer })
      await pass(1_000)
    }
    const places = (): (string | undefined)[] =>
      [model.materials, model.nextMaterials].map((list) => list.place?.list.split('/').at(-2))
    await say({ ...later, state: 'planned' })
    expect(places()).toEqual(['vat-ly-9', undefined])
    await say({ ...now, state: 'ended', publishing: false, sources: [] })
    expect([model.stage, ...places()]).toEqual(['ended', 'vat-ly-9', 'hoa-9'])
    expect([model.materials.materials, model.nextMaterials.materials]).toEqual([[FILE], [FILE]])
    const { nextMaterials } = model
    server.answers['POST'] = created('hoa-9')
    await say({ ...later, state: 'live', publishing: true })
    expect([model.lesson?.id, ...places()]).toEqual(['hoa-9', 'hoa-9', undefined])
    // What was open of it stands as it was.
    expect([model.materials === nextMaterials, asked.length]).toEqual([true, 2])
  })
  it('are gone when the teacher has taken the last one out', async () => {
    const model = opened('vat-ly-9')
    await pass(300)
    tell()
    await pass(1_000)
    const told = decode(new Uint8Array(WELCOME))
    if (told.kind !== 'welcome' || told.lesson === null) throw new Error('no lesson')
    const lesson = { ...told.lesson, recording: { ...told.lesson.recording }, materials: null }
    lastSocket().onmessage?.({ data: pack([1, 'lesson', lesson]).slice().buffer })
    await pass(1_000)
    expect([model.materials.place, model.materials.materials]).toEqual([null, []])
  })
})
