/*
 * A teacher's page as a story: going live, reloaded, replaced by another page, ended.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Studio } from '../src/teach/studio'
import { asksBeforeLeaving, FakeBrowser } from './fake_browser'
import { FakePeer, FakeServer, install } from './fake_peer'

const LESSON = { id: 'om', title: 'Ôm', state: 'live' }
const STARTED = { lesson: LESSON, whip: 'http://relay.test/whip/om', token: 'P', relay: '' }
const LINK = {
  token: 'T',
  claims: { name: 'Cô Mai', role: 'teacher', lesson: '*', expiresAt: null },
  lesson: null,
}
let browser: FakeBrowser
let relay: FakeServer

beforeEach(() => {
  vi.useFakeTimers()
  relay = new FakeServer()
  install(relay)
  browser = new FakeBrowser()
  browser.install()
  browser.api.set('GET /api/lessons/om', { status: 200, body: LESSON })
  browser.api.set('POST /api/lessons/om/start', { status: 200, body: STARTED })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

async function opened(): Promise<Studio> {
  const studio = new Studio(LINK, 'vi')
  void studio.open()
  await pass(1_000)
  return studio
}

async function teaching(): Promise<Studio> {
  const studio = await opened()
  await studio.goLive({ id: 'om' })
  await pass(1_000)
  expect([studio.phase, studio.publisher?.state]).toEqual(['live', 'live'])
  return studio
}

describe('the lessons to choose from', () => {
  it('are those that can still be taught', async () => {
    const path = 'GET /api/lessons?state=planned%2Clive&limit=2000'
    browser.api.set(path, { status: 200, body: { lessons: [LESSON], total: 1 } })
    const studio = await opened()
    expect(studio.lessons).toEqual([LESSON])
    expect(browser.count(path)).toBe(1)
  })
})

describe('a lesson that was interrupted', () => {
  it('goes on by itself after a reload of its tab', async () => {
    await teaching()
    const reloaded = await opened()
    expect(reloaded.phase).toBe('live')
  })
  it('goes on with the microphone off if it was off', async () => {
    const studio = await teaching()
    studio.mute(true)
    const reloaded = await opened()
    expect([reloaded.phase, reloaded.muted]).toEqual(['live', true])
    expect(reloaded.devices.microphone?.enabled).toBe(false)
  })
  it('is not taken by another tab of the same browser', async () => {
    await teaching()
    browser.tab.kept.clear()
    const other = await opened()
    expect(other.phase).toBe('preparing')
  })
  it.each([
    ['POST /api/lessons/om/start', 503, STARTED],
    ['GET /api/lessons/om', 502, LESSON],
    ['GET /api/lessons/om', 429, LESSON],
    ['GET /api/lessons/om', 408, LESSON],
  ])('goes on when %s answered %s for a while', async (path, status, body) => {
    await teaching()
    browser.api.set(path, { status, body: { code: 'absent' } })
    const reloaded = await opened()
    await pass(20_000)
    expect(reloaded.phase).toBe('preparing')
    expect(reloaded.fault).toMatchObject({ status })
    browser.api.set(path, { status: 200, body })
    await pass(5_000)
    expect([reloaded.phase, reloaded.fault]).toEqual(['live', null])
  })
  it('is not begun again where the teacher may not teach it any more', async () => {
    await teaching()
    browser.api.set('GET /api/lessons/om', { status: 403, body: { code: 'not-allowed' } })
    const reloaded = await opened()
    await pass(20_000)
    expect([reloaded.phase, browser.count('GET /api/lessons/om')]).toEqual(['preparing', 1])
  })
  describe('gives way to another one', () => {
    const NEW = { ...LESSON, id: 'van' }
    const open = (): number =>
      FakePeer.all.filter((one) => one.connectionState === 'connected').length
    /** The control plane takes a while for each answer. */
    function slow(ms: number): void {
      const answer = globalThis.fetch
      vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
        await new Promise((resolve) => setTimeout(resolve, ms))
        return answer(url, init)
      })
    }
    beforeEach(async () => {
      await teaching()
      FakePeer.all.length = 0
      const started = { ...STARTED, lesson: NEW, whip: 'http://relay.test/whip/van' }
      browser.api.set('POST /api/lessons', { status: 200, body: NEW })
      browser.api.set('POST /api/lessons/van/start', { status: 200, body: started })
      slow(2_000)
    })
    it('that was pressed for before it went on', async () => {
      const studio = await opened()
      void studio.goLive({ title: 'Văn' })
      await pass(20_000)
      expect([studio.phase, studio.lesson?.id, open()]).toEqual(['live', 'van', 1])
      browser.api.set('POST /api/lessons/van/end', { status: 200, body: NEW })
      void studio.end()
      await pass(5_000)
      expect([studio.phase, open()]).toEqual(['ended', 0])
    })
    it('but not once it is about to go on', async () => {
      const studio = await opened()
      await pass(2_000)
      expect(studio.phase).toBe('starting')
      void studio.goLive({ title: 'Văn' })
      await pass(20_000)
      expect([studio.phase, studio.lesson?.id, open()]).toEqual(['live', 'om', 1])
    })
    it('also when that cannot begin', async () => {
      browser.api.set('POST /api/lessons', { status: 403, body: { code: 'not-allowed' } })
      const studio = await opened()
      void studio.goLive({ title: 'Văn' })
      await pass(20_000)
      expect([studio.phase, open()]).toEqual(['preparing', 0])
    })
  })
})

