/*
 * Elements that play a live track: pictures that never go blank, voices that may need one press.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Slot } from '../webrtc/whep'

/** Often enough that the kept picture is not an old one, seldom enough to cost nothing. */
const KEEP_EVERY_MS = 1_000
/** The kept picture is seen dimmed, behind words. */
const KEPT_WIDTH = 640

/**
 * Plays `track`; the last picture stays until the new track has one of its own, and while `hold`
 * says so even without any track.
 *
 * A copy of the last picture lies under the video: browsers show black as soon as a track has
 * ended, or a new one has no picture yet.
 */
export function LivePicture(props: {
  track: MediaStreamTrack | null
  slot: Slot
  hold: boolean
  label: string
  class: string
}) {
  const element = useRef<HTMLVideoElement>(null)
  const copy = useRef<HTMLCanvasElement>(null)
  const hidden = useRef(true)
  const { track, hold } = props
  if (!hold) hidden.current = track === null
  const isHidden = hidden.current
  const [attached, setAttached] = useState<MediaStreamTrack | null>(null)
  const [seen, setSeen] = useState<MediaStreamTrack | null>(null)
  const isKept = (copy.current?.width ?? 0) > 0
  const isOver = attached?.readyState === 'ended' || (isKept && (hold || seen !== attached))
  useEffect(() => {
    const video = element.current
    if (video === null || track === null) return
    const attach = (): void => {
      // Attaching anew would throw the picture away that is there.
      if (isAttached(video, track)) return
      video.srcObject = new MediaStream([track])
      setAttached(track)
      // Sound may be there before its first picture, and the lesson goes on then.
      video.addEventListener('loadeddata', () => setSeen(track), { once: true })
      // Muted pictures may always play; an interrupted play() is followed by the next one.
      video.play().catch(() => undefined)
    }
    if (!track.muted) {
      attach()
      return
    }
    track.addEventListener('unmute', attach, { once: true })
    return () => track.removeEventListener('unmute', attach)
  }, [track])
  useEffect(() => {
    if (element.current === null || copy.current === null) return
    return keepPictures(element.current, copy.current)
  }, [])
  useEffect(() => {
    // What is not shown any more must not flash up when another lesson begins.
    if (isHidden && copy.current !== null) copy.current.width = 0
  }, [isHidden])
  return (
    <div class={`picture ${props.class}`} hidden={isHidden}>
      <canvas ref={copy} width="0" height="0" aria-hidden="true" />
      <video
        ref={element}
        class={isOver ? 'over' : ''}
        data-slot={props.slot}
        aria-label={props.label}
        muted
        autoplay
        playsInline
        disablePictureInPicture
      />
    </div>
  )
}

/** A still picture where the video would be; the last one stays until the next is whole. */
export function StillPicture(props: {
  url: string
  label: string
  /** No newer one will come for now. */
  isOld: boolean
}) {
  return (
    <div class={`picture still-picture${props.isOld ? ' old' : ''}`}>
      <img src={props.url} alt={props.label} />
    </div>
  )
}

/** Copy what `video` shows to `canvas` now and then; the returned function ends it. */
function keepPictures(video: HTMLVideoElement, canvas: HTMLCanvasElement): () => void {
  const context = canvas.getContext('2d', { alpha: false })
  let keptAt = 0
  let asked = 0
  const keep = (now: number): void => {
    asked = video.requestVideoFrameCallback(keep)
    if (context === null || now - keptAt < KEEP_EVERY_MS || video.videoWidth === 0) return
    // The end of a track shows as a black picture, and so may one that has none.
    const source = video.srcObject
    const track = source instanceof MediaStream ? source.getTracks()[0] : undefined
    if (track === undefined || track.readyState === 'ended' || track.muted) return
    keptAt = now
    const width = Math.min(KEPT_WIDTH, video.videoWidth)
    const height = Math.round((width * video.videoHeight) / video.videoWidth)
    // Setting a size empties a canvas, also the size that it has.
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
    context.drawImage(video, 0, 0, width, height)
  }
  // Firefox before 132 has no such callback, and no kept picture.
  if (!('requestVideoFrameCallback' in video)) return () => undefined
  asked = video.requestVideoFrameCallback(keep)
  return () => video.cancelVideoFrameCallback(asked)
}

function isAttached(element: HTMLMediaElement, track: MediaStreamTrack): boolean {
  const source = element.srcObject
  return source instanceof MediaStream && source.getTracks().includes(track)
}

/** Plays `track`; calls `onBlocked` when the browser wants a press first. */
export function LiveVoice(props: {
  track: MediaStreamTrack | null
  slot: Slot
  /** Plays, but is not to be heard now. */
  muted: boolean
  /** Counts presses: each one tries again. */
  presses: number
  onBlocked: (blocked: boolean) => void
}) {
  const element = useRef<HTMLAudioElement>(null)
  const { track, presses, onBlocked } = props
  useEffect(() => {
    const audio = element.current
    if (audio === null || track === null) return
    if (!isAttached(audio, track)) audio.srcObject = new MediaStream([track])
    audio.play().then(
      () => onBlocked(false),
      (error: unknown) => {
        if (error instanceof DOMException && error.name === 'NotAllowedError') onBlocked(true)
      },
    )
  }, [track, presses, onBlocked])
  return <audio ref={element} data-slot={props.slot} muted={props.muted} />
}
