/*
 * The messages between a page and its server, as classroom/wire/PROTOCOL.md lists them.
 *
 * Lives here: the kinds that pages send and receive, and strict reading. What must not: sockets,
 * retries, and the kinds that only relays and the control plane exchange.
 */
import { MAX_BYTES, MAX_OCTETS, NotMsgpack, pack, unpack, type Packed } from './msgpack'

export const VERSION = 1

export type PageName = 'teach' | 'room' | 'library'
export type LessonState = 'planned' | 'live' | 'ended' | 'published'
export type Source = 'voice' | 'camera' | 'screen'
export type RecordingState = 'none' | 'recording' | 'failing' | 'finished'
/** What a room receives, from most to least; `catch-up` is behind the lesson. */
export const RUNGS = ['full', 'medium', 'small', 'stills', 'voice', 'catch-up'] as const
export type RungName = (typeof RUNGS)[number]
/** Why a room watches the recording: what it missed, because it was set or asked to, stopped. */
export type CatchUpReason = 'missed' | 'choice' | 'paused'
export type Role = 'teacher' | 'room' | 'viewer' | 'relay'

export interface Recording {
  state: RecordingState
  /** A sentence for the teacher; may be empty. */
  detail: string
  /** Seconds that are safe on disk. */
  seconds: number
}

export interface LessonInfo {
  id: string
  title: string
  teacher: string
  state: LessonState
  /** Media arrives at the relay now. */
  publishing: boolean
  sources: Source[]
  rooms: number
  recording: Recording
  /** Unix seconds. */
  started_at: number | null
  subject: string | null
  grade: string | null
  school: string | null
  planned_at: number | null
  /** Digest of the list of files given along with it. */
  materials: string | null
}

/** What this room receives now. */
export interface Rung {
  lesson: string
  rung: RungName
  /** Why not more; a page has general words for one that it does not know. */
  reason: string
  /** Unix seconds. */
  since: number
  /** Bits per second that the link is thought to carry. */
  bitrate: number
  /** Share of packets, 0 to 1. */
  loss: number
  /** Seconds. */
  round_trip: number | null
  /** How long voice and pictures should wait here, so that repairs come in time. */
  playout_ms: number | null
}

/** A still picture begins; its parts follow in order. */
export interface Still {
  still: number
  lesson: string
  source: Source
  /** Unix seconds. */
  captured: number
  mime: string
  width: number
  height: number
  parts: number
  bytes: number
}

export interface StillPart {
  still: number
  part: number
  data: Uint8Array
}

/** What one room receives, for its teacher. */
export interface RoomRung {
  room: string
  name: string
  rung: RungName
  reason: string
  since: number
  /** Whose relay it watches through; empty at the root relay. */
  school: string
}

/** How the voice should be encoded for the rooms there are. */
export interface VoiceWish {
  lesson: string
  /** Bits per second. */
  maxaveragebitrate: number
  /** Milliseconds of voice in a packet. */
  ptime: number
  /** Send nothing in silence. */
  dtx: boolean
}

export type ServerMessage =
  | ({ kind: 'rung' } & Rung)
  | ({ kind: 'still' } & Still)
  | ({ kind: 'still-part' } & StillPart)
  | { kind: 'rooms'; lesson: string; reset: boolean; rooms: RoomRung[]; gone: string[] }
  | ({ kind: 'voice-wish' } & VoiceWish)
  | { kind: 'welcome'; name: string; role: Role; lesson: LessonInfo | null; server_time: number }
  | { kind: 'lesson'; lesson: LessonInfo }
  | { kind: 'pong'; t: number; server_time: number }
  | { kind: 'error'; code: string; detail: string; fix: string }

export type PageMessage =
  | { kind: 'hello'; page: PageName; lang: string; lesson: string | null }
  | { kind: 'ping'; t: number }
  | { kind: 'watching'; lesson: string; session: string }
  | { kind: 'catch-up'; lesson: string; session: string; reason: CatchUpReason | null }

/** A message that is not of this protocol, or of another version of it. */
export class WireError extends Error {
  constructor(
    readonly code:
      | 'wire-too-large'
      | 'wire-malformed'
      | 'wire-unknown-version'
      | 'wire-unknown-kind'
      | 'wire-bad-field',
    readonly field: string | null = null,
  ) {
    super(field === null ? code : `${code}: ${field}`)
  }
}

export function encode(message: PageMessage): Uint8Array {
  const { kind, ...body } = message
  return pack([VERSION, kind, body])
}

