/*
 * What the relay was last told of live media being wanted, and whether to say it again.
 *
 * Pure: dates are arguments, in milliseconds. A message may be lost with a connection or a process
 * of the relay; the rung that the relay tells of this room shows whether it was understood.
 */
import type { CatchUpReason, RungName } from '../events/wire'

/** A message and its answer on a bad link, twice. */
const FIRST_MS = 3_000
/** A relay that knows no such message must not be asked for ever. */
const MOST = 5
/** Until the first bytes of a session that is to send again. */
const RETURN_MS = 3_000

export class Held {
  #session = ''
  #reason: CatchUpReason | null = null
  #saidAt = 0
  #times = 0
  #returnedAt = -Infinity

  /** Whether what is wanted now is to be said although it was said before. */
  note(session: string, reason: CatchUpReason | null, rung: RungName | null, now: number): boolean {
    if (session !== this.#session || reason !== this.#reason) {
      if (reason === null && this.#reason !== null) this.#returnedAt = now
      this.#session = session
      this.#reason = reason
      this.#saidAt = now
      this.#times = 0
      return false
    }
    const isUnderstood = rung === null || (rung === 'catch-up') === (reason !== null)
    if (isUnderstood || this.#times >= MOST || now - this.#saidAt < FIRST_MS * 2 ** this.#times)
      return false
    this.#saidAt = now
    this.#times += 1
    return true
  }

  /** Whether it is right that nothing live comes. */
  excuses(now: number): boolean {
    return this.#reason !== null || now - this.#returnedAt < RETURN_MS
  }
}
