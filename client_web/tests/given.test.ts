/*
 * Files that a teacher gives along with a lesson, as a story: sent, broken off, refused, taken out.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sha256 } from '../src/digest'
import { Problem, Unreachable } from '../src/http'
import { materialsEn } from '../src/i18n/materials_en'
import { materialsVi } from '../src/i18n/materials_vi'
import { refusalWords, slowWords } from '../src/teach/given'
import { LessonMaterials, MaterialsDesk, UNREADABLE } from '../src/teach/materials'
import { STALL_MS, upload } from '../src/teach/upload'
import { asksBeforeLeaving, FakeStorage } from './fake_browser'

interface Item {
  name: string
  bytes: number
  digest: string
}
/** The control plane: what it has, and what it answers to the next uploads. */
let list: Item[]
let isAway: boolean
let answers: (Error | 'lost')[]
let sent: string[]
let kept: FakeStorage
let window: EventTarget

const problem = (status: number, code: string, detail = ''): Problem =>
  new Problem(status, code, detail, '')
const text = (): string => JSON.stringify({ format: 1, lesson: 'om', materials: list })

/** The server's side of an upload. */
const send: typeof upload = async (url, _token, file, progress, stop) => {
  const { pathname, searchParams } = new URL(url)
  const name = searchParams.get('name') ?? ''
  sent.push(name)
  progress(file.size / 2)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  if (stop.aborted || isAway) throw new Unreachable('away')
  const answer = answers.shift()
  if (answer instanceof Error) throw answer
  const digest = pathname.split('/').pop() ?? ''
  list = [...list.filter((one) => one.name !== name), { name, bytes: file.size, digest }]
  if (answer === 'lost') throw new Unreachable('lost')
  return text()
}

