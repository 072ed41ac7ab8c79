/*
 * How loud a microphone is, for a bar on the screen and a warning when it hears nothing.
 */

/** Below this the room is silent: a connected microphone in a quiet room gives more. */
const HEARD = 0.02
/** Before the lesson a sound is good for so long: a microphone chosen now may be a dead one. */
const HEARD_MS = 5_000
/** During a lesson, this long without a sound is worth a word. */
const SILENCE_MS = 20_000

/** quiet: nothing heard yet, or not lately · silent: nothing for so long that it is a fault. */
export type Hearing = 'heard' | 'quiet' | 'silent'

export class LevelMeter {
  #context: AudioContext | null = null
  #source: MediaStreamAudioSourceNode | null = null
  #analyser: AnalyserNode | null = null
  #samples = new Float32Array(1024)
  #track: MediaStreamTrack | null = null
  #since = Date.now()
  #heardAt: number | null = null

  /** Listen to `track`, or to nothing. */
  follow(track: MediaStreamTrack | null): void {
    if (track === this.#track) return
    this.#track = track
    this.restart()
    this.#source?.disconnect()
    this.#source = null
    if (track === null) return
    const context = (this.#context ??= new AudioContext())
    this.#analyser ??= new AnalyserNode(context, { fftSize: this.#samples.length })
    this.#source = context.createMediaStreamSource(new MediaStream([track]))
    this.#source.connect(this.#analyser)
    this.wake()
  }

  /** What was heard so far does not count: another microphone, or it was off until now. */
  restart(): void {
    this.#since = Date.now()
    this.#heardAt = null
  }

  /** What the person should know at `now` (Date.now() milliseconds). */
  hearing(now: number, live: boolean): Hearing {
    const heardAt = this.#heardAt
    const limit = live ? SILENCE_MS : HEARD_MS
    if (heardAt !== null && now - heardAt <= limit) return 'heard'
    return live && this.running && now - (heardAt ?? this.#since) > limit ? 'silent' : 'quiet'
  }

  /** Browsers hold back sound processing until the first press on the page. */
  wake(): void {
    if (this.#context?.state === 'suspended') void this.#context.resume()
  }

  /** Whether levels can be trusted now. */
  get running(): boolean {
    return this.#context?.state === 'running' && this.#source !== null
  }

  /** 0 (silence) to 1 (as loud as it gets), on a scale that follows the ear. */
  level(): number {
    if (!this.running || this.#analyser === null) return 0
    this.#analyser.getFloatTimeDomainData(this.#samples)
    let peak = 0
    for (const sample of this.#samples) peak = Math.max(peak, Math.abs(sample))
    // 60 dB of range: a whisper moves the bar, a shout fills it.
    const level = peak <= 0.001 ? 0 : Math.min(1, 1 + Math.log10(peak) / 3)
    if (peak > HEARD) this.#heardAt = Date.now()
    return level
  }
}
