/*
 * A lesson as its server has it: what may be kept of it, and its files, each as its digest says.
 *
 * Lives here: asking, with the link and without, and telling what fails apart. What must not: when to
 * try again (keeper.ts), what is here already (store.ts), which of it to keep (plan.ts).
 */
import type { Lesson } from '../api'
import { sha256 } from '../digest'
import { Patience, Problem, readProblem, request, Unreachable } from '../http'
import type { Place } from '../materials/list'
import type { Arriving } from './arriving'
import {
  filesOf,
  materialAt,
  materialsIn,
  playlistsIn,
  readArchive,
  type Archive,
  type KeptFile,
  type KeptLesson,
  type Option,
} from './plan'

/** A file is not there any more, or is not what its digest says: the lesson may have changed. */
export class Stale extends Error {}

/** A router that began anew leaves connections on which nothing ever comes, and no error either. */
const SILENCE_MS = 30_000
/** As the player asks for the voice alone (library/player.ts). */
const SPOKEN = 'voice,aac-voice'

export class Source {
  /** A link that was refused where a visitor was not. */
  #void = ''

  /**
   * archive(lesson): address of its folder. materials(lesson): where these are. token(): what the
   * server is shown, empty for a visitor. plays: families of codecs, with commas between them.
   */
  constructor(
    private readonly archive: (lesson: Lesson) => string,
    private readonly materials: (lesson: Lesson) => Place,
    private readonly token: () => string,
    private readonly plays: string,
  ) {}

  /** What is recorded of `lesson`, and the list of its materials as text, null where it has none. */
  async read(lesson: Lesson): Promise<{ archive: Archive; materials: string | null }> {
    const base = this.archive(lesson)
    const manifest: unknown = JSON.parse(await this.#text(`${base}/manifest.json`))
    const extras = await this.#textOrNone(`${base}/extras.json`)
    const archive = readArchive(manifest, extras === null ? null : JSON.parse(extras))
    if (typeof lesson.materials !== 'string') return { archive, materials: null }
    const materials = await this.#textOrNone(this.materials(lesson).list)
    return { archive, materials: materialsIn(materials).length > 0 ? materials : null }
  }

  /** What keeping `option` of `lesson` takes, with playlists as they are now. */
  async record(
    lesson: Lesson,
    option: Option,
    { archive, materials: given }: { archive: Archive; materials: string | null },
  ): Promise<KeptLesson> {
    const materials = option.leavesOut === true ? null : given
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
      // A lesson without a screen, or of which the screen alone is kept.
      const text = await this.#textOrNone(`${base}/${address}`)
      if (text === null) continue
      playlists[name] = text
      for (const inner of playlistsIn(text))
        playlists[inner] ??= await this.#text(`${base}/${inner}`)
    }
    return {
      format: 1,
      lesson,
      size: option.size,
      length: archive.duration_ms / 1000,
      playlists,
      files: [...filesOf(archive, playlists), ...materialsIn(materials)],
      ...(materials === null ? {} : { materials }),
      ...(option.leavesOut === true ? { leavesOut: true } : {}),
      addedAt: Date.now(),
    }
  }

  /**
   * A file of the recording, as its digest says it must be. Throws `Stale`, `Problem` or `Unreachable`.
   */
  async file(lesson: Lesson, file: KeptFile, stop: AbortSignal): Promise<ArrayBuffer> {
    const address = `${this.archive(lesson)}/${file.path}`
    const read = (response: Response, patience: Patience): Promise<ArrayBuffer> =>
      patience.read(response)
    // A rotten copy in the browser's own cache must not come back for ever.
    for (const cache of CACHES) {
      const data = await this.#ask((token) => bring(address, { token, cache, stop, read }))
      if (file.digest === null || (await sha256(data)) === file.digest) return data
    }
    throw new Stale(`the digest of ${file.path} is wrong`)
  }

  /**
   * A material, likewise; what came of it stays in `arriving`, and it goes on from there. grown() is
   * called whenever some of it came.
   */
  async material(
    lesson: Lesson,
    arriving: Arriving,
    stop: AbortSignal,
    grown: () => void,
  ): Promise<Blob> {
    const digest = materialAt(arriving.path) ?? ''
    const address = this.materials(lesson).file(digest)
    const read = async (response: Response, patience: Patience): Promise<void> => {
      // From the start, whatever was asked for.
      if (response.status !== 206) arriving.forget()
      await patience.each(response, (piece) => {
        const isEnough = !arriving.add(piece)
        grown()
        return !isEnough
      })
      if (arriving.bytes < arriving.total) throw new Unreachable(address)
    }
    for (const cache of CACHES) {
      await this.#ask((token) =>
        bring(address, { token, cache, stop, read, from: arriving.bytes }),
      ).catch((error: unknown) => {
        if (!(error instanceof Problem) || error.status !== 416) throw error
        // The server knows no such place in it.
        arriving.forget()
        throw new Unreachable(address, { cause: error })
      })
      const whole = arriving.take(digest)
      if (whole !== null) return whole
    }
    throw new Stale(`the digest of ${arriving.path} is wrong`)
  }

  async #text(address: string): Promise<string> {
    return this.#ask(async (token) => (await request(address, token)).text)
  }

  /** null: there is none. */
  async #textOrNone(address: string): Promise<string | null> {
    try {
      return await this.#text(address)
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return null
      throw error
    }
  }

  /** With the link, or as a visitor where the link is void. */
  async #ask<T>(asking: (token: string) => Promise<T>): Promise<T> {
    const token = this.token()
    if (token === '' || token === this.#void) return asking('')
    try {
      return await asking(token)
    } catch (error) {
      if (!(error instanceof Problem) || (error.status !== 401 && error.status !== 403)) throw error
      const answer = await asking('')
      this.#void = token
      return answer
    }
  }
}

const CACHES = ['default', 'reload'] as const

interface Bringing<T> {
  token: string
  cache: RequestCache
  stop: AbortSignal
  /** What becomes of a good answer. */
  read: (response: Response, patience: Patience) => Promise<T>
  /** Bytes of it that are here already. */
  from?: number
}

async function bring<T>(address: string, how: Bringing<T>): Promise<T> {
  const { token, cache, stop, read, from = 0 } = how
  const headers: Record<string, string> = token === '' ? {} : { Authorization: `Bearer ${token}` }
  if (from > 0) headers['Range'] = `bytes=${from}-`
  const patience = new Patience(SILENCE_MS, stop)
  // What goes by a network that was left hears nothing more.
  globalThis.addEventListener?.('online', patience.abort)
  try {
    const response = await fetch(address, { headers, signal: patience.signal, cache })
    if (response.ok) return await read(response, patience)
    const data = await patience.read(response)
    if (response.status === 404 || response.status === 410) throw new Stale(`${address} is gone`)
    throw readProblem(response, new TextDecoder().decode(data))
  } catch (error) {
    if (error instanceof Stale || error instanceof Problem) throw error
    throw new Unreachable(address, { cause: error })
  } finally {
    patience.close()
    globalThis.removeEventListener?.('online', patience.abort)
  }
}
