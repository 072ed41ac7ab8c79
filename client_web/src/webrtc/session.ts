/*
 * Keeps one WHIP or WHEP session alive: makes it, watches it, repairs it, makes it anew.
 *
 * Lives here: the state machine that publishing and watching share. What must not: which media is
 * sent or received (whip.ts and whep.ts), and anything of the screen. A lost path is brought back
 * while the server still knows the session (repair.ts), so that it resumes; a new POST follows when
 * it does not; with growing, spread waits in between, and without end for a room.
 */
import { Backoff } from '../backoff'
import { Problem, Unreachable } from '../http'
import { Observable } from '../observable'
import { Sleeper } from '../sleeper'
import { answeredChecks, hasLostPath, isOver, makeOffer } from './peer'
import { Pulse } from './pulse'
import { Repair, type Health } from './repair'
import { SessionResource, type Endpoint } from './resource'

export type { Endpoint } from './resource'

/**
 * idle: not begun · connecting: first attempt · live: media can flow · recovering: was live, and
 * is being repaired · failed: refused, a person must do something (a stubborn session still tries
 * every 30 s) · replaced: a newer session of the same person took its place, and this one is over
 * for good · ended: by us.
 */
export type SessionState =
  'idle' | 'connecting' | 'live' | 'recovering' | 'failed' | 'replaced' | 'ended'

export interface SessionOptions {
  /** Where to POST. `fresh` asks for a new token after the last one was refused. */
  endpoint(fresh: boolean): Endpoint | Promise<Endpoint>
}

const LOOK_EVERY_MS = 500
/** DTLS over a link of 800 ms round trips with loss takes a dozen round trips. */
const CONNECT_LIMIT_MS = 20_000
const REFUSED_WAIT_MS = 30_000
/** However long a server asks to be left alone, nobody is there to press anything. */
const LONGEST_WAIT_MS = 60_000

export abstract class MediaSession extends Observable {
  #state: SessionState = 'idle'
  #peer: RTCPeerConnection | null = null
  #resource: SessionResource | null = null
  #stats: RTCStatsReport | null = null
  #problem: Problem | null = null
  #unreachable = false
  #retryAt: number | null = null
  #running = false
  #generation = 0
  #repair: Repair | null = null
  readonly #pulse: Pulse
  readonly #stop = new AbortController()
  readonly #sleeper = new Sleeper()

  /**
   * `patienceMs`: how long announced media may stand still before it counts as lost.
   * `stubborn`: go on trying after a refusal.
   */
  protected constructor(
    private readonly options: SessionOptions,
    patienceMs: number,
    private readonly stubborn: boolean,
  ) {
    super()
    this.#pulse = new Pulse(patienceMs)
  }

  /** Add the transceivers, in the order that the server expects. */
  protected abstract prepare(peer: RTCPeerConnection): void

  /** A count that grows while media moves, or null when none is expected now. */
  protected abstract progress(stats: RTCStatsReport): number | null

  get state(): SessionState {
    return this.#state
  }

  /** The present connection; a new one after a new POST, so do not keep it. */
  get peer(): RTCPeerConnection | null {
    return this.#peer
  }

  /** The statistics of the last look, at most about half a second old while live. */
  get stats(): RTCStatsReport | null {
    return this.#stats
  }

  /** The name of the present session at its server; null before its answer. */
  get session(): string | null {
    return this.#resource?.session ?? null
  }

  /** The lesson of the present session, as the server named it; null before its answer. */
  get lesson(): string | null {
    return this.#resource?.lesson ?? null
  }

  /** Why the server last refused, or null. */
  get problem(): Problem | null {
    return this.#problem
  }

  /** The last attempt had no answer at all: the network or the server is away. */
  get unreachable(): boolean {
    return this.#unreachable
  }

  /** When the next attempt is due (Date.now() milliseconds), or null. */
  get retryAt(): number | null {
    return this.#retryAt
  }

  /** How many sessions were made so far. */
  get generation(): number {
    return this.#generation
  }

