/*
 * Keeping a lesson's materials beside its recording, while some of them do not come.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lesson } from '../src/api'
import { sha256 } from '../src/digest'
import type { Material } from '../src/materials/list'
import { placeAt } from '../src/materials/list'
import { Keeper, type Holding } from '../src/offline/keeper'
import { keptMaterials, Store } from '../src/offline/store'
import { type Answer, answered, BASE, bytes, FakeCaches, relay } from './fake_lesson'

const GIVEN = { id: 'toan-7', title: 'Toán', playable: true, materials: 'd'.repeat(64) } as Lesson
const LIST = 'http://relay.test/api/lessons/toan-7/materials'

let storage: FakeCaches
let files: Map<string, ArrayBuffer>
let asked: string[]
let answer: Answer

beforeEach(async () => {
  storage = new FakeCaches()
  files = await relay(3)
  asked = []
  answer = () => null
  vi.stubGlobal('navigator', {})
  vi.stubGlobal('fetch', (url: string, init: RequestInit) =>
    answered(url, init, files, asked, answer),
  )
})
afterEach(async () => {
  for (const one of open.splice(0)) one.stop()
  await new Promise((resolve) => setTimeout(resolve, 30))
  vi.unstubAllGlobals()
})

const open: Keeper[] = []
function keeper(): Keeper {
  const one = new Keeper(
    new Store(storage as unknown as CacheStorage),
    () => BASE,
    (lesson) => placeAt('http://relay.test', lesson.id, ''),
    () => '',
    'opus,vp09',
    1,
  )
  open.push(one)
  return one
}

/** The lesson has files of these texts, named by them. */
async function give(...texts: string[]): Promise<Material[]> {
  const materials: Material[] = []
  for (const text of texts) {
    const digest = await sha256(bytes(text))
    files.set(`${LIST}/${digest}`, bytes(text))
    materials.push({ name: `${text.slice(0, 9)}.txt`, bytes: text.length, digest })
  }
  files.set(LIST, bytes(JSON.stringify({ format: 1, lesson: 'toan-7', materials })))
  return materials
}
async function keep(one: Keeper): Promise<void> {
  const offer = await one.offer(GIVEN)
  await one.keep(GIVEN, offer.options[0]!, offer)
}
const held = (one: Keeper): Holding => {
  const holding = one.holding('toan-7')
  if (holding === null) throw new Error('nothing is kept')
  return holding
}
const stored = (material: Material): ArrayBuffer | undefined =>
  storage.caches.get('kept-toan-7')?.get(`/kept/toan-7/materials/${material.digest}`)?.body
const times = (material: Material): number =>
  asked.filter((path) => path === `${LIST}/${material.digest}`).length
const onItsWay = (): Response =>
  new Response(JSON.stringify({ type: 'urn:classroom:problem:material-on-its-way' }), {
    status: 503,
  })

