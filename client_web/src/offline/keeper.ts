/*
 * Brings lessons onto this device, file by file, and goes on where it was broken off.
 *
 * Lives here: what is under way, trying again, and who may write. What must not: elements and words;
 * what is to be kept (plan.ts), whence it comes (source.ts), where it lies (store.ts). A page that is
 * closed loses at most the files on their way: the record says what belongs to a lesson, the store what
 * is there. Several pages of one browser share the store: whoever writes holds the lesson's lock.
 */
import type { Lesson } from '../api'
import { Backoff } from '../backoff'
import { Problem, Unreachable } from '../http'
import { pause, type Material, type Place } from '../materials/list'
import { Observable } from '../observable'
import { Arriving } from './arriving'
import {
  holdsRecording,
  materialAt,
  missingMaterials,
  optionsOf,
  pick,
  SIZES,
  totalOf,
  withMaterials,
  type Archive,
  type KeptFile,
  type KeptLesson,
  type Option,
  type Size,
} from './plan'
import { Source, Stale } from './source'
import { persist, space, Unreadable, type Space, type Store } from './store'

/**
 * loading · waiting: no network or no server, tried again · on-its-way: the school has not got the rest
 * yet, tried again · kept: all of it · full: no room · failed: trying again by itself cannot help
 */
export type KeepState = 'loading' | 'waiting' | 'on-its-way' | 'kept' | 'full' | 'failed'

/** A lesson on this device, or on its way there. Bytes of files, without what the browser adds. */
export interface Holding {
  lesson: Lesson
  size: Size
  state: KeepState
  bytes: number
  total: number
  /** All of the recording is here, whatever of the rest is. */
  isPlayable: boolean
  /** Its materials are kept, too. */
  hasMaterials: boolean
  /** Those of them that are not here yet. */
  missing: readonly Material[]
}

/** What may be kept of a lesson, and which of it is offered first (null: nothing fits). */
export interface Offer {
  archive: Archive
  /** The list of its materials as text, or null where it has none. */
  materials: string | null
  options: Option[]
  suggested: Option | null
  free: number | null
}

const PARALLEL = 3
/** How often what to keep is read anew before a lesson is given up. */
const TRIES = 4
/** First wait before it is tried again, and by how much later ones are longer at most. */
const RETRY_MS = 5_000
const LONGER = 12
/** Of a large file pages tell each time that so many bytes more came. */
const STEP = 1e6
/** What is left alone for the browser's own needs. */
const RESERVE = 20e6

class Full extends Error {}

export class Keeper extends Observable {
  #holdings = new Map<string, Holding>()
  #running = new Map<string, { stop: AbortController; ended: Promise<void> }>()
  #beginning = new Map<string, Promise<void>>()
  #removing = new Map<string, Promise<void>>()
  #space: Space = { free: null, persisted: false }
  #isLoaded = false
  readonly #source: Source

  /** archive, materials, token, plays: as `Source` takes them. */
  constructor(
    private readonly store: Store,
    archive: (lesson: Lesson) => string,
    materials: (lesson: Lesson) => Place,
    token: () => string,
    private readonly plays: string,
    private readonly retryMs = RETRY_MS,
  ) {
    super()
    this.#source = new Source(archive, materials, token, plays)
  }

  /** Read what is here; false before it was read. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  get holdings(): Holding[] {
    return [...this.#holdings.values()]
  }

  holding(lesson: string): Holding | null {
    return this.#holdings.get(lesson) ?? null
  }

  /** Bytes that everything here takes. */
  get bytes(): number {
    return this.holdings.reduce((sum, one) => sum + one.bytes, 0)
  }

  get space(): Space {
    return this.#space
  }

  /** Read what is here, and go on with what is not whole. */
  async load(): Promise<void> {
    this.#space = await space()
    for (const id of await this.store.lessons()) {
      const look = (): Promise<boolean> => this.#look(id, 'waiting')
      // What cannot be read now may be read another time, and is never deleted for that.
      const known = await look()
        .catch(look)
        .catch(() => true)
      if (!known) await this.#tidy(id)
    }
    this.#isLoaded = true
    this.changed()
    for (const one of this.holdings) if (one.state === 'waiting') void this.#run(one.lesson.id)
  }

