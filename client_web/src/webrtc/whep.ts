/*
 * Watching a lesson over WHEP: the slots of a room's session.
 *
 * Lives here: the slots of the offer and what arrives in each. What must not: elements, layout and
 * words. The relay's answer may leave the talking slots inactive.
 *
 * The offer always holds these sections in this order:
 *
 *   mid 0  audio  recvonly  voice         the teacher
 *   mid 1  video  recvonly  camera
 *   mid 2  video  recvonly  screen
 *   mid 3  audio  recvonly  talk-voice    the room that is called on
 *   mid 4  video  recvonly  talk-camera
 *   mid 5  audio  sendonly  this room's own microphone, silent until it is called on
 *   mid 6  video  sendonly  this room's own camera, likewise
 */
import { MediaSession, type SessionOptions, type SessionState } from './session'

export type WhepState = SessionState

export const SLOTS = [
  ['voice', 'audio'],
  ['camera', 'video'],
  ['screen', 'video'],
  ['talk-voice', 'audio'],
  ['talk-camera', 'video'],
] as const

export type Slot = (typeof SLOTS)[number][0]

export interface SlotMedia {
  track: MediaStreamTrack
  /** Bytes so far in this session. */
  bytes: number
  /** Pictures decoded so far in this session; 0 for voices. */
  frames: number
  /** When bytes last came (Date.now() milliseconds), or null. */
  heardAt: number | null
}

interface Inbound {
  type: string
  mid?: string
  bytesReceived?: number
  framesDecoded?: number
}

/** Voice sends sixteen to fifty packets a second: a whole one without any is a path to mend. */
const PATIENCE_MS = 1_000

export class WhepViewer extends MediaSession {
  readonly #slots = new Map<Slot, SlotMedia>()
  #expected = false

  constructor(options: SessionOptions) {
    super(options, PATIENCE_MS, true)
  }

  /** What arrives in each slot; the tracks are new ones after each new session. */
  get slots(): ReadonlyMap<Slot, SlotMedia> {
    return this.#slots
  }

  /** Whether someone publishes now, so that silence is a fault. */
  expect(media: boolean): void {
    this.#expected = media
  }

  protected override prepare(peer: RTCPeerConnection): void {
    this.#slots.clear()
    for (const [slot, kind] of SLOTS) {
      const { receiver } = peer.addTransceiver(kind, { direction: 'recvonly' })
      this.#slots.set(slot, { track: receiver.track, bytes: 0, frames: 0, heardAt: null })
    }
    for (const kind of ['audio', 'video']) peer.addTransceiver(kind, { direction: 'sendonly' })
  }

  /** Read the counters of every slot; their sum is the progress of the session. */
  protected override progress(stats: RTCStatsReport): number | null {
    let total = 0
    const now = Date.now()
    const transceivers = this.peer?.getTransceivers() ?? []
    stats.forEach((entry: Inbound) => {
      if (entry.type !== 'inbound-rtp') return
      const at = transceivers.findIndex((one) => one.mid === entry.mid)
      const name = SLOTS[at]?.[0]
      const slot = name === undefined ? undefined : this.#slots.get(name)
      if (slot === undefined) return
      const bytes = entry.bytesReceived ?? 0
      if (bytes !== slot.bytes) slot.heardAt = now
      slot.bytes = bytes
      slot.frames = entry.framesDecoded ?? 0
      total += bytes
    })
    return this.#expected ? total : null
  }
}
