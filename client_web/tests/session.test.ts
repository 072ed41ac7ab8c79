/*
 * The life of a WHIP or WHEP session as a story: made, lost, repaired, made anew, ended.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Backoff } from '../src/backoff'
import { WhepViewer } from '../src/webrtc/whep'
import { CAMERA_ENCODINGS, SCREEN_ENCODINGS, VIDEO_CODECS, WhipPublisher } from '../src/webrtc/whip'
import { FakePeer, FakeServer, install } from './fake_peer'

const ENDPOINT = { url: 'http://relay.test/whep/om', token: 'T' }
let server: FakeServer

beforeEach(() => {
  vi.useFakeTimers()
  server = new FakeServer()
  install(server)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

async function watching(): Promise<WhepViewer> {
  const viewer = new WhepViewer({ endpoint: () => ENDPOINT })
  viewer.start()
  await pass(500)
  expect(viewer.state).toBe('live')
  return viewer
}

describe('making a session', () => {
  it('posts the offer with the token and applies the answer', async () => {
    const viewer = await watching()
    const { url, headers, body } = server.last('POST')
    expect(url).toBe(ENDPOINT.url)
    expect(headers.get('Authorization')).toBe('Bearer T')
    expect(headers.get('Content-Type')).toBe('application/sdp')
    expect(body).toContain('a=ice-ufrag:page1')
    expect(FakePeer.last.answers[0]).toContain('srv1')
    expect(viewer.generation).toBe(1)
  })
  it('tries again, at growing distances, while the server is away', async () => {
    server.answers['POST'] = 'away'
    const viewer = new WhepViewer({ endpoint: () => ENDPOINT })
    viewer.start()
    await pass(60_000)
    expect(viewer.state).toBe('connecting')
    expect(viewer.unreachable).toBe(true)
    // 0.5, 1, 2, 4, 8, 8, … s, each between half of it and the whole.
    expect(server.count('POST')).toBeGreaterThan(8)
    expect(server.count('POST')).toBeLessThan(20)
  })
  it('gives up a path that never connects, and frees the place', async () => {
    FakePeer.connects = false
    const viewer = new WhepViewer({ endpoint: () => ENDPOINT })
    viewer.start()
    await pass(22_000)
    expect(viewer.generation).toBeGreaterThan(0)
    expect(server.count('DELETE')).toBe(1)
    expect(server.last('DELETE').url).toBe('http://relay.test/sessions/1')
  })
  it('waits as long as a full relay asks', async () => {
    server.answers['POST'] = { status: 503, headers: { 'Retry-After': '20' } }
    const viewer = new WhepViewer({ endpoint: () => ENDPOINT })
    viewer.start()
    await pass(19_000)
    expect(server.count('POST')).toBe(1)
    await pass(3_000)
    expect(server.count('POST')).toBe(2)
    expect(viewer.problem?.status).toBe(503)
  })
})

it('waits a minute at most, whatever a server asks', async () => {
  server.answers['POST'] = { status: 503, headers: { 'Retry-After': '86400' } }
  const viewer = new WhepViewer({ endpoint: () => ENDPOINT })
  viewer.start()
  await pass(61_000)
  expect(server.count('POST')).toBe(2)
})

/** How often ICE was begun on the present connection. */
const beginnings = (): number => FakePeer.last.offers.length

/** The path is gone, and no check gets through. */
function cutOff(): void {
  FakePeer.last.cut = true
  FakePeer.last.iceConnectionState = 'disconnected'
}

