/*
 * The recording while a room watches it: how far behind it is, at which pace it plays, past what was
 * not recorded, and how it gives way to the lesson.
 *
 * Lives here: steering a player (library/player). What must not: whether the room is to watch the
 * recording at all (catch_up), elements, words. Dates are milliseconds of the relay's clock.
 */
import type { Player } from '../library/player'
import type { Playing } from './catch_up'
import type { Listing } from './listing'
import { afterGap, catchUpRate } from './recorded'

/** The voice of the recording goes down while the live one comes up. */
const FADE_MS = 400
const FADE_STEPS = 8
/** A recording that does not grow any more after the lesson's end is over. */
const END_MS = 20_000
/** So little is left at its end. */
const END_S = 0.2
/** The newest parts are listed for who is this near to the lesson, and no more from so far on. */
const NEAR_S = 20
const FAR_S = 30
const SKIPPED_SHOWN_MS = 8_000

export class Replay {
  #end = 0
  #grewAt = 0
  #skipped: { seconds: number; at: number } | null = null
  #fading: ReturnType<typeof setInterval> | null = null

  /** from: the date that it was opened for. */
  constructor(
    readonly player: Player,
    readonly from: number,
    private readonly listing: Listing,
  ) {
    player.main.preservesPitch = true
    player.setNear(listing.age(from) < NEAR_S)
  }

  get isReady(): boolean {
    return this.player.state === 'ready' && this.player.main.readyState >= 2
  }

  /** It plays no further for want of data. */
  get isWaiting(): boolean {
    return this.player.waiting || this.player.state === 'failed'
  }

  /** Seconds behind the lesson. */
  late(date: number): number {
    return Math.max(0, (this.listing.timeOf(date) ?? 0) - this.player.time)
  }

  /** Seconds that were passed over just now since nothing was recorded, or null. */
  skipped(date: number): number | null {
    const isNew = this.#skipped !== null && date - this.#skipped.at < SKIPPED_SHOWN_MS
    return isNew ? (this.#skipped?.seconds ?? null) : null
  }

  /** How it plays now; call a few times a second. */
  look(date: number, isEnded: boolean): Playing {
    const { player } = this
    if (player.edge > this.#end) {
      this.#end = player.edge
      this.#grewAt = date
      this.listing.note(this.#end)
    }
    const isDry = isEnded && this.#ahead < END_S && date - this.#grewAt > END_MS
    return {
      isReady: this.isReady,
      late: this.late(date),
      ahead: this.#ahead,
      isOver: player.main.ended || isDry,
    }
  }

  stop(): void {
    if (!this.player.main.paused) this.player.main.pause()
  }

  /** Play on, to be `target` seconds behind the lesson in the end. */
  play(date: number, target: number, isEnded: boolean): void {
    const { player } = this
    const { main } = player
    if (player.state !== 'ready') return
    if (main.paused && !main.ended && !player.blocked) player.play()
    const gap = afterGap(player.pieces, player.time)
    if (gap !== null && gap < Infinity && !main.seeking) {
      this.#skipped = { seconds: gap - player.time, at: date }
      player.seek(gap + 0.05)
    }
    const { late, ahead, buffered, before } = {
      late: this.late(date),
      ahead: this.#ahead,
      buffered: player.buffered,
      before: main.playbackRate,
    }
    if (late < NEAR_S || late > FAR_S) player.setNear(late < NEAR_S && target === 0)
    const rate = isEnded ? 1 : catchUpRate({ late, target, ahead, buffered, before })
    if (main.playbackRate !== rate) player.setRate(rate)
  }

  /** The voice goes softly; true when it is gone. */
  fade(): boolean {
    const { main } = this.player
    if (main.paused || main.volume <= 0) return true
    this.#fading ??= setInterval(() => {
      main.volume = Math.max(0, main.volume - 1 / FADE_STEPS)
      if (main.volume <= 0) main.pause()
    }, FADE_MS / FADE_STEPS)
    return false
  }

  close(): void {
    if (this.#fading !== null) clearInterval(this.#fading)
    this.player.close()
  }

  get #ahead(): number {
    return Math.max(0, this.player.edge - this.player.time)
  }
}
