/*
 * Whether media moves: told a count once in a while, says when it has stood still for too long.
 *
 * Pure: moments are arguments, in milliseconds of a clock that nobody sets. What is counted is the session's affair.
 */

/** However often media stays away, it is looked for again after this long. */
const LONGEST_PATIENCE_MS = 30_000

export class Pulse {
  #count: number | null = 0
  #movedAt = 0
  #patience: number

  /** `patienceMs`: how long announced media may stand still before it counts as lost. */
  constructor(private readonly patienceMs: number) {
    this.#patience = patienceMs
  }

  /** The last count, or null while no media was expected. */
  get count(): number | null {
    return this.#count
  }

  /** A new connection: its counts begin at nothing. */
  begin(now: number): void {
    this.#count = 0
    this.#movedAt = now
  }

  /** Take note of `count`; null when none is expected now. */
  note(count: number | null, now: number): void {
    if (count === null || count !== this.#count) this.#movedAt = now
    if (count !== null && count !== this.#count) this.#patience = this.patienceMs
    this.#count = count
  }

  isStill(now: number): boolean {
    return now - this.#movedAt >= this.#patience
  }

  /** Media that is announced but never comes must not make us knock ever faster. */
  loosen(): void {
    this.#patience = Math.min(this.#patience * 2, LONGEST_PATIENCE_MS)
  }
}
