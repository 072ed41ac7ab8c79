/*
 * Giving files along with a lesson: the list, what is being sent, what was refused.
 *
 * Lives here: one upload after the other, again after a network that broke off (a PUT by digest does no
 * harm twice), taking files out, and remembering by name what was not sent when the page was closed.
 * What must not: elements and words. While a lesson is taught nothing is sent: the voice needs the link.
 */
import { Backoff } from '../backoff'
import { sha256 } from '../digest'
import { Problem, request, Unreachable } from '../http'
import { freeName, MAX_BYTES, refusalOf, tidyName } from '../materials/kinds'
import { pause, placeAt, readList, totalBytes, type Material, type Place } from '../materials/list'
import { Observable } from '../observable'
import { load, save } from '../token'
import { askBeforeLeaving } from './leaving'
import { upload } from './upload'

/**
 * queued · reading: its digest is made · sending · storing: sent, not answered · waiting: no network,
 * sent again by itself · refused
 */
export type UploadState = 'queued' | 'reading' | 'sending' | 'storing' | 'waiting' | 'refused'

/** Why a file was not taken. limit: the most bytes that a file may have, where that is known. */
export interface Refusal {
  code: string
  status: number
  limit: number | null
}

export interface Upload {
  readonly id: number
  /** As it will stand in the list. */
  readonly name: string
  readonly bytes: number
  state: UploadState
  /** Of a hundred. */
  percent: number
  refusal: Refusal | null
}

interface Pending extends Upload {
  name: string
  /** As the teacher calls it; another file may have this name already. */
  readonly wanted: string
  readonly file: File
  digest: string | null
  readonly stop: AbortController
}

/** What happened last, for those who do not see the list change. */
export interface Said {
  what: 'added' | 'same' | 'removed'
  name: string
}

/** A file that could not be taken out, and why. Nothing is tried again by itself. */
export interface Unremoved {
  readonly name: string
  readonly digest: string
  readonly fault: Problem | Unreachable
}

/** The browser could not read the file; no server says this. */
export const UNREADABLE = 'file-unreadable'

const AGAIN_MS = [1_500, 30_000] as const
/** Bytes that do not fit their digest were spoilt on the way, or the file changed meanwhile. */
const TRIES = 3
const KEY = 'classroom.teach.unsent.'

export class LessonMaterials extends Observable {
  #list: readonly Material[] | null = null
  #uploads: Pending[] = []
  #removing = new Set<string>()
  #fault: Problem | Unreachable | null = null
  #unremoved: Unremoved | null = null
  #said: Said | null = null
  #lost: string[]
  readonly #place: Place
  #digest: string | null | undefined = undefined
  #isWorking = false
  #isPaused = false
  /** Aborted while nothing is to be sent. */
  #rest = new AbortController()
  /** Of the list as it is known here. */
  #version = 0
  #count = 0

  constructor(
    base: string,
    private readonly lesson: string,
    token: string,
    private readonly send: typeof upload = upload,
  ) {
    super()
    this.#place = placeAt(base, lesson, token)
    this.#lost = readNames(load(KEY + lesson))
  }

  /** What the lesson has; null while it is not known. */
  get list(): readonly Material[] | null {
    return this.#list
  }

  get uploads(): readonly Upload[] {
    return this.#uploads
  }

  /** How many files are not there yet and may still come. */
  get unfinished(): number {
    return this.#uploads.filter(isOpen).length
  }