  /** What may be kept of `lesson`. Throws Problem or Unreachable. */
  async offer(lesson: Lesson): Promise<Offer> {
    const { archive, materials } = await this.#source.read(lesson)
    this.#space = await space()
    const free = this.#space.free === null ? null : Math.max(0, this.#space.free - RESERVE)
    const options = withMaterials(this.#options(archive), materials, free)
    return { archive, materials, options, suggested: pick(options, archive, free), free }
  }

  /**
   * Begin to keep `lesson`, or go on with what another page began. Throws Problem or Unreachable; what
   * follows is told by its state.
   */
  keep(lesson: Lesson, option: Option, offer: Offer): Promise<void> {
    const begun = this.#beginning.get(lesson.id)
    if (begun !== undefined) return begun
    const beginning = this.#begin(lesson, option, offer).finally(() =>
      this.#beginning.delete(lesson.id),
    )
    this.#beginning.set(lesson.id, beginning)
    return beginning
  }

  async #begin(lesson: Lesson, option: Option, offer: Offer): Promise<void> {
    // Some browsers ask the person first.
    void persist()
    // What is being deleted is no beginning of anything.
    await this.#removing.get(lesson.id)
    if (!(await this.#look(lesson.id, 'loading'))) {
      const record = await this.#source.record(lesson, option, offer)
      await alone(lesson.id, {}, async () => {
        if (await this.#look(lesson.id, 'loading')) return
        await this.store.remove(lesson.id)
        await this.store.write(record)
        this.#note(record, new Set(), 'loading')
      })
    }
    this.changed()
    void this.#run(lesson.id)
  }

  /** Give the space back. */
  remove(lesson: string): Promise<void> {
    const removing = this.#remove(lesson).finally(() => this.#removing.delete(lesson))
    this.#removing.set(lesson, removing)
    return removing
  }

  async #remove(lesson: string): Promise<void> {
    const running = this.#running.get(lesson)
    running?.stop.abort()
    this.#holdings.delete(lesson)
    this.changed()
    // A file that is being written would bring the lesson back.
    await running?.ended.catch(() => undefined)
    // Another page that is at it hears of it by losing the lock.
    await alone(lesson, { steal: true }, () => this.store.remove(lesson))
    this.#holdings.delete(lesson)
    this.#space = await space()
    this.changed()
  }

  /** Try again what waits or failed. */
  resume(lesson: string): void {
    void this.#run(lesson)
  }

