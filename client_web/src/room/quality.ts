/*
 * What this room receives now: the rung that the relay tells, still pictures out of their parts, and
 * how long the browser waits for repairs.
 *
 * Lives here: taking those messages, and when a still picture gives way to video. What must not:
 * elements and words. Slots and their counts are the viewer's (webrtc/whep).
 */
import type { Rung, ServerMessage, Source, Still } from '../events/wire'
import { Observable } from '../observable'
import type { WhepViewer } from '../webrtc/whep'

export interface ShownStill {
  /** For `src`; good until the next one is shown. */
  url: string
  source: Source
  /** Milliseconds since 1970. */
  captured: number
}

/** So many pictures after a still are video again, and not the rest of what was under way. */
const VIDEO_FRAMES = 8
/** Browsers take no longer target (RTCRtpReceiver.jitterBufferTarget). */
const PLAYOUT_MOST_MS = 4_000

interface Parts {
  head: Still
  data: Uint8Array[]
}

export class Quality extends Observable {
  #rung: Rung | null = null
  #parts: Parts | null = null
  #still: ShownStill | null = null
  #stillLesson: string | null = null
  /** Video pictures decoded when the still came. */
  #framesBefore = 0
  #frames = 0

  /** `canShow` resolves when the browser can show the picture at an address. */
  constructor(private readonly canShow: (url: string) => Promise<unknown> = decodes) {
    super()
  }

  /** What the room receives of `lesson`, or null while it is not known. */
  rung(lesson: string | null): Rung | null {
    return this.#rung?.lesson === lesson ? this.#rung : null
  }

  /** The still picture to show of `lesson`, or null while there is none, or video instead. */
  still(lesson: string | null): ShownStill | null {
    return this.#stillLesson === lesson ? this.#still : null
  }

  /** How long voice and pictures should wait for repairs, or null while nothing was said. */
  get playoutMs(): number | null {
    return this.#rung?.playout_ms ?? null
  }

  receive(message: ServerMessage): void {
    switch (message.kind) {
      case 'welcome':
        // Parts that were under way will not come on this connection.
        this.#parts = null
        break
      case 'rung': {
        const { kind: _, ...rung } = message
        this.#rung = rung
        this.changed()
        break
      }
      case 'still': {
        const { kind: _, ...head } = message
        this.#parts = { head, data: [] }
        break
      }
      case 'still-part':
        this.#take(message.still, message.part, message.data)
        break
    }
  }

  /** Look at what arrives: video takes the still's place, and its receivers wait as long as told. */
  follow(viewer: WhepViewer | null): void {
    let frames = 0
    for (const slot of ['camera', 'screen'] as const) frames += viewer?.slots.get(slot)?.frames ?? 0
    // A new session counts from nothing.
    if (frames < this.#framesBefore) this.#framesBefore = frames
    this.#frames = frames
    if (this.#still !== null && frames >= this.#framesBefore + VIDEO_FRAMES) this.#putAway()
    this.#wait(viewer?.peer ?? null)
  }

  /** Nothing of this lesson is shown any more. */
  forget(): void {
    this.#parts = null
    this.#putAway()
  }

  #take(still: number, part: number, data: Uint8Array): void {
    const parts = this.#parts
    if (parts === null || parts.head.still !== still || parts.data.length !== part) return
    parts.data.push(data)
    if (parts.data.length < parts.head.parts) return
    this.#parts = null
    void this.#show(parts)
  }

  async #show({ head, data }: Parts): Promise<void> {
    const blob = new Blob(data as BlobPart[], { type: head.mime })
    if (blob.size !== head.bytes) return
    const url = URL.createObjectURL(blob)
    try {
      await this.canShow(url)
    } catch {
      // A browser without this format keeps the last picture that it could show.
      URL.revokeObjectURL(url)
      return
    }
    this.#putAway()
    this.#still = { url, source: head.source, captured: head.captured * 1000 }
    this.#stillLesson = head.lesson
    this.#framesBefore = this.#frames
    this.changed()
  }

  #putAway(): void {
    if (this.#still === null) return
    URL.revokeObjectURL(this.#still.url)
    this.#still = null
    this.changed()
  }

  /** Voice and pictures alike, so that they stay in step. */
  #wait(peer: RTCPeerConnection | null): void {
    const target = this.playoutMs
    if (peer === null || target === null) return
    for (const receiver of peer.getReceivers?.() ?? []) {
      // Firefox and older browsers have no such setting, and wait as they see fit.
      if (!('jitterBufferTarget' in receiver)) continue
      const wanted = Math.min(target, PLAYOUT_MOST_MS)
      if (receiver.jitterBufferTarget !== wanted) receiver.jitterBufferTarget = wanted
    }
  }
}

async function decodes(url: string): Promise<void> {
  const image = new Image()
  image.src = url
  await image.decode()
}