  /** Bytes of the lesson's files, those included that are on their way. */
  get bytes(): number {
    return totalBytes([...(this.#list ?? []), ...this.#uploads.filter(isOpen)])
  }

  /** Why the list could not be brought, or null. */
  get fault(): Problem | Unreachable | null {
    return this.#fault
  }

  /** What was to be taken out last and is still there, or null. */
  get unremoved(): Unremoved | null {
    return this.#unremoved
  }

  get said(): Said | null {
    return this.#said
  }

  /** Names of files that were on their way when the page was closed, and are not there. */
  get lost(): readonly string[] {
    return this.#list === null ? [] : this.#missing
  }

  get #missing(): string[] {
    const here = new Set([...(this.#list ?? []), ...this.#uploads].map((one) => one.name))
    return this.#lost.filter((name) => !here.has(name))
  }

  get paused(): boolean {
    return this.#isPaused
  }

  isRemoving(digest: string): boolean {
    return this.#removing.has(digest)
  }

  /** The server says that the list has this digest, or that there is none (null). */
  follow(digest: string | null): void {
    if (digest === this.#digest) return
    this.#digest = digest
    if (digest === null) this.#know('{}')
    else void this.#bring()
    this.changed()
  }

  /** Send these; each is told of by its own state. None takes the place of another file. */
  add(files: Iterable<File>): void {
    for (const file of files) {
      const wanted = tidyName(file.name)
      this.#count += 1
      const one: Pending = {
        id: this.#count,
        name: wanted,
        wanted,
        bytes: file.size,
        state: 'queued',
        percent: 0,
        refusal: null,
        file,
        digest: null,
        stop: new AbortController(),
      }
      // Chosen anew after a refusal it is a new try.
      const isRefused = (other: Pending): boolean => !isOpen(other) && other.wanted === wanted
      this.#uploads = [...this.#uploads.filter((other) => !isRefused(other)), one]
      const code = refusalOf(wanted, file.size)
      if (code !== null) refuse(one, { code, status: 0, limit: MAX_BYTES })
      else this.#name(one)
    }
    this.#note()
    void this.#work()
  }

  /** Do not send it after all, or take its refusal off the page. */
  dismiss(id: number): void {
    this.#uploads.find((one) => one.id === id)?.stop.abort()
    this.#uploads = this.#uploads.filter((one) => one.id !== id)
    this.#note()
  }

  /** Try a refused one once more. */
  again(id: number): void {
    const one = this.#uploads.find((other) => other.id === id)
    if (one === undefined || one.state !== 'refused') return
    Object.assign(one, { state: 'queued', percent: 0, refusal: null, digest: null })
    this.#name(one)
    this.#note()
    void this.#work()
  }

  /** What was lost has been read. */
  forgetLost(): void {
    this.#lost = []
    this.#note()
  }

  async remove(digest: string): Promise<void> {
    const name = this.#list?.find((one) => one.digest === digest)?.name ?? ''
    this.#removing.add(digest)
    this.#unremoved = null
    this.changed()
    try {
      const { text } = await request(this.#place.file(digest), this.#place.token, {
        method: 'DELETE',
      })
      this.#know(text)
      this.#said = { what: 'removed', name }
    } catch (error) {
      // Somebody took it out already, or the answer to our own word was lost.
      if (error instanceof Problem && error.code === 'unknown-material') await this.#bring()
      else this.#unremoved = { name, digest, fault: asFault(error) }
    } finally {
      this.#removing.delete(digest)
      this.changed()
    }
  }

  /** While a lesson is taught nothing is sent; afterwards it goes on by itself. */
  rest(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return
    this.#isPaused = isPaused
    if (isPaused) this.#rest.abort()
    else this.#rest = new AbortController()
    this.changed()
    void this.#work()
  }

  async #bring(): Promise<void> {
    const wanted = this.#digest
    const backoff = new Backoff(...AGAIN_MS)
    for (;;) {
      try {
        await this.#look()
        this.#fault = null
        return this.changed()
      } catch (error) {
        this.#fault = asFault(error)
        this.changed()
        if (error instanceof Problem && isForGood(error)) return
        await pause(backoff.next(), NEVER)
        if (wanted !== this.#digest) return
      }
    }
  }

  async #look(): Promise<void> {
    const { list, token } = this.#place
    const version = this.#version
    const { text } = await request(list, token, { cache: 'no-cache' })
    // Asked before something was added or taken out, the answer is an old one.
    if (version === this.#version) this.#know(text)
  }

  #know(text: string): void {
    this.#list = readList(text)
    this.#version += 1
    const { digest } = this.#unremoved ?? {}
    if (!this.#list.some((one) => one.digest === digest)) this.#unremoved = null
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return
    this.#isWorking = true
    try {
      for (;;) {
        const next = this.#uploads.find(isOpen)
        if (next === undefined || this.#isPaused) return
        await this.#bringUp(next)
        this.#note()
      }
    } finally {
      this.#isWorking = false
    }
  }

  /** Until it is there, is refused, or nobody wants it now. */
  async #bringUp(one: Pending): Promise<void> {
    const backoff = new Backoff(...AGAIN_MS)
    for (let spoilt = 0; ;) {
      const rest = this.#rest.signal
      const stop = either(one.stop.signal, rest)
      try {
        if (await this.#attempt(one, stop)) return
      } catch (error) {
        if (one.stop.signal.aborted) return
        if (rest.aborted) return this.#to(one, 'queued')
        if (error instanceof Unreadable)
          return refuse(one, { code: UNREADABLE, status: 0, limit: null })
        const fault = asFault(error)
        const isSpoilt = fault instanceof Problem && fault.code === 'material-digest'
        if (isSpoilt) {
          spoilt += 1
          one.digest = null
        }
        if (fault instanceof Problem && isForGood(fault) && !(isSpoilt && spoilt < TRIES)) {
          const { code, status, detail } = fault
          return refuse(one, { code, status, limit: limitIn(detail) })
        }
        this.#to(one, 'waiting')
        await pause(backoff.next(), stop)
        if (one.stop.signal.aborted) return
        if (rest.aborted) return this.#to(one, 'queued')
        // The answer may be what was lost, and not the file.
        if (!isSpoilt) await this.#look().catch(() => undefined)
      }
    }
  }

  /** True when it is there. */
  async #attempt(one: Pending, stop: AbortSignal): Promise<boolean> {
    if (one.digest === null) {
      this.#to(one, 'reading')
      one.digest = await digestOf(one.file)
    }
    // Without it nobody could say which names are taken.
    if (this.#list === null) await this.#look()
    if (stop.aborted) throw new Unreachable(one.name)
    const { digest } = one
    const here = this.#list?.find((other) => other.digest === digest)
    if (here !== undefined) {
      if (one.percent === 0) return this.#finish('same', one, one.wanted)
      return this.#finish('added', one, here.name)
    }
    this.#name(one)
    this.#note()
    one.percent = 0
    this.#to(one, 'sending')
    const url = `${this.#place.file(digest)}?name=${encodeURIComponent(one.name)}`
    const text = await this.send(
      url,
      this.#place.token,
      one.file,
      (bytes) => {
        const percent = Math.min(100, Math.floor((100 * bytes) / one.bytes))
        if (percent === one.percent || !this.#uploads.includes(one)) return
        one.percent = percent
        this.#to(one, percent === 100 ? 'storing' : 'sending')
      },
      stop,
    )
    this.#know(text)
    return this.#finish('added', one, one.name)
  }

  #finish(what: 'added' | 'same', one: Pending, name: string): true {
    this.#uploads = this.#uploads.filter((other) => other !== one)
    this.#said = { what, name }
    return true
  }

  /** A server would put it in the place of another file of the same name. */
  #name(one: Pending): void {
    const others = this.#uploads.filter((other) => other !== one && isOpen(other))
    const taken = new Set([...(this.#list ?? []), ...others].map((other) => other.name))
    one.name = freeName(one.wanted, taken)
  }

  #to(one: Pending, state: UploadState): void {
    one.state = state
    this.changed()
  }

  /** A page that is closed has no files to send any more, but can say which they were. */
  #note(): void {
    const names = [...this.#missing, ...this.#uploads.filter(isOpen).map((one) => one.name)]
    save(KEY + this.lesson, names.length === 0 ? null : JSON.stringify(names))
    this.changed()
  }
}

class Unreadable extends Error {}

/** Never aborts: the list is wanted as long as the page is open. */
const NEVER = new AbortController().signal

const isOpen = (one: Upload): boolean => one.state !== 'refused'

function refuse(one: Pending, refusal: Refusal): void {
  one.refusal = refusal
  one.state = 'refused'
}

/** A refusal that trying again cannot change. A full disk is emptied by people. */
const isForGood = (error: Problem): boolean => !error.isPassing || error.status === 507

/** The setting of the server stands in its sentence alone: "… larger than 50 MB." */
function limitIn(detail: string): number | null {
  const found = /(\d+) MB\b/.exec(detail)
  return found === null ? null : Number(found[1]) * 1e6
}

/** What a request may throw; a list that is cut off is a network that broke off. */
function asFault(error: unknown): Problem | Unreachable {
  if (error instanceof Problem || error instanceof Unreachable) return error
  if (error instanceof SyntaxError) return new Unreachable('a list was cut off', { cause: error })
  throw error
}

async function digestOf(file: Blob): Promise<string> {
  let data: ArrayBuffer
  try {
    data = await file.arrayBuffer()
  } catch (cause) {
    throw new Unreadable('the file cannot be read', { cause })
  }
  return sha256(data)
}

function either(...signals: AbortSignal[]): AbortSignal {
  const any = new AbortController()
  for (const signal of signals) {
    if (signal.aborted) any.abort()
    signal.addEventListener('abort', () => any.abort(), { once: true })
  }
  return any.signal
}

function readNames(text: string | null): string[] {
  try {
    const names: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(names) ? names.filter((one) => typeof one === 'string') : []
  } catch {
    return []
  }
}

/** The materials of each lesson that was looked at; what is being sent goes on beside other lessons. */
export class MaterialsDesk extends Observable {
  readonly #lessons = new Map<string, LessonMaterials>()
  #isPaused = false

  constructor(
    private readonly base: string,
    private readonly token: string,
  ) {
    super()
    askBeforeLeaving(() => this.unfinished > 0)
  }

  of(lesson: string): LessonMaterials {
    let one = this.#lessons.get(lesson)
    if (one === undefined) {
      one = new LessonMaterials(this.base, lesson, this.token)
      one.rest(this.#isPaused)
      one.onChange(() => this.changed())
      this.#lessons.set(lesson, one)
    }
    return one
  }

  /** Files of all lessons that are not there yet and may still come. */
  get unfinished(): number {
    return [...this.#lessons.values()].reduce((sum, one) => sum + one.unfinished, 0)
  }

  rest(isPaused: boolean): void {
    this.#isPaused = isPaused
    for (const one of this.#lessons.values()) one.rest(isPaused)
  }
}
