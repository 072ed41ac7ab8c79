/*
 * The status document of a relay (`GET /api/status`), and what the page makes of its numbers.
 *
 * Lives here: types of what is shown, sizes and the like as text. What must not: sentences
 * (i18n/status_vi, status_en), elements. Times are unix seconds, sizes bytes.
 */
import type { StatusWords } from '../i18n/status_vi'

export type AdviceName = keyof StatusWords['advice']
export type Level = 'bad' | 'warn' | 'note'
export type SyncState = keyof StatusWords['syncStates']

/** A newer relay may give one that this page does not know. */
export interface Advice {
  name: AdviceName | (string & {})
  level: Level
}

export interface Facts {
  name: string
  now: number
  parent: null | { url: string; connected: boolean; reached: boolean; since: number }
  central: null | { url: string; connected: boolean }
  link: { rate: number | null; round_trip: number | null; loss: number | null }
  lessons: { held: number; bytes: number; live: number; rooms: number }
  space: { held: number; quota: number; free: number; floor: number; full: boolean }
  sync: null | {
    state: SyncState
    lessons_left: number
    bytes_left: number
    finish_at: number | null
  }
  power: {
    last: null | { kind: 'power' | 'killed'; at: number | null; back_at: number }
    cuts_30_days: number
  }
  advice: Advice[]
}

/** How much of what lessons may take is taken, 0 to 1; null where there is no such limit. */
export function taken(space: Facts['space']): number | null {
  const most = space.quota > 0 ? space.quota : space.held + Math.max(0, space.free - space.floor)
  return most > 0 ? Math.min(1, space.held / most) : null
}

/** The name by which people know an address. */
export function host(url: string): string {
  try {
    return new URL(url).hostname
  } catch {
    return url
  }
}

/** What to say of an advice. */
export function adviceWords(name: string, words: StatusWords): { title: string; text: string } {
  const isKnown = Object.keys(words.advice).includes(name)
  return isKnown ? words.advice[name as AdviceName] : words.unknown(name)
}

/** The worst level of the advices: the colour of the whole page. */
export function worst(advice: Facts['advice']): Level {
  const levels = advice.map((one) => one.level)
  return levels.includes('bad') ? 'bad' : levels.includes('warn') ? 'warn' : 'note'
}
