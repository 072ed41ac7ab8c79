/*
 * The list of lessons: what can be watched, and finding one by words.
 *
 * Pure: lists in, lists out. Words are compared without diacritics, as classroom/library/search.py
 * compares them: "dinh luat" finds "Định luật".
 */
import type { Lesson } from '../api'

export type Filter = 'all' | 'recorded' | 'running'

/** `text` in lower case without diacritics: "Đường thẳng" becomes "duong thang". */
export function fold(text: string): string {
  return text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().replace(/đ/g, 'd')
}

const wordsOf = (text: string): string[] =>
  fold(text)
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean)

/** Something of it is safe on disk, so that it can be played. */
export function isPlayable(lesson: Lesson): boolean {
  if (lesson.playable !== undefined) return lesson.playable
  return lesson.relay !== null && lesson.state !== 'planned' && lengthOf(lesson) > 0
}

export const isRunning = (lesson: Lesson): boolean => lesson.state === 'live'

/** Seconds recorded so far. */
export const lengthOf = (lesson: Lesson): number => lesson.duration ?? lesson.recording.seconds

/** Where its recording is: a relay that lists it has it, the control plane names the relay. */
export function archiveOf(lesson: Lesson, origin: string): string {
  const server = lesson.playable === undefined ? (lesson.relay ?? origin) : origin
  return `${server}/archives/${lesson.id}`
}

/** What was begun, newest first; titles that hold every word come before other matches. */
export function find(lessons: readonly Lesson[], words: string, filter: Filter): Lesson[] {
  const wanted = wordsOf(words)
  const found: { lesson: Lesson; inTitle: boolean }[] = []
  for (const lesson of lessons) {
    if (lesson.state === 'planned') continue
    if (filter === 'running' && !isRunning(lesson)) continue
    if (filter === 'recorded' && isRunning(lesson)) continue
    const title = wordsOf(lesson.title)
    const rest = wordsOf(`${lesson.teacher} ${lesson.subject ?? ''} ${lesson.grade ?? ''}`)
    const holds = (list: string[]) => (word: string) => list.some((one) => one.startsWith(word))
    if (!wanted.every(holds([...title, ...rest]))) continue
    found.push({ lesson, inTitle: wanted.every(holds(title)) })
  }
  found.sort(
    (one, other) =>
      Number(other.inTitle) - Number(one.inTitle) ||
      Number(isRunning(other.lesson)) - Number(isRunning(one.lesson)) ||
      (other.lesson.started_at ?? 0) - (one.lesson.started_at ?? 0),
  )
  return found.map((entry) => entry.lesson)
}