describe('a link that breaks', () => {
  it('is mended by beginning ICE anew under the same answer, without the server', async () => {
    const viewer = await watching()
    server.answers['PATCH'] = 'lost'
    FakePeer.last.iceConnectionState = 'disconnected'
    await pass(1_500)
    expect(FakePeer.last.offers[1]).toContain('a=ice-ufrag:page2')
    expect(FakePeer.last.answers[1]).toBe(FakePeer.last.answers[0])
    expect(viewer.state).toBe('live')
    expect(viewer.generation).toBe(1)
    expect(server.count('POST')).toBe(1)
  })
  it.each([404, 410, 412, 500])('gets a new session when the server says %d', async (status) => {
    const viewer = await watching()
    server.answers['PATCH'] = { status }
    cutOff()
    await pass(1_500)
    expect(viewer.state).toBe('live')
    expect(viewer.generation).toBe(2)
    expect(FakePeer.all).toHaveLength(2)
  })
  it.each([401, 503])('keeps the session when the server only says %d', async (status) => {
    const viewer = await watching()
    server.answers['PATCH'] = { status }
    cutOff()
    await pass(5_000)
    expect([viewer.state, viewer.generation]).toEqual(['recovering', 1])
    FakePeer.last.cut = false
    await pass(4_000)
    expect([viewer.state, viewer.generation]).toEqual(['live', 1])
  })
  it('asks in one short request after the other, not in one that waits', async () => {
    await watching()
    server.answers['PATCH'] = 'lost'
    cutOff()
    await pass(30_000)
    const { url, headers, body } = server.last('PATCH')
    expect(url).toBe('http://relay.test/sessions/1')
    expect(headers.get('If-Match')).toBe('*')
    expect(headers.get('Content-Type')).toBe('application/trickle-ice-sdpfrag')
    expect(body).not.toContain('ice-ufrag')
    expect(server.count('PATCH')).toBeGreaterThan(4)
    expect(server.count('PATCH')).toBeLessThan(9)
  })
  it.each([15_000, 60_000, 600_000])('is knocked at for %d ms, and resumes', async (away) => {
    const viewer = await watching()
    server.answers['PATCH'] = 'away'
    cutOff()
    const before = beginnings()
    await pass(away)
    expect(viewer.state).toBe('recovering')
    expect(viewer.unreachable).toBe(true)
    // Checks that a browser still repeats are always under way: it drops them after 15 s.
    expect(beginnings() - before).toBeGreaterThan(away / 4_000)
    expect(beginnings() - before).toBeLessThan(away / 2_000)
    FakePeer.last.connect()
    await pass(250)
    expect([viewer.state, viewer.generation, viewer.unreachable]).toEqual(['live', 1, false])
    expect(server.count('POST')).toBe(1)
  })
  it('is mended although nobody publishes meanwhile, and the browser noticed nothing', async () => {
    // A relay whose media process died: its service says at once that nobody publishes.
    const viewer = await watching()
    viewer.expect(true)
    server.answers['PATCH'] = { status: 503 }
    FakePeer.last.cut = true
    await pass(1_500)
    expect(viewer.state).toBe('recovering')
    viewer.expect(false)
    await pass(1_500)
    expect(viewer.state).toBe('recovering')
    server.answers['PATCH'] = { status: 404 }
    await pass(2_500)
    expect([viewer.state, viewer.generation]).toEqual(['live', 2])
  })
  it('is not shaken again while the server answers its checks', async () => {
    const viewer = await watching()
    viewer.expect(true)
    FakePeer.last.receive('0', 5_000)
    await pass(2_000) // still for one second
    FakePeer.last.answerChecks(7)
    await pass(500)
    const before = beginnings()
    FakePeer.last.answerChecks(8)
    await pass(4_000)
    expect(beginnings()).toBe(before)
    expect(viewer.state).toBe('recovering')
    FakePeer.last.receive('0', 6_000)
    await pass(500)
    expect([viewer.state, viewer.generation]).toEqual(['live', 1])
  })
  it('is tried at once when the network comes back', async () => {
    const viewer = await watching()
    server.answers['PATCH'] = 'lost'
    cutOff()
    await pass(30_000)
    const asked = server.count('PATCH')
    const begun = beginnings()
    viewer.nudge()
    await pass(10)
    expect(beginnings()).toBe(begun + 1)
    expect(server.count('PATCH')).toBe(asked + 1)
  })
  it('that comes back by itself, with its answers, goes on', async () => {
    const viewer = await watching()
    server.answers['PATCH'] = 'away'
    cutOff()
    await pass(5_000)
    expect(viewer.state).toBe('recovering')
    FakePeer.last.iceConnectionState = 'checking'
    await pass(2_000)
    expect(viewer.state).toBe('recovering')
    FakePeer.last.connect()
    await pass(300)
    expect(viewer.state).toBe('live')
    const asked = server.count('PATCH')
    await pass(10_000)
    expect(server.count('PATCH')).toBe(asked)
    expect([viewer.state, viewer.generation]).toEqual(['live', 1])
  })
  it('needs a new session when the encryption itself is over', async () => {
    const viewer = await watching()
    const [first] = FakePeer.last.transceivers
    if (first !== undefined) first.sender.transport.state = 'closed'
    await pass(2_500)
    expect(viewer.generation).toBe(2)
    expect(server.count('PATCH')).toBe(0)
  })
})

