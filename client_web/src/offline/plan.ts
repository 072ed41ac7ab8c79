/*
 * What keeping a lesson on the device takes: which renditions, which files, how many bytes.
 *
 * Pure: manifest, extras and playlists in, a list of files with sizes and digests out. What must not
 * live here: fetching, storing, words. The shapes are those of classroom/archive/FORMAT.md; what is
 * not of them is passed over, since a digest decides in the end what is kept.
 */
import type { Lesson } from '../api'
import { readList, totalBytes, type Material } from '../materials/list'

/** A file of the archive. digest: SHA-256 in hex; null for what the server makes when asked. */
export interface KeptFile {
  path: string
  bytes: number
  digest: string | null
}

/** A lesson on this device; stored beside its files. */
export interface KeptLesson {
  format: 1
  lesson: Lesson
  size: Size
  /** Seconds. */
  length: number
  /** Playlists by name, as the server gave them. */
  playlists: Record<string, string>
  files: KeptFile[]
  /** The list of the lesson's materials as text; older records, and lessons without any, have none. */
  materials?: string
  /** Whoever keeps it wanted it without its materials, for their space. */
  leavesOut?: true
  /** Milliseconds since 1970. */
  addedAt: number
}

/** How much of the picture is kept, largest first. */
export const SIZES = ['large', 'medium', 'small', 'slides', 'voice'] as const
export type Size = (typeof SIZES)[number]

/** Something to choose: renditions by name, and what they take. */
export interface Option {
  size: Size
  renditions: string[]
  bytes: number
  /** The lesson's materials are left out, for their space. */
  leavesOut?: true
}

interface FileEntry {
  bytes: number
  digest: string
}
interface Init extends FileEntry {
  number: number
  codec: string
  height: number
}
interface Segment extends FileEntry {
  beat: number
  part: number
}
export interface Rendition {
  name: string
  inits: Init[]
  segments: Segment[]
}
export interface Archive {
  finished: boolean
  duration_ms: number
  renditions: Rendition[]
  copies: Rendition[]
  captions: (FileEntry & { language: string })[]
}

/** Manifest and extras (null where there are none) as the archive that they describe. */
export function readArchive(manifest: unknown, extras: unknown): Archive {
  const of = manifest as Partial<Archive>
  const more = (extras ?? {}) as Partial<Archive>
  return {
    finished: of.finished === true,
    duration_ms: of.duration_ms ?? 0,
    renditions: of.renditions ?? [],
    copies: more.copies ?? [],
    captions: more.captions ?? [],
  }
}

const bytesOf = (rendition: Rendition): number =>
  [...rendition.inits, ...rendition.segments].reduce((sum, file) => sum + file.bytes, 0)

/**
 * What keeping `rendition`, one of `layers`, takes: where a large layer has nothing its playlist
 * names a smaller one's segments, so no less than any smaller one.
 */
const takenBy = (rendition: Rendition, layers: readonly Rendition[]): number => {
  const place = layers.indexOf(rendition)
  return Math.max(...(place < 0 ? [rendition] : layers.slice(place)).map(bytesOf))
}

const heightOf = (rendition: Rendition): number =>
  Math.max(...rendition.inits.map((init) => init.height))

/** Plays where the families `plays` do ("vp09", "opus", …). */
const isPlayable = (rendition: Rendition, plays: ReadonlySet<string>): boolean =>
  rendition.inits.every((init) => plays.has(init.codec.split('.')[0] ?? ''))

/**
 * What may be kept of `archive` where the families `plays` are played, largest first.
 *
 * Two sizes that come out the same are one. Empty when nothing of the voice plays here.
 */
