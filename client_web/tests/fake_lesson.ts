/*
 * A relay with one lesson of a voice, and a browser's storage and locks, for tests of keeping it.
 */
import type { Lesson } from '../src/api'
import { sha256 } from '../src/digest'

export const LESSON = { id: 'toan-7', title: 'Toán', playable: true } as Lesson
export const BASE = 'http://relay.test/archives/toan-7'
export const bytes = (text: string): ArrayBuffer =>
  new TextEncoder().encode(text).buffer as ArrayBuffer

/** As much of Cache Storage as is used, with room for `room` bytes. */
export class FakeCaches {
  room = Infinity
  readonly caches = new Map<string, Map<string, { body: ArrayBuffer }>>()

  keys = async (): Promise<string[]> => [...this.caches.keys()]
  has = async (name: string): Promise<boolean> => this.caches.has(name)
  delete = async (name: string): Promise<boolean> => this.caches.delete(name)
  open = async (name: string): Promise<unknown> => {
    const files = this.caches.get(name) ?? new Map<string, { body: ArrayBuffer }>()
    this.caches.set(name, files)
    return {
      keys: async () => [...files.keys()].map((path) => ({ url: `http://relay.test${path}` })),
      match: async (path: string) => {
        const found = files.get(path)
        return found === undefined ? undefined : new Response(found.body)
      },
      delete: async (path: string) => files.delete(path),
      put: async (path: string, response: Response) => {
        const body = await response.arrayBuffer()
        this.room -= body.byteLength
        if (this.room < 0) throw new DOMException('full', 'QuotaExceededError')
        files.set(path, { body })
      },
    }
  }
}

/** Web Locks between pages that share one of these. */
export class FakeLocks {
  readonly #held = new Map<string, Turn>()
  readonly #waiting = new Map<string, Turn[]>()

  request = (name: string, options: LockOptions, act: Act): Promise<void> =>
    new Promise((resolve, reject) => {
      const turn: Turn = {
        reject,
        begin: () => {
          this.#held.set(name, turn)
          const end = (): void => this.#end(name, turn)
          void act({ name }).then(resolve, reject).finally(end)
        },
      }
      const held = this.#held.get(name)
      if (options.steal === true) {
        held?.reject(new DOMException('stolen', 'AbortError'))
        return turn.begin()
      }
      if (held === undefined) return turn.begin()
      if (options.ifAvailable === true) return void act(null).then(resolve, reject)
      const waiting = this.#waiting.get(name) ?? []
      this.#waiting.set(name, [...waiting, turn])
      options.signal?.addEventListener('abort', () => {
        this.#waiting.set(
          name,
          (this.#waiting.get(name) ?? []).filter((one) => one !== turn),
        )
        reject(new DOMException('', 'AbortError'))
      })
    })

  #end(name: string, turn: Turn): void {
    if (this.#held.get(name) !== turn) return
    this.#held.delete(name)
    const [next, ...rest] = this.#waiting.get(name) ?? []
    this.#waiting.set(name, rest)
    next?.begin()
  }
}

type Act = (lock: { name: string } | null) => Promise<void>
interface Turn {
  begin: () => void
  reject: (reason: unknown) => void
}

/** A relay with one lesson of a voice in `count` segments; `said` tells those of another recording. */
export async function relay(count: number, said = 'segment'): Promise<Map<string, ArrayBuffer>> {
  const files = new Map<string, ArrayBuffer>()
  const entry = async (name: string, text: string): Promise<{ bytes: number; digest: string }> => {
    files.set(`${BASE}/voice/${name}`, bytes(text))
    return { bytes: text.length, digest: await sha256(bytes(text)) }
  }
  const init = { number: 0, codec: 'opus', height: 0, ...(await entry('init-0.mp4', 'init')) }
  const segments = []
  for (let beat = 0; beat < count; beat += 1)
    segments.push({ beat, part: 0, ...(await entry(`${beat}.m4s`, `${said} ${beat}`)) })
  const manifest = {
    finished: true,
    duration_ms: 8_000 * count,
    renditions: [{ name: 'voice', inits: [init], segments }],
  }
  const list = segments.map(({ beat }) => `#EXTINF:8,\nvoice/${beat}.m4s\n`).join('')
  const text: Record<string, string> = {
    'manifest.json': JSON.stringify(manifest),
    'master.m3u8': '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvoice.m3u8\n',
    'voice.m3u8': `#EXTM3U\n#EXT-X-MAP:URI="voice/init-0.mp4"\n${list}`,
  }
  for (const [name, body] of Object.entries(text)) files.set(`${BASE}/${name}`, bytes(body))
  return files
}

/** What a test's relay answers in place of a file: an Error is a network that is away. */
export type Answer = (
  path: string,
  init: RequestInit,
) => Response | Error | Promise<Response> | null

/** The answer to one request, noted in `asked`: what `answer` gives, else one of the `files`. */
export async function answered(
  url: string,
  init: RequestInit,
  files: ReadonlyMap<string, ArrayBuffer>,
  asked: string[],
  answer: Answer,
): Promise<Response> {
  const path = url.split('?')[0] ?? url
  asked.push(path)
  const given = answer(path, init)
  if (given instanceof Error) throw given
  if (given !== null) return given
  const body = files.get(path)
  return body === undefined ? new Response('{}', { status: 404 }) : new Response(body)
}