const file = (name: string, body = name): File => new File([body], name)
const opened = (): LessonMaterials => {
  const model = new LessonMaterials('http://central.test', 'om', 'T', send)
  model.follow('d')
  return model
}
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)
/** Digests are made by a thread of their own, which fake time does not wait for. */
async function settled(model: LessonMaterials, done: () => boolean = () => model.unfinished === 0) {
  const until = performance.now() + 4_000
  while (!done() && performance.now() < until) {
    await pass(500)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(done()).toBe(true)
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  list = []
  isAway = false
  answers = []
  sent = []
  kept = new FakeStorage()
  window = new EventTarget()
  vi.stubGlobal('localStorage', kept)
  vi.stubGlobal('addEventListener', window.addEventListener.bind(window))
  vi.stubGlobal('removeEventListener', window.removeEventListener.bind(window))
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    if (isAway) throw new TypeError('Failed to fetch')
    const digest = url.split('/materials/')[1]
    if (init.method === 'DELETE' && !list.some((one) => one.digest === digest))
      return new Response(JSON.stringify({ type: 'urn:classroom:problem:unknown-material' }), {
        status: 404,
      })
    if (init.method === 'DELETE') list = list.filter((one) => one.digest !== digest)
    return new Response(text())
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('adding files', () => {
  it('sends one after the other under its digest', async () => {
    const model = opened()
    model.add([file('Ôm.pdf'), file('Sơ đồ.png')])
    expect([model.unfinished, model.bytes]).toEqual([2, Buffer.byteLength('Ôm.pdfSơ đồ.png')])
    await settled(model)
    expect(sent).toEqual(['Ôm.pdf', 'Sơ đồ.png'])
    expect(model.list?.map((one) => one.name)).toEqual(['Ôm.pdf', 'Sơ đồ.png'])
    const body = new TextEncoder().encode('Ôm.pdf').buffer as ArrayBuffer
    expect(model.list?.[0]?.digest).toBe(await sha256(body))
    expect(model.said).toEqual({ what: 'added', name: 'Sơ đồ.png' })
  })
  it('tidies names, so that nobody has to rename a file', async () => {
    const model = opened()
    model.add([file('Bài 1: U/R.pdf')])
    await settled(model)
    expect(model.list?.[0]?.name).toBe('Bài 1- U-R.pdf')
  })
  it('refuses at once what no server takes, and sends the others', async () => {
    const model = opened()
    model.add([file('trang.html'), file('trống.pdf', ''), file('Ôm.pdf')])
    await settled(model)
    expect(sent).toEqual(['Ôm.pdf'])
    expect(model.uploads.map((one) => [one.name, one.refusal?.code])).toEqual([
      ['trang.html', 'material-type'],
      ['trống.pdf', 'material-empty'],
    ])
    model.dismiss(model.uploads[0]?.id ?? 0)
    expect(model.uploads).toHaveLength(1)
  })
  it('sends nothing that the lesson has already, and says so', async () => {
    const model = opened()
    model.add([file('Ôm.pdf')])
    await settled(model)
    model.add([file('Ôm lần hai.pdf', 'Ôm.pdf')])
    await settled(model)
    expect([sent.length, model.said]).toEqual([1, { what: 'same', name: 'Ôm lần hai.pdf' }])
  })
  it('puts no file in the place of another of the same name', async () => {
    const model = opened()
    model.add([file('Bài.pdf', 'một'), file('Bài.pdf', 'hai')])
    expect(model.uploads.map((one) => one.name)).toEqual(['Bài.pdf', 'Bài (2).pdf'])
    await settled(model)
    model.add([file('Ba\u0300i.pdf', 'ba')])
    await settled(model)
    expect(model.list?.map((one) => one.name)).toEqual(['Bài.pdf', 'Bài (2).pdf', 'Bài (3).pdf'])
    expect(model.said).toEqual({ what: 'added', name: 'Bài (3).pdf' })
  })
  it('sends the same file once, however often it is chosen', async () => {
    const model = opened()
    model.add([file('Bài.pdf', 'một'), file('Bài.pdf', 'một')])
    await settled(model)
    expect([sent, model.said]).toEqual([['Bài.pdf'], { what: 'same', name: 'Bài.pdf' }])
    model.add([file('Bài.pdf', 'một')])
    await settled(model)
    expect([sent, model.said?.what]).toEqual([['Bài.pdf'], 'same'])
  })
  it('waits for the list, which says what names are taken', async () => {
    const model = opened()
    list = [{ name: 'Bài.pdf', bytes: 1, digest: 'a'.repeat(64) }]
    isAway = true
    const late = new LessonMaterials('http://central.test', 'om', 'T', send)
    late.add([file('Bài.pdf')])
    await settled(late, () => late.uploads[0]?.state === 'waiting')
    isAway = false
    await settled(late)
    expect(sent).toEqual(['Bài (2).pdf'])
    expect(model.unfinished).toBe(0)
  })
  it('looks at names that were taken meanwhile, and at those that are free again', async () => {
    const model = opened()
    await settled(model, () => model.list !== null)
    model.rest(true)
    model.add([file('a.pdf', '1'), file('b.pdf', '2'), file('b.pdf', '3')])
    model.dismiss(model.uploads[1]?.id ?? 0)
    list = [{ name: 'a.pdf', bytes: 1, digest: 'a'.repeat(64) }]
    model.follow('e')
    await settled(model, () => model.list?.length === 1)
    model.rest(false)
    await settled(model)
    expect(sent).toEqual(['a (2).pdf', 'b.pdf'])
  })
  it('takes a refused file that is chosen anew for a new try', async () => {
    const model = opened()
    answers = [problem(507, 'disk-full')]
    model.add([file('Bài.pdf')])
    await settled(model)
    model.add([file('Bài.pdf')])
    await settled(model)
    expect([model.uploads, list.map((one) => one.name)]).toEqual([[], ['Bài.pdf']])
  })
  it('names a refused one anew that is sent again', async () => {
    const model = opened()
    answers = [problem(507, 'disk-full')]
    model.add([file('Bài.pdf', 'một')])
    await settled(model)
    list = [{ name: 'Bài.pdf', bytes: 1, digest: 'a'.repeat(64) }]
    model.follow('e')
    await settled(model, () => model.list?.length === 1)
    model.again(model.uploads[0]?.id ?? 0)
    expect(model.uploads[0]?.name).toBe('Bài (2).pdf')
    await settled(model)
    expect(list).toHaveLength(2)
  })
  it('tries again by itself when the network broke off', async () => {
    const model = opened()
    answers = [new Unreachable('1'), problem(408, 'request-timeout'), problem(503, 'absent')]
    const seen = new Set<string>()
    model.onChange(() => model.uploads.forEach((one) => seen.add(one.state)))
    model.add([file('Ôm.pdf')])
    await settled(model)
    expect([sent.length, model.list?.length]).toEqual([4, 1])
    expect([...seen]).toContain('waiting')
    expect([...seen]).not.toContain('refused')
  })
  it('does not send twice what arrived, of which only the answer was lost', async () => {
    const model = opened()
    answers = ['lost']
    model.add([file('Ôm.pdf')])
    await settled(model)
    expect([sent.length, model.list?.length, model.said?.what]).toEqual([1, 1, 'added'])
  })
  it('sends spoilt bytes again, but not for ever', async () => {
    const model = opened()
    const spoilt = problem(400, 'material-digest')
    answers = [spoilt, spoilt, spoilt]
    const written = file('Ôm.pdf')
    const reads = vi.spyOn(written, 'arrayBuffer')
    model.add([written])
    await settled(model)
    // It may have been written to meanwhile.
    expect(reads).toHaveBeenCalledTimes(3)
    expect([sent.length, model.uploads[0]?.refusal?.code]).toEqual([3, 'material-digest'])
    model.again(model.uploads[0]?.id ?? 0)
    await settled(model)
    expect([sent.length, model.uploads.length, model.list?.length]).toEqual([4, 0, 1])
  })
  it.each([
    [413, 'material-too-large', 'The file is larger than 20 MB.', 20e6],
    [413, 'material-too-large', '', null],
    [409, 'materials-full', 'A lesson has 20 files at most.', null],
    [507, 'disk-full', '', null],
    [403, 'right-missing', '', null],
  ])('tells of a refusal %d %s %j, and goes on', async (status, code, detail, limit) => {
    const model = opened()
    answers = [problem(status, code, detail)]
    model.add([file('Ôm.pdf'), file('Vàng.pdf')])
    await settled(model)
    expect(model.uploads.map((one) => one.refusal)).toEqual([{ status, code, limit }])
    expect(model.list?.map((one) => one.name)).toEqual(['Vàng.pdf'])
  })
  it('tells of a file that cannot be read', async () => {
    const model = opened()
    const gone = file('Ôm.pdf')
    gone.arrayBuffer = () => Promise.reject(new DOMException('', 'NotReadableError'))
    model.add([gone])
    await settled(model)
    expect([sent, model.uploads[0]?.refusal?.code]).toEqual([[], UNREADABLE])
  })
  it('ends when it is not wanted any more', async () => {
    const model = opened()
    model.add([file('Ôm.pdf'), file('Vàng.pdf')])
    await settled(model, () => model.uploads[0]?.state === 'sending')
    model.dismiss(model.uploads[0]?.id ?? 0)
    await settled(model)
    expect(list.map((one) => one.name)).toEqual(['Vàng.pdf'])
  })
})

describe('while a lesson is taught', () => {
  it('nothing is sent, and it goes on afterwards', async () => {
    const model = opened()
    model.add([file('Ôm.pdf'), file('Vàng.pdf')])
    await settled(model, () => model.uploads[0]?.state === 'sending')
    model.rest(true)
    await pass(600_000)
    expect([sent.length, list.length, model.unfinished]).toEqual([1, 0, 2])
    expect(model.uploads.map((one) => one.state)).toEqual(['queued', 'queued'])
    model.rest(false)
    await settled(model)
    expect(list).toHaveLength(2)
  })
})

describe('a page that is left', () => {
  it('asks first while something is being sent, and not otherwise', async () => {
    const desk = new MaterialsDesk('http://central.test', 'T')
    expect(asksBeforeLeaving(window)).toEqual({ now: false, before119: false })
    desk.of('om').rest(true)
    desk.of('om').add([file('Ôm.pdf')])
    expect(asksBeforeLeaving(window)).toEqual({ now: true, before119: true })
    expect(desk.of('om')).toBe(desk.of('om'))
  })
  it('says, when it is opened again, which files are not there', async () => {
    const model = opened()
    isAway = true
    model.add([file('Ôm.pdf'), file('Vàng.pdf')])
    await pass(100)
    // Nothing of it goes on.
    model.rest(true)
    isAway = false
    const later = opened()
    expect(later.lost).toEqual([])
    // What is added before the list is known forgets none of them.
    later.add([file('trang.html')])
    expect(kept.kept.size).toBe(1)
    await settled(later, () => later.list !== null)
    expect(later.lost).toEqual(['Ôm.pdf', 'Vàng.pdf'])
    later.add([file('Vàng.pdf')])
    await settled(later)
    expect(later.lost).toEqual(['Ôm.pdf'])
    later.forgetLost()
    expect([later.lost, kept.kept.size]).toEqual([[], 0])
  })
})

describe('taking a file out', () => {
  it('shows what is left, also when somebody else was quicker', async () => {
    list = [
      { name: 'a.pdf', bytes: 1, digest: 'a'.repeat(64) },
      { name: 'b.pdf', bytes: 1, digest: 'b'.repeat(64) },
    ]
    const model = opened()
    await settled(model, () => model.list !== null)
    await model.remove('a'.repeat(64))
    expect(model.list?.map((one) => one.name)).toEqual(['b.pdf'])
    expect(model.said).toEqual({ what: 'removed', name: 'a.pdf' })
    list = []
    await model.remove('b'.repeat(64))
    expect([model.list, model.fault]).toEqual([[], null])
  })
  it('says why it did not work', async () => {
    list = [{ name: 'a.pdf', bytes: 1, digest: 'a'.repeat(64) }]
    const model = opened()
    await settled(model, () => model.list !== null)
    isAway = true
    await model.remove('a'.repeat(64))
    const digest = 'a'.repeat(64)
    const unremoved = { name: 'a.pdf', digest, fault: expect.any(Unreachable) }
    expect([model.list?.length, model.unremoved]).toEqual([1, unremoved])
    // The list is there, and known.
    expect(model.fault).toBeNull()
    isAway = false
    await model.remove(digest)
    expect([model.list, model.unremoved]).toEqual([[], null])
  })
  it('says so no more when somebody else took it out', async () => {
    list = [{ name: 'a.pdf', bytes: 1, digest: 'a'.repeat(64) }]
    const model = opened()
    await settled(model, () => model.list !== null)
    isAway = true
    await model.remove('a'.repeat(64))
    isAway = false
    list = []
    model.follow('e')
    await settled(model, () => model.list?.length === 0)
    expect(model.unremoved).toBeNull()
  })
})

describe('the list', () => {
  it('needs no asking where the server says that there is none', async () => {
    isAway = true
    const model = new LessonMaterials('http://central.test', 'om', 'T', send)
    model.follow(null)
    await pass(5_000)
    expect([model.list, model.fault]).toEqual([[], null])
  })
  it('is brought again when the server tells of a newer one, and not for what is known', async () => {
    const model = opened()
    await settled(model, () => model.list !== null)
    list = [{ name: 'a.pdf', bytes: 1, digest: 'a'.repeat(64) }]
    model.follow('d')
    await pass(5_000)
    expect(model.list).toEqual([])
    model.follow('e')
    await settled(model, () => model.list?.length === 1)
  })
  it('is asked for until it is here', async () => {
    isAway = true
    const model = opened()
    await pass(5_000)
    expect([model.list, model.fault]).toEqual([null, expect.any(Unreachable)])
    isAway = false
    await settled(model, () => model.list !== null)
    expect(model.fault).toBeNull()
  })
})

describe('the words', () => {
  it('say how long a slow school needs', () => {
    expect(slowWords(11.5e6, materialsEn)).toContain('after about 6 minutes')
    expect(slowWords(1, materialsEn)).toContain('about 1 minute.')
    expect(slowWords(11.5e6, materialsVi)).toContain('khoảng 6 phút')
    expect(slowWords(400e6, materialsEn)).toContain('about 4 hours')
  })
  it('name the limit where the server tells it', () => {
    const refusal = { code: 'material-too-large', status: 413, limit: 50e6 }
    expect(refusalWords(refusal, materialsVi, 'vi').fix).toContain('50 MB')
    expect(refusalWords({ ...refusal, limit: null }, materialsVi, 'vi').fix).not.toContain('MB')
    const unread = { code: UNREADABLE, status: 0, limit: null }
    expect(refusalWords(unread, materialsEn, 'en').title).toBe(materialsEn.teach.unreadable)
  })
})

describe('one upload', () => {
  /** As much of XMLHttpRequest as an upload uses. */
  class FakeOrder {
    static last: FakeOrder
    readonly upload: { onprogress?: (event: { loaded: number }) => void } = {}
    onload = (): void => undefined
    onerror = (): void => undefined
    onabort = (): void => undefined
    status = 0
    statusText = ''
    responseText = ''
    readonly asked: string[] = []
    constructor() {
      FakeOrder.last = this
    }
    open(method: string, url: string): void {
      this.asked.push(`${method} ${url}`)
    }
    setRequestHeader(name: string, value: string): void {
      this.asked.push(`${name}: ${value}`)
    }
    getResponseHeader(): string | null {
      return null
    }
    send(body: unknown): void {
      this.asked.push(String(body instanceof Blob))
    }
    abort(): void {
      this.onabort()
    }
    answer(status: number, body: unknown): void {
      Object.assign(this, { status, responseText: JSON.stringify(body) })
      this.onload()
    }
  }
  let seen: number[]
  let stop: AbortController
  const begun = (): Promise<string> => {
    vi.stubGlobal('XMLHttpRequest', FakeOrder)
    seen = []
    stop = new AbortController()
    return upload('/x', 'T', file('Ôm.pdf'), (bytes) => seen.push(bytes), stop.signal)
  }

  it('puts the file as it is and tells how far it is', async () => {
    const done = begun()
    const order = FakeOrder.last
    order.upload.onprogress?.({ loaded: 3 })
    order.answer(201, { materials: [] })
    expect(await done).toBe('{"materials":[]}')
    expect(order.asked).toEqual(['PUT /x', 'Authorization: Bearer T', 'true'])
    expect(seen).toEqual([3])
  })
  it('tells of a refusal', async () => {
    const done = begun()
    const type = 'urn:classroom:problem:material-too-large'
    FakeOrder.last.answer(413, { type, detail: 'larger than 20 MB' })
    await expect(done).rejects.toMatchObject({ code: 'material-too-large', status: 413 })
  })
  it('is a network that broke off when no byte is taken for long, and not before', async () => {
    const done = begun()
    const failed = vi.fn()
    done.catch(failed)
    await pass(STALL_MS - 1_000)
    FakeOrder.last.upload.onprogress?.({ loaded: 3 })
    await pass(STALL_MS - 1_000)
    expect(failed).not.toHaveBeenCalled()
    await pass(2_000)
    expect(failed.mock.calls[0]?.[0]).toBeInstanceOf(Unreachable)
  })
  it('ends when it is stopped', async () => {
    const done = begun()
    stop.abort()
    await expect(done).rejects.toBeInstanceOf(Unreachable)
  })
})
