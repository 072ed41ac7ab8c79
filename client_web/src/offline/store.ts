/*
 * Lessons in this browser's Cache Storage: one cache each, named `kept-ID`, gone with one call.
 *
 * Lives here: reading and writing files and the record beside them, and what the browser says of
 * space. What must not: fetching from servers, words. A file is put in whole or not at all; the
 * service worker (sw.ts) answers `/kept/ID/…` from the same caches, so nothing of it needs a server.
 */
import type { Place } from '../materials/list'
import { MATERIALS, type KeptLesson } from './plan'

const PREFIX = 'kept-'
const RECORD = 'kept.json'

/** The address at which a kept lesson is played. */
export const keptAddress = (lesson: string): string => `/kept/${lesson}`

const addressOf = (lesson: string, path: string): string => `${keptAddress(lesson)}/${path}`

/**
 * Where the materials of a kept lesson are, for a page that the service worker knows: on this device,
 * and those of which `isMissing` says so at `server` still.
 */
export const keptMaterials = (
  lesson: string,
  server: Place,
  isMissing: (digest: string) => boolean,
): Place => ({
  list: addressOf(lesson, MATERIALS),
  file: (digest) =>
    isMissing(digest) ? server.file(digest) : addressOf(lesson, `materials/${digest}`),
  token: server.token,
})

const TYPES: Readonly<Record<string, string>> = {
  m3u8: 'application/vnd.apple.mpegurl',
  m4s: 'video/mp4',
  mp4: 'video/mp4',
  vtt: 'text/vtt; charset=utf-8',
  json: 'application/json',
}

/** What the browser says: bytes free for pages like this, and whether it promised to keep them. */
export interface Space {
  free: number | null
  persisted: boolean
}

export async function space(): Promise<Space> {
  const storage = navigator.storage as StorageManager | undefined
  const estimate = await storage?.estimate?.().catch(() => undefined)
  const persisted = (await storage?.persisted?.().catch(() => false)) ?? false
  const { quota, usage } = estimate ?? {}
  return {
    free: quota === undefined ? null : Math.max(0, quota - (usage ?? 0)),
    persisted,
  }
}

/** Ask the browser not to delete what is kept when the device is full; it may say no. */
export async function persist(): Promise<boolean> {
  return (await navigator.storage?.persist?.().catch(() => false)) ?? false
}

/** A record is there, and the browser did not give it, or it is of another kind. */
export class Unreadable extends Error {}

export class Store {
  constructor(private readonly storage: CacheStorage) {}

  /** Ids of the lessons of which something is here. */
  async lessons(): Promise<string[]> {
    const names = await this.storage.keys()
    return names.filter((name) => name.startsWith(PREFIX)).map((name) => name.slice(PREFIX.length))
  }

  /** The record of a lesson, or null: it has none. Throws `Unreadable`. */
  async record(lesson: string): Promise<KeptLesson | null> {
    try {
      if (!(await this.storage.has(PREFIX + lesson))) return null
      const cache = await this.storage.open(PREFIX + lesson)
      const found = await cache.match(addressOf(lesson, RECORD))
      if (found === undefined) return null
      const record = (await found.json()) as KeptLesson
      if (record.format === 1) return record
    } catch (error) {
      throw new Unreadable(`the record of ${lesson} could not be read`, { cause: error })
    }
    throw new Unreadable(`the record of ${lesson} is of another kind`)
  }

  /** The record, and its playlists as files that a player finds. */
  async write(record: KeptLesson): Promise<void> {
    const cache = await this.storage.open(PREFIX + record.lesson.id)
    for (const [name, text] of Object.entries(record.playlists))
      await put(cache, record.lesson.id, name, text)
    if (record.materials !== undefined)
      await put(cache, record.lesson.id, MATERIALS, record.materials)
    await put(cache, record.lesson.id, RECORD, JSON.stringify(record))
  }

  /** Paths of the files that are here. */
  async held(lesson: string): Promise<Set<string>> {
    if (!(await this.storage.has(PREFIX + lesson))) return new Set()
    const cache = await this.storage.open(PREFIX + lesson)
    const start = `${addressOf(lesson, '')}`
    const paths = (await cache.keys()).map((request) => new URL(request.url).pathname)
    return new Set(paths.filter((path) => path.startsWith(start)).map((p) => p.slice(start.length)))
  }

  /**
   * Put a file of a lesson that is here; of one that was deleted meanwhile, nothing. Throws
   * QuotaExceededError where there is no room.
   */
  async put(lesson: string, path: string, data: ArrayBuffer | Blob): Promise<void> {
    if (!(await this.storage.has(PREFIX + lesson))) return
    await put(await this.storage.open(PREFIX + lesson), lesson, path, data)
  }

  /** Delete all files of a lesson but these; its record stays until another is written. */
  async keepOnly(lesson: string, paths: ReadonlySet<string>): Promise<void> {
    const cache = await this.storage.open(PREFIX + lesson)
    for (const path of await this.held(lesson))
      if (path !== RECORD && !paths.has(path)) await cache.delete(addressOf(lesson, path))
  }

  async remove(lesson: string): Promise<void> {
    await this.storage.delete(PREFIX + lesson)
  }
}

async function put(
  cache: Cache,
  lesson: string,
  path: string,
  body: string | ArrayBuffer | Blob,
): Promise<void> {
  const kind = path.split('?')[0]?.split('.').pop() ?? ''
  const headers = { 'Content-Type': TYPES[kind] ?? 'application/octet-stream' }
  await cache.put(addressOf(lesson, path), new Response(body, { headers }))
}
