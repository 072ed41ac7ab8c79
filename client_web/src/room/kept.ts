/*
 * What this browser keeps of its room: what it does after an outage, and what it heard last.
 *
 * Lives here: names, reading and checking. A page that is opened anew after a power cut knows by it
 * what the class missed.
 */
import { load, save } from '../token'
import { SETTINGS, type Setting } from './catch_up'

export interface Heard {
  lesson: string
  /** The relay's date of what was heard last, milliseconds since 1970. */
  at: number
  /** The recording was watched then. */
  behind: boolean
}

const SETTING_KEY = 'classroom.room.catch-up'
const HEARD_KEY = 'classroom.room.heard'

/** What the link (`#…&catch-up=late`) says the room should do after an outage. */
export function takeSetting(hash: string): void {
  const given = new URLSearchParams(hash.slice(1)).get('catch-up')
  const setting = SETTINGS.find((one) => one === given)
  if (setting !== undefined) keepSetting(setting)
}

export const keepSetting = (setting: Setting): void => save(SETTING_KEY, setting)

export function keptSetting(): Setting {
  const kept = load(SETTING_KEY)
  return SETTINGS.find((one) => one === kept) ?? 'live'
}

export const keepHeard = (heard: Heard | null): void =>
  save(HEARD_KEY, heard === null ? null : JSON.stringify(heard))

export function keptHeard(): Heard | null {
  try {
    const kept = JSON.parse(load(HEARD_KEY) ?? '') as Record<string, unknown> | null
    const { lesson, at, behind } = kept ?? {}
    if (typeof lesson !== 'string' || typeof at !== 'number') return null
    return { lesson, at, behind: behind === true }
  } catch {
    return null
  }
}
