/*
 * How the teacher's own link fares, read from the browser's statistics of what it sends.
 *
 * Pure: statistics and dates in, a word out. What must not live here: elements and sentences. The
 * browser itself gives up layers from the top and the voice last; here that is only noticed.
 */

/**
 * good: as it should be · weak: pictures are smaller or fewer than they should be · voice-only:
 * no picture gets through any more, or hardly any.
 */
export type Uplink = 'good' | 'weak' | 'voice-only'

interface Entry {
  id: string
  type: string
  kind?: string
  mid?: string
  rid?: string
  active?: boolean
  framesSent?: number
  framesEncoded?: number
  qualityLimitationReason?: string
  fractionLost?: number
  roundTripTime?: number
  nominated?: boolean
  availableOutgoingBitrate?: number
}

/** Every session begins slowly; and a moment's trouble is no news. */
const SURE_MS = 8_000
/** A link that wavers must not make the words flicker. */
const CALM_MS = 12_000
/** Below this the smallest camera layer does not fit beside the voice. */
const LITTLE_BITRATE = 100_000
const MUCH_LOSS = 0.08
/** Camera layers come at fifteen pictures a second; slides, when nothing moves, at none. */
const STILL_MS = 6_000
/** With its headers and redundancy the voice takes 85 kbit/s, the smallest camera layer 130 more. */
const NARROW_BITRATE = 150_000
/** Every class hears a change of the voice's packets, so it is not taken back lightly. */
const WIDE_BITRATE = 220_000
const WIDE_MS = 20_000

export class UplinkWatch {
  #state: Uplink = 'good'
  #candidate: Uplink = 'good'
  #since = 0
  readonly #moved = new Map<string, { frames: number; at: number }>()
  #isNarrow = false
  #wideSince: number | null = null

  /** Whether the voice should be thrifty: it takes most of the link, and stands in its queue. */
  get isNarrow(): boolean {
    return this.#isNarrow
  }

  get state(): Uplink {
    return this.#state
  }

  /** A new connection, or none. */
  reset(): void {
    this.#state = this.#candidate = 'good'
    this.#since = 0
    this.#moved.clear()
    // A narrow link is believed to be one still: browsers begin with an estimate out of the air.
    this.#wideSince = null
  }

  /** `cameraMid`: of the camera's section while the camera is on, else null. */
  note(stats: RTCStatsReport, cameraMid: string | null, now: number): void {
    const seen = this.#read(stats, cameraMid, now)
    if (seen !== this.#candidate) {
      this.#candidate = seen
      this.#since = now
    }
    const needed = RANK[seen] > RANK[this.#state] ? SURE_MS : CALM_MS
    if (now - this.#since >= needed) this.#state = seen
  }

  #read(stats: RTCStatsReport, cameraMid: string | null, now: number): Uplink {
    let limited = false
    let lost = 0
    let available: number | null = null
    let layers = 0
    let moving = 0
    stats.forEach((entry: Entry) => {
      if (entry.type === 'outbound-rtp' && entry.kind === 'video') {
        if (entry.qualityLimitationReason === 'bandwidth') limited = true
        if (cameraMid === null || entry.mid !== cameraMid) return
        layers += 1
        if (this.#isMoving(entry, now)) moving += 1
      } else if (entry.type === 'remote-inbound-rtp' && entry.kind === 'audio') {
        lost = Math.max(lost, entry.fractionLost ?? 0)
      } else if (entry.type === 'candidate-pair' && entry.nominated === true) {
        available = entry.availableOutgoingBitrate ?? available
      }
    })
    if (available !== null) this.#noteWidth(available, now)
    const isLittle = available !== null && available < LITTLE_BITRATE
    if (layers > 0 && moving === 0 && (limited || isLittle)) return 'voice-only'
    const isShort = limited && layers > 0 && moving < layers
    return isShort || isLittle || lost > MUCH_LOSS ? 'weak' : 'good'
  }

  /** At once, unlike the words: until then the voice is late or lost. */
  #noteWidth(available: number, now: number): void {
    if (available < NARROW_BITRATE) this.#isNarrow = true
    if (available < WIDE_BITRATE) this.#wideSince = null
    else this.#wideSince ??= now
    if (this.#wideSince !== null && now - this.#wideSince >= WIDE_MS) this.#isNarrow = false
  }

  #isMoving(entry: Entry, now: number): boolean {
    const frames = entry.framesSent ?? entry.framesEncoded ?? 0
    const known = this.#moved.get(entry.id)
    if (known === undefined || known.frames !== frames) {
      this.#moved.set(entry.id, { frames, at: now })
      return true
    }
    return now - known.at < STILL_MS
  }
}

const RANK: Readonly<Record<Uplink, number>> = { good: 0, weak: 1, 'voice-only': 2 }
