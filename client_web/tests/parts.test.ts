/*
 * A page one of whose parts does not come: it tries again, begins anew, and does not do so for ever.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Player } from '../src/library/player'
import { part, PartMissing, renew, withPart } from '../src/parts'
import { FakeStorage } from './fake_browser'
import { FakeRelay } from './fake_media'

vi.mock('hls.js', () => {
  throw new TypeError('Failed to fetch dynamically imported module')
})

let server: { isUp: boolean; status: number }
let reloads: number

beforeEach(() => {
  vi.useFakeTimers()
  server = { isUp: true, status: 200 }
  reloads = 0
  vi.stubGlobal('sessionStorage', new FakeStorage())
  vi.stubGlobal('location', { href: 'http://relay.test/room', reload: () => void (reloads += 1) })
  vi.stubGlobal('fetch', async () => {
    if (!server.isUp) throw new TypeError('Failed to fetch')
    return new Response('', { status: server.status })
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

const pass = (seconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(seconds * 1000)
const missing = (): Promise<never> =>
  part(() => Promise.reject(new TypeError('Importing a module script failed.')))

describe('a page that begins anew', () => {
  it('does so once in a while', async () => {
    expect([await renew(), await renew(), reloads]).toEqual(['opened', 'lately', 1])
    await pass(11 * 60)
    expect([await renew(), reloads]).toEqual(['opened', 2])
  })
  it('never while no server would give it', async () => {
    server.isUp = false
    expect(await renew()).toBe('away')
    server = { isUp: true, status: 502 }
    expect([await renew(), reloads]).toEqual(['away', 0])
    server.status = 200
    expect(await renew()).toBe('opened')
  })
  it('never while its server says nothing', async () => {
    vi.stubGlobal('fetch', (_url: string, { signal }: { signal?: AbortSignal }) => {
      return new Promise((_answered, fail) => {
        signal?.addEventListener('abort', () => fail(new DOMException('', 'AbortError')))
      })
    })
    const renewed = renew()
    await pass(16)
    expect(await renewed).toBe('away')
  })
  it('not where the browser cannot remember that it did', async () => {
    vi.stubGlobal('sessionStorage', {
      getItem: () => null,
      setItem: () => {
        throw new DOMException('', 'QuotaExceededError')
      },
    })
    expect([await renew(), reloads]).toEqual(['lately', 0])
  })
})

describe('what needs a part that does not come', () => {
  it('is tried once more, then the page begins anew', async () => {
    let tries = 0
    const stop = withPart(async () => {
      tries += 1
      await missing()
    })
    await pass(1)
    expect([tries, reloads]).toEqual([1, 0])
    await pass(4)
    expect([tries, reloads]).toEqual([2, 1])
    await pass(60)
    expect(tries).toBeGreaterThan(10)
    expect(reloads).toBe(1)
    stop()
    const then = tries
    await pass(60)
    expect(tries).toBe(then)
  })
  it('leaves the page as it is while the part is not needed', async () => {
    const stop = withPart(missing, false)
    await pass(60)
    expect(reloads).toBe(0)
    stop()
  })
  it('is done when the part comes', async () => {
    let tries = 0
    withPart(async () => {
      tries += 1
      if (tries < 2) await missing()
    })
    await pass(60)
    expect([tries, reloads]).toEqual([2, 0])
  })
})

describe("the library's player", () => {
  it('says that it cannot play, and can be opened again', async () => {
    new FakeRelay().install()
    const player = new Player({
      archive: 'http://relay.test/archives/om',
      token: '',
      lesson: 'om',
      live: false,
    })
    await expect(player.open()).rejects.toThrow(PartMissing)
    expect(player.state).toBe('failed')
    await expect(player.open()).rejects.toThrow(PartMissing)
    player.close()
    expect(player.state).toBe('closed')
  })
})
