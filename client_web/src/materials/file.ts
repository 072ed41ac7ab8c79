/*
 * Brings one file of a lesson's materials to the page, however often the network breaks off.
 *
 * Lives here: fetching with the token, going on from the byte that was reached, waiting for what is
 * still on its way to the school. What must not: how it is shown (viewer.tsx), words. A file is held
 * as pieces that the browser may put on its disk, so that a film needs no memory of its size.
 */
import { Backoff } from '../backoff'
import { Problem, readProblem, Unreachable } from '../http'
import { Observable } from '../observable'
import { mediaTypeOf } from './kinds'
import { pause, type Material, type Place } from './list'

/**
 * loading · on-its-way: the school has not got it yet · waiting: no network, tried again · here
 * · refused: trying again cannot help
 */
export type FileState = 'loading' | 'on-its-way' | 'waiting' | 'here' | 'refused'

/** Nothing for so long is a network that broke off. */
const STALL_MS = 20_000
const AGAIN_MS = [1_000, 10_000] as const
const ON_ITS_WAY_S = 3
/** Pieces of the network are a few kilobytes; so many together become one on the browser's disk. */
const PIECE = 4e6

export class MaterialFile extends Observable {
  #state: FileState = 'loading'
  #pieces: Blob[] = []
  #bytes = 0
  #blob: Blob | null = null
  #url: string | null = null
  #problem: Problem | null = null
  #isFresh = false
  #shown = 0
  readonly #stop = new AbortController()

  constructor(
    private readonly place: Place,
    readonly material: Material,
  ) {
    super()
  }

  get state(): FileState {
    return this.#state
  }

  /** Bytes that are here. */
  get bytes(): number {
    return this.#bytes
  }

  /** How much of it that is, of a hundred. */
  get percent(): number {
    return Math.min(100, this.#shown)
  }

  get blob(): Blob | null {
    return this.#blob
  }

  /** A blob: address, good until `close`; null while the file is not here. */
  get url(): string | null {
    return this.#url
  }

  /** Why it was refused, or null. */
  get problem(): Problem | null {
    return this.#problem
  }

  /** Bring it; once. What becomes of it is told by the state. */
  async open(): Promise<void> {
    const stop = this.#stop.signal
    const backoff = new Backoff(...AGAIN_MS)
    while (!stop.aborted) {
      const before = this.#bytes
      try {
        await this.#fetch(stop)
        if (stop.aborted) return
        this.#blob = new Blob(this.#pieces, { type: mediaTypeOf(this.material.name) })
        this.#url = URL.createObjectURL(this.#blob)
        return this.#to('here')
      } catch (error) {
        if (stop.aborted) return
        if (error instanceof Problem && !mayHelp(error)) {
          this.#problem = error
          return this.#to('refused')
        }
        if (!(error instanceof Problem || error instanceof Unreachable)) throw error
        if (this.#bytes > before) backoff.reset()
        const isComing = error instanceof Problem && error.code === 'material-on-its-way'
        this.#to(isComing ? 'on-its-way' : 'waiting')
        await pause(isComing ? 1e3 * (error.retryAfter ?? ON_ITS_WAY_S) : backoff.next(), stop)
      }
    }
  }

  /** Nobody looks at it any more. */
  close(): void {
    this.#stop.abort()
    if (this.#url !== null) URL.revokeObjectURL(this.#url)
    this.#url = null
  }

  async #fetch(stop: AbortSignal): Promise<void> {
    const stall = new AbortController()
    const end = (): void => stall.abort()
    let timer = setTimeout(end, STALL_MS)
    stop.addEventListener('abort', end)
    try {
      const response = await this.#ask(stall.signal)
      // All of it from the start, or a place in it that the server does not know.
      if (response.status === 200 || response.status === 416) this.#forget()
      if (!response.ok) throw readProblem(response, await response.text())
      const reader = response.body?.getReader()
      let some: Uint8Array<ArrayBuffer>[] = []
      let size = 0
      const store = (): void => {
        if (size > 0) this.#pieces.push(new Blob(some))
        this.#bytes += size
        some = []
        size = 0
      }
      try {
        for (;;) {
          const { value, done } = (await reader?.read()) ?? { value: undefined, done: true }
          clearTimeout(timer)
          timer = setTimeout(end, STALL_MS)
          if (done || stop.aborted) break
          some.push(value)
          size += value.byteLength
          if (size >= PIECE) store()
          this.#count(this.#bytes + size)
        }
      } finally {
        store()
      }
    } catch (cause) {
      if (cause instanceof Problem) throw cause
      throw new Unreachable(this.material.name, { cause })
    } finally {
      clearTimeout(timer)
      stop.removeEventListener('abort', end)
    }
    if (stop.aborted || this.#bytes === this.material.bytes) return
    if (this.#bytes > this.material.bytes) {
      // Not what the list says; what the browser's own cache has of it is not asked again.
      this.#forget()
      this.#isFresh = true
    }
    throw new Unreachable(this.material.name)
  }

  #ask(signal: AbortSignal): Promise<Response> {
    const { token } = this.place
    const headers: Record<string, string> = {}
    if (token !== '') headers['Authorization'] = `Bearer ${token}`
    if (this.#bytes > 0) headers['Range'] = `bytes=${this.#bytes}-`
    const cache = this.#isFresh ? 'reload' : 'default'
    return fetch(this.place.file(this.material.digest), { headers, signal, cache })
  }

  #forget(): void {
    this.#pieces = []
    this.#bytes = 0
  }

  /** Pages draw a bar, and a hundred steps of it are plenty. */
  #count(bytes: number): void {
    const step = Math.floor((100 * bytes) / this.material.bytes)
    if (step === this.#shown && this.#state === 'loading') return
    this.#shown = step
    this.#to('loading')
  }

  #to(state: FileState): void {
    this.#state = state
    this.changed()
  }
}

/** After 416, a place in the file that the server does not know, it is asked for from the start. */
const mayHelp = (problem: Problem): boolean => problem.isPassing || problem.status === 416
