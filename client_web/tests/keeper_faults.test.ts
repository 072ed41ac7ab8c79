/*
 * Keeping a lesson while its server, its network, the storage and a second page do not behave.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { placeAt } from '../src/materials/list'
import { Keeper } from '../src/offline/keeper'
import { Store } from '../src/offline/store'
import {
  type Answer,
  answered,
  BASE,
  bytes,
  FakeCaches,
  FakeLocks,
  LESSON,
  relay,
} from './fake_lesson'

interface Opened {
  match: (path: string) => Promise<Response | undefined>
  put: (path: string, response: Response) => Promise<void>
}

let storage: FakeCaches
let files: Map<string, ArrayBuffer>
let asked: string[]
let token: string
let answer: Answer
let page: EventTarget

beforeEach(async () => {
  storage = new FakeCaches()
  files = await relay(5)
  asked = []
  token = ''
  answer = () => null
  page = new EventTarget()
  vi.stubGlobal('navigator', { locks: new FakeLocks() })
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page))
  vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page))
  vi.stubGlobal('fetch', (url: string, init: RequestInit) =>
    answered(url, init, files, asked, answer),
  )
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const keeper = (retryMs = 1): Keeper =>
  new Keeper(
    new Store(storage as unknown as CacheStorage),
    () => BASE,
    (lesson) => placeAt('http://relay.test', lesson.id, token),
    () => token,
    'opus,vp09',
    retryMs,
  )

async function kept(one: Keeper): Promise<void> {
  const offer = await one.offer(LESSON)
  await one.keep(LESSON, offer.options[0]!, offer)
}
const stateOf = (one: Keeper): string | undefined => one.holding('toan-7')?.state
const settled = (one: Keeper, ...states: string[]): Promise<unknown> =>
  vi.waitFor(() => expect(states).toContain(stateOf(one)))
const passing = (ms: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, ms))
const stored = (): string[] => [...(storage.caches.get('kept-toan-7')?.keys() ?? [])]
const text = (path: string): string => {
  const found = storage.caches.get('kept-toan-7')?.get(`/kept/toan-7/${path}`)
  return new TextDecoder().decode(found?.body)
}
/** What a page does with a cache goes through `change` first. */
function through(change: (cache: Opened) => Partial<Opened>): void {
  const { open } = storage
  storage.open = async (name) => {
    const cache = (await open(name)) as Opened
    return { ...cache, ...change(cache) }
  }
}

describe('a lesson that is another one at the school by now', () => {
  const half = async (): Promise<Keeper> => {
    answer = (path) => (path.endsWith('/3.m4s') ? new TypeError('network') : null)
    const one = keeper()
    await kept(one)
    await settled(one, 'waiting')
    return one
  }
  it('is kept as it is now, without what is still the same', async () => {
    const one = await half()
    const other = await relay(5, 'other words')
    for (const name of ['manifest.json', 'voice/1.m4s', 'voice/3.m4s'])
      files.set(`${BASE}/${name}`, other.get(`${BASE}/${name}`)!)
    const manifest = JSON.parse(new TextDecoder().decode(files.get(`${BASE}/manifest.json`))) as {
      renditions: { segments: { beat: number; digest: string }[] }[]
    }
    const old = JSON.parse(
      new TextDecoder().decode((await relay(5)).get(`${BASE}/manifest.json`)),
    ) as typeof manifest
    const segments = manifest.renditions[0]!.segments
    for (const beat of [0, 2, 4]) segments[beat] = old.renditions[0]!.segments[beat]!
    files.set(`${BASE}/manifest.json`, bytes(JSON.stringify(manifest)))
    const same = stored().filter((path) => /[02]\.m4s$/.test(path))
    asked = []
    answer = () => null
    await settled(one, 'kept', 'failed')
    expect(stateOf(one)).toBe('kept')
    expect([text('voice/0.m4s'), text('voice/1.m4s')]).toEqual(['segment 0', 'other words 1'])
    expect(same.length).toBeGreaterThan(0)
    for (const path of same) expect(asked).not.toContain(path.replace('/kept/toan-7', BASE))
    const again = keeper()
    await again.load()
    expect(stateOf(again)).toBe('kept')
  })
  it.each([404, 410])('is kept likewise when a file of it is gone (%d)', async (status) => {
    const one = await half()
    files = await relay(3)
    answer = (path) => (path.endsWith('/3.m4s') ? new Response('{}', { status }) : null)
    await settled(one, 'kept', 'failed')
    expect(stateOf(one)).toBe('kept')
    expect(stored().filter((path) => path.endsWith('.m4s'))).toHaveLength(3)
  })
  it('is given up where its list and its files never agree', async () => {
    const one = await half()
    answer = (path) => (path.endsWith('/3.m4s') ? new Response('rotten') : null)
    await settled(one, 'kept', 'failed')
    expect(stateOf(one)).toBe('failed')
  })
})