/** Throws `WireError` and nothing else. */
export function decode(bytes: Uint8Array): ServerMessage {
  if (bytes.byteLength > MAX_BYTES) throw new WireError('wire-too-large')
  let parts: Packed
  try {
    parts = unpack(bytes)
  } catch (error) {
    if (error instanceof NotMsgpack) throw new WireError('wire-malformed')
    throw error
  }
  if (!Array.isArray(parts) || parts.length !== 3 || typeof parts[1] !== 'string')
    throw new WireError('wire-malformed')
  const [version, kind, body] = parts as [Packed, string, Packed]
  if (version !== VERSION) throw new WireError('wire-unknown-version')
  switch (kind) {
    case 'welcome': {
      const map = new Fields(body)
      return {
        kind,
        name: map.text('name', 100),
        role: map.choice('role', ['teacher', 'room', 'viewer', 'relay'] as const),
        lesson: map.nullable('lesson', (value, path) => lessonInfo(value, path)),
        server_time: map.number('server_time'),
      }
    }
    case 'lesson':
      return { kind, lesson: lessonInfo(body, '') }
    case 'pong': {
      const map = new Fields(body)
      return { kind, t: map.number('t', -1e15, 1e15), server_time: map.number('server_time') }
    }
    case 'error': {
      const map = new Fields(body)
      return {
        kind,
        code: map.text('code', 60, 1, /^[a-z0-9-]+$/),
        detail: map.text('detail', 1000),
        fix: map.text('fix', 1000),
      }
    }
    case 'rung':
      return { kind, lesson: new Fields(body).id('lesson'), ...rungOf(body) }
    case 'still':
      return { kind, ...stillOf(body) }
    case 'still-part': {
      const map = new Fields(body)
      return {
        kind,
        still: map.whole('still'),
        part: map.whole('part', 0, MAX_PARTS - 1),
        data: map.octets('data'),
      }
    }
    case 'rooms': {
      const map = new Fields(body)
      return {
        kind,
        lesson: map.id('lesson'),
        reset: map.boolean('reset'),
        rooms: map.list('rooms', MAX_ROOMS, roomRung),
        gone: map.list('gone', MAX_ROOMS, roomKey),
      }
    }
    case 'voice-wish': {
      const map = new Fields(body)
      return {
        kind,
        lesson: map.id('lesson'),
        maxaveragebitrate: map.whole('maxaveragebitrate', 6_000, 510_000),
        ptime: map.whole('ptime', 10, 120),
        dtx: map.boolean('dtx'),
      }
    }
    default:
      throw new WireError('wire-unknown-kind')
  }
}

const MAX_ROOMS = 250
const MAX_PARTS = 256

function rungOf(value: Packed): Omit<Rung, 'lesson'> {
  const map = new Fields(value)
  return {
    ...rungAndReason(map),
    bitrate: map.number('bitrate', 0, 1e10),
    loss: map.number('loss', 0, 1),
    round_trip: map.optional('round_trip', () => map.number('round_trip')),
    playout_ms: map.optional('playout_ms', () => map.whole('playout_ms', 0, 10_000)),
  }
}

function rungAndReason(map: Fields): Pick<Rung, 'rung' | 'reason' | 'since'> {
  return {
    rung: map.choice('rung', RUNGS),
    reason: map.text('reason', 60, 1, /^[a-z0-9-]+$/),
    since: map.number('since'),
  }
}

function stillOf(value: Packed): Still {
  const map = new Fields(value)
  return {
    still: map.whole('still'),
    lesson: map.id('lesson'),
    source: map.choice('source', ['voice', 'camera', 'screen'] as const),
    captured: map.number('captured'),
    mime: map.text('mime', 20, 9, /^image\/(avif|webp)$/),
    width: map.whole('width', 1, 4096),
    height: map.whole('height', 1, 4096),
    parts: map.whole('parts', 1, MAX_PARTS),
    bytes: map.whole('bytes', 1, MAX_PARTS * MAX_OCTETS),
  }
}

function roomRung(value: Packed, path: string): RoomRung {
  const map = new Fields(value, path)
  return {
    room: map.text('room', 200, 1),
    name: map.text('name', 100),
    ...rungAndReason(map),
    school: map.optional('school', () => map.text('school', 100)) ?? '',
  }
}

function roomKey(value: Packed, path: string): string {
  const length = typeof value === 'string' ? [...value].length : 0
  if (typeof value !== 'string' || length < 1 || length > 200)
    throw new WireError('wire-bad-field', path)
  return value
}

