/*
 * Elements that play a live track: pictures that never go blank, voices that may need one press.
 */
import { useEffect, useRef } from 'preact/hooks'
import type { Slot } from '../webrtc/whep'

/**
 * Plays `track`; the last picture stays until the new track has one of its own, and while `hold`
 * says so even without any track.
 */
export function LivePicture(props: {
  track: MediaStreamTrack | null
  slot: Slot
  hold: boolean
  label: string
  class: string
}) {
  const element = useRef<HTMLVideoElement>(null)
  const hidden = useRef(true)
  const { track, hold } = props
  if (!hold) hidden.current = track === null
  useEffect(() => {
    const video = element.current
    if (video === null || track === null) return
    const attach = (): void => {
      video.srcObject = new MediaStream([track])
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
  return (
    <video
      ref={element}
      class={props.class}
      data-slot={props.slot}
      aria-label={props.label}
      hidden={hidden.current}
      muted
      autoplay
      playsInline
      disablePictureInPicture
    />
  )
}

/** Plays `track`; calls `onBlocked` when the browser wants a press first. */
export function LiveVoice(props: {
  track: MediaStreamTrack | null
  slot: Slot
  /** Counts presses: each one tries again. */
  presses: number
  onBlocked: (blocked: boolean) => void
}) {
  const element = useRef<HTMLAudioElement>(null)
  const { track, presses, onBlocked } = props
  useEffect(() => {
    const audio = element.current
    if (audio === null || track === null) return
    const source = audio.srcObject
    if (!(source instanceof MediaStream) || !source.getTracks().includes(track))
      audio.srcObject = new MediaStream([track])
    audio.play().then(
      () => onBlocked(false),
      (error: unknown) => {
        if (error instanceof DOMException && error.name === 'NotAllowedError') onBlocked(true)
      },
    )
  }, [track, presses, onBlocked])
  return <audio ref={element} data-slot={props.slot} />
}