describe('a server that does not answer well', () => {
  it.each([500, 502, 504, 408, 503, 429])('with %d is asked again', async (status) => {
    let tries = 0
    answer = (path) =>
      path.endsWith('/3.m4s') && (tries += 1) < 3 ? new Response('<h1>Bad</h1>', { status }) : null
    const one = keeper()
    await kept(one)
    await settled(one, 'kept', 'failed')
    expect([stateOf(one), tries]).toEqual(['kept', 3])
  })
  it('is asked ever more seldom', async () => {
    const one = keeper(5_000)
    await kept(one)
    answer = () => new Response('', { status: 502 })
    await settled(one, 'waiting', 'kept')
    expect(stateOf(one)).toBe('waiting')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    page.dispatchEvent(new Event('online'))
    await passed()
    asked = []
    for (let minute = 0; minute < 60; minute += 1) {
      await vi.advanceTimersByTimeAsync(60_000)
      await passed()
    }
    expect(asked.length / 3).toBeGreaterThan(40)
    expect(asked.length / 3).toBeLessThan(140)
    one.stop()
  })
  it('to a link that ran out is asked as a visitor', async () => {
    token = 'expired'
    answer = (_path, init) =>
      new Headers(init.headers).has('Authorization')
        ? new Response('{"code":"token-expired"}', { status: 401 })
        : null
    const one = keeper()
    await kept(one)
    await settled(one, 'kept', 'failed')
    expect(stateOf(one)).toBe('kept')
  })
  it('and lets no visitor in is not asked for ever', async () => {
    const one = keeper()
    const offer = await one.offer(LESSON)
    token = 'expired'
    answer = (path) => (path.endsWith('/3.m4s') ? new Response('{}', { status: 403 }) : null)
    await one.keep(LESSON, offer.options[0]!, offer)
    await settled(one, 'kept', 'failed')
    expect(stateOf(one)).toBe('failed')
  })
})

/** Let what needs no time happen. */
async function passed(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

describe('a file that stops coming', () => {
  /** The third segment begins and never ends, once. */
  let hung: boolean
  beforeEach(() => {
    hung = false
    answer = (path, { signal }) => {
      if (!path.endsWith('/2.m4s') || hung) return null
      hung = true
      const body = new ReadableStream({
        start(stream) {
          stream.enqueue(new Uint8Array(3))
          const error = new DOMException('', 'AbortError')
          signal?.addEventListener('abort', () => stream.error(error))
        },
      })
      return new Response(body)
    }
  })
  it('is asked for again after half a minute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const one = keeper(1_000)
    await kept(one)
    // What comes before it is hashed in threads, and takes as long as it takes.
    while (!hung) await passed()
    await passed()
    await vi.advanceTimersByTimeAsync(25_000)
    await passed()
    expect(stateOf(one)).toBe('loading')
    await vi.advanceTimersByTimeAsync(10_000)
    await settled(one, 'kept')
  })
  it('is asked for again when the network comes back', async () => {
    const one = keeper()
    await kept(one)
    await passing(20)
    expect(stateOf(one)).toBe('loading')
    page.dispatchEvent(new Event('online'))
    await settled(one, 'kept')
  })
})