  /** Begin, or try again now after a failure or while waiting for the next attempt. */
  start(): void {
    if (!this.#running && !this.#stop.signal.aborted) void this.#run()
    else this.nudge()
  }

  /** Do not wait for the next look or attempt: the network came back, or something has changed. */
  nudge(): void {
    this.#repair?.nudge()
    this.#sleeper.wake()
  }

  /** End for good, and tell the server. Resolves when it was told or cannot be. */
  async end(): Promise<void> {
    if (this.#state === 'ended') return
    this.#stop.abort()
    // What took our place is not ours to end, and stays what is to be told.
    if (this.#state !== 'replaced') this.#to('ended')
    await this.#drop()
  }

  async #run(): Promise<void> {
    const backoff = new Backoff()
    const stop = this.#stop.signal
    let fresh = false
    this.#running = true
    while (!stop.aborted) {
      this.#retryAt = null
      this.#to(this.#generation === 0 ? 'connecting' : 'recovering')
      let wait: number
      try {
        await this.#open(fresh)
        fresh = false
        this.#problem = null
        this.#unreachable = false
        this.#to('live')
        const since = performance.now()
        await this.#watch()
        if (performance.now() - since > 10_000) backoff.reset()
        // Rooms that lost one relay notice it at different moments: little is left to spread.
        wait = backoff.next() / 2
        // A new session of ours would take the lesson back from a page that took it over; whether
        // one did is only told to who asks.
        if (!this.stubborn && isReplaced(await this.#drop())) return this.#replaced()
      } catch (error) {
        if (stop.aborted) return
        if (isReplaced(error)) return this.#replaced()
        wait = backoff.next()
        this.#unreachable = error instanceof Unreachable
        if (!(error instanceof Problem) && !this.#unreachable) console.error(error)
        if (error instanceof Problem) {
          this.#problem = error
          const renewed = fresh
          fresh = error.status === 401 || error.status === 403
          wait = Math.max(wait, Math.min((error.retryAfter ?? 0) * 1000, LONGEST_WAIT_MS))
          // A token may have run out during the lesson: one attempt with a new one comes first.
          if (isFinal(error) && (renewed || !fresh)) {
            wait = REFUSED_WAIT_MS
            this.#to('failed')
            if (!this.stubborn) {
              void this.#drop()
              this.#running = false
              return
            }
          }
        }
      }
      // Telling a server that is away takes long; the next attempt does not wait for it.
      void this.#drop()
      if (stop.aborted) return
      this.#retryAt = Date.now() + wait
      this.changed()
      await this.#sleeper.sleep(wait, stop)
    }
  }

  /** POST an offer and wait until the media path stands. */
  async #open(fresh: boolean): Promise<void> {
    const stop = this.#stop.signal
    const endpoint = await this.options.endpoint(fresh)
    const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' })
    this.#peer = peer
    this.prepare(peer)
    const offer = await makeOffer(peer)
    // The relay is ICE-lite: it learns our addresses from our checks, so no candidate is awaited.
    const resource = await SessionResource.create(endpoint, offer, stop)
    this.#resource = resource
    if (stop.aborted) {
      await this.#drop()
      return
    }
    if (resource.iceServers.length > 0) peer.setConfiguration({ iceServers: resource.iceServers })
    await peer.setRemoteDescription({ type: 'answer', sdp: resource.sdp })
    this.#generation += 1
    this.#pulse.begin(performance.now())
    this.changed()
    const connected = await this.#until(
      () => peer.connectionState === 'connected',
      CONNECT_LIMIT_MS,
    )
    if (!connected && !stop.aborted) throw new Unreachable('no media path to the server')
  }

  /** Look now and then, repair what can be; returns when a new session must be made. */
  async #watch(): Promise<void> {
    const stop = this.#stop.signal
    while (!stop.aborted) {
      await this.#sleeper.sleep(LOOK_EVERY_MS, stop)
      const health = await this.#look()
      if (stop.aborted || health === 'dead') return
      if (health === 'good') {
        this.changed()
        continue
      }
      this.#to('recovering')
      if (!(await this.#mend()) || stop.aborted) return
      this.#unreachable = false
      this.#to('live')
    }
  }

  /** Bring the path back; false when that leads nowhere. */
  async #mend(): Promise<boolean> {
    const peer = this.#peer
    const resource = this.#resource
    if (peer === null || resource === null) return false
    const before = this.#pulse.count
    this.#repair = new Repair({
      peer,
      resource,
      look: () => this.#look(),
      moves: () => (this.#pulse.count === null ? null : this.#pulse.count !== before),
      answers: () => answeredChecks(this.#stats),
      reached: (reachable) => {
        if (this.#unreachable === reachable) this.#heard(!reachable)
      },
    })
    try {
      if (await this.#repair.run(this.#stop.signal)) return true
      if (!this.#unreachable) this.#pulse.loosen()
      return false
    } finally {
      this.#repair = null
    }
  }

  #heard(unreachable: boolean): void {
    this.#unreachable = unreachable
    this.changed()
  }

  async #look(): Promise<Health> {
    const peer = this.#peer
    if (peer === null || isOver(peer)) return 'dead'
    const stats = await peer.getStats()
    this.#stats = stats
    const now = performance.now()
    this.#pulse.note(this.progress(stats), now)
    return hasLostPath(peer) || this.#pulse.isStill(now) ? 'lost' : 'good'
  }

  /** Poll `test` five times a second for `limitMs`; true as soon as it holds. */
  async #until(test: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
    const end = performance.now() + limitMs
    const stop = this.#stop.signal
    while (!stop.aborted) {
      if (await test()) return true
      if (performance.now() >= end) return false
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
    return false
  }

  /**
   * Let go of the connection, and end the session that the server may still hold; returns why the
   * server refused that, or null.
   */
  async #drop(): Promise<Problem | null> {
    const resource = this.#resource
    this.#resource = null
    this.#peer?.close()
    this.#stats = null
    return (await resource?.remove()) ?? null
  }

  #replaced(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    this.#retryAt = null
    void this.#drop()
    this.#to('replaced')
  }

  #to(state: SessionState): void {
    this.#state = state
    this.changed()
  }
}

/** Refusals that trying again does not change by itself. */
function isFinal(problem: Problem): boolean {
  return [400, 401, 403, 405, 406, 413, 415, 422].includes(problem.status)
}

/** The server's word that a newer session of the same person has this one's place. */
const isReplaced = (error: unknown): boolean =>
  error instanceof Problem && error.code === 'session-replaced'