  /** End what is under way; the store keeps what came. */
  stop(): void {
    for (const running of this.#running.values()) running.stop.abort()
  }

  async #run(id: string): Promise<void> {
    if (this.#running.has(id)) return
    const stop = new AbortController()
    const { signal } = stop
    // Another page of this browser may be at it already.
    const ended = alone(id, { signal }, () => this.#bring(id, signal))
    this.#running.set(id, { stop, ended })
    try {
      await ended
    } catch (error) {
      // Stopped while it waited for its turn, or another page deletes the lesson.
      if (!(error instanceof Error) || error.name !== 'AbortError') throw error
      if (!signal.aborted) this.#forget(id)
    } finally {
      stop.abort()
      this.#running.delete(id)
    }
  }

  async #bring(id: string, stop: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.retryMs, this.retryMs * LONGER)
    /** What came of the materials that are on their way, by path. */
    const arriving = new Map<string, Arriving>()
    let renewals = 0
    while (!stop.aborted) {
      let state: KeepState
      const before = this.#holdings.get(id)?.bytes ?? 0
      try {
        // Another page may have deleted it meanwhile.
        const record = await this.store.record(id)
        if (record === null) return this.#forget(id)
        const held = await this.store.held(id)
        if (stop.aborted) return
        this.#note(record, held, isWhole(record, held) ? 'kept' : 'loading')
        this.changed()
        if (isWhole(record, held)) return
        const missing = record.files.filter((file) => !held.has(file.path))
        try {
          await this.#fetchAll(record, missing, arriving, stop)
        } catch (error) {
          if (!(error instanceof Stale) || renewals === TRIES || stop.aborted) throw error
          if (!(await this.#renew(record))) throw error
          renewals += 1
        }
        continue
      } catch (error) {
        if (stop.aborted) return
        state = stateAfter(error)
      }
      const holding = this.#holdings.get(id)
      if (holding !== undefined) holding.state = state
      this.#space = await space()
      this.changed()
      if (state !== 'waiting' && state !== 'on-its-way') return
      if ((this.#holdings.get(id)?.bytes ?? 0) > before) backoff.reset()
      await pause(backoff.next(), stop)
    }
  }

  /** Read what to keep anew, and keep what is still the same; false when all of it is. */
  async #renew(record: KeptLesson): Promise<boolean> {
    const { lesson } = record
    const found = await this.#source.read(lesson)
    const least = SIZES.indexOf(record.size)
    const options = this.#options(found.archive)
    const option = options.find((one) => SIZES.indexOf(one.size) >= least)
    if (option === undefined) return false
    const { leavesOut } = record
    const chosen = leavesOut === true ? { ...option, leavesOut } : option
    const renewed = await this.#source.record(lesson, chosen, found)
    const key = ({ path, digest }: KeptFile): string => `${path} ${digest}`
    const old = new Set(record.files.map(key))
    const same = renewed.files.filter((file) => old.has(key(file)))
    if (same.length === renewed.files.length && old.size === same.length) return false
    // What is made on request may have changed with the rest.
    const stays = same.filter((file) => file.digest !== null).map((file) => file.path)
    await this.store.keepOnly(lesson.id, new Set(stays))
    try {
      await this.store.write({ ...renewed, addedAt: record.addedAt })
    } catch (error) {
      throw new Full('no room for the record', { cause: error })
    }
    return true
  }

  /** The recording first; then what goes along with it, one by one. */
  async #fetchAll(
    record: KeptLesson,
    missing: KeptFile[],
    arriving: Map<string, Arriving>,
    stop: AbortSignal,
  ): Promise<void> {
    const recorded = missing.filter(({ path }) => materialAt(path) === null)
    await this.#fetchRecording(record, recorded, stop)
    if (stop.aborted) return
    const holding = this.#holdings.get(record.lesson.id)
    if (holding !== undefined) holding.isPlayable = true
    this.changed()
    const faults: unknown[] = []
    for (const file of missing.filter(({ path }) => materialAt(path) !== null)) {
      if (stop.aborted) return
      try {
        const one = arriving.get(file.path) ?? new Arriving(file.path, file.bytes)
        arriving.set(file.path, one)
        await this.#fetchMaterial(record.lesson, file, one, stop)
        arriving.delete(file.path)
      } catch (error) {
        if (!isOfOneFile(error)) throw error
        faults.push(error)
      }
    }
    // What is gone is looked for in newer lists at once; what is on its way takes its time.
    if (faults.length > 0) throw faults.find((error) => error instanceof Stale) ?? faults[0]
  }

  async #fetchRecording(record: KeptLesson, missing: KeptFile[], stop: AbortSignal): Promise<void> {
    const queue = [...missing]
    // One failure ends the others: they wait for the same network.
    const failed = new AbortController()
    const either = (): void => failed.abort()
    stop.addEventListener('abort', either)
    if (stop.aborted) either()
    const faults: unknown[] = []
    const work = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift())
        await this.#fetch(record, file, failed.signal, stop)
    }
    const worker = async (): Promise<void> => {
      try {
        await work()
      } catch (error) {
        faults.push(error)
        failed.abort()
      }
    }
    // None of them may still write when this is over.
    await Promise.all(Array.from({ length: PARALLEL }, worker))
    stop.removeEventListener('abort', either)
    if (faults.length > 0) throw faults[0]
  }