describe('a material that has not reached the school', () => {
  let mot: Material
  let hai: Material
  let isHere: boolean
  beforeEach(async () => {
    const given = await give('mot', 'haihai')
    mot = given[0]!
    hai = given[1]!
    isHere = false
    answer = (path, { signal }) => {
      if (path === `${LIST}/${mot.digest}`) return isHere ? null : onItsWay()
      if (path !== `${LIST}/${hai.digest}`) return null
      // It takes longer than the refusal of the other one.
      return new Promise((resolve, reject) => {
        setTimeout(() => resolve(new Response('haihai')), 20)
        signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError')))
      })
    }
  })

  it('stops neither the lesson nor the other ones, and is named', async () => {
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('on-its-way'))
    expect(held(one)).toMatchObject({ isPlayable: true, hasMaterials: true, missing: [mot] })
    expect([times(hai), stored(hai)?.byteLength]).toEqual([1, 6])
    isHere = true
    await vi.waitFor(() => expect(held(one).state).toBe('kept'))
    expect([held(one).missing, held(one).bytes]).toEqual([[], held(one).total])
    expect(times(hai)).toBe(1)
  })
  it('is known to be missing when the page opens again', async () => {
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('on-its-way'))
    one.stop()
    const other = keeper()
    await other.load()
    expect(held(other)).toMatchObject({ isPlayable: true, missing: [mot] })
    isHere = true
    await vi.waitFor(() => expect(held(other).state).toBe('kept'))
  })
  it('is opened from the school while the others are opened from the device', async () => {
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('on-its-way'))
    const isMissing = (digest: string): boolean =>
      held(one).missing.some((material) => material.digest === digest)
    const place = keptMaterials('toan-7', placeAt('http://relay.test', 'toan-7', 'T'), isMissing)
    expect([place.file(mot.digest), place.file(hai.digest)]).toEqual([
      `${LIST}/${mot.digest}`,
      `/kept/toan-7/materials/${hai.digest}`,
    ])
  })
  it('is asked for last, when all of the recording is here', async () => {
    const one = keeper()
    let wasPlayable: boolean | null = null
    const given = answer
    answer = (path, init) => {
      if (path.startsWith(`${LIST}/`)) wasPlayable ??= held(one).isPlayable
      return given(path, init)
    }
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('on-its-way'))
    expect(wasPlayable).toBe(true)
  })
})

describe('a material that nobody has any more', () => {
  it('leaves the lesson playable and the others kept', async () => {
    const [gone, hai] = await give('mot', 'haihai')
    files.delete(`${LIST}/${gone!.digest}`)
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('failed'))
    expect(held(one)).toMatchObject({ isPlayable: true, missing: [gone] })
    expect(stored(hai!)?.byteLength).toBe(6)
  })
})

