/*
 * What a lesson of the list is: playable, running, how long, and where its recording is.
 *
 * Pure. Finding lessons is the servers' work (classroom/library/search.py); asking is shelf.ts.
 */
import type { Lesson } from '../api'

/** Something of it is safe on disk, so that it can be played. */
export function isPlayable(lesson: Lesson): boolean {
  if (lesson.playable !== undefined) return lesson.playable
  return lesson.relay !== null && lesson.state !== 'planned' && lengthOf(lesson) > 0
}

export const isRunning = (lesson: Lesson): boolean => lesson.state === 'live'

/** Seconds recorded so far. */
export const lengthOf = (lesson: Lesson): number => lesson.duration ?? lesson.recording.seconds

/** Who has it: a relay that lists it has it, the control plane names the relay. */
export const hostOf = (lesson: Lesson, origin: string): string =>
  lesson.playable === undefined ? (lesson.relay ?? origin) : origin

/** Where its recording is. */
export const archiveOf = (lesson: Lesson, origin: string): string =>
  `${hostOf(lesson, origin)}/archives/${lesson.id}`
