/*
 * The teacher's camera and microphone: asking, choosing, losing and getting them again.
 *
 * Lives here: everything of getUserMedia. What must not: publishing, words. A lesson needs a
 * microphone; a camera is welcome. Choices are kept in this browser by device id.
 */
import { Observable } from '../observable'
import { load, save } from '../token'

/** idle: not asked yet · asking · ready · or why there is no microphone. */
export type DeviceState = 'idle' | 'asking' | 'ready' | 'denied' | 'missing' | 'busy' | 'insecure'

type Kind = 'camera' | 'microphone'

const KEYS: Readonly<Record<Kind, string>> = {
  camera: 'classroom.teach.camera',
  microphone: 'classroom.teach.microphone',
}

/** What the encodings of webrtc/whip.ts are cut from. */
const PICTURE: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 15, max: 30 },
}
const VOICE: MediaTrackConstraints = {
  channelCount: { ideal: 1 },
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
}

export class Devices extends Observable {
  #state: DeviceState = 'idle'
  #camera: MediaStreamTrack | null = null
  #microphone: MediaStreamTrack | null = null
  #list: MediaDeviceInfo[] = []
  #muted = false

  get state(): DeviceState {
    return this.#state
  }

  get camera(): MediaStreamTrack | null {
    return this.#camera
  }

  get microphone(): MediaStreamTrack | null {
    return this.#microphone
  }

  /** Every microphone is silent, the one held and any that comes in its place. */
  get muted(): boolean {
    return this.#muted
  }

  mute(muted: boolean): void {
    this.#muted = muted
    if (this.#microphone !== null) this.#microphone.enabled = !muted
    this.changed()
  }

  /** Devices to choose from; without permission the browser hides their names. */
  choices(kind: Kind): MediaDeviceInfo[] {
    const wanted = kind === 'camera' ? 'videoinput' : 'audioinput'
    return this.#list.filter((one) => one.kind === wanted && one.deviceId !== '')
  }

  chosen(kind: Kind): string {
    const track = kind === 'camera' ? this.#camera : this.#microphone
    return track?.getSettings().deviceId ?? ''
  }

  /** Ask for both; may be called again after a failure. */
  async open(): Promise<void> {
    if (this.#state === 'asking') return
    // Only pages from https (or this very machine) have this object.
    if ((navigator.mediaDevices as MediaDevices | undefined) === undefined) {
      this.#to('insecure')
      return
    }
    this.#to('asking')
    navigator.mediaDevices.ondevicechange = () => void this.#refresh()
    try {
      const audio = { ...VOICE, ...preferred('microphone') }
      const stream = await askFor(audio, { ...PICTURE, ...preferred('camera') })
      this.#hold('microphone', stream.getAudioTracks()[0] ?? null)
      this.#hold('camera', stream.getVideoTracks()[0] ?? null)
      this.#to('ready')
    } catch (error) {
      this.#to(reason(error))
    }
    await this.#refresh()
  }

  async choose(kind: Kind, deviceId: string): Promise<void> {
    save(KEYS[kind], deviceId)
    const exact = { deviceId: { exact: deviceId } }
    try {
      const stream = await navigator.mediaDevices.getUserMedia(
        kind === 'camera' ? { video: { ...PICTURE, ...exact } } : { audio: { ...VOICE, ...exact } },
      )
      this.#hold(kind, stream.getTracks()[0] ?? null)
      this.#to('ready')
    } catch (error) {
      // The device in use keeps running; only without any microphone is there a problem to show.
      if (this.#microphone === null) this.#to(reason(error))
    }
    this.changed()
  }

  close(): void {
    this.#camera?.stop()
    this.#microphone?.stop()
    this.#camera = this.#microphone = null
    this.#to('idle')
  }

  #hold(kind: Kind, track: MediaStreamTrack | null): void {
    const before = kind === 'camera' ? this.#camera : this.#microphone
    // Whoever muted is heard again only by a press, however many microphones come and go.
    if (track !== null && kind === 'microphone') track.enabled = !this.#muted
    before?.stop()
    if (kind === 'camera') this.#camera = track
    else this.#microphone = track
    // Fires when the device is unplugged, not when we stop it.
    track?.addEventListener('ended', () => void this.#lost(kind, track))
  }

  /** A device was pulled out: take whichever is left, without asking anyone. */
  async #lost(kind: Kind, track: MediaStreamTrack): Promise<void> {
    if (track !== (kind === 'camera' ? this.#camera : this.#microphone)) return
    this.#hold(kind, null)
    this.changed()
    try {
      const stream = await navigator.mediaDevices.getUserMedia(
        kind === 'camera' ? { video: PICTURE } : { audio: VOICE },
      )
      this.#hold(kind, stream.getTracks()[0] ?? null)
    } catch {
      if (kind === 'microphone') this.#to('missing')
    }
    await this.#refresh()
  }

  async #refresh(): Promise<void> {
    this.#list = await navigator.mediaDevices.enumerateDevices()
    // Plugged in again after it was missing.
    if (this.#state === 'missing' && this.choices('microphone').length > 0) await this.open()
    this.changed()
  }

  #to(state: DeviceState): void {
    this.#state = state
    this.changed()
  }
}

function preferred(kind: Kind): MediaTrackConstraints {
  const id = load(KEYS[kind])
  return id === null ? {} : { deviceId: { ideal: id } }
}

/** Both with one question to the person; only the microphone where there is no usable camera. */
async function askFor(
  audio: MediaTrackConstraints,
  video: MediaTrackConstraints,
): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio, video })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotAllowedError') throw error
    return navigator.mediaDevices.getUserMedia({ audio })
  }
}

function reason(error: unknown): DeviceState {
  const name = error instanceof DOMException ? error.name : ''
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied'
  if (name === 'NotReadableError' || name === 'AbortError') return 'busy'
  return 'missing'
}
