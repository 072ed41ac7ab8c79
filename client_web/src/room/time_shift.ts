/*
 * A room's way into the recording and back: what is decided (catch_up) is carried out.
 *
 * Lives here: asking what is recorded, opening and closing it, telling the relay. What must not:
 * deciding, steering the player (replay), elements of the page, words. The player comes in a chunk
 * of its own, loaded when it is first wanted.
 */
import type { CatchUpReason } from '../events/wire'
import type { Player, PlayerOptions } from '../library/player'
import { Observable } from '../observable'
import { PartMissing, type Renewal } from '../parts'
import { CatchUp, TAUGHT_LEAST_S, type CatchUpState, type Setting } from './catch_up'
import { keepHeard, keepSetting, keptHeard, keptSetting } from './kept'
import { Listing } from './listing'
import { taughtBetween } from './recorded'
import { Replay } from './replay'

/** What the room knows of its lesson and its live media. */
export interface Facts {
  lesson: string | null
  /** The relay's clock, milliseconds since 1970. */
  date: number
  /** Live media came within the last seconds. */
  flowing: boolean
  /** When live media came last, on the relay's clock, or null. */
  heard: number | null
  /** Pictures decoded so far. */
  frames: number
  /** Pictures are due. */
  hasPictures: boolean
  isEnded: boolean
  isTaught: boolean
}

export interface Means {
  facts(): Facts
  /** Where recordings are, without a slash at the end. */
  archive(lesson: string): string
  token: string
  /** The text at an address of the relay, or null. */
  read(url: string): Promise<string | null>
  /** Throws `PartMissing` when the player's code did not come. */
  open(options: PlayerOptions): Promise<Player>
  /** Begin the page anew, so that such code is asked for again. */
  renew(): Promise<Renewal>
  /** Tell the relay whether anything live is needed. */
  say(reason: CatchUpReason | null): void
}

const LOOK_EVERY_MS = 250
const KEEP_EVERY_MS = 5_000
/** By then what was taught before is listed, also where segments are listed whole. */
const LISTED_MS = 12_000
/** What a lesson of a morning may have lost at the most. */
const REMEMBERED_MS = 6 * 3_600_000
/** So much is listed beyond a place before it is played from there. */
const IN_HAND_S = 1
/** The recording's last picture stays so long for a live one to come. */
const CURTAIN_MS = 2_500
const FAILED_SHOWN_MS = 12_000

export class TimeShift extends Observable {
  #machine: CatchUp
  #lesson: string | null = null
  #listing: Listing | null = null
  #replay: Replay | null = null
  #isOpening = false
  /** Of the way back: since when live media is awaited, and the pictures decoded until then. */
  #returnedAt: number | null = null
  #framesBefore = 0
  #curtainUntil = -Infinity
  #keptAt = 0
  #failedAt = -Infinity
  #timer: ReturnType<typeof setInterval> | null = null

  constructor(private readonly means: Means) {
    super()
    this.#machine = new CatchUp(keptSetting())
  }

  start(): void {
    this.#timer ??= setInterval(() => this.look(), LOOK_EVERY_MS)
  }

  end(): void {
    this.#keep(this.means.facts(), true)
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#close()
  }

  get state(): CatchUpState {
    return this.#machine.state
  }

  get setting(): Setting {
    return this.#machine.setting
  }

  /** The room watches the recording, or is about to: nothing live is shown or heard. */
  get isLate(): boolean {
    return this.#machine.isLate || this.#machine.state === 'returning'
  }

  /** The player whose pictures are to be seen, or null. */
  get shown(): Player | null {
    const isWanted = this.isLate || this.#date < this.#curtainUntil
    return isWanted && this.#replay?.isReady === true ? this.#replay.player : null
  }

