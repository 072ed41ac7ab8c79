/*
 * The lesson that a teacher's page begins with.
 */
import { describe, expect, it } from 'vitest'
import type { Lesson } from '../src/api'
import { choiceOf } from '../src/teach/choice'

const NOW = 1_800_000_000
const HOUR = 3600
const lesson = (id: string, more: Partial<Lesson>): Lesson =>
  ({ id, state: 'planned', planned_at: null, ...more }) as Lesson
const at = (hours: number): number => NOW + hours * HOUR
const preset = (...lessons: Lesson[]): string | null => choiceOf(lessons, NOW).preset
const listed = (...lessons: Lesson[]): string[] =>
  choiceOf(lessons, NOW).lessons.map((one) => one.id)

describe('the lesson chosen beforehand', () => {
  it('is never somebody else’s, running or planned', () => {
    expect(preset(lesson('theirs', { state: 'live', mine: false }))).toBeNull()
    expect(preset(lesson('theirs', { planned_at: at(0) }))).toBeNull()
  })
  it('is the own one that runs', () => {
    const planned = lesson('planned', { mine: true, planned_at: at(0) })
    const running = lesson('running', { mine: true, state: 'live', planned_at: at(-3) })
    expect(preset(planned, running)).toBe('running')
  })
  it('is else the own planned one nearest to now, also when it is late', () => {
    const morning = lesson('morning', { mine: true, planned_at: at(-6) })
    const late = lesson('late', { mine: true, planned_at: at(-0.2) })
    const next = lesson('next', { mine: true, planned_at: at(2) })
    expect(preset(morning, next, late)).toBe('late')
    expect(preset(morning, next)).toBe('next')
  })
  it('may be one without a date, and is not one of another day', () => {
    expect(preset(lesson('dateless', { mine: true }))).toBe('dateless')
    expect(preset(lesson('tomorrow', { mine: true, planned_at: at(24) }))).toBeNull()
  })
})

describe('the rows', () => {
  it('hold nothing that was planned for more than a day ago', () => {
    const forgotten = lesson('forgotten', { mine: true, planned_at: at(-25) })
    const running = lesson('running', { state: 'live', planned_at: at(-25) })
    const recent = lesson('recent', { planned_at: at(-23) })
    expect(listed(forgotten, running, recent)).toEqual(['running', 'recent'])
    expect(preset(forgotten)).toBeNull()
  })
  it('begin with the own ones, running before planned, nearest first', () => {
    expect(
      listed(
        lesson('theirs-later', { planned_at: at(5) }),
        lesson('theirs-running', { state: 'live' }),
        lesson('mine-later', { mine: true, planned_at: at(9) }),
        lesson('mine-dateless', { mine: true }),
        lesson('mine-soon', { mine: true, planned_at: at(1) }),
      ),
    ).toEqual(['mine-soon', 'mine-later', 'mine-dateless', 'theirs-running', 'theirs-later'])
  })
})
