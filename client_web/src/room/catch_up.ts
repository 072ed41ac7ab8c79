/*
 * Whether a room watches the lesson live or behind: what it missed is noticed, offered, watched.
 *
 * Pure: a state with a name, moved by what is seen (`look`), by presses and by time, which is an
 * argument. Dates are milliseconds since 1970 on the relay's clock. What must not live here:
 * playing, asking the relay, elements and words.
 *
 *   live ──nothing comes──▶ lost ──it comes again──▶ checking ──something was taught──▶ offered
 *    ▲                                                                                    │
 *    │◀───────────────────────── "live", or the time is up ──────────────────────────────┤
 *    │                                                                                    ▼
 *   returning ◀──caught up, or pressed── behind ◀──it plays── opening ◀──── "what was missed"
 *                                          ▲ ▼                   ▲
 *                                         paused ◀── pressed ── live
 *   returning ──the lesson took long to come──▶ checking
 */
import type { CatchUpReason } from '../events/wire'

export type CatchUpState =
  'live' | 'lost' | 'checking' | 'offered' | 'opening' | 'behind' | 'paused' | 'returning'

/**
 * What a room is set to do: `live` asks after an outage and goes on live, `missed` asks and shows
 * what was missed, `late` shows everything late and whole.
 */
export const SETTINGS = ['live', 'missed', 'late'] as const
export type Setting = (typeof SETTINGS)[number]

/** So much missed is worth a question. */
export const WORTH_MS = 20_000
/** Of it, so many seconds must have been taught and recorded. */
export const TAUGHT_LEAST_S = 10
/** How long the question stands before the room's setting answers it. */
export const ASK_MS: Readonly<Record<Setting, number>> = { live: 20_000, missed: 8_000, late: 0 }
/** What was said just before the silence is heard again. */
const OVERLAP_MS = 3_000
/** A room that is set to be late has this much in hand when its link stutters. */
export const LATE_S = 40
const CHECK_LIMIT_MS = 15_000
const OPEN_LIMIT_MS = 45_000
/** A recording that could not be opened may be there later. */
const TRY_AGAIN_MS = 120_000
/** As near to the lesson as the recording gets. */
const CAUGHT_UP_S = 2.5
/** So little is left of what is listed. */
const DRY_S = 0.7

/** How the recording plays now, times in seconds. */
export interface Playing {
  isReady: boolean
  /** Behind the lesson. */
  late: number
  /** Until the end of what is listed. */
  ahead: number
  /** It played to the end of a lesson that is over. */
  isOver: boolean
}

export interface Seen {
  /** On the relay's clock. */
  date: number
  /** Live media comes. */
  flowing: boolean
  /** The date of the live media that came last, or null. */
  heard: number | null
  /** The lesson has ended. */
  isEnded: boolean
  /** Someone teaches now, as far as is known. */
  isTaught: boolean
  /** The recording while it is open. */
  playing: Playing | null
}

export class CatchUp {
  #state: CatchUpState = 'live'
  #setting: Setting
  #reason: CatchUpReason = 'choice'
  /** The date of what the room heard last; null before it heard anything. */
  #heard: number | null = null
  #lostAt = 0
  #backAt = 0
  #from = 0
  #since = 0
  #until: number | null = null
  /** Of a room set to be late: somebody wants it live for this lesson, or it cannot be late now. */
  #overruledUntil = -Infinity
  #hasFailed = false
  /** What was watched behind goes on so without a question. */
  #resumes = false

  /**
   * heard: the date of what the room heard last of this lesson before the page was opened anew, or
   * null. wasBehind: it watched the recording then.
   */
  constructor(setting: Setting, heard: number | null = null, wasBehind = false) {
    this.#setting = setting
    if (heard === null) return
    this.#heard = this.#lostAt = heard
    this.#state = 'lost'
    this.#resumes = wasBehind
  }

  get state(): CatchUpState {
    return this.#state
  }

  get setting(): Setting {
    return this.#setting
  }

