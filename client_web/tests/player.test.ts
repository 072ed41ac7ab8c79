/*
 * How the library's player bears a relay that is away, or has not yet what it lists, with the real
 * hls.js on a network that the test holds.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { keptPosition, Player } from '../src/library/player'
import { FakeRelay, type FakeVideo } from './fake_media'

let relay: FakeRelay

beforeEach(() => {
  vi.useFakeTimers()
  relay = new FakeRelay()
  relay.install()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

const pass = (seconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(seconds * 1000)

async function opened(from?: number): Promise<Player> {
  const player = new Player({
    archive: 'http://relay.test/archives/om',
    token: '',
    lesson: 'om',
    live: relay.isLive,
    ...(from === undefined ? {} : { from }),
  })
  await player.open()
  return player
}

/** The relay answers with `status` for so long, from the moment when the first segment is asked for. */
function failsAtFirst(status: number, seconds: number): void {
  relay.onAsked = (path) => {
    if (!path.endsWith('.m4s') || relay.asked.length > 0) return
    relay.fault = status
    setTimeout(() => (relay.fault = null), seconds * 1000)
  }
}

describe('a running lesson that is watched from the middle', () => {
  beforeEach(() => {
    relay.isLive = true
  })
  it('begins there, also when its first segment comes late', async () => {
    failsAtFirst(503, 6)
    const player = await opened(800)
    await pass(10)
    expect(relay.asked.slice(0, 4)).toEqual([100, 100, 100, 100])
    expect(relay.sent[0]).toBe(100)
    player.close()
  })
  it.each([0.5, 20])('leaves nothing out when nothing answers for %s s', async (seconds) => {
    failsAtFirst(0, seconds)
    const player = await opened(800)
    await pass(seconds + 10)
    expect(relay.sent[0]).toBe(100)
    player.close()
  })
  it('waits for its list when nothing answers for 20 s', async () => {
    relay.onAsked = (path) => {
      if (path === 'camera.m3u8' && relay.fault === null) relay.fault = 0
    }
    const player = await opened(800)
    const states = new Set<string>()
    player.onChange(() => states.add(player.state))
    await pass(20)
    relay.onAsked = () => undefined
    relay.fault = null
    await pass(8)
    expect([relay.sent[0], states.has('failed')]).toEqual([100, false])
    player.close()
  })
  it('passes over what the relay will never have', async () => {
    failsAtFirst(404, 0.01)
    const player = await opened(800)
    await pass(5)
    expect([relay.asked[0], relay.sent[0]]).toEqual([100, 101])
    player.close()
  })
})

describe('the place in a recorded lesson', () => {
  const picture = (): FakeVideo => {
    const video = relay.videos.at(-2)
    if (video === undefined) throw new Error('nothing plays')
    return video
  }
  /** The relay is away for long enough that hls.js gives up, and more than once. */
  async function away(): Promise<void> {
    relay.fault = 503
    await pass(400)
  }
  async function back(): Promise<void> {
    relay.fault = null
    relay.sent.length = 0
    await pass(10)
  }
  async function watched(): Promise<Player> {
    const player = await opened()
    await pass(1)
    picture().shows(1600, 2400)
    await pass(6)
    expect(keptPosition('om')).toBe(1600)
    return player
  }
  it('is the same after the relay was away', async () => {
    const player = await watched()
    await away()
    expect([player.state, player.time]).toEqual(['failed', 1600])
    await back()
    expect([relay.sent[0], keptPosition('om')]).toEqual([200, 1600])
    player.close()
    expect(keptPosition('om')).toBe(1600)
  })
  it('is moved from where it was, also while nothing is loaded', async () => {
    const player = await watched()
    await away()
    player.skip(-80)
    await back()
    expect(relay.sent[0]).toBe(190)
    player.close()
  })
  it('is the same when the voice alone is chosen while it loads', async () => {
    relay.storage.setItem('classroom.library.at.om', '1600')
    relay.onAsked = (path) => {
      if (path === 'camera/init.mp4') relay.fault = 503
    }
    const player = await opened()
    await pass(2)
    player.setQuality('voice')
    relay.onAsked = () => undefined
    await back()
    expect([relay.sent[0], keptPosition('om')]).toEqual([200, 1600])
    player.close()
  })
  it('is played at the same speed when the voice alone is chosen', async () => {
    const player = await watched()
    player.setRate(1.5)
    player.setQuality('voice')
    await pass(5)
    expect(player.main.playbackRate).toBe(1.5)
    player.close()
  })
  it('is not given up before the first picture of it is there', async () => {
    relay.storage.setItem('classroom.library.at.om', '1600')
    const player = await opened()
    // The length is known, and the browser not yet at the place.
    picture().knows(2400)
    picture().dispatchEvent(new Event('timeupdate'))
    await pass(6)
    expect([player.time, keptPosition('om')]).toEqual([1600, 1600])
    player.setQuality('voice')
    player.close()
    expect(keptPosition('om')).toBe(1600)
  })
})
