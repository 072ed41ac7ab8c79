/*
 * Brings lessons onto this device, file by file, and goes on where it was broken off.
 *
 * Lives here: what is under way, checking each file's SHA-256, trying again. What must not: elements
 * and words; what is to be kept (plan.ts), where it lies (store.ts). A page that is closed loses at
 * most the files on their way: the record says what belongs to a lesson, the store what is there.
 */
import type { Lesson } from '../api'
import { sha256 } from '../digest'
import { Problem, request, Unreachable } from '../http'
import type { Place } from '../materials/list'
import { Observable } from '../observable'
import {
  filesOf,
  materialAt,
  materialsIn,
  optionsOf,
  pick,
  playlistsIn,
  readArchive,
  totalOf,
  withMaterials,
  type Archive,
  type KeptFile,
  type KeptLesson,
  type Option,
  type Size,
} from './plan'
import { persist, space, type Space, type Store } from './store'

export type KeepState = 'loading' | 'waiting' | 'kept' | 'full' | 'failed'

/** A lesson on this device, or on its way there. Bytes of files, without what the browser adds. */
export interface Holding {
  lesson: Lesson
  size: Size
  state: KeepState
  bytes: number
  total: number
  /** Its materials are kept, too. */
  hasMaterials: boolean
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
const TRIES = 4
const RETRY_MS = 5_000
/** What is left alone for the browser's own needs. */
const RESERVE = 20e6
/** As the player asks for the voice alone (library/player.ts). */
const SPOKEN = 'voice,aac-voice'

class Full extends Error {}
class MaterialGone extends Error {}

export class Keeper extends Observable {
  #holdings = new Map<string, Holding>()
  #running = new Map<string, { stop: AbortController; ended: Promise<void> }>()
  #space: Space = { free: null, persisted: false }
  #isLoaded = false

  /**
   * archive(lesson): address of its folder. materials(lesson): where these are. token(): what the
   * server is shown, empty for a visitor.
   * plays: families of codecs, with commas between them.
   */
  constructor(
    private readonly store: Store,
    private readonly archive: (lesson: Lesson) => string,
    private readonly materials: (lesson: Lesson) => Place,
    private readonly token: () => string,
    private readonly plays: string,
    private readonly retryMs = RETRY_MS,
  ) {
    super()
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
      const record = await this.store.record(id)
      if (record === null) {
        // Broken off before its record was written: nobody can play it.
        await this.store.remove(id)
        continue
      }
      const held = await this.store.held(id)
      this.#note(record, held, isWhole(record, held) ? 'kept' : 'waiting')
    }
    this.#isLoaded = true
    this.changed()
    for (const one of this.holdings) if (one.state === 'waiting') void this.#run(one.lesson.id)
  }

  /** What may be kept of `lesson`. Throws Problem or Unreachable. */
  async offer(lesson: Lesson): Promise<Offer> {
    const archive = await this.#read(lesson)
    const isGiven = typeof lesson.materials === 'string'
    const materials = isGiven ? await this.#listOf(lesson) : null
    const options = withMaterials(optionsOf(archive, new Set(this.plays.split(','))), materials)
    this.#space = await space()
    const free = this.#space.free === null ? null : Math.max(0, this.#space.free - RESERVE)
    return { archive, materials, options, suggested: pick(options, archive, free), free }
  }