describe('a storage', () => {
  it('that cannot be read for a moment loses nothing', async () => {
    const one = keeper()
    await kept(one)
    await settled(one, 'kept')
    let failures = 1
    through((cache) => ({
      match: async (path) => {
        failures -= 1
        if (failures >= 0) throw new DOMException('Unexpected internal error', 'UnknownError')
        return cache.match(path)
      },
    }))
    const again = keeper()
    await again.load()
    expect(stateOf(again)).toBe('kept')
    failures = 5
    const later = keeper()
    await later.load()
    expect([...storage.caches.keys()]).toEqual(['kept-toan-7'])
  })
  it('is written by nobody any more when a lesson has failed', async () => {
    let ended = false
    through((cache) => ({
      put: async (path, response) => {
        if (path.endsWith('/1.m4s')) await passing(30)
        await cache.put(path, response)
        if (path.endsWith('/1.m4s')) ended = true
      },
    }))
    answer = async (path) => {
      await passing(5)
      if (path.endsWith('/2.m4s')) return new Response('', { status: 403 })
      return new Response(files.get(path) ?? null, { status: files.has(path) ? 200 : 404 })
    }
    const one = keeper()
    await kept(one)
    await vi.waitFor(() => expect(stateOf(one)).toBe('failed'), { interval: 1 })
    expect(ended).toBe(true)
  })
})

describe('two pages', () => {
  it('do not undo each other while one begins', async () => {
    through((cache) => ({
      put: async (path, response) => {
        await passing(3)
        await cache.put(path, response)
      },
    }))
    const one = keeper()
    const keeping = kept(one)
    await vi.waitFor(() => expect(storage.caches.has('kept-toan-7')).toBe(true), { interval: 1 })
    const two = keeper()
    await two.load()
    await keeping
    await settled(one, 'kept')
    expect(storage.caches.has('kept-toan-7')).toBe(true)
  })
  it('keep a lesson once', async () => {
    const two = keeper()
    await two.load()
    const offer = await two.offer(LESSON)
    const one = keeper()
    await kept(one)
    await settled(one, 'kept')
    answer = () => new TypeError('network')
    await two.keep(LESSON, offer.options[0]!, offer)
    await settled(two, 'kept', 'waiting', 'failed')
    expect([stateOf(two), stored().filter((path) => path.endsWith('.m4s')).length]).toEqual([
      'kept',
      5,
    ])
  })
  it('begin it once, however often it is pressed', async () => {
    const one = keeper()
    const offer = await one.offer(LESSON)
    asked = []
    const keep = (): Promise<void> => one.keep(LESSON, offer.options[0]!, offer)
    await Promise.all([keep(), keep()])
    await settled(one, 'kept')
    expect(asked.length).toBe(new Set(asked).size + 1) // master.m3u8, under two queries
  })
  it('agree when one deletes what the other brings', async () => {
    answer = (path) => (path.endsWith('/4.m4s') ? new TypeError('network') : null)
    const one = keeper()
    await kept(one)
    await settled(one, 'waiting')
    const two = keeper()
    await two.load()
    await two.remove('toan-7')
    await vi.waitFor(() => expect(one.holding('toan-7')).toBeNull())
    await passing(30)
    expect([...storage.caches.keys()]).toEqual([])
  })
  it('forget what the other deleted', async () => {
    vi.stubGlobal('navigator', {})
    answer = (path) => (path.endsWith('/4.m4s') ? new TypeError('network') : null)
    const one = keeper()
    await kept(one)
    await settled(one, 'waiting')
    await storage.delete('kept-toan-7')
    await vi.waitFor(() => expect(one.holding('toan-7')).toBeNull())
    expect([...storage.caches.keys()]).toEqual([])
  })
  it('let a lesson be kept anew as soon as it was deleted', async () => {
    const one = keeper()
    await kept(one)
    await settled(one, 'kept')
    const { delete: remove } = storage
    storage.delete = async (name) => {
      await passing(20)
      return remove(name)
    }
    void one.remove('toan-7')
    await kept(one)
    await settled(one, 'kept')
    await passing(40)
    expect([stateOf(one), stored().length > 5]).toEqual(['kept', true])
  })
  it('leave no ghost of a lesson that is deleted at any moment', async () => {
    answer = (path) => (path.endsWith('/2.m4s') ? new TypeError('network') : null)
    const { has } = storage
    storage.has = async (name) => {
      await passing(2)
      return has(name)
    }
    const one = keeper()
    for (let turn = 0; turn < 12; turn += 1) {
      await kept(one)
      await passing(turn)
      await one.remove('toan-7')
      await passing(8)
      expect([one.holding('toan-7'), [...storage.caches.keys()]]).toEqual([null, []])
    }
  })
})
