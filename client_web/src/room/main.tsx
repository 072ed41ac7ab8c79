/*
 * The room page: a class in front of a projector, and nobody at the keyboard.
 */
import './room.css'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { expose } from '../debug'
import { clockTime, dayAndTime, savedLang, useLanguage } from '../i18n'
import type { MaterialList } from '../materials/list'
import { takeLink } from '../token'
import { useNow, useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { LanAddress } from '../ui/lan'
import { LanguageSwitch, show } from '../ui/shell'
import { Badge, unseenWords } from './badge'
import { LivePicture, LiveVoice, StillPicture } from './media'
import { Lateness, Question, RecordedPictures, SettingChoice, ShiftButtons } from './late'
import { OpenMaterials, type Opened } from './materials'
import { RoomModel } from './model'
import { canBeFull, fullWhenAllowed, isFull, stayAwake, toggleFull } from './screen'
import type { Stage } from './stage'
import { takeSetting } from './kept'
import type { TimeShift } from './time_shift'

/** The controls fade this long after the last touch while a lesson is watched. */
const FADE_AFTER_MS = 4_000

function RoomPage(props: { model: RoomModel }) {
  const { model } = props
  const { t } = useLanguage()
  useObservable(model)
  useNow()
  const [presses, setPresses] = useState(0)
  const [blocked, setBlocked] = useState(false)
  const [opened, open] = useState<Opened | null>(null)
  const onBlocked = useCallback((now: boolean) => setBlocked(now), [])
  const silent = useCallback(() => undefined, [])
  // Whatever is pressed on the page allows sound; it need not be that button.
  const { shift } = model
  const isSilent = blocked || shift.isBlocked
  useEffect(() => {
    if (!isSilent) return
    const press = (): void => {
      setPresses((count) => count + 1)
      shift.pressed()
    }
    for (const name of ['pointerup', 'keydown']) addEventListener(name, press)
    return () => {
      for (const name of ['pointerup', 'keydown']) removeEventListener(name, press)
    }
  }, [isSilent, shift])
  const stage = model.stage
  const shown = model.shown
  const still = model.still
  const isLate = stage === 'late'
  const watching = stage === 'watching' || isLate
  const { materials, nextMaterials } = model
  const openList = ({ place }: MaterialList): void =>
    open(place === null ? null : { list: place.list })
  const recorded = shift.shown
  // Asked for only when there is something to hear: an empty room has nothing to press.
  const isMute = isSilent && model.lesson?.publishing === true && stage !== 'ended'
  // While nothing comes, the last pictures stay where they were, dimmed behind the words; a teacher
  // who was cut off has not put the camera away. After the end none stays for the night.
  const hold = stage !== 'ended' && (!watching || isLate || model.lesson?.publishing === false)
  const layout = useRef<'screen' | 'camera'>('camera')
  if (recorded !== null) layout.current = recorded.screenShown ? 'screen' : 'camera'
  else if (!hold) layout.current = shown.screen !== null ? 'screen' : 'camera'
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
        {recorded !== null && (
          <div class="recording">
            <RecordedPictures player={recorded} />
          </div>
        )}
      </div>
      <LiveVoice
        slot="voice"
        track={shown.voice}
        muted={isLate}
        presses={presses}
        onBlocked={onBlocked}
      />
      <LiveVoice
        slot="talk-voice"
        track={shown.talkVoice}
        muted={isLate}
        presses={presses}
        onBlocked={silent}
      />
      <div class="front">
        <div class="words" role="status" aria-live="polite">
          {watching ? (
            !hold && recorded === null && <Watching model={model} />
          ) : (
            <StageCard model={model} stage={stage} openNext={() => openList(nextMaterials)} />
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
      {stage === 'watching' && <Question shift={shift} />}
      {isLate && <Lateness shift={shift} />}
      {watching && !isLate && (
        <Badge
          rung={hold ? null : model.rung}
          slides={still?.source === 'screen'}
          frozen={!hold && model.frozen}
          now={model.events?.serverNow ?? Date.now()}
        />
      )}
      {/* The question stands where the buttons are, and nothing that has the focus may be hidden. */}
      {shift.asked === null && (
        <Controls
          fading={watching && !isMute && shift.state !== 'paused'}
          shift={isLate || (watching && mayShift(model)) ? shift : null}
          setting={shift}
          materials={materials.materials.length}
          openMaterials={() => openList(materials)}
        />
      )}
      <OpenMaterials
        lists={[materials, nextMaterials]}
        opened={opened}
        mayRenew={stage === 'waiting' || stage === 'ended'}
        closeWords={watching ? t.room.materialsClose : undefined}
        close={() => open(null)}
      />
    </main>
  )
}

/** There is a recording to stop in and to go back in. */
const mayShift = (model: RoomModel): boolean =>
  model.lesson?.publishing === true && model.lesson.recording.state === 'recording'

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

function StageCard(props: { model: RoomModel; stage: Stage; openNext: () => void }) {
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
      {model.nextMaterials.materials.length > 0 && (
        <p>
          <button type="button" class="button" aria-haspopup="dialog" onClick={props.openNext}>
            <Icon name="file" />
            {t.room.materialsOfNext(model.nextMaterials.materials.length)}
          </button>
        </p>
      )}
      {stage === 'ended' && (
        <p>
          <a class="button" href="/library">
            {t.room.library}
          </a>
        </p>
      )}
      {/* While nothing is to be seen here, pupils may watch something on their own devices. */}
      {(stage === 'waiting' || stage === 'ended') && <LanAddress />}
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
    case 'late':
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

function Controls(props: {
  fading: boolean
  /** For stopping and going back, or null while there is nothing to stop. */
  shift: TimeShift | null
  setting: TimeShift
  /** How many files the lesson has. */
  materials: number
  openMaterials: () => void
}) {
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
      {props.materials > 0 && (
        <button type="button" class="button" aria-haspopup="dialog" onClick={props.openMaterials}>
          <Icon name="file" />
          {t.room.materials(props.materials)}
        </button>
      )}
      {props.shift !== null && <ShiftButtons shift={props.shift} />}
      <LanguageSwitch />
      {canBeFull() && (
        <button type="button" class="button" onClick={toggleFull}>
          <Icon name="full" />
          {full ? t.room.leaveFullScreen : t.room.fullScreen}
        </button>
      )}
      <SettingChoice shift={props.setting} />
    </div>
  )
}

takeSetting(location.hash)
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
    shift: model.shift.state,
    late: model.shift.late,
    recorded: model.shift.shown?.time ?? null,
    materials: model.materials.materials.length,
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
