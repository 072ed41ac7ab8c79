/*
 * Publishing a lesson over WHIP (RFC 9725): voice, camera and screen of the teacher.
 *
 * Lives here: the slots of the offer, their encodings and codecs, and swapping tracks. What must
 * not: devices, permission and anything of the screen.
 *
 * The offer always holds these sections in this order, so that nothing is negotiated again during
 * a lesson. The relay maps them by kind and order of mid:
 *
 *   mid 0  audio  sendonly  voice   msid: the teacher's stream, shared with the camera (lip sync)
 *   mid 1  video  sendonly  camera  msid: the teacher's stream; simulcast q, h, f
 *   mid 2  video  sendonly  screen  msid: a stream of its own;  simulcast h, f; no track until shared
 */
import { exchange } from './peer'
import { MediaSession, type SessionOptions, type SessionState } from './session'
import { isSameWish, withVoiceWish, type VoiceWish } from './voice'

export type WhipState = SessionState

/**
 * First is what the page sends if the relay takes it; the rest in order of preference. Measured and
 * explained in CODECS.md.
 */
export const VIDEO_CODECS = ['video/VP9', 'video/H264', 'video/VP8', 'video/AV1'] as const

/**
 * These come as simulcast only from browsers that know temporal layers. Others send one of them as
 * a single stream with everything inside (Safari, old Chromium) or not at all (Firefox, VP9).
 */
const LAYERED_CODECS: readonly string[] = ['video/VP9', 'video/AV1']

/** Temporal layers let the relay halve the picture rate for a weak link without a new layer. */
const CAMERA_MODE = 'L1T3'
const SCREEN_MODE = 'L1T2'

/** Fifteen pictures a second, as CODECS.md measured them: more would cost sharpness and CPU. */
export const CAMERA_ENCODINGS: readonly RTCRtpEncodingParameters[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 120_000, maxFramerate: 15 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 350_000, maxFramerate: 15 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_200_000, maxFramerate: 15 },
]

/** Slides stand still: few pictures a second, each of them sharp. */
export const SCREEN_ENCODINGS: readonly RTCRtpEncodingParameters[] = [
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 250_000, maxFramerate: 5 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_200_000, maxFramerate: 10 },
]

/** Reports come back from the relay several times a second. */
const PATIENCE_MS = 1_500

export class WhipPublisher extends MediaSession {
  #voice: MediaStreamTrack | null = null
  #camera: MediaStreamTrack | null = null
  #screen: MediaStreamTrack | null = null
  #wish: VoiceWish | null = null
  /** The last wish that was applied, and to what. */
  #asked: { peer: RTCPeerConnection; wish: VoiceWish } | null = null

  /** `codecs`: the first of these that both sides know is sent. */
  constructor(
    options: SessionOptions,
    private readonly codecs: readonly string[] = VIDEO_CODECS,
  ) {
    super(options, PATIENCE_MS, false)
  }

  /** Send this microphone, or silence for null. */
  setVoice(track: MediaStreamTrack | null): Promise<void> {
    this.#voice = track
    return this.#replace(0, track)
  }

  /** Send this camera, or no picture for null. */
  setCamera(track: MediaStreamTrack | null): Promise<void> {
    this.#camera = track
    return this.#replace(1, track)
  }

  /** Send this screen, or stop sending it for null. */
  setScreen(track: MediaStreamTrack | null): Promise<void> {
    // Sharp letters matter more than a smooth mouse.
    if (track !== null) track.contentHint = 'text'
    this.#screen = track
    return this.#replace(2, track)
  }

  /** Encode the voice like this from now on, in this session and those that follow it. */
  wishVoice(wish: VoiceWish): void {
    this.#wish = wish
    void this.#applyWish()
  }

