/*
 * The servers' HTTP API as the pages use it: lessons and links.
 *
 * Lives here: paths and the shapes of answers. What must not: sessions of media (webrtc/), events
 * (events/), and anything of the screen. Every call throws `Problem` or `Unreachable` (http.ts).
 */
import type { LessonState, Recording } from './events/wire'
import { request } from './http'

/** Dates are unix seconds. */
export interface Lesson {
  id: string
  title: string
  subject: string | null
  grade: string | null
  /** The one that teaches. */
  school: string | null
  teacher: string
  state: LessonState
  planned_at: number | null
  started_at: number | null
  ended_at: number | null
  /** Public address of the relay that carries it, or null. */
  relay: string | null
  publishing: boolean
  rooms: number
  recording: Recording
  /** Planned or started by who asks; only the control plane says so. */
  mine?: boolean
  /** Digest of the list of files given along with it; servers of an older kind say nothing. */
  materials?: string | null
  /** Only a relay says these two: seconds recorded, and whether it can be watched now. */
  duration?: number | null
  playable?: boolean
}

/** What is asked of the list; nothing stands for everything. */
export interface LessonQuery {
  q?: string
  /** States with commas between them. */
  state?: string
  subject?: string
  grade?: string
  school?: string
  limit?: number
  offset?: number
}

/** `total`: how many there are, of which `lessons` are the part that was asked for. */
export interface LessonList {
  lessons: Lesson[]
  total: number
}

/** What there is to choose from in the list. */
export interface Labels {
  subjects: string[]
  grades: string[]
  schools: string[]
}

export interface Started {
  lesson: Lesson
  /** Where to publish, with which token. */
  whip: string
  token: string
  relay: string
}

export interface Invitation {
  url: string
  token: string
  expires_at: number
}

/** A school whose rooms watch through a relay of its own. */
export interface School {
  id: string
  name: string
}

export class Api {
  /** `base`: origin of the server, without a slash at the end. */
  constructor(
    readonly base: string,
    private readonly token: string,
  ) {}

  lessons(query: LessonQuery = {}, signal?: AbortSignal): Promise<LessonList> {
    const named = Object.entries(query).filter(([, value]) => value !== '' && value !== 0)
    const asked = String(new URLSearchParams(named.map(([name, value]) => [name, String(value)])))
    // The server lets browsers keep the list if they ask each time whether it still holds.
    return this.#get(`/api/lessons${asked !== '' ? `?${asked}` : ''}`, {
      cache: 'default',
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** Only a relay tells them. */
  labels(): Promise<Labels> {
    return this.#get('/api/lessons/labels', { cache: 'default' })
  }

  lesson(id: string): Promise<Lesson> {
    return this.#get(`/api/lessons/${encodeURIComponent(id)}`)
  }

  create(title: string): Promise<Lesson> {
    return this.#post('/api/lessons', { title })
  }

  start(id: string): Promise<Started> {
    return this.#post(`/api/lessons/${encodeURIComponent(id)}/start`, {})
  }

  end(id: string): Promise<unknown> {
    return this.#post(`/api/lessons/${encodeURIComponent(id)}/end`, {})
  }

  /** `school`: id of the one whose relay the link leads to, null for none. */
  invite(id: string, school: string | null): Promise<Invitation> {
    const order = school === null ? { role: 'room' } : { role: 'room', school }
    return this.#post(`/api/lessons/${encodeURIComponent(id)}/links`, order)
  }

  /** Those that are connected now, by name. */
  async schools(): Promise<School[]> {
    return (await this.#get<{ below: School[] }>('/api/relays')).below
  }

  async #get<T>(path: string, init: RequestInit = {}): Promise<T> {
    const { text } = await request(this.base + path, this.token, init)
    return JSON.parse(text) as T
  }

  async #post<T>(path: string, body: unknown): Promise<T> {
    const { text } = await request(this.base + path, this.token, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    return JSON.parse(text) as T
  }
}

/** The ws: or wss: address of `path` on the server at `base`. */
export const socketUrl = (base: string, path: string): string => base.replace(/^http/, 'ws') + path