  /** Bring `file`, until `end`, and put it in; after `stop` nothing is written any more. */
  async #fetch(
    { lesson }: KeptLesson,
    file: KeptFile,
    end: AbortSignal,
    stop: AbortSignal,
  ): Promise<void> {
    const data = await this.#source.file(lesson, file, end)
    if (stop.aborted) return
    await this.#putIn(lesson.id, file, data)
    const holding = this.#holdings.get(lesson.id)
    if (holding !== undefined) holding.bytes += file.bytes
    this.changed()
  }

  /** Likewise of a material, which may be larger than the device's memory: from where it was. */
  async #fetchMaterial(
    lesson: Lesson,
    file: KeptFile,
    arriving: Arriving,
    stop: AbortSignal,
  ): Promise<void> {
    let counted = 0
    const count = (bytes: number): void => {
      const holding = this.#holdings.get(lesson.id)
      if (holding !== undefined) holding.bytes += bytes - counted
      counted = bytes
      this.changed()
    }
    const grown = (): void => {
      if (arriving.bytes - counted >= STEP) count(arriving.bytes)
    }
    count(arriving.bytes)
    try {
      const data = await this.#source.material(lesson, arriving, stop, grown)
      if (stop.aborted) return
      await this.#putIn(lesson.id, file, data)
    } catch (error) {
      count(arriving.bytes)
      throw error
    }
    const holding = this.#holdings.get(lesson.id)
    const digest = materialAt(file.path)
    if (holding !== undefined)
      holding.missing = holding.missing.filter((one) => one.digest !== digest)
    count(file.bytes)
  }

  async #putIn(lesson: string, file: KeptFile, data: ArrayBuffer | Blob): Promise<void> {
    try {
      await this.store.put(lesson, file.path, data)
    } catch (error) {
      throw new Full(`no room for ${file.path}`, { cause: error })
    }
  }

  #options(archive: Archive): Option[] {
    return optionsOf(archive, new Set(this.plays.split(',')))
  }

  /** Take note of what the store has of a lesson; `state` unless it is whole. False: it has nothing. */
  async #look(id: string, state: KeepState): Promise<boolean> {
    const record = await this.store.record(id)
    if (record === null) return false
    const held = await this.store.held(id)
    this.#note(record, held, isWhole(record, held) ? 'kept' : state)
    return true
  }

  /** What was broken off before its record was written nobody can play. */
  async #tidy(id: string): Promise<void> {
    // Whoever holds the lock is about to write it.
    await alone(id, { ifAvailable: true }, async () => {
      if ((await this.store.record(id)) === null) await this.store.remove(id)
    }).catch(() => undefined)
  }

  #forget(id: string): void {
    this.#holdings.delete(id)
    this.changed()
  }

  #note(record: KeptLesson, held: ReadonlySet<string>, state: KeepState): void {
    const here = record.files.filter((file) => held.has(file.path))
    this.#holdings.set(record.lesson.id, {
      lesson: record.lesson,
      size: record.size,
      state,
      bytes: here.reduce((sum, file) => sum + file.bytes, 0),
      total: totalOf(record),
      isPlayable: holdsRecording(record, held),
      hasMaterials: record.materials !== undefined,
      missing: missingMaterials(record, held),
    })
  }
}

const isWhole = (record: KeptLesson, held: ReadonlySet<string>): boolean =>
  record.files.every((file) => held.has(file.path))

/** A server has not got this file, or not any more, and may well have the others. */
const isOfOneFile = (error: unknown): boolean =>
  error instanceof Stale || (error instanceof Problem && error.status >= 500)

function stateAfter(error: unknown): KeepState {
  if (error instanceof Full) return 'full'
  if (error instanceof Problem && error.code === 'material-on-its-way') return 'on-its-way'
  return isPassing(error) ? 'waiting' : 'failed'
}

/** Not here yet, too much at once, a relay that begins anew, a page of the network's own instead. */
function isPassing(error: unknown): boolean {
  if (error instanceof Problem) return error.status >= 500 || [408, 429].includes(error.status)
  return error instanceof Unreachable || error instanceof Unreadable || error instanceof SyntaxError
}

/** Do `act` while no other page of this browser is at the lesson. */
async function alone(
  lesson: string,
  options: LockOptions,
  act: () => Promise<void>,
): Promise<void> {
  const locks = navigator.locks as LockManager | undefined
  if (locks === undefined) return act()
  await locks.request(`kept-${lesson}`, options, async (lock) => {
    if (lock !== null) await act()
  })
}