describe('the voice', () => {
  const inForce = (): string => FakePeer.last.currentRemoteDescription?.sdp ?? ''
  function estimate(available: number): void {
    const pair = FakePeer.last.stats.get('pair')
    const width = { nominated: true, availableOutgoingBitrate: available }
    FakePeer.last.stats.set('pair', { ...pair, ...width })
  }
  it('is thrifty while the own link hardly takes it, and full again later', async () => {
    const body = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=rtpmap:111 opus/48000/2']
    relay.answers['POST'] = {
      status: 201,
      body: [...body, 'a=ice-ufrag:srv1', ''].join('\r\n'),
      headers: { Location: '/sessions/1' },
    }
    await teaching()
    estimate(300_000)
    await pass(60_000)
    expect(FakePeer.last.offers).toHaveLength(1)
    estimate(90_000)
    await pass(2_000)
    expect(inForce()).toContain('a=ptime:60')
    estimate(300_000)
    await pass(15_000)
    expect(inForce()).toContain('a=ptime:60')
    await pass(10_000)
    expect(inForce()).toContain('a=ptime:20')
    expect(FakePeer.last.offers).toHaveLength(3)
  })
})

describe('a lesson that another page of the teacher took over', () => {
  async function replaced(): Promise<Studio> {
    const studio = await teaching()
    relay.answers['PATCH'] = relay.answers['DELETE'] = {
      status: 409,
      body: JSON.stringify({ code: 'session-replaced' }),
    }
    FakePeer.last.cut = true
    FakePeer.last.iceConnectionState = 'failed'
    await pass(3_000)
    return studio
  }
  it('is left to it, with camera and microphone', async () => {
    const studio = await replaced()
    expect(studio.phase).toBe('elsewhere')
    expect(browser.devices.tracks.every((track) => track.readyState === 'ended')).toBe(true)
    await pass(120_000)
    expect(studio.phase).toBe('elsewhere')
    expect(relay.count('POST')).toBe(1)
    const reloaded = await opened()
    expect(reloaded.phase).toBe('preparing')
  })
  it('is taken back by a press', async () => {
    const studio = await replaced()
    await studio.takeBack()
    await pass(1_000)
    expect([studio.phase, studio.publisher?.state]).toEqual(['live', 'live'])
    expect(relay.count('POST')).toBe(2)
    expect(browser.devices.tracks.some((track) => track.readyState === 'live')).toBe(true)
  })
})

describe('a lesson that the teacher ends', () => {
  const END = 'POST /api/lessons/om/end'
  it('stays ended while the control plane is away, and is told until it answers', async () => {
    const studio = await teaching()
    void studio.end()
    await pass(1_000)
    expect(studio.phase).toBe('ending')
    expect(studio.publisher?.state).toBe('ended')
    expect(browser.devices.tracks.every((track) => track.readyState === 'ended')).toBe(true)
    expect((await opened()).phase).toBe('preparing')
    await pass(20_000)
    expect(studio.phase).toBe('ending')
    expect(studio.fault).not.toBeNull()
    expect(browser.count(END)).toBeGreaterThan(4)
    browser.api.set(END, { status: 500, body: { code: 'internal-error' } })
    await pass(5_000)
    expect(studio.phase).toBe('ending')
    browser.api.set(END, { status: 200, body: LESSON })
    await pass(5_000)
    expect([studio.phase, studio.fault]).toEqual(['ended', null])
    const told = browser.count(END)
    await pass(20_000)
    expect(browser.count(END)).toBe(told)
  })
  it('is over, with the reason, when the control plane refuses for good', async () => {
    const studio = await teaching()
    browser.api.set(END, { status: 401, body: { code: 'token-expired' } })
    await studio.end()
    expect(studio.phase).toBe('ended')
    expect(studio.fault).toMatchObject({ code: 'token-expired' })
  })
})

describe('a page that is closed by mistake', () => {
  it('asks first while a lesson runs, and only then', async () => {
    const asks = (): object => asksBeforeLeaving(browser.window)
    const studio = await opened()
    expect(asks()).toEqual({ now: false, before119: false })
    await studio.goLive({ id: 'om' })
    expect(asks()).toEqual({ now: true, before119: true })
    void studio.end()
    expect(asks()).toEqual({ now: true, before119: true })
    browser.api.set('POST /api/lessons/om/end', { status: 200, body: LESSON })
    await pass(5_000)
    expect(asks()).toEqual({ now: false, before119: false })
  })
})

describe('files given along with a lesson', () => {
  it('are not sent while it is taught, and go on afterwards', async () => {
    const studio = await teaching()
    expect(studio.materials.of('om').paused).toBe(true)
    browser.api.set('POST /api/lessons/om/end', { status: 200, body: LESSON })
    await studio.end()
    expect([studio.phase, studio.materials.of('om').paused]).toEqual(['ended', false])
  })
})