export function optionsOf(archive: Archive, plays: ReadonlySet<string>): Option[] {
  const find = (source: string, copy: string): Rendition[] => {
    const recorded = archive.renditions.filter(
      (one) => (one.name === source || one.name.startsWith(`${source}-`)) && isPlayable(one, plays),
    )
    if (recorded.length > 0)
      return recorded.sort(
        (one, other) => heightOf(other) - heightOf(one) || bytesOf(other) - bytesOf(one),
      )
    return archive.copies.filter((one) => one.name === copy && isPlayable(one, plays))
  }
  const voice = find('voice', 'aac-voice').slice(0, 1)
  const cameras = find('camera', 'h264-camera')
  const screens = find('screen', 'h264-screen')
  if (voice.length === 0 && cameras.length === 0 && screens.length === 0) return []
  // Words on slides need their size more than a face does, and slides take few bytes.
  const slides = screens.slice(0, 1)
  const middle = cameras[Math.floor(cameras.length / 2)]
  const last = cameras[cameras.length - 1]
  const sizes: [Size, (Rendition | undefined)[]][] = [
    ['large', [cameras[0], ...slides, ...voice]],
    ['medium', [middle, ...slides, ...voice]],
    ['small', [last, ...slides, ...voice]],
    ['slides', [...slides, ...voice]],
    ['voice', voice],
  ]
  const found = new Map<string, Option>()
  const captions = archive.captions.reduce((sum, file) => sum + file.bytes, 0)
  for (const [size, list] of sizes) {
    const some = list.filter((one) => one !== undefined)
    const renditions = some.map((one) => one.name)
    const key = renditions.join()
    if (some.length === 0 || found.has(key)) continue
    // Each is named for what it has.
    if (size === 'slides' ? slides.length === 0 : size !== 'voice' && last === undefined) continue
    const bytes = some.reduce((sum, one) => sum + takenBy(one, cameras), captions)
    found.set(key, { size, renditions, bytes })
  }
  return [...found.values()]
}

/** Of the free space a lesson may take so much: the device belongs to its people. */
const SHARE = 0.5
/** Nobody waits for more by default; whoever wants it may choose it. */
const PLENTY_LINES = 480

/**
 * The option to offer first with `free` bytes free (null: the browser does not tell): the largest
 * that takes at most half of them and has at most 480 lines, without materials only where none fits
 * with them; null when none fits.
 */
export function pick(
  options: readonly Option[],
  archive: Archive,
  free: number | null,
): Option | null {
  const [whole, rest] = [false, true].map((isLess) =>
    options.filter((one) => (one.leavesOut === true) === isLess),
  )
  return pickOf(whole ?? [], archive, free) ?? pickOf(rest ?? [], archive, free)
}

function pickOf(options: readonly Option[], archive: Archive, free: number | null): Option | null {
  const fitting = options.filter((one) => free === null || one.bytes <= free * SHARE)
  const modest = fitting.filter((one) =>
    one.renditions.every((name) => {
      const camera = archive.renditions.find((r) => r.name === name && name.startsWith('camera'))
      return camera === undefined || heightOf(camera) <= PLENTY_LINES
    }),
  )
  return modest[0] ?? fitting[fitting.length - 1] ?? null
}

/** Addresses of initialisation files and segments in a media playlist, relative to its folder. */
export function filesIn(playlist: string): string[] {
  const found = new Set<string>()
  for (const line of playlist.split('\n')) {
    const map = /^#EXT-X-MAP:.*URI="([^"]+)"/.exec(line)
    const name = map?.[1] ?? (line !== '' && !line.startsWith('#') ? line : null)
    if (name !== null) found.add(name.split('?')[0] ?? name)
  }
  return [...found]
}

/** Segments and initialisation files below an archive, and captions; nothing climbs out. */
const FILE =
  /^[a-z0-9-]{1,40}\/(?:init-\d{1,6}\.mp4|\d{1,9}(?:-\d{1,6})?\.m4s|fill-\d+-\d+\.m4s|[a-z0-9-]{2,30}\.vtt)$/

/**
 * The files that `playlists` (by name, as the server gave them) need, with what the archive says of
 * them, so that the lesson plays from its beginning first. Throws where a playlist names something
 * that an archive does not have.
 */
