/*
 * The list of files that a teacher gave along with a lesson, and where it and they are.
 *
 * Lives here: its shape, and following one lesson's list as the server tells of newer ones. What must
 * not: the files (file.ts), giving files (teach/materials.ts), words. classroom/archive/FORMAT.md,
 * section "materials.json".
 */
import { Backoff } from '../backoff'
import { Problem, request, Unreachable } from '../http'
import { Observable } from '../observable'

/** One file. digest: SHA-256 in hex. */
export interface Material {
  name: string
  bytes: number
  digest: string
}

/** Where a lesson's materials are: at a server, or on this device. */
export interface Place {
  list: string
  file: (digest: string) => string
  /** What the server is shown; empty for a visitor. */
  token: string
}

/** Of `lesson` at the server `host`, an origin. */
export function placeAt(host: string, lesson: string, token: string): Place {
  const list = `${host}/api/lessons/${encodeURIComponent(lesson)}/materials`
  return { list, file: (digest) => `${list}/${digest}`, token }
}

/** The files of a list in its text; throws SyntaxError. Entries of another shape are passed over. */
export function readList(text: string): Material[] {
  const body = JSON.parse(text) as { materials?: unknown } | null
  const items: unknown[] = Array.isArray(body?.materials) ? body.materials : []
  return items.filter(isMaterial).map(({ name, bytes, digest }) => ({ name, bytes, digest }))
}

function isMaterial(item: unknown): item is Material {
  const { name, bytes, digest } = (item ?? {}) as Partial<Record<keyof Material, unknown>>
  return (
    typeof name === 'string' &&
    typeof bytes === 'number' &&
    typeof digest === 'string' &&
    /^[0-9a-f]{64}$/.test(digest)
  )
}

export const totalBytes = (materials: readonly Pick<Material, 'bytes'>[]): number =>
  materials.reduce((sum, one) => sum + one.bytes, 0)

/** First and longest wait before the list is asked for again. */
const AGAIN_MS = [2_000, 30_000] as const

export class MaterialList extends Observable {
  #place: Place | null = null
  #key = ''
  #materials: readonly Material[] = []
  #stop = new AbortController()

  /** Empty until they are known, and where there are none. */
  get materials(): readonly Material[] {
    return this.#materials
  }

  /** Where these are, or null. */
  get place(): Place | null {
    return this.#place
  }

  /** Show the list at `place` whose digest is `digest`; null for none. The same again does nothing. */
  follow(place: Place | null, digest: string | null): void {
    const key = place === null || digest === null ? '' : `${place.list} ${digest}`
    if (key === this.#key) return
    this.#stop.abort()
    this.#stop = new AbortController()
    this.#key = key
    // While a newer list of the same lesson comes, the older one stands.
    const stays = key !== '' && place?.list === this.#place?.list
    if (!stays && this.#materials.length > 0) {
      this.#materials = []
      this.changed()
    }
    this.#place = key === '' ? null : place
    if (place !== null && digest !== null) void this.#bring(place, digest, this.#stop.signal)
  }

  async #bring(place: Place, digest: string, stop: AbortSignal): Promise<void> {
    const backoff = new Backoff(...AGAIN_MS)
    while (!stop.aborted) {
      try {
        const answer = await request(place.list, place.token, { cache: 'no-cache', signal: stop })
        const materials = readList(answer.text)
        if (stop.aborted) return
        this.#materials = materials
        this.changed()
        // A school may hear that there is a newer list before it has that list.
        const tag = answer.headers.get('ETag')
        if (tag === null || tag.includes(digest)) return
      } catch (error) {
        if (stop.aborted || (error instanceof Problem && !error.isPassing)) return
        if (!isPassing(error)) throw error
      }
      await pause(backoff.next(), stop)
    }
  }
}

/** A list cut off in the middle is no list, and comes whole another time. */
const isPassing = (error: unknown): boolean =>
  error instanceof Problem || error instanceof Unreachable || error instanceof SyntaxError

/** Until the time is over or nobody wants it any more. */
export function pause(ms: number, stop: AbortSignal): Promise<void> {
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
    if (stop.aborted) done()
  })
}
