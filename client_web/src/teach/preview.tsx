/*
 * What the teacher sees of the own picture and sound, before and during the lesson.
 */
import { useEffect, useRef } from 'preact/hooks'
import { useMessages } from '../i18n'
import { Icon } from '../ui/icons'
import type { Studio } from './studio'

export function Preview(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  const element = useRef<HTMLVideoElement>(null)
  const track = studio.cameraOn ? studio.devices.camera : null
  useEffect(() => {
    if (element.current === null) return
    element.current.srcObject = track === null ? null : new MediaStream([track])
  }, [track])
  return (
    <div class="preview">
      <video ref={element} muted autoplay playsInline aria-label={t.teach.preview} />
      {track === null && studio.devices.state === 'ready' && (
        <p class="covered">
          <Icon name="cameraOff" />
          {studio.devices.camera === null ? t.teach.noCamera : t.teach.cameraOff}
        </p>
      )}
    </div>
  )
}

export function Level(props: { studio: Studio; live: boolean }) {
  const t = useMessages()
  const { studio } = props
  const { meter } = studio
  const bar = useRef<HTMLDivElement>(null)
  useEffect(() => {
    let frame = 0
    const draw = (): void => {
      const level = studio.muted ? 0 : meter.level()
      if (bar.current !== null) bar.current.style.transform = `scaleX(${level})`
      frame = requestAnimationFrame(draw)
    }
    draw()
    return () => cancelAnimationFrame(frame)
  }, [studio, meter])
  const [words, kind] = said()
  return (
    <div class="level">
      <div class="scale" aria-hidden="true">
        <div class="bar" ref={bar} />
      </div>
      <p class={`said ${kind}`} role="status" aria-label={t.teach.level}>
        {kind !== 'quiet' && <Icon name={kind === 'heard' ? 'tick' : 'microphoneOff'} />}
        {words}
      </p>
    </div>
  )

  function said(): [string, 'heard' | 'quiet' | 'warning'] {
    if (studio.muted) return [t.teach.levelMuted, 'warning']
    switch (meter.hearing(Date.now(), props.live)) {
      case 'heard':
        return [t.teach.levelHeard, 'heard']
      case 'silent':
        return [t.teach.levelSilentLive, 'warning']
      case 'quiet':
        return [t.teach.levelQuiet, 'quiet']
    }
  }
}

export function Pickers(props: { studio: Studio }) {
  const t = useMessages()
  const { devices } = props.studio
  const kinds = [
    { kind: 'camera', label: t.teach.camera, unnamed: t.teach.unnamedCamera },
    { kind: 'microphone', label: t.teach.microphone, unnamed: t.teach.unnamedMicrophone },
  ] as const
  return (
    <div class="pickers">
      {kinds.map(({ kind, label, unnamed }) => {
        const choices = devices.choices(kind)
        if (choices.length === 0) return null
        return (
          <label class="field">
            <span>{label}</span>
            <select
              value={devices.chosen(kind)}
              onChange={(event) => void devices.choose(kind, event.currentTarget.value)}
            >
              {choices.map((one, at) => (
                <option value={one.deviceId}>{one.label || unnamed(at + 1)}</option>
              ))}
            </select>
          </label>
        )
      })}
    </div>
  )
}
