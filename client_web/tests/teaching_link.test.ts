/*
 * What a teacher is told of links: the classes' and the own one; and the voice that poor ones wish.
 */
import { describe, expect, it } from 'vitest'
import type { RoomRung, RungName, ServerMessage } from '../src/events/wire'
import { en } from '../src/i18n/en'
import { vi as vietnamese } from '../src/i18n/vi'
import { calledBy, Classes } from '../src/teach/classes'
import { UplinkWatch } from '../src/teach/uplink'
import { withVoiceWish } from '../src/webrtc/voice'

const room = (key: string, rung: RungName, reason = 'link'): RoomRung => ({
  room: key,
  name: `Lớp ${key}`,
  rung,
  reason,
  since: 1e9,
  school: '',
})
const told = (rooms: RoomRung[], gone: string[] = [], reset = false): ServerMessage => ({
  kind: 'rooms',
  lesson: 'toan-8',
  reset,
  rooms,
  gone,
})

describe('the classes', () => {
  it('are counted by what they receive, the weakest named first', () => {
    const classes = new Classes()
    classes.receive(told([room('1', 'full'), room('3', 'stills'), room('2', 'stills')], [], true))
    classes.receive(told([room('4', 'voice'), room('5', 'small', 'starting')]))
    const { weak, ...counts } = classes.summary('toan-8')
    expect(counts).toEqual({ known: 4, unseen: 0, video: 1, stills: 2, voice: 1, late: 0 })
    expect(weak.map((one) => one.room)).toEqual(['4', '2', '3'])
    expect(classes.summary('van-8').known).toBe(0)
  })
  it('are called by their school, too, where that has a relay of its own', () => {
    const one = { ...room('1', 'voice'), name: 'Lớp 5A', school: 'Tiểu học Trà Leng' }
    expect(calledBy(one, '?')).toBe('Lớp 5A · Tiểu học Trà Leng')
    expect(calledBy({ ...one, name: '' }, '?')).toBe('Tiểu học Trà Leng')
    expect(calledBy({ ...one, school: '' }, '?')).toBe('Lớp 5A')
    expect(calledBy({ ...one, name: '', school: '' }, '?')).toBe('?')
  })
  it('come and go by changes alone, until all is told anew', () => {
    const classes = new Classes()
    classes.receive(told([room('1', 'full'), room('2', 'voice')], [], true))
    classes.receive(told([room('2', 'full')], ['1', '9']))
    expect(classes.summary('toan-8')).toMatchObject({ known: 1, video: 1, voice: 0 })
    classes.receive(told([room('7', 'stills')], [], true))
    expect(classes.summary('toan-8')).toMatchObject({ known: 1, stills: 1 })
    classes.receive({
      kind: 'welcome',
      name: '',
      role: 'teacher',
      lesson: null,
      server_time: 1e9,
    })
    expect(classes.summary('toan-8').known).toBe(0)
  })
  it('are not called weak for what the teacher does not send', () => {
    const classes = new Classes()
    const silent = ['1', '2'].map((key) => room(key, 'voice', 'source'))
    classes.receive(told([...silent, room('3', 'full', 'source'), room('4', 'voice')], [], true))
    const { weak, ...counts } = classes.summary('toan-8')
    expect(counts).toEqual({ known: 4, unseen: 2, video: 1, stills: 0, voice: 1, late: 0 })
    expect(weak.map((one) => one.room)).toEqual(['4'])
  })
  it('that watch the recording are behind, whatever their link', () => {
    const classes = new Classes()
    classes.receive(told([room('1', 'catch-up', 'missed'), room('2', 'voice'), room('3', 'full')]))
    const { weak, ...counts } = classes.summary('toan-8')
    expect(counts).toEqual({ known: 3, unseen: 0, video: 1, stills: 0, voice: 1, late: 1 })
    expect(weak.map((one) => one.room)).toEqual(['2', '1'])
    expect(en.teach.classes(1, 0, 0, 0, 2)).toBe('1 class watches; 2 watch some time behind you')
  })
  it('are summed up in words that frighten nobody', () => {
    expect(en.teach.classes(12, 3, 0, 0, 0)).toBe(
      '12 classes watch; 3 see still pictures and hear you',
    )
    expect(en.teach.classes(1, 0, 1, 0, 0)).toBe('1 class watches; 1 hears you')
    expect(en.teach.classes(0, 0, 1, 12, 0)).toBe(
      '12 classes hear you, as you send no picture; 1 hears you',
    )
    expect(vietnamese.teach.classes(0, 0, 0, 2, 0)).toBe(
      '2 lớp nghe tiếng, vì thầy cô không gửi hình',
    )
    expect(vietnamese.teach.classes(12, 3, 1, 0, 0)).toBe(
      '12 lớp đang xem hình; 3 lớp xem ảnh tĩnh và nghe tiếng; 1 lớp nghe tiếng',
    )
  })
})

interface Sent {
  /** Pictures sent so far by each camera layer, lowest first. */
  frames: number[]
  limited?: boolean
  lost?: number
  available?: number
}