  /** Begin to keep `lesson`. Throws Problem or Unreachable; what follows is told by its state. */
  async keep(lesson: Lesson, option: Option, offer: Offer): Promise<void> {
    const { archive, materials } = offer
    // Some browsers ask the person first.
    void persist()
    const only = [...option.renditions].sort().join()
    const query = new URLSearchParams({ only, play: this.plays })
    const base = this.archive(lesson)
    const playlists: Record<string, string> = {}
    const spoken = new URLSearchParams({ play: this.plays, only: SPOKEN })
    const masters: [string, string][] = [
      ['master.m3u8', `master.m3u8?${String(query)}`],
      // By this very address the player asks for the voice alone, and finds it.
      [`master.m3u8?${String(spoken)}`, `master.m3u8?${String(spoken)}`],
      ['screen.m3u8', `screen.m3u8?${String(query)}`],
    ]
    for (const [name, address] of masters) {
      const text = await this.#text(`${base}/${address}`).catch((error: unknown) => {
        // A lesson without a screen, or of which the screen alone is kept.
        if (error instanceof Problem && error.status === 404) return null
        throw error
      })
      if (text === null) continue
      playlists[name] = text
      for (const inner of playlistsIn(text))
        playlists[inner] ??= await this.#text(`${base}/${inner}`)
    }
    const files = [...filesOf(archive, playlists), ...materialsIn(materials)]
    const record: KeptLesson = {
      format: 1,
      lesson,
      size: option.size,
      length: archive.duration_ms / 1000,
      playlists,
      files,
      ...(materials === null ? {} : { materials }),
      addedAt: Date.now(),
    }
    await this.store.remove(lesson.id)
    await this.store.write(record)
    this.#note(record, new Set(), 'loading')
    this.changed()
    void this.#run(lesson.id)
  }

  /** Give the space back. */
  async remove(lesson: string): Promise<void> {
    const running = this.#running.get(lesson)
    running?.stop.abort()
    this.#holdings.delete(lesson)
    this.changed()
    // A file that is being written would bring the lesson back.
    await running?.ended.catch(() => undefined)
    await this.store.remove(lesson)
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
    // Another page of this browser may be at it already.
    const ended = alone(`kept-${id}`, stop.signal, () => this.#bring(id, stop.signal))
    this.#running.set(id, { stop, ended })
    try {
      await ended
    } finally {
      this.#running.delete(id)
    }
  }

  async #bring(id: string, stop: AbortSignal): Promise<void> {
    const found = await this.store.record(id)
    if (found === null) return
    let record: KeptLesson = found
    while (!stop.aborted) {
      const held = await this.store.held(id)
      if (stop.aborted) return
      this.#note(record, held, isWhole(record, held) ? 'kept' : 'loading')
      this.changed()
      if (isWhole(record, held)) return
      const missing = record.files.filter((file) => !held.has(file.path))
      try {
        record = await this.#fetchMissing(record, missing, stop)
      } catch (error) {
        if (stop.aborted) return
        const state = stateAfter(error)
        this.#note(record, await this.store.held(id), state)
        this.#space = await space()
        this.changed()
        if (state !== 'waiting') return
        await pause(this.retryMs, stop)
      }
    }
  }

  /** Returns the record, with other materials where its lesson has other ones by now. */
  async #fetchMissing(
    record: KeptLesson,
    missing: KeptFile[],
    stop: AbortSignal,
  ): Promise<KeptLesson> {
    try {
      await this.#fetchAll(record, missing, stop)
      return record
    } catch (error) {
      // Its teacher took a file out, or gave another in its place.
      const isGone = error instanceof MaterialGone && !stop.aborted
      const renewed = isGone ? await this.#renewed(record) : null
      if (renewed === null) throw error
      return renewed
    }
  }

  async #fetchAll(record: KeptLesson, missing: KeptFile[], stop: AbortSignal): Promise<void> {
    const queue = [...missing]
    // One failure ends the others: they wait for the same network.
    const failed = new AbortController()
    const either = (): void => failed.abort()
    stop.addEventListener('abort', either)
    const work = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        const data = await this.#fetchFile(record.lesson, file, failed.signal)
        if (failed.signal.aborted) return
        await this.#putIn(record.lesson.id, file, data)
        const holding = this.#holdings.get(record.lesson.id)
        if (holding !== undefined) holding.bytes += file.bytes
        this.changed()
      }
    }
    try {
      await Promise.all(
        Array.from({ length: PARALLEL }, () =>
          work().catch((error: unknown) => {
            failed.abort()
            throw error
          }),
        ),
      )
    } finally {
      stop.removeEventListener('abort', either)
    }
  }

  async #putIn(lesson: string, file: KeptFile, data: ArrayBuffer): Promise<void> {
    try {
      await this.store.put(lesson, file.path, data)
    } catch (error) {
      throw new Full(`no room for ${file.path}`, { cause: error })
    }
  }

  /** The file, as its digest says it must be. */
  async #fetchFile(lesson: Lesson, file: KeptFile, stop: AbortSignal): Promise<ArrayBuffer> {
    const headers: Record<string, string> = {}
    if (this.token() !== '') headers['Authorization'] = `Bearer ${this.token()}`
    const digest = materialAt(file.path)
    const address =
      digest === null ? `${this.archive(lesson)}/${file.path}` : this.materials(lesson).file(digest)
    for (let tried = 1; ; tried += 1) {
      let response: Response
      let data: ArrayBuffer
      try {
        // A rotten copy in the browser's own cache must not come back for ever.
        const cache = tried === 1 ? 'default' : 'reload'
        response = await fetch(address, { headers, signal: stop, cache })
        data = await response.arrayBuffer()
      } catch (error) {
        throw new Unreachable(file.path, { cause: error })
      }
      // Not here yet, or too much at once: waited for like a network that is away.
      if (response.status === 503 || response.status === 429) throw new Unreachable(file.path)
      if (response.status === 404 && digest !== null) throw new MaterialGone(file.path)
      if (!response.ok) throw new Problem(response.status, '', file.path, '')
      if (file.digest === null || (await sha256(data)) === file.digest) return data
      if (tried === TRIES) throw new Error(`the digest of ${file.path} is wrong`)
    }
  }

  async #read(lesson: Lesson): Promise<Archive> {
    const base = this.archive(lesson)
    const manifest: unknown = JSON.parse(await this.#text(`${base}/manifest.json`))
    const extras: unknown = await this.#text(`${base}/extras.json`).then(
      (text) => JSON.parse(text) as unknown,
      (error: unknown) => {
        if (error instanceof Problem && error.status === 404) return null
        throw error
      },
    )
    return readArchive(manifest, extras)
  }

  /** The list of its materials as text; null where it has none, or its server knows of none. */
  async #listOf(lesson: Lesson): Promise<string | null> {
    try {
      const text = await this.#text(this.materials(lesson).list)
      return materialsIn(text).length > 0 ? text : null
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return null
      throw error
    }
  }

  /** `record` with the materials that its lesson has now; null where that changes nothing. */
  async #renewed(record: KeptLesson): Promise<KeptLesson | null> {
    const text = await this.#listOf(record.lesson)
    if (text === (record.materials ?? null)) return null
    const { materials: _old, ...rest } = record
    const files = record.files.filter((file) => materialAt(file.path) === null)
    const renewed: KeptLesson = { ...rest, files: [...files, ...materialsIn(text)] }
    if (text !== null) renewed.materials = text
    await this.store.write(renewed)
    return renewed
  }

  async #text(address: string): Promise<string> {
    return (await request(address, this.token())).text
  }

  #note(record: KeptLesson, held: ReadonlySet<string>, state: KeepState): void {
    const here = record.files.filter((file) => held.has(file.path))
    this.#holdings.set(record.lesson.id, {
      lesson: record.lesson,
      size: record.size,
      state,
      bytes: here.reduce((sum, file) => sum + file.bytes, 0),
      total: totalOf(record),
      hasMaterials: record.materials !== undefined,
    })
  }
}

const isWhole = (record: KeptLesson, held: ReadonlySet<string>): boolean =>
  record.files.every((file) => held.has(file.path))

function stateAfter(error: unknown): KeepState {
  if (error instanceof Full) return 'full'
  return error instanceof Unreachable ? 'waiting' : 'failed'
}

async function alone(name: string, signal: AbortSignal, act: () => Promise<void>): Promise<void> {
  const locks = navigator.locks as LockManager | undefined
  if (locks === undefined) return act()
  // An aborted wait is no failure.
  await locks.request(name, { signal }, act).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}

/** Until the time is over, the network is back, or nobody wants it any more. */
function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      globalThis.removeEventListener?.('online', done)
      stop.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    globalThis.addEventListener?.('online', done)
    stop.addEventListener('abort', done)
  })
}
