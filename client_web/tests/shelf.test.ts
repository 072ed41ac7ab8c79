/*
 * The library's list as a story: typed, filtered, grown, asked again.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Api, type Labels, type Lesson, type LessonList, type LessonQuery } from '../src/api'
import { Unreachable } from '../src/http'
import { lookUp, Shelf } from '../src/library/shelf'

/** A library of `count` lessons that keeps what it was asked. */
class FakeLibrary {
  readonly asked: LessonQuery[] = []
  away = false
  constructor(public count: number) {}

  async lessons(query: LessonQuery = {}, signal?: AbortSignal): Promise<LessonList> {
    this.asked.push(query)
    await new Promise((resolve) => setTimeout(resolve, 50))
    if (this.away || signal?.aborted === true) throw new Unreachable()
    const all = Array.from({ length: this.count }, (_, at) => ({ id: `l-${at}` }) as Lesson)
    const { offset = 0, limit = 500 } = query
    return { lessons: all.slice(offset, offset + limit), total: this.count }
  }
}

let library: FakeLibrary
let shelf: Shelf
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers()
  library = new FakeLibrary(501)
  shelf = new Shelf(library)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('the list', () => {
  it('begins with the first fifty that were begun, and says how many there are', async () => {
    shelf.start()
    await pass(100)
    expect(library.asked).toEqual([{ q: '', state: 'live,ended,published', limit: 50, offset: 0 }])
    expect([shelf.lessons?.length, shelf.total]).toEqual([50, 501])
  })
  it('reaches the last of them', async () => {
    shelf.start()
    await pass(100)
    for (let press = 0; press < 10; press += 1) {
      shelf.more()
      await pass(1_000)
    }
    expect(shelf.lessons?.map((one) => one.id)).toContain('l-500')
    expect(new Set(shelf.lessons).size).toBe(501)
  })
  it('is narrowed to a subject, a grade and a school, and wide again', async () => {
    shelf.start()
    await pass(100)
    expect(shelf.wide).toBe(true)
    shelf.narrow('', '9', 'Mường La')
    await pass(1_000)
    const { subject, grade, school } = library.asked.at(-1) ?? {}
    expect([subject, grade, school]).toEqual([undefined, '9', 'Mường La'])
    expect([shelf.wide, shelf.school]).toEqual([false, 'Mường La'])
    shelf.narrow('', '', '')
    await pass(1_000)
    expect(library.asked.at(-1)).not.toHaveProperty('school')
    expect(shelf.wide).toBe(true)
  })
  it('offers the labels of lessons that came later', async () => {
    const labels: Labels = { subjects: [], grades: ['8'], schools: [] }
    const api = { lessons: library.lessons.bind(library), labels: async () => ({ ...labels }) }
    const growing = new Shelf(api)
    growing.start()
    await pass(100)
    expect(growing.labels.grades).toEqual(['8'])
    labels.grades = ['8', '9']
    library.count += 1
    await pass(60_000)
    expect(growing.labels.grades).toEqual(['8', '9'])
  })
  it('offers no schools where a relay of an earlier version tells none', async () => {
    const api = {
      lessons: library.lessons.bind(library),
      labels: async () => ({ subjects: ['Toán'], grades: [] }) as unknown as Labels,
    }
    const older = new Shelf(api)
    older.start()
    await pass(100)
    expect(older.labels).toEqual({ subjects: ['Toán'], grades: [], schools: [] })
  })
  it('lets the server search, once for several letters typed', async () => {
    shelf.start()
    await pass(100)
    for (const words of ['d', 'di', 'dinh ']) shelf.find(words, 'all')
    await pass(1_000)
    shelf.find('dinh', 'running')
    await pass(1_000)
    const asked = library.asked.slice(1).map(({ q, state, offset }) => [q, state, offset])
    expect(asked).toEqual([
      ['dinh', 'live,ended,published', 0],
      ['dinh', 'live', 0],
    ])
  })
  it('shows nothing that was asked for before', async () => {
    shelf.start()
    await pass(100)
    shelf.find('a', 'running')
    await pass(10)
    library.count = 3
    shelf.find('b', 'recorded')
    await pass(200)
    expect(shelf.total).toBe(3)
  })
  it('is asked for less and less often while nothing changes', async () => {
    shelf.start()
    await pass(15 * 60_000)
    expect(library.asked.length).toBeLessThan(12)
    library.count = 500
    await pass(3 * 60_000)
    expect(shelf.total).toBe(500)
    const before = library.asked.length
    await pass(21_000)
    expect(library.asked.length - before).toBeLessThan(2)
  })
  it('stays while the server is away, and is asked for again soon', async () => {
    shelf.start()
    await pass(100)
    library.away = true
    shelf.find('x', 'all')
    await pass(1_000)
    expect(shelf.fault).toBeInstanceOf(Unreachable)
    expect(shelf.lessons).toHaveLength(50)
    library.away = false
    await pass(5_000)
    expect(shelf.fault).toBeNull()
  })
  it('is not asked for while it is not looked at', async () => {
    const stop = shelf.start()
    await pass(100)
    stop()
    await pass(60_000)
    expect(library.asked).toHaveLength(1)
  })
})

describe('one lesson', () => {
  it('is looked up by its id', async () => {
    const found = lookUp(library, 'l-7')
    const missing = lookUp(library, 'l-7000')
    await pass(100)
    expect((await found)?.id).toBe('l-7')
    expect(await missing).toBeNull()
    expect(library.asked[0]?.q).toBe('l-7')
  })
})

describe('asking', () => {
  it('leaves a list in the browser’s cache and nothing else', async () => {
    const asked: [string, RequestInit][] = []
    vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
      asked.push([url, init])
      return new Response('{"lessons": [], "total": 0}')
    })
    const api = new Api('http://central.test', 'T')
    await api.lessons({ q: 'định luật', state: 'live', limit: 50, offset: 0 })
    await api.lessons()
    await api.lesson('om')
    expect(asked.map(([url]) => url.slice('http://central.test'.length))).toEqual([
      '/api/lessons?q=%C4%91%E1%BB%8Bnh+lu%E1%BA%ADt&state=live&limit=50',
      '/api/lessons',
      '/api/lessons/om',
    ])
    expect(asked.map(([, init]) => init.cache)).toEqual(['default', 'default', 'no-store'])
  })
})
