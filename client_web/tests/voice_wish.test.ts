/*
 * A wish for the voice that meets a session: applied once to each connection, between repairs.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { VoiceWish } from '../src/webrtc/voice'
import { WhipPublisher } from '../src/webrtc/whip'
import { FakePeer, FakeServer, install } from './fake_peer'

/** As a relay writes it. */
const ANSWER = [
  'v=0',
  'm=audio 9 UDP/TLS/RTP/SAVPF 63 111',
  'a=mid:0',
  'a=rtpmap:63 red/48000/2',
  'a=rtpmap:111 opus/48000/2',
  'a=fmtp:63 111/111',
  'a=fmtp:111 useinbandfec=1;minptime=10',
  'a=rtcp-fb:111 nack',
  'a=rtcp-fb:111 transport-cc',
  'a=ice-ufrag:srv1',
  '',
].join('\r\n')
const POOR: VoiceWish = { maxaveragebitrate: 24_000, ptime: 60, dtx: true }
const WELL: VoiceWish = { maxaveragebitrate: 32_000, ptime: 20, dtx: false }
let server: FakeServer

beforeEach(() => {
  vi.useFakeTimers()
  server = new FakeServer()
  install(server)
  server.answers['POST'] = { status: 201, body: ANSWER, headers: { Location: '/sessions/1' } }
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

async function publishing(): Promise<WhipPublisher> {
  const endpoint = { url: 'http://relay.test/whip/om', token: 'T' }
  const publisher = new WhipPublisher({ endpoint: () => endpoint })
  publisher.start()
  await pass(1_000)
  expect(publisher.state).toBe('live')
  return publisher
}

/** What the present connection is told to send now. */
const inForce = (): string => FakePeer.last.currentRemoteDescription?.sdp ?? ''
/** How often the present connection has offered so far. */
const offers = (): number => FakePeer.last.offers.length

describe('a wish for the voice', () => {
  it('is applied once, although the browser writes the answer in another order', async () => {
    const publisher = await publishing()
    publisher.wishVoice(POOR)
    await pass(30_000)
    expect(offers()).toBe(2)
    expect(inForce()).toContain('a=ptime:60')
    publisher.wishVoice({ ...POOR })
    await pass(5_000)
    expect(offers()).toBe(2)
    publisher.wishVoice(WELL)
    await pass(5_000)
    expect(offers()).toBe(3)
    expect(inForce()).toContain('a=ptime:20')
  })
  it('is applied to the connections that follow, too', async () => {
    const publisher = await publishing()
    publisher.wishVoice(POOR)
    await pass(1_000)
    const [first] = FakePeer.last.transceivers
    if (first !== undefined) first.sender.transport.state = 'closed'
    await pass(5_000)
    expect([publisher.generation, offers()]).toEqual([2, 2])
    expect(inForce()).toContain('a=ptime:60')
  })
  it('that follows another at once is the one in force', async () => {
    const publisher = await publishing()
    FakePeer.takesMs = 300
    publisher.wishVoice(POOR)
    await pass(100)
    publisher.wishVoice(WELL)
    await pass(5_000)
    expect(inForce()).toContain('a=ptime:20')
    expect([publisher.state, offers()]).toEqual(['live', 3])
  })
  it('that the browser refuses is not tried again, and nothing stays open', async () => {
    const publisher = await publishing()
    FakePeer.refuses = /a=ptime/
    publisher.wishVoice(POOR)
    await pass(10_000)
    expect(offers()).toBe(2)
    expect(FakePeer.last.signalingState).toBe('stable')
    expect(inForce()).not.toContain('a=ptime')
    expect([publisher.state, publisher.generation]).toEqual(['live', 1])
  })
})

describe('a link that breaks while a wish is applied', () => {
  it.each([100, 200, 300, 400, 500, 550])('%d ms ago is mended after it', async (ago) => {
    const publisher = await publishing()
    FakePeer.takesMs = 300
    publisher.wishVoice(POOR)
    await pass(ago)
    FakePeer.last.iceConnectionState = 'disconnected'
    publisher.nudge()
    await pass(5_000)
    expect([publisher.state, publisher.generation]).toEqual(['live', 1])
    expect(FakePeer.last.offers.at(-1)).toContain('a=ice-ufrag:page2')
    expect(inForce()).toContain('a=ptime:60')
    expect(server.count('POST')).toBe(1)
  })
})