  /** Seconds behind the lesson, or null while it is watched live. */
  get late(): number | null {
    if (!this.isLate) return null
    if (this.#replay?.isReady === true) return this.#replay.late(this.#date)
    return Math.max(0, (this.#date - this.#machine.from) / 1000)
  }

  /** It plays no further for want of data. */
  get isWaiting(): boolean {
    return this.isLate && this.#replay?.isWaiting === true
  }

  /** The browser wants a press before it plays with sound. */
  get isBlocked(): boolean {
    return this.isLate && this.#replay?.player.blocked === true
  }

  /** Seconds that were passed over just now since nothing was recorded, or null. */
  get skipped(): number | null {
    return this.#replay?.skipped(this.#date) ?? null
  }

  /** The recording could not be opened, just now. */
  get hasFailed(): boolean {
    return this.#date - this.#failedAt < FAILED_SHOWN_MS
  }

  /** What is asked: seconds missed, what happens unless somebody answers, and in how many. */
  get asked(): { missed: number; unless: 'live' | 'missed'; seconds: number } | null {
    const { missed, until } = this.#machine
    if (missed === null || until === null) return null
    return {
      missed: (missed[1] - missed[0]) / 1000,
      unless: this.setting === 'live' ? 'live' : 'missed',
      seconds: Math.max(0, Math.ceil((until - this.#date) / 1000)),
    }
  }

  choose(what: 'live' | 'missed'): void {
    this.#machine.choose(what, this.#date)
    this.look()
  }

  pause(): void {
    this.#machine.pause(this.#date)
    this.look()
  }

  play(): void {
    this.#machine.play(this.#date)
    this.look()
  }

  /** Forward by so many seconds, or back. */
  skip(seconds: number): void {
    const player = this.#replay?.player
    if (this.#machine.isLate) player?.seek(player.time + seconds)
    // From the lesson as it is taught there is no way on.
    else if (seconds < 0) this.#machine.rewind(-seconds, this.#date)
    this.look()
  }

  goLive(): void {
    this.#machine.goLive(this.#date)
    this.look()
  }

  set(setting: Setting): void {
    keepSetting(setting)
    this.#machine.set(setting, this.#date)
    this.look()
  }

  /** A press on the page lets sound play. */
  pressed(): void {
    if (this.isBlocked && this.state !== 'paused') this.#replay?.player.play()
  }

  /** See how things stand and do what follows; called a few times a second. */
  look(): void {
    const facts = this.means.facts()
    if (facts.lesson !== this.#lesson) this.#begin(facts)
    const machine = this.#machine
    const before = machine.state
    // One that was opened for another place says nothing of the one that is wanted.
    const replay = this.#replay?.from === machine.from ? this.#replay : null
    const isBack = this.#returnedAt !== null && (facts.heard ?? 0) > this.#returnedAt
    machine.look({
      date: facts.date,
      flowing: before === 'returning' ? isBack : facts.flowing,
      heard: facts.heard,
      isEnded: facts.isEnded,
      isTaught: facts.isTaught,
      playing: replay?.look(facts.date, facts.isEnded) ?? null,
    })
    this.#follow(facts)
    this.means.say(machine.reason)
    this.#keep(facts)
    if (this.isLate || machine.state !== before || machine.until !== null) this.changed()
  }

  get #date(): number {
    return this.means.facts().date
  }

  /** Another lesson, or the first one: of it, what was heard before the page was opened anew. */
  #begin({ lesson, date }: Facts): void {
    this.#close()
    this.#lesson = lesson
    this.#listing =
      lesson === null
        ? null
        : new Listing(this.means.archive(lesson), this.means.read, () => this.#date)
    const kept = keptHeard()
    const isKnown = kept?.lesson === lesson && Math.abs(date - kept.at) < REMEMBERED_MS
    this.#machine = isKnown
      ? new CatchUp(this.setting, kept.at, kept.behind)
      : new CatchUp(this.setting)
  }

  #follow(facts: Facts): void {
    const machine = this.#machine
    const { state } = machine
    if (state === 'checking') void this.#check()
    if (machine.isLate) {
      this.#curtainUntil = -Infinity
      this.#returnedAt = null
      if (this.#replay !== null && this.#replay.from !== machine.from) this.#close()
      if (this.#replay === null) void this.#open()
      else if (state === 'paused') this.#replay.stop()
      else this.#replay.play(facts.date, machine.target, facts.isEnded)
    } else if (state === 'returning' && this.#returnedAt === null) {
      this.#returnedAt = facts.date
      this.#framesBefore = facts.frames
      if (machine.hasFailed) this.#failedAt = facts.date
    } else if (state !== 'returning' && this.#replay !== null) {
      this.#leave(this.#replay, facts)
    }
  }

  /** Ask how much was taught while nothing came here. */
  async #check(): Promise<void> {
    const machine = this.#machine
    const listing = this.#listing
    const recorded = (await listing?.ask()) ?? null
    const { missed } = machine
    if (recorded === null || missed === null || machine !== this.#machine) return
    const [from, to] = [listing?.timeOf(missed[0]) ?? 0, listing?.timeOf(missed[1]) ?? 0]
    const taught = taughtBetween(recorded, from, to)
    // What was missed last may not be listed yet.
    if (taught >= TAUGHT_LEAST_S || this.#date - missed[1] > LISTED_MS)
      machine.checked(taught, this.#date)
  }

  /** Open the recording where the room wants to watch, as soon as there is something to play. */
  async #open(): Promise<void> {
    const machine = this.#machine
    const listing = this.#listing
    const lesson = this.#lesson
    const wanted = machine.from
    if (this.#isOpening || listing === null || lesson === null) return
    const isWanted = (): boolean =>
      machine === this.#machine && machine.isLate && machine.from === wanted
    this.#isOpening = true
    try {
      const recorded = await listing.ask()
      if (recorded === null || !isWanted()) return
      const from = Math.max(0, listing.timeOf(wanted) ?? 0)
      if (from + IN_HAND_S > recorded.end) {
        if (recorded.isFinished) machine.failed(this.#date)
        return
      }
      const player = await this.means.open({
        archive: this.means.archive(lesson),
        token: this.means.token,
        lesson,
        live: !recorded.isFinished,
        from,
      })
      if (!isWanted()) return
      this.#replay = new Replay(player, wanted, listing)
      player.onChange(() => this.changed())
      await player.open()
    } catch (error) {
      this.#close()
      if (!(error instanceof PartMissing)) throw error
      // A page that begins anew goes on here. Where that did not help, the class is not kept waiting.
      if ((await this.means.renew()) === 'lately' && isWanted()) machine.failed(this.#date)
    } finally {
      this.#isOpening = false
    }
  }

  /** Live media is there: the voice changes over softly, the last picture waits for the next. */
  #leave(replay: Replay, facts: Facts): void {
    if (this.#curtainUntil === -Infinity) this.#curtainUntil = facts.date + CURTAIN_MS
    const isSeen = !facts.hasPictures || facts.frames > this.#framesBefore
    if (replay.fade() && (isSeen || facts.date >= this.#curtainUntil)) this.#close()
  }

  #close(): void {
    this.#curtainUntil = -Infinity
    if (this.#replay === null) return
    this.#replay.close()
    this.#replay = null
    this.changed()
  }

  #keep(facts: Facts, now = false): void {
    const { heard, isLate } = this.#machine
    if (this.#lesson === null || heard === null) return
    if (!now && facts.date - this.#keptAt < KEEP_EVERY_MS) return
    this.#keptAt = facts.date
    const isOver = facts.isEnded && !isLate
    keepHeard(isOver ? null : { lesson: this.#lesson, at: heard, behind: isLate })
  }
}
