/*
 * What the relay is told of a room that needs nothing live, when it may not have heard it.
 */
import { expect, it } from 'vitest'
import { Held } from '../src/room/held'

const SECONDS = Array.from({ length: 600 }, (_, second) => second * 1000)

it('is said again while the relay shows that it did not hear it, and not for ever', () => {
  const held = new Held()
  const again = SECONDS.filter((now) => held.note('s', 'missed', 'full', now))
  expect(again.length).toBe(5)
  expect(again[0]).toBe(3_000)
  expect(again.at(-1)).toBeLessThan(120_000)
})
it('is not said again when the relay heard it, or has said nothing yet', () => {
  const held = new Held()
  expect(SECONDS.some((now) => held.note('s', 'missed', 'catch-up', now))).toBe(false)
  expect(SECONDS.some((now) => held.note('s', 'paused', null, now))).toBe(false)
  // That it is wanted again was lost.
  expect(held.note('s', null, 'catch-up', 0)).toBe(false)
  expect(held.note('s', null, 'catch-up', 5_000)).toBe(true)
  expect(held.note('s', null, 'small', 20_000)).toBe(false)
})
it('excuses silence, and for a moment after', () => {
  const held = new Held()
  expect(held.excuses(0)).toBe(false)
  held.note('s', 'choice', null, 0)
  expect(held.excuses(1e6)).toBe(true)
  held.note('s', null, null, 1e6)
  expect(held.excuses(1e6 + 1_000)).toBe(true)
  expect(held.excuses(1e6 + 4_000)).toBe(false)
})
