/*
 * What is seen of catching up: the question after an outage, the recording's pictures, how far
 * behind the room is, and the buttons to stop, go back and go live.
 *
 * The question is no dialog: it takes no focus, covers nothing that is taught, and answers itself.
 */
import { useEffect, useRef } from 'preact/hooks'
import { useMessages, type Messages } from '../i18n'
import { Icon } from '../ui/icons'
import type { Player } from '../library/player'
import { SETTINGS, type Setting } from './catch_up'
import type { TimeShift } from './time_shift'

/** How far a press goes back or on. */
const SKIP_S = 30

/** The recording's camera and screen, where the live ones stand. */
export function RecordedPictures(props: { player: Player }) {
  const t = useMessages()
  const { player } = props
  return (
    <>
      <Element
        class="screen-picture"
        video={player.screen}
        label={t.room.screenLabel}
        hidden={!player.screenShown}
      />
      <Element
        class="camera-picture"
        video={player.main}
        label={t.room.cameraLabel}
        hidden={!player.hasPicture}
      />
    </>
  )
}

function Element(props: {
  class: string
  video: HTMLVideoElement
  label: string
  hidden: boolean
}) {
  const place = useRef<HTMLDivElement>(null)
  const { video, label } = props
  useEffect(() => {
    place.current?.replaceChildren(video)
  }, [video])
  useEffect(() => video.setAttribute('aria-label', label), [video, label])
  return <div class={`picture recorded ${props.class}`} ref={place} hidden={props.hidden} />
}

/** Asks whether the room wants to see what it missed; nothing while there is nothing to ask. */
export function Question(props: { shift: TimeShift }) {
  const t = useMessages()
  const { shift } = props
  const { asked } = shift
  if (asked === null && !shift.hasFailed) return null
  if (asked === null)
    return (
      <div class="question" role="status">
        <p>{t.room.late.failed}</p>
      </div>
    )
  const first = (what: 'live' | 'missed'): string =>
    asked.unless === what ? 'button large first' : 'button large'
  return (
    <section class="question" aria-labelledby="question">
      <p id="question" role="status">
        {t.room.late.missed(Math.max(1, Math.round(asked.missed / 60)), asked.missed < 60)}
      </p>
      <div class="answers">
        <button type="button" class={first('missed')} onClick={() => shift.choose('missed')}>
          <Icon name="rewind" />
          <span>
            <strong>{t.room.late.watchMissed}</strong>
            <small>{t.room.late.watchMissedText}</small>
          </span>
        </button>
        <button type="button" class={first('live')} onClick={() => shift.choose('live')}>
          <Icon name="live" />
          <span>
            <strong>{t.room.late.watchLive}</strong>
            <small>{t.room.late.watchLiveText}</small>
          </span>
        </button>
      </div>
      {/* Counted every second, so not read out. */}
      <p class="countdown" aria-hidden="true">
        {t.room.late.unless[asked.unless](asked.seconds)}
      </p>
    </section>
  )
}

/** How far behind the room is, and the way to the lesson as it is taught. */
export function Lateness(props: { shift: TimeShift }) {
  const t = useMessages()
  const { shift } = props
  return (
    <div class="lateness">
      <p role="status">
        {shift.state === 'paused' && <Icon name="pause" />}
        <span>{latenessWords(shift, t)}</span>
      </p>
      {shift.state !== 'returning' && (
        <button type="button" class="button live" onClick={() => shift.goLive()}>
          <Icon name="live" />
          {t.room.late.goLive}
        </button>
      )}
    </div>
  )
}

/** In steps that are read in passing: seconds are told by tens, and from a minute and a half on not. */
export function behindWords(seconds: number, t: Messages): string {
  const words = t.room.late
  if (seconds >= 90) return words.behindMinutes(Math.round(seconds / 60))
  return words.behindSeconds(Math.max(10, Math.round(seconds / 10) * 10))
}

function latenessWords(shift: TimeShift, t: Messages): string {
  const words = t.room.late
  const behind = behindWords(shift.late ?? 0, t)
  const parts: string[] = []
  if (shift.state === 'returning') return words.returning
  if (shift.state === 'paused') parts.push(words.paused)
  else if (shift.shown === null) parts.push(words.opening)
  else if (shift.skipped !== null)
    parts.push(words.skipped(Math.max(1, Math.round(shift.skipped / 60))))
  else if (shift.isWaiting) parts.push(words.waiting)
  return [...parts, behind].join(' · ')
}

/** Buttons of the class's own teacher: stop, go on, go back. */
export function ShiftButtons(props: { shift: TimeShift }) {
  const t = useMessages()
  const { shift } = props
  const words = t.room.late
  const isPaused = shift.state === 'paused'
  return (
    <>
      <button
        type="button"
        class="button"
        onClick={() => (isPaused ? shift.play() : shift.pause())}
      >
        <Icon name={isPaused ? 'play' : 'pause'} />
        {isPaused ? words.play : words.pause}
      </button>
      <button type="button" class="button" onClick={() => shift.skip(-SKIP_S)}>
        <Icon name="rewind" />
        {words.back(SKIP_S)}
      </button>
      {shift.shown !== null && (
        <button type="button" class="button" onClick={() => shift.skip(SKIP_S)}>
          {words.forward(SKIP_S)}
        </button>
      )}
    </>
  )
}

/** What the room does after an outage, for whoever looks after it. */
export function SettingChoice(props: { shift: TimeShift }) {
  const t = useMessages()
  const { shift } = props
  return (
    <label class="setting">
      <span>{t.room.late.setting}</span>
      <select
        value={shift.setting}
        onChange={(event) => shift.set(event.currentTarget.value as Setting)}
      >
        {SETTINGS.map((one) => (
          <option value={one}>{t.room.late.settings[one]}</option>
        ))}
      </select>
    </label>
  )
}
