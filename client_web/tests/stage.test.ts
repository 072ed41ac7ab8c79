/*
 * What a room's screen says: every combination of facts has a stage, and the right one.
 */
import { describe, expect, it } from 'vitest'
import { stageOf, type Facts, type Stage } from '../src/room/stage'

const CALM: Facts = {
  hasLink: true,
  refused: false,
  events: 'open',
  media: 'live',
  refusal: null,
  unreachable: false,
  flowing: false,
  isBack: false,
  isLate: false,
  hasFlowed: false,
  lesson: { state: 'planned', publishing: false },
}
const refused = (status: number, code = ''): Facts['refusal'] => ({ status, code })
const LIVE = { state: 'live', publishing: true } as const
const CUT_OFF = { state: 'live', publishing: false } as const

const cases: [string, Partial<Facts>, Stage][] = [
  ['no link', { hasLink: false }, 'no-link'],
  ['link refused', { refused: true }, 'expired'],
  ['first connection', { media: 'connecting', lesson: null }, 'connecting'],
  ['planned lesson', {}, 'waiting'],
  ['lesson unknown to the relay', { media: 'connecting', refusal: refused(404) }, 'waiting'],
  ['link for all lessons, none planned', { media: 'idle', lesson: null }, 'waiting'],
  [
    'a relay that forgot its lessons',
    { media: 'recovering', refusal: refused(404), lesson: CUT_OFF, hasFlowed: true },
    'waiting',
  ],
  [
    'media refused because the lesson has ended',
    {
      media: 'recovering',
      refusal: refused(409, 'lesson-ended'),
      lesson: CUT_OFF,
      hasFlowed: true,
    },
    'ended',
  ],
  ['teacher begins', { lesson: LIVE }, 'starting'],
  ['the recording, whatever comes live', { isLate: true, flowing: true }, 'late'],
  [
    'the recording of a lesson that is over',
    { isLate: true, lesson: { state: 'ended', publishing: false } },
    'late',
  ],
  ['media comes', { lesson: LIVE, flowing: true, hasFlowed: true }, 'watching'],
  ['media comes, events away', { events: 'waiting', lesson: null, flowing: true }, 'watching'],
  ['bytes without a lesson', { lesson: CUT_OFF, flowing: true, hasFlowed: true }, 'paused'],
  ['teacher cut off', { lesson: CUT_OFF, hasFlowed: true }, 'paused'],
  ['own link broken', { media: 'recovering', lesson: LIVE, hasFlowed: true }, 'reconnecting'],
  ['own link back', { lesson: LIVE, hasFlowed: true, isBack: true }, 'resuming'],
  ['own link back, teacher away', { lesson: CUT_OFF, hasFlowed: true, isBack: true }, 'paused'],
  ['media stands still', { lesson: LIVE, hasFlowed: true }, 'reconnecting'],
  [
    'relay away',
    { media: 'recovering', events: 'waiting', unreachable: true, lesson: LIVE, hasFlowed: true },
    'unreachable',
  ],
  [
    'relay away at first',
    { media: 'connecting', events: 'waiting', unreachable: true },
    'unreachable',
  ],
  ['no place', { media: 'connecting', refusal: refused(503, 'relay-full') }, 'full'],
  ['too many at once', { media: 'connecting', refusal: refused(429) }, 'full'],
  ['a relay that is only starting', { media: 'connecting', refusal: refused(503) }, 'connecting'],
  [
    'a relay that starts anew',
    { media: 'recovering', refusal: refused(503, 'absent'), lesson: LIVE, hasFlowed: true },
    'reconnecting',
  ],
  ['over', { lesson: { state: 'ended', publishing: false }, media: 'ended' }, 'ended'],
  [
    'last words after the end',
    { lesson: { state: 'ended', publishing: false }, flowing: true },
    'watching',
  ],
  ['published', { lesson: { state: 'published', publishing: false } }, 'ended'],
]

describe('the stage', () => {
  it.each(cases)('%s', (_name, facts, stage) => {
    expect(stageOf({ ...CALM, ...facts })).toBe(stage)
  })
})