export function filesOf(archive: Archive, playlists: Record<string, string>): KeptFile[] {
  const known = new Map<string, FileEntry>()
  for (const rendition of [...archive.renditions, ...archive.copies]) {
    for (const init of rendition.inits) known.set(`${rendition.name}/init-${init.number}.mp4`, init)
    for (const { beat, part, ...file } of rendition.segments)
      known.set(`${rendition.name}/${beat}${part === 0 ? '' : `-${part}`}.m4s`, file)
  }
  for (const one of archive.captions) known.set(`captions/${one.language}.vtt`, one)
  const files = new Map<string, KeptFile>()
  for (const [name, text] of Object.entries(playlists)) {
    if (text.includes('#EXT-X-STREAM-INF')) continue
    const folder = name.includes('/') ? name.slice(0, name.lastIndexOf('/') + 1) : ''
    for (const file of filesIn(text)) {
      const path = folder + file
      if (!FILE.test(path)) throw new Error(`not of an archive: ${path}`)
      const entry = known.get(path)
      const isMade = /\/fill-/.test(path)
      if (entry === undefined && !isMade) throw new Error(`not in the manifest: ${path}`)
      files.set(path, { path, bytes: entry?.bytes ?? 0, digest: entry?.digest ?? null })
    }
  }
  return [...files.values()]
}

/** Where a lesson's materials lie on the device. */
export const MATERIALS = 'materials.json'
const MATERIAL = /^materials\/[0-9a-f]{64}$/

/** The digest of the material at `path`, or null for a file of the archive. */
export const materialAt = (path: string): string | null =>
  MATERIAL.test(path) ? path.slice('materials/'.length) : null

const pathOf = (digest: string): string => `materials/${digest}`

/** The files that a list of materials (its text, or null) names. */
export const materialsIn = (list: string | null): KeptFile[] =>
  list === null
    ? []
    : readList(list).map(({ bytes, digest }) => ({ path: pathOf(digest), bytes, digest }))

/** The materials of `kept` that are not among `held`, the paths of what is here. */
export const missingMaterials = (kept: KeptLesson, held: ReadonlySet<string>): Material[] =>
  readList(kept.materials ?? '{}').filter(({ digest }) => !held.has(pathOf(digest)))

/** All that playing `kept` needs is among `held`; its materials may be missing. */
export const holdsRecording = (kept: KeptLesson, held: ReadonlySet<string>): boolean =>
  kept.files.every(({ path }) => held.has(path) || materialAt(path) !== null)

/**
 * `options`, each with the lesson's materials (`list`) beside what is recorded; and without them after
 * it where that would take too much of the `free` bytes (null: the browser does not tell).
 */
export function withMaterials(
  options: readonly Option[],
  list: string | null,
  free: number | null,
): Option[] {
  const more = totalBytes(materialsIn(list))
  if (more === 0) return [...options]
  return options.flatMap((one): Option[] => {
    const bytes = one.bytes + more
    const isMuch = free !== null && bytes > free * SHARE
    return [{ ...one, bytes }, ...(isMuch ? [{ ...one, leavesOut: true as const }] : [])]
  })
}

/** Media playlists that a master playlist names, without queries. */
export function playlistsIn(master: string): string[] {
  const found = new Set<string>()
  for (const line of master.split('\n')) {
    const media = /^#EXT-X-MEDIA:.*URI="([^"]+)"/.exec(line)
    const name = media?.[1] ?? (line !== '' && !line.startsWith('#') ? line : null)
    if (name !== null) found.add(name.split('?')[0] ?? name)
  }
  return [...found]
}

/** All bytes that a kept lesson takes when it is whole. */
export const totalOf = (kept: KeptLesson): number =>
  kept.files.reduce((sum, file) => sum + file.bytes, 0)

/** "12 MB" in steps that people read. */
export function inMegabytes(bytes: number, lang: string): string {
  const mega = bytes / 1e6
  const locale = lang === 'vi' ? 'vi-VN' : 'en-GB'
  if (mega >= 1000)
    return `${(mega / 1000).toLocaleString(locale, { maximumFractionDigits: 1 })} GB`
  return `${Math.max(1, Math.round(mega)).toLocaleString(locale)} MB`
}
