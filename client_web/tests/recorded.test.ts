/*
 * What a playlist tells of a running lesson, clocks that differ, and the pace of catching up.
 */
import { describe, expect, it } from 'vitest'
import {
  afterGap,
  catchUpRate,
  firstVariant,
  LessonClock,
  readPlaylist,
  taughtBetween,
} from '../src/room/recorded'

const EPOCH = Date.parse('2026-03-01T01:00:00.500Z')
/** As relay/record/hls writes them; a second take begins at 24 s. */
const PLAYLIST = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:10
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-MAP:URI="voice/init-0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T01:00:00.500Z
#EXTINF:8.00000,
voice/0.m4s
#EXTINF:8.00000,away
voice/fill-384000-768000.m4s
#EXTINF:8.00000,away
voice/fill-768000-1152000.m4s
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-03-01T01:00:24.500Z
#EXTINF:8.00000,
voice/3.m4s
#EXTINF:4.00000,nothing
voice/fill-1536000-1728000.m4s
`

describe('a playlist', () => {
  it('tells when the lesson began, how far it reaches, and what was taught', () => {
    const recorded = readPlaylist(PLAYLIST)
    if (recorded === null) throw new Error('not read')
    expect([recorded.epoch, recorded.end, recorded.isFinished]).toEqual([EPOCH, 36, false])
    expect(taughtBetween(recorded, 0, 36)).toBe(16)
    expect(taughtBetween(recorded, 4, 25)).toBe(5)
    expect(taughtBetween(recorded, 8, 24)).toBe(0)
    expect(taughtBetween(recorded, 100, 200)).toBe(0)
    expect(readPlaylist(`${PLAYLIST}#EXT-X-ENDLIST\n`)?.isFinished).toBe(true)
  })
  it('reaches into the segment that grows', () => {
    const parts = (count: number): string =>
      '#EXT-X-PART:DURATION=1.00000,URI="voice/4.m4s?tail=1",BYTERANGE="9@0"\n'.repeat(count)
    const text = PLAYLIST.replace('#EXTINF:4', `${parts(4)}#EXTINF:4`) + parts(3)
    const recorded = readPlaylist(text)
    if (recorded === null) throw new Error('not read')
    expect(recorded.end).toBe(39)
    expect(taughtBetween(recorded, 0, 99)).toBe(19)
  })
  it('may as well be rubbish', () => {
    expect(readPlaylist('')).toBeNull()
    expect(readPlaylist('<!doctype html><p>Log in to the school network</p>')).toBeNull()
    expect(readPlaylist('#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:never\n#EXTINF:8,\na')).toBeNull()
    expect(firstVariant('#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\ncamera-q.m3u8\n')).toBe(
      'camera-q.m3u8',
    )
    expect(firstVariant('')).toBeNull()
  })
  it('has gaps that are passed over', () => {
    const pieces = readPlaylist(PLAYLIST)?.stretches.map(({ start, end, title }) => ({
      start,
      duration: end - start,
      away: title === 'away',
    }))
    const after = (time: number): number | null => afterGap(pieces ?? [], time)
    expect([after(4), after(8), after(20), after(24), after(99)]).toEqual([
      null,
      24,
      24,
      null,
      null,
    ])
    expect(afterGap([{ start: 0, duration: 8, away: true }], 3)).toBe(Infinity)
  })
})

describe('clocks', () => {
  it('of one school are the same', () => {
    const clock = new LessonClock()
    clock.note(EPOCH + 10_000, EPOCH + 22_000)
    clock.note(EPOCH + 18_000, EPOCH + 22_500)
    expect(clock.taughtAt(EPOCH + 60_000)).toBe(EPOCH + 60_000)
  })
  it.each([-3e10, -20_000, 90_000, 3e10])('may be %d ms apart', (apart) => {
    const clock = new LessonClock()
    for (let second = 0; second < 60; second += 1) {
      const listed = EPOCH + Math.floor(second / 8) * 8_000
      clock.note(listed, EPOCH + second * 1000 + apart)
    }
    const taught = clock.taughtAt(EPOCH + 60_000 + apart)
    expect(Math.abs(taught - (EPOCH + 60_000))).toBeLessThan(5_000)
  })
})

describe('the pace of catching up', () => {
  const calm = { late: 120, target: 0, ahead: 100, buffered: 30, before: 1.25 }
  it('is between 1.1 and 1.25, less the nearer it is', () => {
    const rates = [600, 60, 30, 20, 12, 6, 3].map((late) => catchUpRate({ ...calm, late }))
    expect(rates[0]).toBe(1.25)
    expect(rates.at(-1)).toBeCloseTo(1.1)
    expect([...rates].sort((one, other) => other - one)).toEqual(rates)
  })
  it('is the ordinary one where the room is to be', () => {
    expect(catchUpRate({ ...calm, late: 0.5 })).toBe(1)
    expect(catchUpRate({ ...calm, late: 40, target: 40 })).toBe(1)
    expect(catchUpRate({ ...calm, late: 80, target: 40 })).toBeGreaterThan(1.15)
  })
  it('never plays a weak link dry, and does not waver', () => {
    expect(catchUpRate({ ...calm, buffered: 3 })).toBe(1)
    expect(catchUpRate({ ...calm, buffered: 6, before: 1 })).toBe(1)
    expect(catchUpRate({ ...calm, buffered: 6 })).toBe(1.25)
    // What is loaded is all there is.
    expect(catchUpRate({ ...calm, late: 5, ahead: 2, buffered: 2 })).toBeCloseTo(1.1)
  })
})
