/*
 * Where the shared screen stands when the voice stands at some second.
 *
 * Pure. Camera and screen are two playlists whose segments carry the date they were taught
 * (EXT-X-PROGRAM-DATE-TIME), so a moment of one is found in the other through that date. Where a
 * playlist carries no dates both are taken to begin together.
 */

/** The part of a playlist's segment that matters here; times in seconds, date in ms or null. */
export interface Piece {
  start: number
  duration: number
  programDateTime: number | null
  gap?: boolean | undefined
  /** Nobody taught for long. */
  away?: boolean | undefined
}

/** Rounding of dates to milliseconds leaves seams between segments. */
const SEAM = 0.25

/** The date (ms) of `time` in `pieces`, or null where the playlist says none. */
export function dateAt(pieces: readonly Piece[], time: number): number | null {
  const piece = pieceAt(pieces, time)
  if (piece === null || piece.programDateTime === null) return null
  return piece.programDateTime + (time - piece.start) * 1000
}

/** The time in `pieces` of what was taught at `date`, or null when nothing was shown then. */
export function timeAt(pieces: readonly Piece[], date: number): number | null {
  for (const piece of pieces) {
    if (piece.programDateTime === null || piece.gap === true) continue
    const inside = (date - piece.programDateTime) / 1000
    if (inside >= -SEAM && inside < piece.duration + SEAM)
      return piece.start + Math.min(Math.max(inside, 0), piece.duration)
  }
  return null
}

/** The time in `screen` that belongs to `time` in `main`, or null when no screen was shared. */
export function screenTime(
  main: readonly Piece[],
  screen: readonly Piece[],
  time: number,
): number | null {
  const date = dateAt(main, time)
  if (date !== null && screen.some((piece) => piece.programDateTime !== null))
    return timeAt(screen, date)
  const piece = pieceAt(screen, time)
  return piece === null || piece.gap === true ? null : time
}

function pieceAt(pieces: readonly Piece[], time: number): Piece | null {
  return (
    pieces.find((piece) => time >= piece.start && time < piece.start + piece.duration) ??
    // At the very end the last piece still counts.
    (pieces.length > 0 && isNear(pieces[pieces.length - 1], time)
      ? (pieces[pieces.length - 1] ?? null)
      : null)
  )
}

function isNear(piece: Piece | undefined, time: number): boolean {
  if (piece === undefined) return false
  const end = piece.start + piece.duration
  return time >= end && time < end + SEAM
}

/**
 * How fast the screen should play to fall in step: `drift` seconds ahead (positive) or behind.
 *
 * Small differences are evened out by playing up to 8 % slower or faster, which nobody sees.
 */
export function followRate(rate: number, drift: number): number {
  if (Math.abs(drift) < 0.02) return rate
  return rate * (1 - Math.max(-0.08, Math.min(0.08, drift * 0.4)))
}
