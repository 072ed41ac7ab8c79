import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lesson } from '../src/api'
import { sha256 } from '../src/digest'
import { placeAt } from '../src/materials/list'
import { Keeper } from '../src/offline/keeper'
import { Store } from '../src/offline/store'
import { BASE, bytes, FakeCaches, LESSON, relay } from './fake_lesson'

describe('keeping a lesson', () => {
  let storage: FakeCaches
  let files: Map<string, ArrayBuffer>
  let asked: string[]
  let answer: (path: string) => Response | Error | null

  beforeEach(async () => {
    storage = new FakeCaches()
    files = await relay(5)
    asked = []
    answer = () => null
    // Node's own has neither storage nor locks, as old browsers.
    vi.stubGlobal('navigator', {})
    vi.stubGlobal('fetch', async (url: string) => {
      const path = url.split('?')[0] ?? url
      asked.push(path)
      const given = answer(path)
      if (given instanceof Error) throw given
      if (given !== null) return given
      const body = files.get(path)
      return body === undefined ? new Response('{}', { status: 404 }) : new Response(body)
    })
  })
  afterEach(() => vi.unstubAllGlobals())

  const keeper = (): Keeper =>
    new Keeper(
      new Store(storage as unknown as CacheStorage),
      () => BASE,
      (lesson) => placeAt('http://relay.test', lesson.id, ''),
      () => '',
      'opus,vp09',
      1,
    )

  async function kept(one: Keeper): Promise<void> {
    const offer = await one.offer(LESSON)
    expect(offer.options.map((option) => option.size)).toEqual(['voice'])
    await one.keep(LESSON, offer.options[0]!, offer)
  }

  const settled = (one: Keeper, ...states: string[]): Promise<unknown> =>
    vi.waitFor(() => expect(states).toContain(one.holding('toan-7')?.state))

  it('brings every file once, and knows it after a restart', async () => {
    const one = keeper()
    await kept(one)
    await settled(one, 'kept')
    const holding = one.holding('toan-7')
    expect([holding?.bytes, one.bytes]).toEqual([holding?.total, holding?.total])
    const segments = asked.filter((path) => path.endsWith('.m4s'))
    expect(new Set(segments).size).toBe(segments.length)
    const other = keeper()
    await other.load()
    expect(other.holding('toan-7')?.state).toBe('kept')
    expect(other.holding('toan-7')?.lesson.title).toBe('Toán')
  })

  it('goes on after a network that went, segment by segment', async () => {
    let down = false
    answer = (path) => {
      if (path.endsWith('/2.m4s')) down = true
      return down && path.endsWith('.m4s') ? new TypeError('network') : null
    }
    const one = keeper()
    await kept(one)
    await settled(one, 'waiting')
    one.stop()
    const before = storage.caches.get('kept-toan-7')?.size ?? 0
    asked = []
    answer = () => null
    const other = keeper()
    await other.load()
    await settled(other, 'kept')
    const after = storage.caches.get('kept-toan-7')?.size ?? 0
    // Only what was missing was asked for.
    expect(asked).toHaveLength(after - before)
  })

  it('waits for what the relay has not fetched yet', async () => {
    let tries = 0
    answer = (path) => {
      if (!path.endsWith('/4.m4s')) return null
      tries += 1
      return tries < 3 ? new Response('{}', { status: 503 }) : null
    }
    const one = keeper()
    await kept(one)
    await settled(one, 'kept')
    expect(tries).toBe(3)
  })

  it('takes no file whose digest lies', async () => {
    answer = (path) => (path.endsWith('/1.m4s') ? new Response('rotten!!!') : null)
    const one = keeper()
    await kept(one)
    await settled(one, 'failed')
    expect(storage.caches.get('kept-toan-7')?.has('/kept/toan-7/voice/1.m4s')).toBe(false)
    answer = () => null
    one.resume('toan-7')
    await settled(one, 'kept')
  })

  it('stops where the device is full, and goes on when there is room', async () => {
    const one = keeper()
    const offer = await one.offer(LESSON)
    await one.keep(LESSON, offer.options[0]!, offer)
    storage.room = 12
    await settled(one, 'full', 'kept')
    expect(one.holding('toan-7')?.state).toBe('full')
    storage.room = Infinity
    one.resume('toan-7')
    await settled(one, 'kept')
  })

  it('gives the space back, also in the middle', async () => {
    const one = keeper()
    await kept(one)
    await one.remove('toan-7')
    expect(one.holding('toan-7')).toBeNull()
    await vi.waitFor(() => expect([...storage.caches.keys()]).toEqual([]))
    // Nothing that was on its way brings it back.
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([...storage.caches.keys()]).toEqual([])
  })

  it('forgets what has no record', async () => {
    await storage.open('kept-van-8')
    const one = keeper()
    await one.load()
    expect([one.holdings, [...storage.caches.keys()]]).toEqual([[], []])
  })

  describe('with materials', () => {
    const GIVEN = { ...LESSON, materials: 'd'.repeat(64) } as Lesson
    const LIST = 'http://relay.test/api/lessons/toan-7/materials'
    const give = async (...texts: string[]): Promise<void> => {
      const materials = []
      for (const text of texts) {
        const digest = await sha256(bytes(text))
        files.set(`${LIST}/${digest}`, bytes(text))
        materials.push({ name: `${text}.txt`, bytes: text.length, digest })
      }
      files.set(LIST, bytes(JSON.stringify({ format: 1, lesson: 'toan-7', materials })))
    }
    const pathOf = async (text: string): Promise<string> =>
      `/kept/toan-7/materials/${await sha256(bytes(text))}`
    async function keptWith(one: Keeper): Promise<void> {
      const offer = await one.offer(GIVEN)
      await one.keep(GIVEN, offer.options[0]!, offer)
    }
    const cache = (): Map<string, { body: ArrayBuffer }> =>
      storage.caches.get('kept-toan-7') ?? new Map()

    it('keeps them and their list beside the recording, and counts their bytes', async () => {
      const plain = (await keeper().offer(LESSON)).options[0]!.bytes
      await give('mot', 'haihai')
      const one = keeper()
      expect((await one.offer(GIVEN)).options[0]!.bytes).toBe(plain + 9)
      await keptWith(one)
      await settled(one, 'kept')
      expect(cache().has(await pathOf('haihai'))).toBe(true)
      expect(cache().has('/kept/toan-7/materials.json')).toBe(true)
      expect(one.holding('toan-7')).toMatchObject({ hasMaterials: true, total: one.bytes })
      expect(asked.filter((path) => path.startsWith(`${LIST}/`))).toHaveLength(2)
    })
    it('asks for none where the lesson has none', async () => {
      const one = keeper()
      await kept(one)
      await settled(one, 'kept')
      expect(one.holding('toan-7')?.hasMaterials).toBe(false)
      expect(asked).not.toContain(LIST)
    })
    it('plays a record of before there were any', async () => {
      const one = keeper()
      await kept(one)
      await settled(one, 'kept')
      const record = cache().get('/kept/toan-7/kept.json')
      expect(new TextDecoder().decode(record?.body)).not.toContain('materials')
      const other = keeper()
      await other.load()
      expect(other.holding('toan-7')).toMatchObject({ state: 'kept', hasMaterials: false })
    })
    it('takes none whose digest lies', async () => {
      await give('mot')
      answer = (path) => (path.startsWith(`${LIST}/`) ? new Response('mut') : null)
      const one = keeper()
      await keptWith(one)
      await settled(one, 'failed')
      expect(cache().has(await pathOf('mot'))).toBe(false)
    })
    it('waits for one that is on its way to the school', async () => {
      await give('mot')
      let tries = 0
      answer = (path) => {
        if (!path.startsWith(`${LIST}/`)) return null
        tries += 1
        return tries < 3 ? new Response('{}', { status: 503 }) : null
      }
      const one = keeper()
      await keptWith(one)
      await settled(one, 'kept')
      expect(tries).toBe(3)
    })
    it('goes on with what the teacher gave in place of one that is gone', async () => {
      await give('mot')
      const one = keeper()
      const offer = await one.offer(GIVEN)
      files.delete(`${LIST}/${await sha256(bytes('mot'))}`)
      await give('hai')
      await one.keep(GIVEN, offer.options[0]!, offer)
      await settled(one, 'kept')
      expect([cache().has(await pathOf('mot')), cache().has(await pathOf('hai'))]).toEqual([
        false,
        true,
      ])
    })
    it('fails where the list names one that nobody has', async () => {
      await give('mot')
      files.delete(`${LIST}/${await sha256(bytes('mot'))}`)
      const one = keeper()
      await keptWith(one)
      await settled(one, 'failed')
    })
  })
})
