/*
 * Plays one recorded or running lesson: voice and camera together, the screen in step with them.
 *
 * Lives here: two hls.js instances and their elements, errors and retries, quality, position. What
 * must not: words and controls. The main element is the clock; the screen, which has no sound,
 * follows it (timeline.ts). Where hls.js cannot work, the browser's own HLS plays both. Longer than
 * other files: what hls.js is told and how its errors are borne share one state.
 */
import type Hls from 'hls.js'
import type { ErrorData, HlsConfig, LoaderConfig } from 'hls.js'
import { Observable } from '../observable'
import { part } from '../parts'
import { load, save } from '../token'
import { playable } from './plays'
import { followRate, screenTime, type Piece } from './timeline'

export type PlayerState = 'loading' | 'ready' | 'failed' | 'missing' | 'closed'

/** auto, voice with slides, voice alone, or a height in lines. */
export type Quality = 'auto' | 'slides' | 'voice' | number

/** Captions that may be chosen. */
export interface CaptionsChoice {
  language: string
  label: string
}

export interface PlayerOptions {
  /** Address of the archive's folder, without a slash at the end. */
  archive: string
  token: string
  lesson: string
  /** The lesson still runs. */
  live: boolean
  /** Begin at this second and remember nothing, instead of where this person stopped last. */
  from?: number
}

const RETRY_MS = 5_000
/** A segment that is still on its way is asked for again after this. */
const AGAIN_MS = 1_000
/** Before a screen is shared its playlist is missing; a running lesson may get one. */
const SCREEN_RETRY_MS = 20_000
const FOLLOW_EVERY_MS = 200
/** Beyond this the screen jumps instead of catching up. */
const JUMP_S = 0.6
const SAVE_EVERY_MS = 5_000
const CAPTIONS = 'classroom.library.captions'
/** The voice as it was recorded or copied: the server picks the one that plays. */
const VOICES = 'voice,aac-voice'
/** A segment of 8 s is listed when it is whole, so this far behind is as live as it gets. */
const LIVE_SYNC_S = 12
const LIVE_EDGE_S = 20
/** How the recorder titles segments that only fill a time without media, and a long such time. */
const FILL = 'nothing'
const AWAY = 'away'

