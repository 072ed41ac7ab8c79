/*
 * A room's page apart from its screen: the link, the events and the media session together.
 *
 * Lives here: which lesson is watched, and what is known of it. What must not: elements and words.
 */
import { EventsSocket } from '../events/socket'
import type { CatchUpReason, LessonInfo, Rung } from '../events/wire'
import { Observable } from '../observable'
import { socketUrl } from '../api'
import { request } from '../http'
import type { Lang } from '../i18n'
import { MaterialList, placeAt, type Place } from '../materials/list'
import { part, renew } from '../parts'
import type { Link } from '../token'
import { WhepViewer, type SlotMedia } from '../webrtc/whep'
import { Quality, type ShownStill } from './quality'
import { stageOf, type Stage } from './stage'
import { Held } from './held'
import { TimeShift, type Facts } from './time_shift'

/** A voice sends fifty packets a second; this long without any byte is a stop. */
const FLOW_LIMIT_MS = 3_500

/** Pictures come at least every second; a repair over a bad link takes some. */
const FROZEN_AFTER_MS = 5_000

/** Longer than it takes to notice that nothing at all comes any more. */
const LINGER_MS = FLOW_LIMIT_MS + 1_500

type Picture = 'camera' | 'screen'

export interface Shown {
  voice: MediaStreamTrack | null
  talkVoice: MediaStreamTrack | null
  camera: MediaStreamTrack | null
  screen: MediaStreamTrack | null
}

export class RoomModel extends Observable {
  readonly events: EventsSocket | null
  /** The way into the recording and back. */
  readonly shift: TimeShift
  #materials = new MaterialList()
  #nextMaterials = new MaterialList()
  readonly #held = new Held()
  readonly #quality = new Quality()
  #viewer: WhepViewer | null = null
  #watched: string | null = null
  #lastLesson: LessonInfo | null = null
  #wasOpen = false
  #hasFlowed = false
  /** The session was being repaired since media last came. */
  #wasLost = false
  /** The pictures that were on last, and when it was last so, or nothing came at all. */
  #seen: Picture[] = []
  #seenAt = 0
  /** When the source of the still was last told to be on, and whether it was put away since. */
  #stillOnAt = 0
  #stillIsAway = false