function lessonInfo(value: Packed, path: string): LessonInfo {
  const map = new Fields(value, path)
  const text60 = (name: string) => map.optional(name, () => map.text(name, 60))
  return {
    id: map.id('id'),
    title: map.text('title', 200, 1),
    teacher: map.text('teacher', 100),
    state: map.choice('state', ['planned', 'live', 'ended', 'published'] as const),
    publishing: map.boolean('publishing'),
    sources: map.choices('sources', ['voice', 'camera', 'screen'] as const),
    rooms: map.whole('rooms'),
    recording: recording(map.value('recording'), map.path('recording')),
    started_at: map.nullable('started_at', () => map.number('started_at')),
    subject: text60('subject'),
    grade: text60('grade'),
    school: text60('school'),
    planned_at: map.optional('planned_at', () => map.number('planned_at')),
    materials: map.optional('materials', () => map.text('materials', 64, 64)),
  }
}

function recording(value: Packed, path: string): Recording {
  const map = new Fields(value, path)
  const states = ['none', 'recording', 'failing', 'finished'] as const
  return {
    state: map.optional('state', () => map.choice('state', states)) ?? 'none',
    detail: map.optional('detail', () => map.text('detail', 1000)) ?? '',
    seconds: map.optional('seconds', () => map.number('seconds')) ?? 0,
  }
}

/** One map of a body, read field by field; every refusal names the field's place. */
class Fields {
  readonly #map: Record<string, Packed>

  constructor(
    value: Packed,
    private readonly prefix = '',
  ) {
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isMap || value instanceof Uint8Array)
      throw new WireError('wire-bad-field', prefix === '' ? 'body' : prefix)
    this.#map = value
  }

  path(name: string): string {
    return this.prefix === '' ? name : `${this.prefix}.${name}`
  }

  value(name: string): Packed {
    const value = this.#map[name]
    if (value === undefined) this.#refuse(name)
    return value
  }

  boolean(name: string): boolean {
    const value = this.value(name)
    return typeof value === 'boolean' ? value : this.#refuse(name)
  }

  number(name: string, low = 0, high = 1e12): number {
    const value = this.value(name)
    const fits = typeof value === 'number' && value >= low && value <= high
    return fits ? value : this.#refuse(name)
  }

  /** A lesson's. */
  id(name: string): string {
    return this.text(name, 40, 3, /^[a-z0-9][a-z0-9-]{2,39}$/)
  }

  octets(name: string): Uint8Array {
    const value = this.value(name)
    return value instanceof Uint8Array && value.length > 0 ? value : this.#refuse(name)
  }

  list<T>(name: string, most: number, read: (value: Packed, path: string) => T): T[] {
    const value = this.value(name)
    if (!Array.isArray(value) || value.length > most) return this.#refuse(name)
    return value.map((item, at) => read(item, `${this.path(name)}[${at}]`))
  }

  whole(name: string, low = 0, high = Number.MAX_SAFE_INTEGER): number {
    const value = this.number(name, low, high)
    return Number.isInteger(value) ? value : this.#refuse(name)
  }

  text(name: string, longest: number, shortest = 0, pattern?: RegExp): string {
    const value = this.value(name)
    if (typeof value !== 'string') return this.#refuse(name)
    const length = [...value].length
    if (length < shortest || length > longest) return this.#refuse(name)
    return pattern === undefined || pattern.test(value) ? value : this.#refuse(name)
  }

  choice<T extends string>(name: string, choices: readonly T[]): T {
    const value = this.value(name)
    return choices.find((choice) => choice === value) ?? this.#refuse(name)
  }

  choices<T extends string>(name: string, choices: readonly T[]): T[] {
    const value = this.value(name)
    if (!Array.isArray(value) || value.length > choices.length) return this.#refuse(name)
    return value.map(
      (item, at) => choices.find((choice) => choice === item) ?? this.#refuse(`${name}[${at}]`),
    )
  }

  /** Present, but may be null. */
  nullable<T>(name: string, read: (value: Packed, path: string) => T): T | null {
    const value = this.value(name)
    return value === null ? null : read(value, this.path(name))
  }

  /** May be missing or null. */
  optional<T>(name: string, read: () => T): T | null {
    const value = this.#map[name]
    return value === undefined || value === null ? null : read()
  }

  #refuse(name: string): never {
    throw new WireError('wire-bad-field', this.path(name))
  }
}