  /** Whether the room watches the recording, or is about to. */
  get isLate(): boolean {
    return ['opening', 'behind', 'paused'].includes(this.#state)
  }

  /** Why nothing live is needed, or null while it is. */
  get reason(): CatchUpReason | null {
    if (this.#state === 'paused') return 'paused'
    return this.isLate ? this.#reason : null
  }

  /** The date from which the recording is wanted. */
  get from(): number {
    return this.#from
  }

  /** How far behind the room is to be in the end, seconds. */
  get target(): number {
    return this.#isSetLate ? LATE_S : 0
  }

  /** What may have been missed, while that is asked or offered: from when until when. */
  get missed(): [number, number] | null {
    return this.#state === 'checking' || this.#state === 'offered'
      ? [this.#lostAt, this.#backAt]
      : null
  }

  /** When the room's setting answers what is offered, or null. */
  get until(): number | null {
    return this.#state === 'offered' ? this.#until : null
  }

  /** The recording could not be opened when it was last wanted. */
  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** The date of what the room heard last, live or recorded. */
  get heard(): number | null {
    return this.#heard
  }

  get #isSetLate(): boolean {
    return this.#setting === 'late' && this.#overruledUntil === -Infinity
  }

  /** Take in how things stand; call a few times a second. */
  look(seen: Seen): void {
    const { date, playing } = seen
    if (date >= this.#overruledUntil) this.#overruledUntil = -Infinity
    switch (this.#state) {
      case 'live':
        this.#lookLive(seen)
        break
      case 'lost':
        if (seen.isEnded) this.#to('live', date)
        else if (seen.flowing) this.#back(date)
        break
      case 'checking':
      case 'offered':
        this.#lookAsked(seen)
        break
      case 'opening':
        if (playing?.isReady === true) this.#to('behind', date)
        else if (date - this.#since > OPEN_LIMIT_MS) this.failed(date)
        break
      case 'behind':
        this.#lookBehind(seen)
        break
      case 'paused':
        if (playing?.isReady === true) this.#heard = date - playing.late * 1000
        break
      case 'returning':
        if (seen.isEnded || !seen.isTaught) this.#arrive(date)
        else if (seen.flowing) this.#reach(date)
        break
    }
  }

  #lookLive({ date, flowing, heard, isEnded, isTaught }: Seen): void {
    if (this.#isSetLate && isTaught && !isEnded) {
      this.#open('choice', Math.min(this.#heard ?? date, date - LATE_S * 1000), date)
      return
    }
    if (flowing) this.#heard = heard ?? date
    else if (this.#heard !== null && !isEnded) {
      this.#lostAt = this.#heard
      this.#to('lost', date)
    }
  }

  #back(date: number): void {
    this.#backAt = date
    if (this.#resumes || (this.#isSetLate && this.#heard !== null)) {
      this.#resumes = false
      this.#open('missed', this.#lostAt - OVERLAP_MS, date)
    } else this.#to(date - this.#lostAt >= WORTH_MS ? 'checking' : 'live', date)
  }

  #lookAsked({ date, flowing, isEnded }: Seen): void {
    if (isEnded) this.#to('live', date)
    // Lost again: what was missed grows.
    else if (!flowing) this.#to('lost', date)
    else if (this.#state === 'checking' && date - this.#since > CHECK_LIMIT_MS)
      this.choose('live', date)
    else if (this.#until !== null && this.#state === 'offered' && date >= this.#until)
      this.choose(this.#setting === 'live' ? 'live' : 'missed', date)
  }

  #lookBehind({ date, playing, isEnded }: Seen): void {
    // Without a recording that is open the time limit for opening one holds.
    if (playing === null) return this.#to('opening', date)
    if (!playing.isReady) return
    this.#heard = date - playing.late * 1000
    if (playing.isOver) this.#to('live', date)
    else if (this.#isSetLate || isEnded) return
    else if (playing.late <= CAUGHT_UP_S || playing.ahead <= DRY_S) this.#to('returning', date)
  }

  /** So many seconds of the missed time were taught and recorded; null: not known. */
  checked(taught: number | null, date: number): void {
    if (this.#state !== 'checking') return
    if (taught === null || taught < TAUGHT_LEAST_S) return this.choose('live', date)
    this.#until = date + ASK_MS[this.#setting]
    this.#to('offered', date)
  }

  /** Somebody answers what is offered, or the room's setting does. */
  choose(what: 'live' | 'missed', date: number): void {
    if (this.#state !== 'checking' && this.#state !== 'offered') return
    if (what === 'missed') return this.#open('missed', this.#lostAt - OVERLAP_MS, date)
    this.#heard = date
    this.#to('live', date)
  }

  /** The picture stops, from where it may go on at any time. */
  pause(date: number): void {
    if (this.#state === 'behind' || this.#state === 'opening') this.#to('paused', date)
    else if (!this.isLate) {
      this.#open('choice', date, date)
      this.#to('paused', date)
    }
  }

  /** Go on after a pause. */
  play(date: number): void {
    if (this.#state === 'paused') this.#to('opening', date)
  }

  /** Watch the last `seconds` again; only from live, else the recording itself is moved. */
  rewind(seconds: number, date: number): void {
    if (!this.isLate) this.#open('choice', date - seconds * 1000, date)
  }

  /** To the lesson as it is taught, at once. */
  goLive(date: number): void {
    this.#overruledUntil = Infinity
    if (this.#state === 'offered' || this.#state === 'checking') this.choose('live', date)
    else if (this.isLate) this.#leave(date)
  }

  /** The recording cannot be played. */
  failed(date: number): void {
    if (!this.isLate) return
    this.#hasFailed = true
    this.#overruledUntil = date + TRY_AGAIN_MS
    this.#to('returning', date)
  }

  set(setting: Setting, date: number): void {
    this.#setting = setting
    this.#overruledUntil = -Infinity
    if (setting === 'live' && this.#state === 'behind' && this.#reason === 'choice')
      this.#leave(date)
  }

  #open(reason: CatchUpReason, from: number, date: number): void {
    this.#reason = reason
    this.#from = from
    this.#hasFailed = false
    this.#to('opening', date)
  }

  /** What lies between here and the lesson is not wanted. */
  #leave(date: number): void {
    this.#heard = date
    this.#to('returning', date)
  }

  /** Live media is there; whoever was cut off on the way to it missed something once more. */
  #reach(date: number): void {
    if (date - this.#since < WORTH_MS) return this.#arrive(date)
    this.#lostAt = this.#heard ?? this.#since
    this.#back(date)
  }

  #arrive(date: number): void {
    this.#heard = date
    this.#to('live', date)
  }

  #to(state: CatchUpState, date: number): void {
    this.#state = state
    this.#since = date
  }
}