describe('media that stands still', () => {
  it('is a fault after one second when someone publishes', async () => {
    const viewer = await watching()
    viewer.expect(true)
    for (let second = 1; second <= 10; second += 1) {
      FakePeer.last.receive('0', second * 5000)
      await pass(1_000)
    }
    expect(beginnings()).toBe(1)
    await pass(1_000)
    expect(beginnings()).toBe(2)
    expect(viewer.state).toBe('recovering')
  })
  it('is a fault at once, whatever the clock is set to', async () => {
    const viewer = await watching()
    viewer.expect(true)
    FakePeer.last.receive('0', 5000)
    await pass(500)
    vi.setSystemTime(Date.now() - 3_600_000)
    await pass(2_000)
    expect(viewer.state).toBe('recovering')
  })
  it('is no fault while nobody publishes', async () => {
    const viewer = await watching()
    await pass(60_000)
    expect(viewer.state).toBe('live')
    expect(beginnings()).toBe(1)
  })
  it('is knocked for ever more slowly when it is announced but never comes', async () => {
    const viewer = await watching()
    viewer.expect(true)
    await pass(400_000)
    const posts = server.asked.filter((one) => one.method === 'POST').map((one) => one.at)
    const gaps = posts.slice(1).map((at, before) => at - (posts[before] ?? 0))
    expect(gaps[0]).toBeLessThan(20_000)
    expect(gaps.at(-1)).toBeGreaterThan(30_000)
    expect(gaps.at(-1)).toBeLessThan(60_000)
  })
})

describe('a refused token', () => {
  it('is renewed once; then publishing fails and says why', async () => {
    server.answers['POST'] = {
      status: 401,
      body: JSON.stringify({ code: 'token-expired', detail: 'Old.', fix: 'Ask.' }),
    }
    const asked: boolean[] = []
    const publisher = new WhipPublisher({
      endpoint: (fresh) => {
        asked.push(fresh)
        return ENDPOINT
      },
    })
    publisher.start()
    await pass(120_000)
    expect(asked).toEqual([false, true])
    expect(publisher.state).toBe('failed')
    expect(publisher.problem?.code).toBe('token-expired')
    expect(publisher.problem?.fix).toBe('Ask.')
    server.answers['POST'] = new FakeServer().answers['POST'] ?? 'away'
    publisher.start()
    await pass(1_000)
    expect(publisher.state).toBe('live')
  })
  it('does not stop a room, which has no hands', async () => {
    server.answers['POST'] = { status: 403 }
    const viewer = new WhepViewer({ endpoint: () => ENDPOINT })
    viewer.start()
    await pass(10_000)
    expect(viewer.state).toBe('failed')
    server.answers['POST'] = new FakeServer().answers['POST'] ?? 'away'
    await pass(31_000)
    expect(viewer.state).toBe('live')
  })
})

describe('a session that a newer one of the same teacher replaced', () => {
  const REPLACED = { status: 409, body: JSON.stringify({ code: 'session-replaced' }) }
  const publishing = async (): Promise<WhipPublisher> => {
    const publisher = new WhipPublisher({ endpoint: () => ENDPOINT })
    publisher.start()
    await pass(500)
    expect(publisher.state).toBe('live')
    server.answers['PATCH'] = server.answers['DELETE'] = REPLACED
    return publisher
  }
  const staysAway = async (publisher: WhipPublisher): Promise<void> => {
    expect(publisher.state).toBe('replaced')
    publisher.start()
    publisher.nudge()
    await pass(120_000)
    expect(server.count('POST')).toBe(1)
    expect(publisher.state).toBe('replaced')
    expect(FakePeer.last.connectionState).toBe('closed')
  }
  it('stops for good when it asks after its session', async () => {
    const publisher = await publishing()
    cutOff()
    await pass(2_500)
    await staysAway(publisher)
  })
  it('stops for good when its encryption was closed, and asks before it makes another', async () => {
    const publisher = await publishing()
    const [first] = FakePeer.last.transceivers
    if (first !== undefined) first.sender.transport.state = 'closed'
    await pass(2_500)
    expect(server.count('PATCH')).toBe(0)
    await staysAway(publisher)
  })
  it('stays ended when the page ends it', async () => {
    const publisher = await publishing()
    await publisher.end()
    await pass(5_000)
    expect(publisher.state).toBe('ended')
  })
})

describe('ending', () => {
  it('tells the server, and does nothing more', async () => {
    const viewer = await watching()
    await viewer.end()
    expect(viewer.state).toBe('ended')
    expect(server.count('DELETE')).toBe(1)
    const before = server.asked.length
    await pass(60_000)
    expect(server.asked).toHaveLength(before)
  })
})

