/*
 * Which lesson a teacher most likely wants to teach now, and which are worth a row.
 *
 * Pure. A planned lesson of somebody else can be taught, but never by accident.
 */
import type { Lesson } from '../api'

/** Who planned a lesson for yesterday and forgot it does not look for it today. */
const PAST_S = 24 * 3600
/** An own lesson planned further ahead than this is not the one for now. */
const AHEAD_S = 12 * 3600

export interface Choice {
  lessons: Lesson[]
  /** The lesson to begin with; null for a new one. */
  preset: string | null
}

/** `now` in unix seconds. Own ones first; running ones before planned, by nearness to `now`. */
export function choiceOf(all: readonly Lesson[], now: number): Choice {
  const distance = (one: Lesson): number =>
    one.planned_at === null ? Infinity : Math.abs(one.planned_at - now)
  const rank = (one: Lesson): number => (one.mine === true ? 0 : 2) + (one.state === 'live' ? 0 : 1)
  const lessons = all
    .filter((one) => one.state === 'live' || (one.planned_at ?? now) >= now - PAST_S)
    .sort((one, other) => rank(one) - rank(other) || compare(distance(one), distance(other)))
  const own = lessons.find(
    (one) =>
      one.mine === true && (one.state === 'live' || (one.planned_at ?? now) <= now + AHEAD_S),
  )
  return { lessons, preset: own?.id ?? null }
}

/** As a difference, but equal for two infinite ones. */
const compare = (one: number, other: number): number => (one === other ? 0 : one - other)
