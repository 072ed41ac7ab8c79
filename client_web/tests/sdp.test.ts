/*
 * Repair of the voice, and ICE servers in Link headers.
 */
import { describe, expect, it } from 'vitest'
import { iceServers, withVoiceNack } from '../src/webrtc/sdp'

const lines = (...all: string[]): string => all.join('\r\n') + '\r\n'

describe('repair of the voice', () => {
  const OFFER = lines(
    'v=0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 63 111',
    'a=rtpmap:63 red/48000/2',
    'a=rtpmap:111 opus/48000/2',
    'a=rtcp-fb:111 transport-cc',
    'm=video 9 UDP/TLS/RTP/SAVPF 96',
    'a=rtpmap:96 VP8/90000',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=rtpmap:111 opus/48000/2',
  )
  it('is asked for in every section with Opus, and for nothing else', () => {
    const offer = withVoiceNack(OFFER)
    expect(offer.match(/a=rtpmap:111 opus\/48000\/2\r\na=rtcp-fb:111 nack\r\n/g)).toHaveLength(2)
    expect(offer.replaceAll('a=rtcp-fb:111 nack\r\n', '')).toBe(OFFER)
  })
  it('is asked for once', () => {
    expect(withVoiceNack(withVoiceNack(OFFER))).toBe(withVoiceNack(OFFER))
  })
})

describe('ICE servers in a Link header', () => {
  it('are read with their credentials', () => {
    const link =
      '<stun:stun.example.net>; rel="ice-server", ' +
      '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; ' +
      'credential="a,b;c"; credential-type="password"'
    expect(iceServers(link)).toEqual([
      { urls: 'stun:stun.example.net' },
      { urls: 'turn:turn.example.net?transport=udp', username: 'user', credential: 'a,b;c' },
    ])
  })
  it('are not taken from links of another kind', () => {
    expect(iceServers('<https://example.net/>; rel="ice-server", <stun:x>; rel="next"')).toEqual([])
    expect(iceServers(null)).toEqual([])
  })
})
