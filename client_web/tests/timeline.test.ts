/*
 * Finding the shared screen's moment for a moment of the voice.
 */
import { describe, expect, it } from 'vitest'
import { dateAt, followRate, screenTime, timeAt, type Piece } from '../src/library/timeline'

const T0 = 1_767_600_000_000
const pieces = (first: number, count: number, length = 8): Piece[] =>
  Array.from({ length: count }, (_, at) => ({
    start: at * length,
    duration: length,
    programDateTime: T0 + (first + at * length) * 1000,
  }))

describe('a screen shared from second 16 to second 40', () => {
  const main = pieces(0, 10)
  const screen = pieces(16, 3)
  it.each([
    [0, null],
    [15, null],
    [16, 0],
    [20.5, 4.5],
    [39.9, 23.9],
    [41, null],
  ])('at %d is at %j', (time, wanted) => {
    const found = screenTime(main, screen, time)
    if (wanted === null) expect(found).toBeNull()
    else expect(found).toBeCloseTo(wanted, 6)
  })
  it('is hidden in a gap', () => {
    const holed = screen.map((piece, at) => ({ ...piece, gap: at === 1 }))
    expect(screenTime(main, holed, 26)).toBeNull()
    expect(screenTime(main, holed, 18)).toBeCloseTo(2, 6)
  })
})

describe('two shares with a pause between them', () => {
  // The playlist puts them end to end; only their dates tell of the pause.
  const screen = [
    ...pieces(8, 1),
    ...pieces(48, 1).map((piece) => ({ ...piece, start: piece.start + 8 })),
  ]
  it('are found each at its date', () => {
    const main = pieces(0, 10)
    expect(screenTime(main, screen, 10)).toBeCloseTo(2, 6)
    expect(screenTime(main, screen, 30)).toBeNull()
    expect(screenTime(main, screen, 50)).toBeCloseTo(10, 6)
  })
})

describe('a main playlist with an outage', () => {
  it('follows its dates across the hole', () => {
    const main = [
      ...pieces(0, 1),
      ...pieces(100, 1).map((piece) => ({ ...piece, start: piece.start + 8 })),
    ]
    expect(dateAt(main, 9)).toBe(T0 + 101_000)
    expect(timeAt(pieces(96, 2), T0 + 101_000)).toBeCloseTo(5, 6)
  })
})

describe('playlists without dates', () => {
  const bare = (count: number): Piece[] =>
    pieces(0, count).map((piece) => ({ ...piece, programDateTime: null }))
  it('are taken to begin together', () => {
    expect(screenTime(bare(4), bare(2), 10)).toBe(10)
    expect(screenTime(bare(4), bare(2), 20)).toBeNull()
  })
})

describe('the rate of the follower', () => {
  it('is the leader’s when in step, slower when ahead, faster when behind, within bounds', () => {
    expect(followRate(1, 0.01)).toBe(1)
    expect(followRate(1, 0.1)).toBeCloseTo(0.96)
    expect(followRate(2, -0.1)).toBeCloseTo(2.08)
    expect(followRate(1, 5)).toBeCloseTo(0.92)
    expect(followRate(1, -5)).toBeCloseTo(1.08)
  })
})
