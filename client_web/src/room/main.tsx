/*
 * The room page: a class in front of a projector, and nobody at the keyboard.
 */
import './room.css'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { expose } from '../debug'
import { clockTime, dayAndTime, savedLang, useLanguage } from '../i18n'
import { takeLink } from '../token'
import { useNow, useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { LanguageSwitch, show } from '../ui/shell'
import { Badge, unseenWords } from './badge'
import { LivePicture, LiveVoice, StillPicture } from './media'
import { RoomModel } from './model'
import { canBeFull, fullWhenAllowed, isFull, stayAwake, toggleFull } from './screen'
import type { Stage } from './stage'

/** The controls fade this long after the last touch while a lesson is watched. */
const FADE_AFTER_MS = 4_000

function RoomPage(props: { model: RoomModel }) {
  const { model } = props
  const { t } = useLanguage()
  useObservable(model)
  useNow()
  const [presses, setPresses] = useState(0)
  const [blocked, setBlocked] = useState(false)
  const onBlocked = useCallback((now: boolean) => setBlocked(now), [])
  const silent = useCallback(() => undefined, [])
  // Whatever is pressed on the page allows sound; it need not be that button.
  useEffect(() => {
    if (!blocked) return
    const press = (): void => setPresses((count) => count + 1)
    for (const name of ['pointerup', 'keydown']) addEventListener(name, press)
    return () => {
      for (const name of ['pointerup', 'keydown']) removeEventListener(name, press)
    }
  }, [blocked])
  const stage = model.stage
  const shown = model.shown
  const still = model.still
  const watching = stage === 'watching'
  // Asked for only when there is something to hear: an empty room has nothing to press.
  const isMute = blocked && model.lesson?.publishing === true && stage !== 'ended'
  // While nothing comes, the last pictures stay where they were, dimmed behind the words; a teacher
  // who was cut off has not put the camera away. After the end none stays for the night.
  const hold = stage !== 'ended' && (!watching || model.lesson?.publishing === false)
  const layout = useRef<'screen' | 'camera'>('camera')
  if (!hold) layout.current = shown.screen !== null ? 'screen' : 'camera'
  return (
    <main class={`room ${layout.current} ${watching ? 'watching' : 'talking'}`} data-stage={stage}>
      <h1 class="hidden">{model.lesson?.title ?? t.room.title}</h1>
      <div class="pictures">
        <LivePicture
          class="screen-picture"
          slot="screen"
          track={shown.screen}
          hold={hold}
          label={t.room.screenLabel}
        />
        <LivePicture
          class="camera-picture"
          slot="camera"
          track={shown.camera}
          hold={hold}
          label={t.room.cameraLabel}
        />
        {still !== null && (
          <StillPicture
            url={still.url}
            label={t.room.stillLabel[still.source]}
            isOld={model.rung?.rung === 'voice' && still.source !== 'screen'}
          />
        )}
      </div>
      <LiveVoice slot="voice" track={shown.voice} presses={presses} onBlocked={onBlocked} />
      <LiveVoice slot="talk-voice" track={shown.talkVoice} presses={presses} onBlocked={silent} />
      <div class="front">
        <div class="words" role="status" aria-live="polite">
          {watching ? (
            !hold && <Watching model={model} />
          ) : (
            <StageCard model={model} stage={stage} />
          )}
        </div>
        {isMute && (
          <button type="button" class="sound-on" onClick={() => setPresses(presses + 1)}>
            <Icon name="sound" />
            <span>{t.room.soundOn}</span>
            <small>{t.room.soundOnText}</small>
          </button>
        )}
      </div>
      {watching && (
        <Badge
          rung={hold ? null : model.rung}
          slides={still?.source === 'screen'}
          frozen={!hold && model.frozen}
          now={model.events?.serverNow ?? Date.now()}
        />
      )}
      <Controls fading={watching && !isMute} />
    </main>
  )
}

/** What is said while the lesson is watched: most of the time nothing. */
function Watching(props: { model: RoomModel }) {
  const { t } = useLanguage()
  const { shown, still, rung } = props.model
  if (shown.camera !== null || shown.screen !== null || still !== null) return null
  return (
    <div class="card">
      <Icon name="sound" />
      <h2>{props.model.lesson?.title ?? t.room.title}</h2>
      <p>{unseenWords(rung, t)}</p>
    </div>
  )
}

function StageCard(props: { model: RoomModel; stage: Stage }) {
  const { t, lang } = useLanguage()
  const { stage, model } = props
  const lesson = model.lesson
  const now = Date.now()
  const [title, text] = words(stage, t)
  const trying = stage === 'reconnecting' || stage === 'unreachable' || stage === 'full'
  const wait = model.retryAt === null ? null : Math.ceil((model.retryAt - now) / 1000)
  const planned = stage === 'waiting' ? (lesson?.planned_at ?? null) : null
  return (
    <div class={`card ${stage}`}>
      {lesson !== null && (
        <p class="lesson">
          <strong>{lesson.title}</strong>
          {lesson.teacher !== '' && <span>{t.room.teacher(lesson.teacher)}</span>}
        </p>
      )}
      <h2>
        {stage !== 'ended' && stage !== 'no-link' && stage !== 'expired' && (
          <span class="pulse" aria-hidden="true" />
        )}
        {title}
      </h2>
      <p>{text}</p>
      {planned !== null && (
        <p class="planned">{t.room.startsAt(dayAndTime(planned * 1000, lang))}</p>
      )}
      {trying && (
        // Counted every second, so not read out.
        <p class="retry" aria-hidden="true">
          {wait === null || wait <= 0 ? t.room.retrying : t.room.retryIn(wait)}
        </p>
      )}
      {stage === 'ended' && model.next !== null && (
        <p class="next">
          <span>{t.room.next}</span>
          <strong>{model.next.title}</strong>
          {model.next.planned_at !== null && model.next.planned_at !== undefined && (
            <span>{t.room.startsAt(dayAndTime(model.next.planned_at * 1000, lang))}</span>
          )}
          <span>{t.room.nextText}</span>
        </p>
      )}
      {stage === 'ended' && (
        <p>
          <a class="button" href="/library">
            {t.room.library}
          </a>
        </p>
      )}
      <p class="clock" aria-hidden="true">
        {clockTime(model.events?.serverNow ?? now, lang)}
      </p>
    </div>
  )
}

function words(stage: Stage, t: ReturnType<typeof useLanguage>['t']): [string, string] {
  switch (stage) {
    case 'no-link':
      return [t.common.linkMissing, t.common.linkMissingFix]
    case 'expired':
      return [t.common.linkExpired, t.common.linkExpiredFix]
    case 'connecting':
      return [t.room.connecting, t.room.connectingText]
    case 'waiting':
      return [t.room.waiting, t.room.waitingText]
    case 'starting':
    case 'watching':
      return [t.room.starting, t.room.startingText]
    case 'paused':
      return [t.room.paused, t.room.pausedText]
    case 'reconnecting':
      return [t.room.reconnecting, t.room.reconnectingText]
    case 'resuming':
      return [t.room.resuming, t.room.resumingText]
    case 'unreachable':
      return [t.room.unreachable, t.room.unreachableText]
    case 'ended':
      return [t.room.ended, t.room.endedText]
    case 'full':
      return [t.room.full, t.room.fullText]
  }
}

function Controls(props: { fading: boolean }) {
  const { t } = useLanguage()
  const [touchedAt, touch] = useState(Date.now)
  const [full, setFull] = useState(isFull)
  useEffect(() => {
    const onTouch = (): void => touch(Date.now())
    const onFull = (): void => setFull(isFull())
    for (const name of ['pointermove', 'pointerdown', 'keydown']) addEventListener(name, onTouch)
    document.addEventListener('fullscreenchange', onFull)
    return () => {
      for (const name of ['pointermove', 'pointerdown', 'keydown'])
        removeEventListener(name, onTouch)
      document.removeEventListener('fullscreenchange', onFull)
    }
  }, [])
  const faded = props.fading && Date.now() - touchedAt > FADE_AFTER_MS
  return (
    <div class={faded ? 'controls faded' : 'controls'} role="group" aria-label={t.room.controls}>
      <LanguageSwitch />
      {canBeFull() && (
        <button type="button" class="button" onClick={toggleFull}>
          <Icon name="full" />
          {full ? t.room.leaveFullScreen : t.room.fullScreen}
        </button>
      )}
    </div>
  )
}

const model = new RoomModel(takeLink('room'), savedLang())
expose(
  'room',
  () => ({
    stage: model.stage,
    session: model.viewer?.state ?? 'idle',
    events: model.events?.state ?? 'idle',
    lesson: model.lesson?.id ?? null,
    publishing: model.lesson?.publishing ?? null,
    generation: model.viewer?.generation ?? 0,
    flowing: model.flowing,
    rung: model.rung?.rung ?? null,
    reason: model.rung?.reason ?? null,
    still: model.still === null ? null : model.still.captured,
    playout: model.playoutMs,
  }),
  () => model.viewer?.peer ?? null,
)
model.start()
stayAwake()
fullWhenAllowed()
addEventListener('pagehide', () => void model.end())
// A page that comes back from the browser's cache has given up its place; begin afresh.
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload()
})
// A new link opened in this very tab changes only the fragment, which loads nothing by itself.
addEventListener('hashchange', () => location.reload())
show(<RoomPage model={model} />, (t) => t.room.title)
