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
import { BASE, bytes, FakeCaches, relay } from './fake_lesson'

const GIVEN = { id: 'toan-7', title: 'Toán', playable: true, materials: 'd'.repeat(64) } as Lesson
const LIST = 'http://relay.test/api/lessons/toan-7/materials'

let storage: FakeCaches
let files: Map<string, ArrayBuffer>
let asked: string[]
let answer: (path: string, init: RequestInit) => Response | Promise<Response> | Error | null

beforeEach(async () => {
  storage = new FakeCaches()
  files = await relay(3)
  asked = []
  answer = () => null
  vi.stubGlobal('navigator', {})
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const path = url.split('?')[0] ?? url
    asked.push(path)
    const given = answer(path, init)
    if (given instanceof Error) throw given
    if (given !== null) return given
    const body = files.get(path)
    return body === undefined ? new Response('{}', { status: 404 }) : new Response(body)
  })
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