  constructor(
    private readonly link: Link | null,
    lang: Lang,
  ) {
    super()
    this.events =
      link === null
        ? null
        : new EventsSocket({
            url: socketUrl(location.origin, '/events'),
            token: link.token,
            page: 'room',
            lang,
            lesson: link.lesson,
          })
    this.events?.onChange(() => this.#follow())
    this.events?.onMessage((message) => this.#quality.receive(message))
    this.#quality.onChange(() => this.#follow())
    this.shift = new TimeShift({
      facts: () => this.#facts,
      archive: (lesson) => `${location.origin}/archives/${lesson}`,
      token: link?.token ?? '',
      read: (url) => readText(url, link?.token ?? ''),
      open: async (options) => new (await part(() => import('../library/player'))).Player(options),
      renew,
      say: (reason) => this.#say(reason),
    })
    this.shift.onChange(() => this.#follow())
    for (const list of [this.#materials, this.#nextMaterials]) list.onChange(() => this.changed())
    addEventListener('online', () => this.nudge())
  }

  get viewer(): WhepViewer | null {
    return this.#viewer
  }

  /** The lesson that is watched, as last told; kept while the server is away. */
  get lesson(): LessonInfo | null {
    const last = this.#lastLesson?.id === this.#watched ? this.#lastLesson : null
    return this.#told ?? last ?? this.events?.lesson ?? null
  }

  /** After the end: the planned lesson that comes next, or null. */
  get next(): LessonInfo | null {
    const known = this.events?.lesson ?? null
    return known?.state === 'planned' && known.id !== this.lesson?.id ? known : null
  }

  /** The files of the lesson that is watched or waited for; of one that ended, until another begins. */
  get materials(): MaterialList {
    return this.#materials
  }

  /** After the end: the files of the lesson that comes next. */
  get nextMaterials(): MaterialList {
    return this.#nextMaterials
  }

  get flowing(): boolean {
    return [...(this.#viewer?.slots.values() ?? [])].some((slot) => isFresh(slot, FLOW_LIMIT_MS))
  }

  get stage(): Stage {
    const { lesson, events } = this
    const viewer = this.#viewer
    const refusal = viewer?.problem ?? null
    return stageOf({
      hasLink: this.link !== null,
      refused: events?.state === 'refused' || refusal?.status === 401 || refusal?.status === 403,
      events: events?.state ?? 'idle',
      media: viewer?.state ?? 'idle',
      refusal,
      unreachable: viewer?.unreachable ?? events?.state === 'waiting',
      flowing: this.flowing,
      isBack: this.#wasLost,
      isLate: this.shift.isLate,
      hasFlowed: this.#hasFlowed,
      lesson,
    })
  }

  /** Milliseconds since 1970 of the next attempt, or null when none is pending. */
  get retryAt(): number | null {
    return this.#viewer?.retryAt ?? this.events?.retryAt ?? null
  }

  /** The tracks worth showing now; null for a slot with nothing to see. */
  get shown(): Shown {
    const slots = this.#viewer?.slots
    const on = this.#picturesOn()
    // When a teacher is cut off, pictures go before the voice does; they have not been put away.
    const names = on.length > 0 || Date.now() - this.#seenAt > LINGER_MS ? on : this.#seen
    const track = (name: Picture): MediaStreamTrack | null =>
      names.includes(name) ? (slots?.get(name)?.track ?? null) : null
    return {
      voice: slots?.get('voice')?.track ?? null,
      talkVoice: slots?.get('talk-voice')?.track ?? null,
      camera: track('camera'),
      screen: track('screen'),
    }
  }

  #picturesOn(): Picture[] {
    const sources = this.events?.state === 'open' ? this.lesson?.sources : undefined
    return (['camera', 'screen'] as const).filter((name) => {
      const slot = this.#viewer?.slots.get(name)
      if (slot === undefined || slot.frames === 0) return false
      // Without word from the server the pictures themselves must do; slides come rarely.
      return sources?.includes(name) ?? isFresh(slot, name === 'screen' ? 30_000 : 6_000)
    })
  }

  #notePictures(): void {
    const on = this.#picturesOn()
    const { flowing } = this
    const isLong = flowing && Date.now() - this.#seenAt > LINGER_MS
    if (on.length > 0) this.#seen = on
    else if (isLong || this.stage === 'ended') this.#seen = []
    // While nothing comes nobody puts a picture away; and the voice is back before the next one is.
    if (on.length > 0 || !flowing) this.#seenAt = Date.now()
  }

  /** What this room receives, and why, or null while it is not known. */
  get rung(): Rung | null {
    return this.#quality.rung(this.lesson?.id ?? null)
  }

  /** Milliseconds that the browser waits for repairs, or null. */
  get playoutMs(): number | null {
    return this.#quality.playoutMs
  }

  /** The still picture to show in place of video, or null. */
  get still(): ShownStill | null {
    return this.#stillIsAway || this.shift.isLate
      ? null
      : this.#quality.still(this.lesson?.id ?? null)
  }

  /** No word comes of a camera or slides put away but that the lesson has them no more. */
  #noteStill(): void {
    const still = this.#quality.still(this.lesson?.id ?? null)
    const sources = this.events?.state === 'open' ? this.lesson?.sources : undefined
    if (still === null || sources?.includes(still.source) === true) {
      // It is kept while it is away: the relay sends nobody the same slide twice.
      this.#stillIsAway = false
      this.#stillOnAt = Date.now()
    } else if (!this.flowing) {
      // After an outage the voice is back before anything else is.
      this.#stillOnAt = Date.now()
    } else if (sources !== undefined) {
      // As for video: of a teacher who is being cut off, pictures go before the voice does.
      const isLong = Date.now() - this.#stillOnAt > LINGER_MS
      this.#stillIsAway ||= isLong || sources.some((name) => name !== 'voice')
    }
  }

  /** The voice goes on, but the picture that should move does not: the link carries no more. */
  get frozen(): boolean {
    const slots = this.#viewer?.slots
    const camera = slots?.get('camera')
    const voice = slots?.get('voice')
    if (camera === undefined || voice === undefined || camera.frames === 0) return false
    const due = this.events?.state === 'open' && this.lesson?.sources.includes('camera') === true
    return due && isFresh(voice, FLOW_LIMIT_MS) && !isFresh(camera, FROZEN_AFTER_MS)
  }

  /** Both connections begin at once: neither waits for a round trip of the other. */
  start(): void {
    this.events?.start()
    this.shift.start()
    if (this.link !== null) this.#watch(this.link.lesson)
    this.#follow()
  }

  nudge(): void {
    this.events?.nudge()
    this.#viewer?.nudge()
  }

  /** The page is closing: free the place at the relay. */
  async end(): Promise<void> {
    this.shift.end()
    this.events?.close()
    await this.#viewer?.end()
  }

  /** What the server says of the lesson that is watched, or null. */
  get #told(): LessonInfo | null {
    return this.events?.lessons.find((one) => one.id === this.#watched) ?? null
  }

  #follow(): void {
    // A connection that broke, or came back, says something about the path of media too.
    const isOpen = this.events?.state === 'open'
    if (isOpen !== this.#wasOpen) this.#viewer?.nudge()
    this.#wasOpen = isOpen
    const wanted = this.#isChosen ? this.#wanted() : null
    const left = this.#viewer?.state === 'ended' && this.#told?.publishing === true
    if (wanted !== null && (wanted !== this.#watched || left)) this.#watch(wanted)
    this.#lastLesson = this.#told ?? this.#lastLesson
    this.#leaveWhenOver()
    this.#expect()
    this.#noteMedia()
    this.#followMaterials()
    this.changed()
  }

  #followMaterials(): void {
    const placeOf = (lesson: LessonInfo | null): Place | null =>
      lesson === null ? null : placeAt(location.origin, lesson.id, this.link?.token ?? '')
    const { lesson } = this
    const next = this.stage === 'ended' ? this.next : null
    const place = placeOf(lesson)
    // The next lesson begins, and its files are known already.
    if (place !== null && place.list === this.#nextMaterials.place?.list)
      [this.#materials, this.#nextMaterials] = [this.#nextMaterials, this.#materials]
    this.#materials.follow(place, lesson?.materials ?? null)
    this.#nextMaterials.follow(placeOf(next), next?.materials ?? null)
  }

  /** Silence is no fault while nothing live was asked for. */
  #expect(): void {
    this.#viewer?.expect(this.#told?.publishing === true && !this.#held.excuses(Date.now()))
  }

  /** The relay is told of each change, and again while what it says of the room shows otherwise. */
  #say(reason: CatchUpReason | null): void {
    const session = this.#viewer?.session ?? null
    const lesson = this.#watched
    if (lesson === null || session === null) return
    const again = this.#held.note(session, reason, this.rung?.rung ?? null, Date.now())
    this.events?.behind(lesson, session, reason, again)
    this.#expect()
  }

  get #facts(): Facts {
    const { lesson, events } = this
    const slots = [...(this.#viewer?.slots.values() ?? [])]
    const offset = (events?.serverNow ?? Date.now()) - Date.now()
    const heardAt = Math.max(...slots.map((slot) => slot.heardAt ?? -Infinity))
    return {
      lesson: lesson?.id ?? null,
      date: Date.now() + offset,
      flowing: this.flowing,
      heard: Number.isFinite(heardAt) ? heardAt + offset : null,
      frames: slots.reduce((sum, slot) => sum + slot.frames, 0),
      hasPictures: lesson?.sources.some((name) => name !== 'voice') === true,
      isEnded: lesson?.state === 'ended' || lesson?.state === 'published',
      isTaught: lesson?.publishing === true,
    }
  }

  #noteMedia(): void {
    const viewer = this.#viewer
    if (viewer?.state === 'recovering') this.#wasLost = true
    else if (this.flowing) this.#wasLost = false
    this.#notePictures()
    this.#quality.follow(viewer)
    this.#noteStill()
    if (this.stage === 'ended') this.#quality.forget()
    const session = viewer?.session ?? null
    if (this.#watched !== null && session !== null) this.events?.watching(this.#watched, session)
  }

  /** Not so while the relay, asked for whichever lesson runs, may still name it. */
  get #isChosen(): boolean {
    const viewer = this.#viewer
    if (this.#watched !== null || viewer === null) return true
    return viewer.unreachable || viewer.problem !== null
  }

  /** The lesson to watch: the link's, else the one that runs, else the one that comes next. */
  #wanted(): string | null {
    const known = this.events?.lesson ?? null
    const watched = this.#watched
    if (this.link?.lesson) return this.link.lesson
    // What was missed is watched to its end, also when the next lesson has begun.
    if (watched !== null && this.shift.isLate) return watched
    if (watched === null || known === null) return known?.id ?? watched
    if (this.#told?.publishing === true) return watched
    if (known.publishing || known.state === 'live') return known.id
    // A lesson to come waits on the card of the one that ended, until it begins.
    return this.#viewer?.problem?.status === 404 ? known.id : watched
  }

  /**
   * An ended lesson is watched to its last packet, then the place at the relay is freed; should
   * someone publish it again after all, `#follow` comes back.
   */
  #leaveWhenOver(): void {
    if (this.stage === 'ended' && this.#viewer?.state !== 'ended') void this.#viewer?.end()
  }

  /** Watch `lesson`, or whichever the relay says that this room should see. */
  #watch(lesson: string | null): void {
    void this.#viewer?.end()
    const token = this.link?.token ?? ''
    const viewer = new WhepViewer({
      endpoint: () => ({ url: `${location.origin}/whep/${this.#watched ?? '-'}`, token }),
    })
    this.#watched = lesson
    this.#hasFlowed = false
    this.#seen = []
    this.#viewer = viewer
    viewer.onChange(() => {
      if (this.#viewer !== viewer) return
      this.#watched ??= viewer.lesson
      if (this.#watched === null && viewer.problem?.status === 404) {
        // There is none yet; the events will name it, without asking again and again.
        this.#viewer = null
        void viewer.end()
        return this.changed()
      }
      if (this.flowing) this.#hasFlowed = true
      this.#leaveWhenOver()
      this.#noteMedia()
      this.changed()
    })
    viewer.start()
  }
}

function isFresh(slot: SlotMedia, limitMs: number): boolean {
  return slot.heardAt !== null && Date.now() - slot.heardAt < limitMs
}

async function readText(url: string, token: string): Promise<string | null> {
  try {
    return (await request(url, token)).text
  } catch {
    // Not recorded here, or not reached: asked again while it is wanted.
    return null
  }
}
