/*
 * What the classes of a lesson receive, as the control plane tells: gathered from its changes.
 *
 * Pure but for being asked; what must not live here: elements and sentences.
 */
import type { RoomRung, RungName, ServerMessage } from '../events/wire'

export interface Summary {
  /** Classes whose rung is known. */
  known: number
  /** Those that receive all there is while no picture is sent. */
  unseen: number
  /** Of the others: those with moving pictures, on still pictures, with voice alone. */
  video: number
  stills: number
  voice: number
  /** Those that watch the recording, some time behind. */
  late: number
  /** Those whose links take less than video, worst first, then those behind; by name. */
  weak: RoomRung[]
}

const LOW: readonly RungName[] = ['voice', 'stills']

/** What a class is called: its name and its school's, as far as they are known. */
export function calledBy(one: RoomRung, unnamed: string): string {
  const words = [one.name, one.school].filter((word) => word !== '')
  return words.length > 0 ? words.join(' · ') : unnamed
}

export class Classes {
  readonly #lessons = new Map<string, Map<string, RoomRung>>()

  receive(message: ServerMessage): void {
    if (message.kind === 'welcome') this.#lessons.clear()
    if (message.kind !== 'rooms') return
    let rooms = this.#lessons.get(message.lesson)
    if (rooms === undefined) this.#lessons.set(message.lesson, (rooms = new Map()))
    if (message.reset) rooms.clear()
    for (const key of message.gone) rooms.delete(key)
    for (const room of message.rooms) rooms.set(room.room, room)
  }

  /** Of `lesson`; of a class that only just joined nothing is known yet. */
  summary(lesson: string): Summary {
    const rooms = [...(this.#lessons.get(lesson)?.values() ?? [])]
    const known = rooms.filter((one) => one.reason !== 'starting')
    const limited = known.filter((one) => one.reason !== 'source')
    const on = (rung: RungName): RoomRung[] => limited.filter((one) => one.rung === rung)
    const byName = (one: RoomRung, other: RoomRung): number => one.name.localeCompare(other.name)
    const stills = on('stills').length
    const voice = on('voice').length
    const late = known.filter((one) => one.rung === 'catch-up')
    const low = known.filter((one) => LOW.includes(one.rung)).length
    return {
      known: known.length,
      unseen: low - stills - voice,
      video: known.length - low - late.length,
      stills,
      voice,
      late: late.length,
      weak: [...LOW.flatMap((rung) => on(rung).sort(byName)), ...late.sort(byName)],
    }
  }
}
