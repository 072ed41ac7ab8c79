/*
 * What is recorded of a running lesson, read from one of its playlists, and how late a room is.
 *
 * Pure: text and numbers in, numbers out. Dates are milliseconds since 1970, times are seconds from
 * the beginning of the recording. What must not live here: fetching, playing, deciding.
 */

/** How the recorder titles what only fills a time in which nobody taught (relay/record/hls). */
export const AWAY = 'away'
const NOTHING = 'nothing'

export interface Stretch {
  start: number
  end: number
  title: string
}

export interface Recorded {
  /** The date at which time 0 was taught. */
  epoch: number
  /** Where what is listed ends. */
  end: number
  stretches: readonly Stretch[]
  /** Nothing will follow. */
  isFinished: boolean
}

/** The playlist's content, or null when it lists nothing or gives no date. */
export function readPlaylist(text: string): Recorded | null {
  const stretches: Stretch[] = []
  let epoch: number | null = null
  let at = 0
  let next: { length: number; title: string } | null = null
  /** Of the segment that grows, in parts; those of a whole one stand before it. */
  let growing = 0
  for (const line of text.split('\n')) {
    const length = /^#EXTINF:([\d.]+),?(.*)$/.exec(line)
    const date = /^#EXT-X-PROGRAM-DATE-TIME:(.+)$/.exec(line)
    const part = /^#EXT-X-PART:DURATION=([\d.]+)/.exec(line)
    if (part !== null) growing += Number.parseFloat(part[1] ?? '')
    else if (length !== null) {
      next = { length: Number.parseFloat(length[1] ?? ''), title: (length[2] ?? '').trim() }
    } else if (date !== null) {
      const read = Date.parse(date[1] ?? '')
      // Later ones repeat it from where they stand.
      if (epoch === null && Number.isFinite(read)) epoch = read - at * 1000
    } else if (next !== null && line !== '' && !line.startsWith('#')) {
      stretches.push({ start: at, end: at + next.length, title: next.title })
      at += next.length
      next = null
      growing = 0
    }
  }
  if (growing > 0) stretches.push({ start: at, end: at + growing, title: '' })
  at += growing
  if (epoch === null || stretches.length === 0) return null
  return { epoch, end: at, stretches, isFinished: text.includes('#EXT-X-ENDLIST') }
}

/** The address of the first media playlist that a master playlist names, or null. */
export function firstVariant(text: string): string | null {
  return text.split('\n').find((line) => line !== '' && !line.startsWith('#')) ?? null
}

/** Seconds of teaching between two times. */
export function taughtBetween(recorded: Recorded, from: number, to: number): number {
  let sum = 0
  for (const { start, end, title } of recorded.stretches)
    if (title !== AWAY && title !== NOTHING)
      sum += Math.max(0, Math.min(end, to) - Math.max(start, from))
  return sum
}

/** Where teaching goes on when `time` is in a stretch without any; null when it is not in one. */
export function afterGap(
  pieces: readonly { start: number; duration: number; away?: boolean | undefined }[],
  time: number,
): number | null {
  let at = pieces.findIndex((one) => time >= one.start && time < one.start + one.duration)
  if (at < 0 || pieces[at]?.away !== true) return null
  while (pieces[at]?.away === true) at += 1
  const next = pieces[at]
  // Infinity: nothing was taught since.
  return next === undefined ? Infinity : next.start
}

/** No listed end is nearer to the lesson than this: segments are listed when they are whole. */
const NEAREST_MS = 3_000
/** Clocks of one school's machines agree better than this, or not at all. */
const PLAUSIBLE_MS = 60_000

/**
 * Tells dates of this relay's clock from those of the recording, which another relay's clock wrote.
 *
 * A relay that was without power may be years off. The end of the list grows with the lesson, so
 * how far it was behind at the least says how the two clocks stand.
 */
export class LessonClock {
  #leastMs = Infinity

  /** The list's end, `edge`, was seen at `date`. */
  note(edge: number, date: number): void {
    this.#leastMs = Math.min(this.#leastMs, date - edge)
  }

  /** The recording's date of what is taught at `date` of this relay's clock. */
  taughtAt(date: number): number {
    const isSame =
      this.#leastMs === Infinity || (this.#leastMs >= 0 && this.#leastMs < PLAUSIBLE_MS)
    return isSame ? date : date - (this.#leastMs - NEAREST_MS)
  }
}

/** Bounds that a voice stays natural in. */
const SLOWEST = 1.1
const FASTEST = 1.25
const STEP = 0.05
/** Seconds behind at which it is as fast as it gets. */
const FAR_S = 30
const NEAR_S = 3
/** A class hears a stop as a fault: it goes no faster than the link brings more. */
const LOW_S = 4
const ENOUGH_S = 8

/**
 * How fast to play `late` seconds behind the lesson, to be `target` behind it.
 *
 * ahead: seconds until the end of the list. buffered: of these, loaded. before: the rate until now.
 */
export function catchUpRate(now: {
  late: number
  target: number
  ahead: number
  buffered: number
  before: number
}): number {
  const excess = now.late - now.target
  if (excess <= 1) return 1
  const isShort = now.buffered < (now.before > 1 ? LOW_S : ENOUGH_S)
  if (isShort && now.ahead > now.buffered + 1) return 1
  const share = Math.min(1, Math.max(0, (excess - NEAR_S) / (FAR_S - NEAR_S)))
  const rate = SLOWEST + (FASTEST - SLOWEST) * share
  return Math.round(rate / STEP) * STEP
}