describe('what a room offers', () => {
  it('holds all slots in the promised order', async () => {
    await watching()
    const offered = FakePeer.last.transceivers.map((one) => [one.kind, one.init.direction])
    expect(offered).toEqual([
      ['audio', 'recvonly'],
      ['video', 'recvonly'],
      ['video', 'recvonly'],
      ['audio', 'recvonly'],
      ['video', 'recvonly'],
      ['audio', 'sendonly'],
      ['video', 'sendonly'],
    ])
  })
  it('reads each slot by its section', async () => {
    const viewer = await watching()
    FakePeer.last.receive('0', 5_000)
    FakePeer.last.receive('2', 70_000, 12)
    await pass(1_000)
    expect(viewer.slots.get('voice')?.bytes).toBe(5_000)
    expect(viewer.slots.get('screen')?.frames).toBe(12)
    expect(viewer.slots.get('camera')?.heardAt).toBeNull()
  })
})

describe('what a teacher offers', () => {
  it('holds voice, camera and screen in this order, layered, with the screen still empty', async () => {
    const publisher = new WhipPublisher({ endpoint: () => ENDPOINT })
    publisher.start()
    await pass(500)
    const [voice, camera, screen, ...more] = FakePeer.last.transceivers
    expect(more).toEqual([])
    expect([voice, camera, screen].map((one) => one?.kind)).toEqual(['audio', 'video', 'video'])
    expect([voice, camera, screen].map((one) => one?.init.direction)).toEqual(
      Array(3).fill('sendonly'),
    )
    expect(voice?.init.streams).toEqual(camera?.init.streams)
    expect(camera?.init.sendEncodings?.map((one) => one.rid)).toEqual(['q', 'h', 'f'])
    expect(screen?.init.sendEncodings?.map((one) => one.rid)).toEqual(['h', 'f'])
    expect(voice?.codecs?.map((one) => one.mimeType)).toEqual([
      'audio/red',
      'audio/opus',
      'audio/PCMU',
    ])
    for (const video of [camera, screen]) {
      expect(video?.codecs?.[0]?.mimeType).toBe('video/VP9')
      expect(video?.codecs?.at(-1)?.mimeType).toBe('video/rtx')
    }
  })
  it('names every codec once, what replays everywhere right after the first', () => {
    expect(VIDEO_CODECS).toEqual(['video/VP9', 'video/H264', 'video/VP8', 'video/AV1'])
  })
  it('sends H.264 from a browser that would not send VP9 in our layers', async () => {
    FakePeer.layered = false
    const publisher = new WhipPublisher({ endpoint: () => ENDPOINT })
    publisher.start()
    await pass(500)
    const [, camera, screen] = FakePeer.last.transceivers
    for (const video of [camera, screen])
      expect(video?.codecs?.map((one) => one.mimeType)).toEqual([
        'video/H264',
        'video/VP8',
        'video/VP9',
        'video/AV1',
        'video/rtx',
      ])
  })
  it('puts a shared screen into its place without a new offer', async () => {
    const publisher = new WhipPublisher({ endpoint: () => ENDPOINT })
    publisher.start()
    await pass(500)
    const track = { kind: 'video', contentHint: '' } as MediaStreamTrack
    await publisher.setScreen(track)
    expect(FakePeer.last.transceivers[2]?.sender.track).toBe(track)
    expect(track.contentHint).toBe('text')
    await publisher.setScreen(null)
    expect(FakePeer.last.transceivers[2]?.sender.track).toBeNull()
    expect(server.count('POST')).toBe(1)
  })
  it('falls back to plain layers where temporal ones are refused', async () => {
    const plain = FakePeer.prototype.addTransceiver
    vi.spyOn(FakePeer.prototype, 'addTransceiver').mockImplementation(function (
      this: FakePeer,
      what,
      init,
    ) {
      if (init.sendEncodings?.some((one) => 'scalabilityMode' in one) === true)
        throw new Error('OperationError')
      return plain.call(this, what, init)
    })
    const publisher = new WhipPublisher({ endpoint: () => ENDPOINT })
    publisher.start()
    await pass(500)
    expect(publisher.state).toBe('live')
    expect(FakePeer.last.transceivers[1]?.init.sendEncodings).toEqual(CAMERA_ENCODINGS)
    expect(FakePeer.last.transceivers[2]?.init.sendEncodings).toEqual(SCREEN_ENCODINGS)
  })
})

describe('waiting times', () => {
  it('double from half a second to eight, spread over the upper half', () => {
    const least = new Backoff(500, 8_000, () => 0)
    const most = new Backoff(500, 8_000, () => 1)
    const steps = [500, 1000, 2000, 4000, 8000, 8000]
    expect(steps.map(() => most.next())).toEqual(steps)
    expect(steps.map(() => least.next())).toEqual(steps.map((step) => step / 2))
    most.reset()
    expect(most.next()).toBe(500)
  })
})
