/*
 * ICE restarts as fragments, and ICE servers in Link headers.
 */
import { describe, expect, it } from 'vitest'
import { iceServers, restartFragment, withFragment, withVoiceNack } from '../src/webrtc/sdp'

const lines = (...all: string[]): string => all.join('\r\n') + '\r\n'

const OFFER = lines(
  'v=0',
  'o=- 1 2 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0 1',
  'a=ice-options:trickle',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'c=IN IP4 0.0.0.0',
  'a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host',
  'a=ice-ufrag:new1',
  'a=ice-pwd:new-password-of-the-offer',
  'a=mid:0',
  'a=rtpmap:111 opus/48000/2',
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'a=ice-ufrag:new1',
  'a=ice-pwd:new-password-of-the-offer',
  'a=mid:1',
)

const ANSWER = lines(
  'v=0',
  'a=group:BUNDLE 0 1',
  'a=ice-lite',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=ice-ufrag:srv1',
  'a=ice-pwd:old-password-of-the-server',
  'a=candidate:1 1 udp 2130706431 192.0.2.1 8082 typ host',
  'a=end-of-candidates',
  'a=mid:0',
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'a=ice-ufrag:srv1',
  'a=ice-pwd:old-password-of-the-server',
  'a=mid:1',
)

describe('the fragment of a restart', () => {
  it('names the bundle, the first section, its mid, credentials and candidates', () => {
    expect(restartFragment(OFFER)).toBe(
      lines(
        'a=group:BUNDLE 0 1',
        'a=ice-options:trickle',
        'm=audio 9 UDP/TLS/RTP/SAVPF 111',
        'a=mid:0',
        'a=ice-ufrag:new1',
        'a=ice-pwd:new-password-of-the-offer',
        'a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host',
      ),
    )
  })
  it('takes credentials from the session when the section has none', () => {
    const offer = lines('v=0', 'a=ice-ufrag:u', 'a=ice-pwd:p', 'm=audio 9 X 0', 'a=mid:0')
    expect(restartFragment(offer)).toBe(
      lines('m=audio 9 X 0', 'a=mid:0', 'a=ice-ufrag:u', 'a=ice-pwd:p'),
    )
  })
  it('needs a section', () => {
    expect(() => restartFragment('v=0\r\n')).toThrow()
  })
})

describe('an answer with the server’s fragment', () => {
  const fragment = lines(
    'a=ice-lite',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=mid:0',
    'a=ice-ufrag:srv2',
    'a=ice-pwd:new-password-of-the-server',
    'a=candidate:1 1 udp 2130706431 198.51.100.1 8082 typ host',
    'a=end-of-candidates',
  )
  it('has the new credentials everywhere and keeps the rest', () => {
    const answer = withFragment(ANSWER, fragment)
    expect(answer).not.toContain('srv1')
    expect(answer.match(/a=ice-ufrag:srv2/g)).toHaveLength(2)
    expect(answer.match(/a=ice-pwd:new-password-of-the-server/g)).toHaveLength(2)
    expect(answer).not.toContain('192.0.2.1')
    expect(answer).toContain('198.51.100.1 8082')
    const rest = (sdp: string): string[] =>
      sdp.split('\r\n').filter((line) => !/^a=(ice-(ufrag|pwd)|candidate|end-of)/.test(line))
    expect(rest(answer)).toEqual(rest(ANSWER))
  })
  it('keeps the candidates when the fragment names none', () => {
    const answer = withFragment(ANSWER, lines('a=ice-ufrag:srv2', 'a=ice-pwd:p'))
    expect(answer.match(/192\.0\.2\.1 8082/g)).toHaveLength(1)
  })
  it('refuses a fragment without credentials', () => {
    expect(() => withFragment(ANSWER, 'a=mid:0\r\n')).toThrow()
  })
})

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