describe('a large material', () => {
  const TEXT = 'đây là một tệp lớn '.repeat(400)
  const DATA = new Uint8Array(bytes(TEXT))
  let film: Material
  let ranges: (string | null)[]
  beforeEach(async () => {
    film = { ...(await give('nhỏ', TEXT))[1]!, bytes: DATA.byteLength }
    const [small] = await give('nhỏ')
    const materials = [film, small]
    files.set(LIST, bytes(JSON.stringify({ format: 1, lesson: 'toan-7', materials })))
    files.set(`${LIST}/${film.digest}`, bytes(TEXT))
    ranges = []
  })
  /** `data`, of which the network breaks off when it was read. */
  const broken = (data: Uint8Array<ArrayBuffer>, status: number): Response => {
    const pull = (stream: ReadableStreamDefaultController): void => stream.error(new TypeError())
    const start = (stream: ReadableStreamDefaultController): void => stream.enqueue(data)
    return new Response(new ReadableStream({ start, pull }, { highWaterMark: 0 }), { status })
  }
  const isWhole = (): void => expect(stored(film)).toEqual(bytes(TEXT))
  const from = (range: string | null): number =>
    Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
  /** `reply` to what is asked of it. */
  const serve = (reply: (at: number, count: number, cache: string) => Response): void => {
    answer = (path, init) => {
      if (path !== `${LIST}/${film.digest}`) return null
      const range = new Headers(init.headers).get('Range')
      ranges.push(range)
      return reply(from(range), ranges.length, init.cache ?? '')
    }
  }

  it('goes on from the byte that it reached', async () => {
    serve((at, count) =>
      count < 4
        ? broken(DATA.slice(at, at + 1_000), at > 0 ? 206 : 200)
        : new Response(DATA.slice(at), { status: 206 }),
    )
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('kept'))
    expect(ranges).toEqual([null, 'bytes=1000-', 'bytes=2000-', 'bytes=3000-'])
    expect(held(one).bytes).toBe(held(one).total)
    isWhole()
  })
  it('goes on from there, too, when the school had not got it or its server was away between', async () => {
    serve((at, count) => {
      if (count === 2) return onItsWay()
      if (count === 3) return new Response('<h1>Bad gateway</h1>', { status: 502 })
      return count === 1
        ? broken(DATA.slice(0, 1_000), 200)
        : new Response(DATA.slice(at), { status: 206 })
    })
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('kept'))
    expect(ranges).toEqual([null, 'bytes=1000-', 'bytes=1000-', 'bytes=1000-'])
    isWhole()
  })
  it.each([
    ['gives all of it again', 2, () => new Response(DATA)],
    ['knows no such place', 3, () => new Response('', { status: 416 })],
  ])('begins anew where its server %s', async (_what, times, reply) => {
    serve((at, count) => {
      if (count === 1) return broken(DATA.slice(0, 1_000), 200)
      return at > 0 ? reply() : new Response(DATA)
    })
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('kept'))
    expect(ranges).toHaveLength(times)
    isWhole()
  })
  it('is asked for past the browser’s own cache when its pieces do not fit', async () => {
    const caches: string[] = []
    serve((at, count, cache) => {
      caches.push(cache)
      if (count === 1) return broken(DATA.slice(0, 1_000), 200)
      return at > 0 ? new Response(DATA.slice(at - 1, -1), { status: 206 }) : new Response(DATA)
    })
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('kept'))
    expect(caches).toEqual(['default', 'default', 'reload'])
    isWhole()
  })
  it('is not read for longer than it is', async () => {
    let pulled = 0
    serve(
      () =>
        new Response(
          new ReadableStream({
            pull: (stream) => {
              pulled += 1
              stream.enqueue(new Uint8Array(1_000))
              if (pulled % 40 === 0) stream.close()
            },
          }),
        ),
    )
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('failed'))
    expect(stored(film)).toBeUndefined()
    expect(pulled / ranges.length).toBeLessThan(DATA.byteLength / 1_000 + 3)
  })
  it('is put together as what the browser may lay on its disk, one at a time', async () => {
    const put: string[] = []
    vi.spyOn(Store.prototype, 'put').mockImplementation(async (_lesson, path, data) => {
      if (path.startsWith('materials/')) put.push(data instanceof Blob ? 'blob' : 'buffer')
    })
    let [now, most] = [0, 0]
    answer = (path) => {
      if (!path.startsWith(`${LIST}/`)) return null
      most = Math.max(most, (now += 1))
      return new Promise((resolve) =>
        setTimeout(() => {
          now -= 1
          resolve(new Response(files.get(path) ?? null))
        }, 5),
      )
    }
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(put.length).toBeGreaterThan(1))
    vi.restoreAllMocks()
    expect([most, new Set(put)]).toEqual([1, new Set(['blob'])])
  })
})

describe('on a device with little room', () => {
  beforeEach(() => {
    const estimate = async (): Promise<StorageEstimate> => ({ quota: 20e6 + 100, usage: 0 })
    vi.stubGlobal('navigator', { storage: { estimate } })
  })
  it('they can be left out, and stay so when the lesson has changed', async () => {
    const [mot] = await give('một tệp lớn'.repeat(9))
    const one = keeper()
    const offer = await one.offer(GIVEN)
    expect(offer.options.map((option) => option.leavesOut === true)).toEqual([false, true])
    const [whole, alone] = offer.options
    expect(whole!.bytes - alone!.bytes).toBe(mot!.bytes)
    // A segment of it is another one by now.
    const other = await relay(3, 'changed')
    for (const [path, body] of other) files.set(path, body)
    await one.keep(GIVEN, alone!, offer)
    await vi.waitFor(() => expect(held(one).state).toBe('kept'))
    expect(held(one)).toMatchObject({ hasMaterials: false, missing: [] })
    expect([times(mot!), held(one).bytes]).toEqual([0, held(one).total])
  })
})

describe('a recording that is not whole', () => {
  it('does not play, whatever of the materials is here', async () => {
    await give('mot')
    answer = (path) => (path.endsWith('/1.m4s') ? new TypeError('network') : null)
    const one = keeper()
    await keep(one)
    await vi.waitFor(() => expect(held(one).state).toBe('waiting'))
    expect(held(one).isPlayable).toBe(false)
  })
})
