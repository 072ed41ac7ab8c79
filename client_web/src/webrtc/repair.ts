/*
 * Bringing a session's path back: ICE begun anew again and again, and the server asked meanwhile.
 *
 * Lives here: the rhythm of both, and when to give up. What must not: which media is awaited, and
 * making a new session. A restart needs no word to the server: the relay's credentials hold for the
 * life of the session, and it understands the first check that gets through, whatever credentials
 * this side begins with. So nothing waits for a round trip or for the browser's own time-outs, and
 * as long as the link is away there is always a fresh set of checks knocking at it.
 */
import { Problem } from '../http'
import { Sleeper } from '../sleeper'
import { restartIce } from './peer'
import type { SessionResource } from './resource'

/** good: the path stands and what is awaited comes · lost: not so · dead: beyond repair. */
export type Health = 'good' | 'lost' | 'dead'

export interface Patient {
  readonly peer: RTCPeerConnection
  readonly resource: SessionResource
  /** Take new statistics and say how things stand. */
  look(): Promise<Health>
  /** Whether media has moved since the repair began; null where none is expected. */
  moves(): boolean | null
  /** Answers to ICE checks so far, by candidate pair. */
  answers(): ReadonlyMap<string, number>
  /** The server answered over HTTP, or did not. */
  reached(reachable: boolean): void
}

/** The first beginnings follow each other soon: an interface that came back is seen only then. */
const SOON_MS = 1_500
const SOON = 4
/** Later ones keep the checks fresh: a browser drops those unanswered for 15 s. */
const LATER_MS = 3_000
/** With answered checks the path stands, and beginning anew would only shake it. */
const ANSWERED_MS = 6_000
const LOOK_EVERY_MS = 200
/** What a server that answers over HTTP has to bring the media back; then a new session is made. */
const GIVE_UP_MS = 8_000
const ASK_EVERY_MS = 1_000
/** A request caught in the outage waits ever longer between its packets: a new one is faster. */
const ASK_LIMIT_MS = 3_000
const ASK_LIMIT_MOST_MS = 6_000

export class Repair {
  #begunAt = -Infinity
  #beginnings = 0
  #answeredAt = -Infinity
  #reachedAt: number | null = null
  #verdict: Problem | null = null
  #asking: AbortController | null = null
  /** Ask again without a pause. */
  #hurried = false
  #heard: ReadonlyMap<string, number> | null = null
  readonly #end = new AbortController()
  readonly #sleeper = new Sleeper()
  readonly #asker = new Sleeper()

  constructor(private readonly patient: Patient) {}

  /** The network may be back: do not wait for the next turn. */
  nudge(): void {
    this.#begunAt = -Infinity
    this.#beginnings = 0
    this.#hurried = true
    this.#asking?.abort()
    this.#asker.wake()
    this.#sleeper.wake()
  }

  /**
   * Resolves true when the session is well, false when a new one must be made or `stop` aborts.
   *
   * Throws `Problem` when the server says that a newer session has taken its place.
   */
  async run(stop: AbortSignal): Promise<boolean> {
    const abort = (): void => this.#end.abort()
    stop.addEventListener('abort', abort)
    void this.#ask()
    try {
      while (!stop.aborted) {
        const health = await this.patient.look()
        if (health === 'dead') return false
        this.#hear(performance.now())
        // The browser's word that it is connected may be an old one: an answer is news.
        const isBack = this.patient.moves() ?? this.#answeredAt > -Infinity
        if (health === 'good' && isBack) return true
        if (this.#verdict !== null) {
          if (this.#verdict.code === 'session-replaced') throw this.#verdict
          return false
        }
        const now = performance.now()
        if (this.#reachedAt !== null && now - this.#reachedAt >= GIVE_UP_MS) return false
        if (now >= this.#due()) await this.#begin(now)
        await this.#sleeper.sleep(LOOK_EVERY_MS, stop)
      }
      return false
    } finally {
      stop.removeEventListener('abort', abort)
      this.#end.abort()
    }
  }

  #due(): number {
    if (this.#answeredAt > this.#begunAt) return this.#answeredAt + ANSWERED_MS
    return this.#begunAt + (this.#beginnings < SOON ? SOON_MS : LATER_MS)
  }

  async #begin(now: number): Promise<void> {
    this.#begunAt = now
    this.#beginnings += 1
    await restartIce(this.patient.peer)
  }

  /** Notice whether a check was answered since the last look. */
  #hear(now: number): void {
    const before = this.#heard
    this.#heard = this.patient.answers()
    if (before === null) return
    for (const [pair, count] of this.#heard)
      if (count > (before.get(pair) ?? 0)) this.#answeredAt = now
  }

  /** Ask whether the server still knows the session, until it says no or the repair ends. */
  async #ask(): Promise<void> {
    const end = this.#end.signal
    let limit = ASK_LIMIT_MS
    while (!end.aborted && this.#verdict === null) {
      this.#hurried = false
      const asking = (this.#asking = new AbortController())
      const abort = (): void => asking.abort()
      const timer = setTimeout(abort, limit)
      end.addEventListener('abort', abort)
      try {
        await this.patient.resource.ask(asking.signal)
        this.#reached(true)
      } catch (error) {
        if (end.aborted) return
        // Whoever stands in front of a relay that is away, or the relay without its other half.
        const answered = error instanceof Problem && error.status < 502
        this.#reached(answered)
        // A token that ran out says nothing about the session, whose path needs none.
        if (answered && error.status !== 401 && error.status !== 403) this.#verdict = error
        if (!answered) limit = Math.min(limit * 1.3, ASK_LIMIT_MOST_MS)
      } finally {
        clearTimeout(timer)
        end.removeEventListener('abort', abort)
      }
      if (this.#verdict !== null) this.#sleeper.wake()
      else if (!this.#hurried) await this.#asker.sleep(ASK_EVERY_MS, end)
    }
  }

  #reached(reachable: boolean): void {
    if (!reachable) this.#reachedAt = null
    else this.#reachedAt ??= performance.now()
    this.patient.reached(reachable)
  }
}