function stats({ frames, limited = false, lost = 0, available = 2_000_000 }: Sent): RTCStatsReport {
  const reason = limited ? 'bandwidth' : 'none'
  const video = { type: 'outbound-rtp', kind: 'video', qualityLimitationReason: reason }
  const entries = [
    ...frames.map((framesSent, at) => ({ ...video, id: `camera-${at}`, mid: '1', framesSent })),
    { ...video, id: 'screen', mid: '2', framesSent: 7, qualityLimitationReason: 'none' },
    { type: 'remote-inbound-rtp', id: 'voice', kind: 'audio', fractionLost: lost },
    { type: 'candidate-pair', id: 'pair', nominated: true, availableOutgoingBitrate: available },
  ]
  return new Map(entries.map((entry) => [entry.id, entry])) as unknown as RTCStatsReport
}

/** What is said after each second of `seconds`. */
function watch(watching: UplinkWatch, from: number, seconds: number, at: (n: number) => Sent) {
  let state = watching.state
  for (let second = from; second < from + seconds; second += 1) {
    watching.note(stats(at(second)), '1', second * 1000)
    state = watching.state
  }
  return state
}

describe('the own link', () => {
  const all = (second: number): Sent => ({ frames: [second, second, second] })
  const topGone = (second: number): Sent => ({ frames: [second, second, 20], limited: true })
  it('is good while every layer moves, even if the encoder feels limited', () => {
    expect(watch(new UplinkWatch(), 0, 60, all)).toBe('good')
    const limited = (second: number): Sent => ({ ...all(second), limited: true })
    expect(watch(new UplinkWatch(), 0, 60, limited)).toBe('good')
  })
  it('is called weak when an upper layer is gone for long, and good again later', () => {
    const watching = new UplinkWatch()
    expect(watch(watching, 0, 20, all)).toBe('good')
    expect(watch(watching, 20, 10, topGone)).toBe('good')
    expect(watch(watching, 30, 20, topGone)).toBe('weak')
    expect(watch(watching, 50, 10, all)).toBe('weak')
    expect(watch(watching, 60, 10, all)).toBe('good')
  })
  it('is called weak when the voice loses much', () => {
    const lossy = (second: number): Sent => ({ ...all(second), lost: 0.15 })
    expect(watch(new UplinkWatch(), 0, 20, lossy)).toBe('weak')
  })
  it('carries the voice alone when no layer moves', () => {
    const silent: Sent = { frames: [20, 20, 20], limited: true, available: 60_000 }
    expect(watch(new UplinkWatch(), 0, 30, () => silent)).toBe('voice-only')
  })
  it('is narrow at once when little more than the voice fits, and no more after a while', () => {
    const watching = new UplinkWatch()
    const wide = (second: number): Sent => ({ ...all(second), available: 300_000 })
    const between = (second: number): Sent => ({ ...all(second), available: 180_000 })
    watch(watching, 0, 60, between)
    expect(watching.isNarrow).toBe(false)
    watch(watching, 60, 1, (second) => ({ ...all(second), available: 120_000 }))
    expect(watching.isNarrow).toBe(true)
    watch(watching, 61, 60, between)
    watch(watching, 121, 20, wide)
    expect(watching.isNarrow).toBe(true)
    // A new connection proves nothing.
    watching.reset()
    watch(watching, 200, 20, wide)
    expect(watching.isNarrow).toBe(true)
    watch(watching, 220, 1, wide)
    expect(watching.isNarrow).toBe(false)
  })
  it('is not blamed for a camera that is off, or for slides that stand still', () => {
    const watching = new UplinkWatch()
    for (let second = 0; second < 60; second += 1)
      watching.note(stats({ frames: [20, 20, 20] }), null, second * 1000)
    expect(watching.state).toBe('good')
  })
})

const ANSWER = [
  'v=0',
  'm=audio 9 UDP/TLS/RTP/SAVPF 63 111',
  'a=mid:0',
  'a=rtpmap:63 red/48000/2',
  'a=fmtp:63 111/111',
  'a=rtpmap:111 opus/48000/2',
  'a=rtcp-fb:111 nack',
  'a=fmtp:111 minptime=10;useinbandfec=1',
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'a=mid:1',
  'a=rtpmap:96 VP9/90000',
  '',
].join('\r\n')

describe('a wish for the voice', () => {
  const poor = { maxaveragebitrate: 24_000, ptime: 60, dtx: true }
  it('is written into the section of the voice, and nowhere else', () => {
    const wished = withVoiceWish(ANSWER, poor)
    expect(wished).toContain(
      'a=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=24000;usedtx=1\r\n',
    )
    expect(wished).toContain('a=fmtp:63 111/111\r\n')
    expect(wished).toContain('a=ptime:60\r\nm=video')
    expect(wished.split('m=video')[1]).toBe(ANSWER.split('m=video')[1])
  })
  it('replaces the wish before it', () => {
    const well = { maxaveragebitrate: 32_000, ptime: 20, dtx: false }
    const again = withVoiceWish(withVoiceWish(ANSWER, poor), well)
    expect(again).toBe(withVoiceWish(ANSWER, well))
    expect(again.match(/a=ptime/g)).toHaveLength(1)
    expect(again.match(/maxaveragebitrate/g)).toHaveLength(1)
  })
  it('changes nothing when it is in there already, or without Opus', () => {
    const wished = withVoiceWish(ANSWER, poor)
    expect(withVoiceWish(wished, poor)).toBe(wished)
    const other = ANSWER.replace('opus/48000', 'PCMU/8000')
    expect(withVoiceWish(other, poor)).toBe(other)
  })
})