const PATIENT: LoaderConfig = {
  maxTimeToFirstByteMs: 20_000,
  maxLoadTimeMs: 120_000,
  timeoutRetry: { maxNumRetry: 4, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: {
    maxNumRetry: 60,
    retryDelayMs: 1_000,
    maxRetryDelayMs: 5_000,
    // A relay that starts anew answers nothing at all (0). By itself hls.js takes that for good, and
    // leaves out of a running lesson what it asked for.
    shouldRetry: (policy, count, _isTimeout, response, retry) =>
      retry || (response?.code === 0 && count < (policy?.maxNumRetry ?? 0)),
  },
}

export class Player extends Observable {
  readonly main = makeVideo()
  readonly screen = makeVideo()
  #state: PlayerState = 'loading'
  #Hls: typeof Hls | null = null
  #mainHls: Hls | null = null
  #screenHls: Hls | null = null
  #quality: Quality = 'auto'
  #screenShown = false
  #waiting = false
  #near = false
  #blocked = false
  #resumedFrom: number | null = null
  /** Where it plays, or is to play, in seconds; the element forgets it when it is loaded anew. */
  #at = 0
  #repairs = 0
  #captions: string | null = load(CAPTIONS)
  #caption = ''
  readonly #timers: ReturnType<typeof setInterval>[] = []

  constructor(private readonly options: PlayerOptions) {
    super()
    this.screen.muted = true
    for (const name of ['play', 'pause', 'timeupdate', 'durationchange', 'volumechange', 'ended'])
      this.main.addEventListener(name, () => this.changed())
    this.main.addEventListener('waiting', () => this.#wait(true))
    for (const name of ['playing', 'seeked', 'canplay'])
      this.main.addEventListener(name, () => this.#wait(false))
    this.main.addEventListener('seeking', () => this.#follow())
    this.main.addEventListener('timeupdate', () => this.#notePlace())
    for (const name of ['timeupdate', 'seeked'])
      this.main.addEventListener(name, () => this.#readCaption())
    this.main.textTracks.addEventListener('addtrack', () => this.#showCaptions())
    this.main.addEventListener('loadedmetadata', () => this.#to('ready'))
  }

  get state(): PlayerState {
    return this.#state
  }

  get quality(): Quality {
    return this.#quality
  }

  /** Heights to choose from, highest first. */
  get heights(): number[] {
    const all = (this.#mainHls?.levels ?? []).map((level) => level.height).filter((one) => one > 0)
    return [...new Set(all)].sort((one, other) => other - one)
  }

  /** The lesson has slides or a screen somewhere. */
  get hasScreen(): boolean {
    return this.#screenHls !== null ? this.#screenHls.levels.length > 0 : this.screen.readyState > 0
  }

  /** A screen was shared at the moment that is playing. */
  get screenShown(): boolean {
    return this.#screenShown
  }

  get hasPicture(): boolean {
    return this.main.videoHeight > 0 && !isSpoken(this.#quality)
  }

  /** The main element has run out of data. */
  get waiting(): boolean {
    return this.#waiting && !this.main.paused
  }

  /** The browser wants a press before it plays with sound. */
  get blocked(): boolean {
    return this.#blocked
  }

  /** The playlist that plays, piece by piece. */
  get pieces(): readonly Piece[] {
    return piecesOf(this.#mainHls)
  }

  /** Where what is listed ends, seconds. */
  get edge(): number {
    return this.#mainHls?.latestLevelDetails?.edge ?? this.length
  }

  /** Seconds from where it plays that are loaded. */
  get buffered(): number {
    const { buffered, currentTime } = this.main
    for (let at = 0; at < buffered.length; at += 1)
      // A seam between segments is no end.
      if (currentTime >= buffered.start(at) - 0.1 && currentTime < buffered.end(at))
        return buffered.end(at) - currentTime
    return 0
  }

  get time(): number {
    return this.#hasData ? this.main.currentTime : this.#at
  }

  /** Seconds that can be seeked to; grows while the lesson runs. */
  get length(): number {
    const { seekable, duration } = this.main
    const end = seekable.length > 0 ? seekable.end(seekable.length - 1) : 0
    return Number.isFinite(duration) && duration > 0 ? duration : end
  }

  /** The playlist still grows. */
  get live(): boolean {
    const details = this.#mainHls?.latestLevelDetails
    return details?.live ?? this.options.live
  }

  get atLive(): boolean {
    return this.live && this.length - this.time < LIVE_EDGE_S
  }

  /** Where this person stopped last time, if playing began there. */
  get resumedFrom(): number | null {
    return this.#resumedFrom
  }

  /** Throws `PartMissing` when hls.js did not come; then it may be opened again. */
  async open(): Promise<void> {
    const given = this.options.from
    this.#resumedFrom = given === undefined ? keptPosition(this.options.lesson) : null
    this.#at = given ?? this.#resumedFrom ?? 0
    const loaded = await this.#loadHls()
    if (this.#state === 'closed') return
    if (loaded.isSupported()) {
      this.#Hls = loaded
      this.#startMain()
      this.#startScreen()
    } else {
      this.main.src = this.#address('master.m3u8', true)
      this.screen.src = this.#address('screen.m3u8', true)
      this.main.addEventListener('loadedmetadata', () => this.seek(this.#at), { once: true })
      this.main.addEventListener('error', () => this.#to('failed'))
    }
    this.#timers.push(setInterval(() => this.#follow(), FOLLOW_EVERY_MS))
    this.#timers.push(setInterval(() => this.#keep(), SAVE_EVERY_MS))
    this.play()
  }

  close(): void {
    this.#keep()
    this.#state = 'closed'
    for (const timer of this.#timers) clearInterval(timer)
    this.#mainHls?.destroy()
    this.#screenHls?.destroy()
    this.main.removeAttribute('src')
    this.screen.removeAttribute('src')
  }

  play(): void {
    // Refused without a press on the page; then the button shows "play" and waits for one.
    this.main.play().then(
      () => (this.#blocked = false),
      (error: unknown) => {
        this.#blocked = error instanceof DOMException && error.name === 'NotAllowedError'
        this.changed()
      },
    )
  }

  toggle(): void {
    if (this.main.paused) this.play()
    else this.main.pause()
  }

  /**
   * Of a running lesson, come within seconds of what is taught: the lists name parts of segments. A
   * list is read every second then, which a weak link should bear no longer than needed.
   */
  setNear(near: boolean): void {
    if (near === this.#near) return
    this.#near = near
    for (const hls of [this.#mainHls, this.#screenHls]) if (hls !== null) hls.lowLatencyMode = near
  }

  /** `time` in seconds from the beginning of the lesson. */
  seek(time: number): void {
    // How long it is may not be known yet, or not any more.
    const end = this.length > 0 ? Math.max(0, this.length - 0.5) : Infinity
    this.#at = Math.max(0, Math.min(time, end))
    this.main.currentTime = this.#at
    const hls = this.#mainHls
    if (hls !== null && this.main.readyState === 0) {
      // An element without media tells hls.js nothing.
      hls.config.startPosition = this.#at
      if (hls.loadingEnabled) hls.startLoad(this.#at)
    }
    this.changed()
  }

  skip(seconds: number): void {
    this.seek(this.time + seconds)
  }

  goLive(): void {
    this.seek(this.#mainHls?.liveSyncPosition ?? this.length - LIVE_SYNC_S)
    this.play()
  }

  setRate(rate: number): void {
    // An element that is loaded anew goes back to its default.
    this.main.defaultPlaybackRate = rate
    this.main.playbackRate = rate
    this.changed()
  }

  setQuality(quality: Quality): void {
    const before = this.#quality
    this.#quality = quality
    const hls = this.#mainHls
    if (hls !== null) {
      if (isSpoken(quality) !== isSpoken(before)) {
        const playing = !this.main.paused
        this.#startMain()
        if (playing) this.play()
      } else {
        this.#chooseLevel(hls)
      }
      // Who asks for the voice alone is short of data, and slides are pictures, too.
      if (quality === 'voice') this.#screenHls?.stopLoad()
      else if (before === 'voice') this.#screenHls?.startLoad()
    }
    this.changed()
  }

  /** Captions that the lesson has; none before it is loaded. */
  get captionsChoices(): CaptionsChoice[] {
    if (this.#mainHls !== null)
      return this.#mainHls.subtitleTracks.map((track) => ({
        language: track.lang ?? '',
        label: track.name,
      }))
    return subtitles(this.main).map(({ language, label }) => ({ language, label }))
  }

  /** The language of the captions that are shown, or null. */
  get captions(): string | null {
    return this.captionsChoices.some((one) => one.language === this.#captions)
      ? this.#captions
      : null
  }

  /** What the captions say now; empty when they say nothing or are not shown. */
  get caption(): string {
    return this.#caption
  }

  setCaptions(language: string | null): void {
    this.#captions = language
    save(CAPTIONS, language)
    this.#showCaptions()
    this.changed()
  }

  /** Captions are drawn by the page, over the large picture; the browser only times them. */
  #showCaptions(): void {
    const hls = this.#mainHls
    if (hls !== null) {
      hls.subtitleDisplay = false
      hls.subtitleTrack = hls.subtitleTracks.findIndex((track) => track.lang === this.#captions)
    } else {
      for (const track of subtitles(this.main))
        track.mode = track.language === this.#captions ? 'hidden' : 'disabled'
    }
    this.#readCaption()
  }

  #readCaption(): void {
    const lines = subtitles(this.main)
      .filter((track) => track.mode === 'hidden' && this.captions !== null)
      .flatMap((track) => [...(track.activeCues ?? [])])
      .map((cue) => (cue as VTTCue).getCueAsHTML().textContent ?? '')
    const caption = lines.join('\n')
    if (caption === this.#caption) return
    this.#caption = caption
    this.changed()
  }

  /** The address of a playlist, for what this browser plays. spoken: with no pictures. */
  #address(name: string, tokenInside = false, spoken = false): string {
    const query = new URLSearchParams({ play: playable() })
    if (spoken) query.set('only', VOICES)
    if (tokenInside && this.options.token !== '') query.set('token', this.options.token)
    return `${this.options.archive}/${name}?${String(query)}`
  }

  async #loadHls(): Promise<typeof Hls> {
    try {
      return (await part(() => import('hls.js'))).default
    } catch (error) {
      this.#to('failed')
      throw error
    }
  }

  #startMain(): void {
    if (this.#Hls === null) return
    this.#mainHls?.destroy()
    const hls = new this.#Hls({ ...this.#config(), startPosition: this.#at })
    this.#mainHls = hls
    const { Events } = this.#Hls
    hls.on(Events.MANIFEST_PARSED, () => this.#chooseLevel(hls))
    hls.on(Events.LEVEL_UPDATED, () => this.changed())
    hls.on(Events.SUBTITLE_TRACKS_UPDATED, () => this.#showCaptions())
    hls.on(Events.ERROR, (_name, data) => {
      if (this.#isUnbegun(hls, data)) this.#beginAgain(hls)
      else this.#mainError(hls, data)
    })
    hls.loadSource(this.#address('master.m3u8', false, isSpoken(this.#quality)))
    hls.attachMedia(this.main)
  }

  #startScreen(): void {
    if (this.#Hls === null || this.#state === 'closed') return
    this.#screenHls?.destroy()
    const hls = new this.#Hls({ ...this.#config(), startPosition: 0 })
    this.#screenHls = hls
    hls.on(this.#Hls.Events.ERROR, (_name, data) => {
      if (!data.fatal || this.#screenHls !== hls) return
      if (this.#repair(hls, data)) return
      // Most lessons share no screen; one that runs may begin to, and a finished one will not.
      hls.destroy()
      this.#screenHls = null
      const missing = data.response?.code === 404
      if (!missing || this.live) setTimeout(() => this.#startScreen(), SCREEN_RETRY_MS)
    })
    hls.loadSource(this.#address('screen.m3u8'))
    hls.attachMedia(this.screen)
  }

  #config(): Partial<HlsConfig> {
    return {
      // Segments are fMP4 already, so there is nothing for a worker to do.
      enableWorker: false,
      // Schools have weak links: begin with the smallest picture and climb.
      abrEwmaDefaultEstimate: 200_000,
      startLevel: 0,
      // A part that is still on its way to the school's relay is answered with 503 until it is there.
      fragLoadPolicy: { default: PATIENT },
      playlistLoadPolicy: { default: PATIENT },
      // A running lesson's list may change behind what plays, where a segment was closed very late.
      ignorePlaylistParsingErrors: true,
      maxBufferLength: 40,
      backBufferLength: 60,
      liveSyncDuration: LIVE_SYNC_S,
      // A running lesson is watched from wherever one likes, not dragged to its end.
      liveMaxLatencyDuration: Infinity,
      lowLatencyMode: this.#near,
      xhrSetup: (xhr, url) => {
        if (this.#near && /\.m3u8(\?|$)/.test(url))
          xhr.open('GET', `${url}${url.includes('?') ? '&' : '?'}tail=1`, true)
        if (this.options.token !== '')
          xhr.setRequestHeader('Authorization', `Bearer ${this.options.token}`)
      },
    }
  }

  #chooseLevel(hls: Hls): void {
    const quality = this.#quality
    hls.nextLevel =
      typeof quality === 'number' ? hls.levels.findIndex((level) => level.height === quality) : -1
    this.changed()
  }

  /** A segment of a running lesson did not come, before anything of it was loaded. */
  #isUnbegun(hls: Hls, data: ErrorData): boolean {
    if (this.#Hls === null || data.fatal || !this.live || hls.hasEnoughToStart) return false
    const { FRAG_LOAD_ERROR, FRAG_LOAD_TIMEOUT } = this.#Hls.ErrorDetails
    const code = data.response?.code ?? 0
    // One that the relay will never have is passed over.
    const isRefused = code >= 400 && code < 500
    return !isRefused && (data.details === FRAG_LOAD_ERROR || data.details === FRAG_LOAD_TIMEOUT)
  }

  /** By itself hls.js would begin at the end of what is listed, and what was missed would be lost. */
  #beginAgain(hls: Hls): void {
    hls.stopLoad()
    setTimeout(() => {
      if (this.#mainHls === hls && this.#state !== 'closed') hls.startLoad(this.#at)
    }, AGAIN_MS)
  }

  #mainError(hls: Hls, data: ErrorData): void {
    if (!data.fatal || this.#mainHls !== hls || this.#repair(hls, data)) return
    this.#to(data.response?.code === 404 ? 'missing' : 'failed')
    setTimeout(() => {
      if (this.#mainHls !== hls || this.#state === 'closed') return
      const playing = !this.main.paused
      this.#startMain()
      if (playing) this.play()
    }, RETRY_MS)
  }

  /** A decoder that stumbles is helped up a few times before giving up. */
  #repair(hls: Hls, data: ErrorData): boolean {
    if (this.#Hls === null || data.type !== this.#Hls.ErrorTypes.MEDIA_ERROR) return false
    this.#repairs += 1
    if (this.#repairs > 5) return false
    hls.recoverMediaError()
    return true
  }

  /** Bring the screen to the moment of the voice, or hide it when none was shared then. */
  #follow(): void {
    const { main, screen } = this
    const target = this.#screenTarget()
    const shown = target !== null && screen.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA
    if (shown !== this.#screenShown) {
      this.#screenShown = shown
      this.changed()
    }
    if (target === null) {
      if (!screen.paused) screen.pause()
      return
    }
    const drift = screen.currentTime - target
    const still = main.paused || main.seeking || main.readyState < HTMLMediaElement.HAVE_FUTURE_DATA
    if (Math.abs(drift) > (still ? 0.04 : JUMP_S) && !screen.seeking) screen.currentTime = target
    screen.playbackRate = followRate(main.playbackRate, drift)
    if (still && !screen.paused) screen.pause()
    // Muted pictures may always play; at its end play() would begin again from the start.
    if (!still && screen.paused && !screen.ended) screen.play().catch(() => undefined)
  }

  #screenTarget(): number | null {
    if (this.#quality === 'voice') return null
    if (this.#Hls === null) return this.screen.readyState > 0 ? this.main.currentTime : null
    const mainPieces = piecesOf(this.#mainHls)
    const screenPieces = piecesOf(this.#screenHls)
    return screenTime(mainPieces, screenPieces, this.main.currentTime)
  }

  #wait(waiting: boolean): void {
    this.#waiting = waiting
    this.#follow()
    this.changed()
  }

  /** Of an element that has nothing to show, the time says nothing. */
  get #hasData(): boolean {
    return this.main.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA
  }

  #notePlace(): void {
    if (this.#hasData) this.#at = this.main.currentTime
  }

  #keep(): void {
    if (this.#state !== 'ready' || this.options.from !== undefined) return
    const nearEnd = !this.live && this.length > 0 && this.length - this.#at < 15
    save(keyOf(this.options.lesson), nearEnd ? null : this.#at.toFixed(1))
  }

  #to(state: PlayerState): void {
    if (this.#state === 'closed') return
    this.#state = state
    this.changed()
  }
}

const isSpoken = (quality: Quality): boolean => quality === 'voice' || quality === 'slides'

const subtitles = (video: HTMLVideoElement): TextTrack[] =>
  [...video.textTracks].filter((track) => track.kind === 'subtitles' || track.kind === 'captions')

function piecesOf(hls: Hls | null): readonly Piece[] {
  if (hls === null) return []
  const details = hls.levels[hls.currentLevel]?.details ?? hls.latestLevelDetails
  return (details?.fragments ?? []).map((fragment) => ({
    start: fragment.start,
    duration: fragment.duration,
    programDateTime: fragment.programDateTime,
    gap: fragment.gap === true || fragment.title === FILL || fragment.title === AWAY,
    away: fragment.title === AWAY,
  }))
}

function makeVideo(): HTMLVideoElement {
  const video = document.createElement('video')
  video.playsInline = true
  video.preload = 'auto'
  return video
}

const keyOf = (lesson: string): string => `classroom.library.at.${lesson}`

/** Where a person stopped in `lesson`, in seconds, or null. */
export function keptPosition(lesson: string): number | null {
  const at = Number.parseFloat(load(keyOf(lesson)) ?? '')
  return Number.isFinite(at) && at > 10 ? at : null
}