  /** Apply the wish, once to each connection: also one that the browser refuses. */
  async #applyWish(): Promise<void> {
    const { peer } = this
    const wish = this.#wish
    // While the path is being repaired descriptions belong to the repair.
    if (wish === null || peer === null || this.state !== 'live') return
    const asked = this.#asked
    if (asked !== null && asked.peer === peer && isSameWish(asked.wish, wish)) return
    this.#asked = { peer, wish }
    try {
      await exchange(peer, (inForce) => {
        const wished = withVoiceWish(inForce, wish)
        return wished === inForce ? null : wished
      })
    } catch {
      // The voice goes on as it was.
    }
  }

  async #replace(slot: number, track: MediaStreamTrack | null): Promise<void> {
    const peer = this.peer
    if (peer === null || peer.signalingState === 'closed') return
    await peer.getTransceivers()[slot]?.sender.replaceTrack(track)
  }

  protected override prepare(peer: RTCPeerConnection): void {
    const teacher = new MediaStream()
    const slides = new MediaStream()
    const voice = addVoice(peer, this.#voice, teacher)
    preferRed(voice)
    const camera = addVideo(peer, this.#camera, teacher, CAMERA_ENCODINGS, CAMERA_MODE)
    const screen = addVideo(peer, this.#screen, slides, SCREEN_ENCODINGS, SCREEN_MODE)
    for (const video of [camera, screen]) preferCodecs(video, inReach(video, this.codecs))
    // Gestures should not stutter; slides would rather wait than blur.
    void degrade(camera.sender, 'maintain-framerate')
    void degrade(screen.sender, 'maintain-resolution')
  }

  /** Bytes that the relay sent back: its reports come as long as our media arrives there. */
  protected override progress(stats: RTCStatsReport): number | null {
    void this.#applyWish()
    let bytes = 0
    let sending = false
    stats.forEach((entry: { type: string; bytesReceived?: number; active?: boolean }) => {
      if (entry.type === 'transport') bytes += entry.bytesReceived ?? 0
      if (entry.type === 'outbound-rtp' && entry.active !== false) sending = true
    })
    return sending ? bytes : null
  }
}

/** On a link too narrow for all, the voice is served first, then slides, then the camera. */
function addVoice(
  peer: RTCPeerConnection,
  track: MediaStreamTrack | null,
  stream: MediaStream,
): RTCRtpTransceiver {
  const options = { direction: 'sendonly', streams: [stream] } as const
  try {
    return peer.addTransceiver(track ?? 'audio', {
      ...options,
      streams: [stream],
      sendEncodings: [{ priority: 'high', networkPriority: 'high' }],
    })
  } catch {
    // A browser that knows no priorities.
    return peer.addTransceiver(track ?? 'audio', { ...options, streams: [stream] })
  }
}

async function degrade(sender: RTCRtpSender, preference: RTCDegradationPreference): Promise<void> {
  const parameters: RTCRtpSendParameters & { degradationPreference?: RTCDegradationPreference } =
    sender.getParameters()
  parameters.degradationPreference = preference
  try {
    await sender.setParameters(parameters)
  } catch {
    // A browser that decides by itself.
  }
}

function addVideo(
  peer: RTCPeerConnection,
  track: MediaStreamTrack | null,
  stream: MediaStream,
  encodings: readonly RTCRtpEncodingParameters[],
  mode: string,
): RTCRtpTransceiver {
  const add = (sendEncodings: RTCRtpEncodingParameters[]): RTCRtpTransceiver =>
    peer.addTransceiver(track ?? 'video', {
      direction: 'sendonly',
      streams: [stream],
      sendEncodings,
    })
  try {
    return add(encodings.map((one) => ({ ...one, scalabilityMode: mode })))
  } catch {
    // A browser without temporal layers refuses the mode by throwing; it sends plain layers.
    return add(encodings.map((one) => ({ ...one })))
  }
}

/** `codecs` with those put last that this browser cannot send in our layers. */
function inReach(video: RTCRtpTransceiver, codecs: readonly string[]): readonly string[] {
  // A browser without temporal layers forgets the mode that it was given.
  const layered = video.sender.getParameters().encodings.every((one) => 'scalabilityMode' in one)
  if (layered) return codecs
  const late = (name: string): number => Number(LAYERED_CODECS.includes(name))
  return [...codecs].sort((one, other) => late(one) - late(other))
}

function preferCodecs(transceiver: RTCRtpTransceiver, wanted: readonly string[]): void {
  const known = RTCRtpReceiver.getCapabilities('video')?.codecs ?? []
  const rank = (codec: { mimeType: string }): number => {
    const at = wanted.findIndex((name) => name.toLowerCase() === codec.mimeType.toLowerCase())
    // Repair formats (rtx, red, fec) come after every picture format.
    return at < 0 ? wanted.length : at
  }
  const named = [...known].sort((one, other) => rank(one) - rank(other))
  if (named.length > 0) transceiver.setCodecPreferences(named)
}

/** Redundant voice first where the browser has it: each packet then carries the one before too. */
function preferRed(transceiver: RTCRtpTransceiver): void {
  const known = RTCRtpReceiver.getCapabilities('audio')?.codecs ?? []
  const red = known.filter((codec) => codec.mimeType.toLowerCase() === 'audio/red')
  if (red.length === 0) return
  transceiver.setCodecPreferences([...red, ...known.filter((codec) => !red.includes(codec))])
}
