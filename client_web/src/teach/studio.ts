/*
 * A teacher's lesson apart from its screen: preparing, going live, staying live, ending.
 *
 * Lives here: the phases of the page, and what joins devices, publisher, events and API. What must
 * not: elements and words. A reload in the middle of a lesson finds the lesson's id in this tab and
 * goes on teaching without a press where the browser still allows camera and microphone. Another
 * tab or machine of the same teacher takes the lesson over only by a press, and this page then
 * stands back until someone presses here.
 */
import { Api, socketUrl, type Lesson } from '../api'
import { EventsSocket } from '../events/socket'
import type { LessonInfo, ServerMessage, VoiceWish } from '../events/wire'
import { Problem, Unreachable } from '../http'
import type { Lang } from '../i18n'
import { Observable } from '../observable'
import { loadForTab, saveForTab, type Link } from '../token'
import { FULL, THRIFTY } from '../webrtc/voice'
import { VIDEO_CODECS, WhipPublisher } from '../webrtc/whip'
import { Classes, type Summary } from './classes'
import { Devices } from './devices'
import { askBeforeLeaving } from './leaving'
import { MaterialsDesk } from './materials'
import { LevelMeter } from './meter'
import { UplinkWatch, type Uplink } from './uplink'

/**
 * preparing: looking at oneself, choosing · starting: the button was pressed, the server is asked
 * · live: publishing or trying to · elsewhere: another page of this teacher has taken the lesson
 * over · ending · ended
 */
export type Phase = 'preparing' | 'starting' | 'live' | 'elsewhere' | 'ending' | 'ended'

const LIVE_KEY = 'classroom.teach.live'
const MUTED_KEY = 'classroom.teach.muted'
/** Lessons that can be taught; the nearest ones come last, so all of them are asked for. */
const OPEN = { state: 'planned,live', limit: 2_000 }
const LESSONS_EVERY_MS = 15_000
/** While the control plane is away it is asked this often. */
const RETRY_MS = 4_000

export class Studio extends Observable {
  readonly devices = new Devices()
  readonly meter = new LevelMeter()
  readonly api: Api
  readonly materials: MaterialsDesk
  readonly #events: EventsSocket
  readonly #classes = new Classes()
  readonly #uplink = new UplinkWatch()
  #wish: VoiceWish | null = null
  #thrifty = false
  #phase: Phase = 'preparing'
  #lessons: Lesson[] | null = null
  #lesson: Lesson | null = null
  #publisher: WhipPublisher | null = null
  #screen: MediaStreamTrack | null = null
  #cameraOn = true
  #endedElsewhere = false
  /** Counts what was begun, so that a lesson which goes on by itself gives way to a press. */
  #attempt = 0
  #fault: Problem | Unreachable | null = null
  #shareFault = false

  constructor(
    private readonly link: Link,
    lang: Lang,
  ) {
    super()
    this.api = new Api(location.origin, link.token)
    this.materials = new MaterialsDesk(location.origin, link.token)
    this.materials.onChange(() => this.changed())
    this.#events = new EventsSocket({
      url: socketUrl(location.origin, '/api/events'),
      token: link.token,
      page: 'teach',
      lang,
      lesson: null,
    })
    this.#events.onChange(() => this.#heard())
    this.#events.onMessage((message) => this.#take(message))
    this.devices.onChange(() => this.#devicesChanged())
    addEventListener('online', () => this.nudge())
    addEventListener('pagehide', () => void this.#publisher?.end())
    // A page that is closed by mistake takes the lesson with it.
    askBeforeLeaving(() => this.#phase === 'live' || this.#phase === 'ending')
  }

  get phase(): Phase {
    return this.#phase
  }

  get events(): EventsSocket {
    return this.#events
  }

  /** Lessons that can be taught: planned ones and the teacher's running ones; null: not known. */
  get lessons(): Lesson[] | null {
    return this.#lessons?.filter((one) => one.state === 'planned' || one.state === 'live') ?? null
  }

  get lesson(): Lesson | null {
    return this.#lesson
  }

  /** What the server last told of the lesson being taught. */
  get info(): LessonInfo | null {
    return this.#events.lessons.find((one) => one.id === this.#lesson?.id) ?? null
  }

  /** What the classes of the lesson being taught receive. */
  get classes(): Summary {
    return this.#classes.summary(this.#lesson?.id ?? '')
  }

  /** How the teacher's own link fares. */
  get uplink(): Uplink {
    return this.#publisher?.state === 'live' ? this.#uplink.state : 'good'
  }

  get publisher(): WhipPublisher | null {
    return this.#publisher
  }

  get sharing(): boolean {
    return this.#screen !== null
  }

  get shareFault(): boolean {
    return this.#shareFault
  }

  get muted(): boolean {
    return this.devices.muted
  }

  get cameraOn(): boolean {
    return this.#cameraOn && this.devices.camera !== null
  }

  /** Why the last thing that was asked of the control plane failed, or null. */
  get fault(): Problem | Unreachable | null {
    return this.#fault
  }

  get endedElsewhere(): boolean {
    return this.#endedElsewhere
  }

  get name(): string {
    return this.#events.name || this.link.claims.name
  }

  /** Open the devices and the lists; go on with a lesson that a reload interrupted. */
  async open(): Promise<void> {
    this.#events.start()
    void this.#keepListing()
    const interrupted = loadForTab(LIVE_KEY)
    if (interrupted !== null && loadForTab(MUTED_KEY) !== null) this.devices.mute(true)
    await this.devices.open()
    if (interrupted !== null && this.devices.state === 'ready') await this.#resume(interrupted)
  }

  nudge(): void {
    this.#events.nudge()
    this.#publisher?.nudge()
  }

  /** Teach `choice`: a lesson of the list, or a new one with this title. */
  async goLive(choice: { id: string } | { title: string }): Promise<void> {
    if (this.#phase !== 'preparing') return
    this.#attempt += 1
    this.#to('starting')
    this.#fault = null
    try {
      const id = 'id' in choice ? choice.id : (await this.api.create(choice.title)).id
      await this.#publish(id)
    } catch (error) {
      this.#fault = asFault(error)
      this.#to('preparing')
    }
  }

  /** Take the lesson back from the page that took it over. */
  async takeBack(): Promise<void> {
    const lesson = this.#lesson
    if (lesson === null || this.#phase !== 'elsewhere') return
    this.#to('starting')
    this.#fault = null
    await this.devices.open()
    if (this.devices.state !== 'ready') return this.#to('elsewhere')
    try {
      await this.#publish(lesson.id)
    } catch (error) {
      this.#fault = asFault(error)
      this.#to('elsewhere')
    }
  }

  mute(muted: boolean): void {
    // A reload must not turn on a microphone that was off.
    saveForTab(MUTED_KEY, muted ? 'yes' : null)
    this.meter.restart()
    this.devices.mute(muted)
  }

  async showCamera(on: boolean): Promise<void> {
    this.#cameraOn = on
    this.changed()
    await this.#publisher?.setCamera(on ? this.devices.camera : null)
  }

  async share(): Promise<void> {
    this.#shareFault = false
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({
        video: { frameRate: { max: 10 }, width: { max: 1920 }, height: { max: 1080 } },
        audio: false,
      })
      const track = stream.getVideoTracks()[0] ?? null
      // Fires when the person presses the browser's own "stop sharing".
      track?.addEventListener('ended', () => void this.stopSharing())
      this.#screen = track
      await this.#publisher?.setScreen(track)
    } catch (error) {
      // Closing the browser's window of choices is a change of mind, not a fault.
      this.#shareFault = !(error instanceof DOMException && error.name === 'NotAllowedError')
    }
    this.changed()
  }

  async stopSharing(): Promise<void> {
    this.#screen?.stop()
    this.#screen = null
    this.changed()
    await this.#publisher?.setScreen(null)
  }

  /**
   * End the lesson for everyone. What was ended stays so: media stops at once, and the control
   * plane is told as soon as it answers.
   */
  async end(): Promise<void> {
    const lesson = this.#lesson
    if (lesson === null || this.#phase !== 'live') return
    this.#to('ending')
    this.#fault = null
    saveForTab(LIVE_KEY, null)
    void this.stopSharing()
    void this.#publisher?.end()
    this.devices.close()
    const ending = (): boolean => this.#phase === 'ending'
    while (ending()) {
      try {
        await this.api.end(lesson.id)
        this.#fault = null
        if (ending()) this.#finish()
      } catch (error) {
        if (!ending()) return
        this.#fault = asFault(error)
        // Refused for good; without anyone who publishes the server ends the lesson by itself.
        if (isForGood(error)) return this.#finish()
        this.changed()
        await pause(RETRY_MS)
      }
    }
  }

  /** Back to the beginning for another lesson. */
  again(): void {
    this.#lesson = null
    this.#publisher = null
    this.#endedElsewhere = false
    this.#fault = null
    this.#cameraOn = true
    this.mute(false)
    this.#to('preparing')
    void this.devices.open()
  }

  /** Go on with lesson `id`, however long the control plane takes to answer. */
  async #resume(id: string): Promise<void> {
    if (this.#phase !== 'preparing') return
    this.#attempt += 1
    const attempt = this.#attempt
    const isWanted = (): boolean => attempt === this.#attempt
    while (isWanted()) {
      try {
        const lesson = await this.api.lesson(id)
        if (!isWanted()) return
        const over = lesson.state === 'ended' || lesson.state === 'published'
        if (over) return saveForTab(LIVE_KEY, null)
        // From here on a press begins no other lesson beside this one.
        this.#to('starting')
        await this.#publish(id)
        return
      } catch (error) {
        if (!isWanted()) return
        this.#fault = asFault(error)
        this.#to('preparing')
        if (isForGood(error)) return saveForTab(LIVE_KEY, null)
        await pause(RETRY_MS)
      }
    }
  }

  async #publish(id: string): Promise<void> {
    let started = await this.api.start(id)
    saveForTab(LIVE_KEY, id)
    this.#lesson = started.lesson
    const publisher = new WhipPublisher(
      {
        endpoint: async (fresh) => {
          if (fresh) started = await this.api.start(id)
          return { url: started.whip, token: started.token }
        },
      },
      codecChoice(),
    )
    await publisher.setVoice(this.devices.microphone)
    await publisher.setCamera(this.cameraOn ? this.devices.camera : null)
    this.#uplink.reset()
    publisher.onChange(() => {
      if (this.#publisher === publisher) this.#look(publisher)
      if (publisher.state === 'replaced' && this.#publisher === publisher) this.#standBack()
      this.changed()
    })
    this.#publisher = publisher
    this.#askVoice()
    this.#fault = null
    publisher.start()
    this.#to('live')
  }

  #devicesChanged(): void {
    const { camera, microphone } = this.devices
    this.meter.follow(microphone)
    void this.#publisher?.setVoice(microphone)
    void this.#publisher?.setCamera(this.cameraOn ? camera : null)
    this.changed()
  }

  #take(message: ServerMessage): void {
    this.#classes.receive(message)
    if (message.kind === 'voice-wish') {
      this.#wish = message
      this.#askVoice()
    }
    if (message.kind === 'rooms') this.changed()
  }

  /** Read how the link fares from what the session looked at last. */
  #look(publisher: WhipPublisher): void {
    const { stats, peer, state } = publisher
    if (state !== 'live' || stats === null || peer === null) return this.#uplink.reset()
    const mid = this.cameraOn ? (peer.getTransceivers()[1]?.mid ?? null) : null
    this.#uplink.note(stats, mid, Date.now())
    this.#askVoice()
  }

  /** The thriftier of what the relay wishes for its rooms and what the own link asks for. */
  #askVoice(): void {
    const wish = this.#wish?.lesson === this.#lesson?.id ? this.#wish : null
    const { isNarrow } = this.#uplink
    // Nothing is asked of a browser that nobody wished anything of yet.
    if (wish === null && !isNarrow && !this.#thrifty) return
    this.#thrifty = isNarrow
    this.#publisher?.wishVoice(isNarrow ? THRIFTY : (wish ?? FULL))
  }

  #heard(): void {
    const state = this.info?.state
    // While we are ending it ourselves the server's word for it is as good as its answer.
    if (this.#phase === 'ending' && (state === 'ended' || state === 'published')) {
      this.#fault = null
      this.#finish()
    }
    const teaching = this.#phase === 'live' || this.#phase === 'elsewhere'
    if (teaching && (state === 'ended' || state === 'published')) {
      this.#endedElsewhere = true
      void this.stopSharing()
      void this.#publisher?.end()
      this.#finish()
    }
    this.changed()
  }

  /** Another page of this teacher publishes now: leave camera and microphone to it. */
  #standBack(): void {
    if (this.#phase !== 'live') return
    saveForTab(LIVE_KEY, null)
    this.#publisher = null
    this.#to('elsewhere')
    void this.stopSharing()
    this.devices.close()
  }

  #finish(): void {
    saveForTab(LIVE_KEY, null)
    this.devices.close()
    this.#to('ended')
  }

  async #keepListing(): Promise<void> {
    for (;;) {
      if (this.#phase === 'preparing') {
        try {
          this.#lessons = (await this.api.lessons(OPEN)).lessons
          if (this.#fault instanceof Unreachable) this.#fault = null
        } catch (error) {
          this.#fault = asFault(error)
        }
        this.changed()
      }
      await pause(this.#fault === null ? LESSONS_EVERY_MS : RETRY_MS)
    }
  }

  #to(phase: Phase): void {
    this.#phase = phase
    // A class that is being taught needs the link more than files do.
    this.materials.rest(phase !== 'preparing' && phase !== 'ended')
    this.changed()
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A refusal that asking again cannot change; a relay or a server behind a proxy may come back. */
const isForGood = (error: unknown): boolean => error instanceof Problem && !error.isPassing

/** What a call of the API may throw; anything else is a bug and goes on. */
function asFault(error: unknown): Problem | Unreachable {
  if (error instanceof Problem || error instanceof Unreachable) return error
  throw error
}

/** `/teach?codec=h264` puts one codec first, for measurements and for odd machines. */
function codecChoice(): readonly string[] {
  const wanted = new URLSearchParams(location.search).get('codec')?.toLowerCase() ?? ''
  const first = VIDEO_CODECS.filter((name) => name.toLowerCase() === `video/${wanted}`)
  return [...first, ...VIDEO_CODECS.filter((name) => !first.includes(name))]
}
