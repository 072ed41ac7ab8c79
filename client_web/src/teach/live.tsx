/*
 * During the lesson: an unmistakable state, the few buttons that are needed, and a careful end.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { School } from '../api'
import { Problem, Unreachable } from '../http'
import { duration, useLanguage, useMessages, type Messages } from '../i18n'
import { problemWords } from '../i18n/problems'
import type { RungName } from '../events/wire'
import { useNow } from '../ui/hooks'
import { Icon, type IconName } from '../ui/icons'
import { Notice } from '../ui/shell'
import { calledBy } from './classes'
import { PlainMaterials } from './given'
import { DeviceHelp, Fault } from './prepare'
import { toClipboard } from './clipboard'
import { Level, Pickers, Preview } from './preview'
import type { Studio } from './studio'

export function Live(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  useNow()
  if (studio.phase === 'ending') return <Ending studio={studio} />
  return (
    <>
      <Banner studio={studio} />
      <Troubles studio={studio} />
      <div class="studio">
        <section class="card look" aria-label={t.teach.picture}>
          <Preview studio={studio} />
          <Level studio={studio} live={true} />
          <DeviceHelp studio={studio} />
          <details>
            <summary>
              <Icon name="gear" />
              {t.teach.devices}
            </summary>
            <Pickers studio={studio} />
          </details>
        </section>
        <div class="side">
          <Buttons studio={studio} />
          <Rooms studio={studio} />
          <Invite studio={studio} />
          {studio.lesson !== null && (
            <PlainMaterials desk={studio.materials} lesson={studio.lesson} />
          )}
          <Stop studio={studio} />
        </div>
      </div>
    </>
  )
}

/** Nothing is sent any more; what is left is to tell the server. */
function Ending(props: { studio: Studio }) {
  const t = useMessages()
  return (
    <Notice kind="info" title={t.teach.ending}>
      {props.studio.fault !== null && <p>{t.teach.endingText}</p>}
    </Notice>
  )
}

function Banner(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  const state = studio.publisher?.state ?? 'connecting'
  const info = studio.info
  const startedAt = info?.started_at ?? studio.lesson?.started_at ?? null
  const seconds = startedAt === null ? 0 : studio.events.serverNow / 1000 - startedAt
  const look = state === 'live' ? 'on' : state === 'failed' ? 'off' : 'trying'
  const words = {
    idle: t.teach.connecting,
    connecting: t.teach.connecting,
    live: t.teach.live,
    recovering: t.teach.recovering,
    failed: t.teach.failed,
    replaced: t.teach.elsewhere,
    ended: t.teach.ending,
  }[state]
  // While nothing of us arrives there, the last word of it is not true any more.
  const recording = state === 'live' || state === 'ended' ? info?.recording : undefined
  const recordingState = state === 'recovering' ? 'waiting' : (recording?.state ?? 'unknown')
  return (
    <section class={`banner ${look}`}>
      <p class="state" role="status">
        <span class="dot" aria-hidden="true" />
        {words}
      </p>
      <p class="fact">
        <span class="hidden">{t.teach.clock}</span>
        <span class="figure">{duration(seconds)}</span>
      </p>
      <p class="fact" role="status">
        {state === 'live' && (
          <>
            <Icon name="rooms" />
            {t.teach.rooms(info?.rooms ?? studio.lesson?.rooms ?? 0)}
          </>
        )}
      </p>
      <p class={`fact recording ${recordingState}`} role="status">
        <Icon name={recordingState === 'recording' ? 'tick' : 'warning'} />
        {t.teach.recording[recordingState]}
        {recording?.state === 'recording' && (
          <span class="figure" aria-hidden="true">
            {duration(recording.seconds)}
          </span>
        )}
      </p>
    </section>
  )
}

/** Only what the teacher should know now; most of the time nothing. */
function Troubles(props: { studio: Studio }) {
  const { t, lang } = useLanguage()
  const { studio } = props
  const publisher = studio.publisher
  const recording = studio.info?.recording
  const problem = publisher?.problem ?? null
  const refused = problem === null ? null : problemWords(problem, lang)
  const state = publisher?.state
  const wait = publisher?.retryAt ? Math.ceil((publisher.retryAt - Date.now()) / 1000) : 0
  return (
    <>
      <Fault studio={studio} />
      {state === 'recovering' && problem?.status !== 409 && (
        <Notice kind="warning" title={t.teach.recoveringTitle}>
          <p>
            {t.teach.recoveringText}{' '}
            {wait > 0 && <span aria-hidden="true">{t.teach.retryIn(wait)}</span>}
          </p>
        </Notice>
      )}
      {state === 'connecting' && publisher?.unreachable === true && (
        <Notice kind="warning" title={t.common.cannotReach}>
          <p>{t.common.cannotReachFix}</p>
        </Notice>
      )}
      {state !== 'live' && refused !== null && problem?.status === 409 && (
        <Notice kind="warning" title={refused.title}>
          <p>{refused.fix}</p>
        </Notice>
      )}
      {state === 'failed' && (
        <Notice kind="bad" title={t.teach.failed}>
          <p>
            {refused?.title}. {refused?.fix}
          </p>
          <button type="button" class="button" onClick={() => publisher?.start()}>
            {t.teach.tryAgain}
          </button>
        </Notice>
      )}
      {studio.uplink !== 'good' && (
        <Notice kind="info" title={t.teach.uplink[studio.uplink]} icon="link">
          <p>{t.teach.uplinkText}</p>
        </Notice>
      )}
      {recording?.state === 'failing' && (
        <Notice kind="bad" title={t.teach.recording.failing}>
          <p>
            {recordingFault(recording.detail, t)} {t.teach.recording.failingText}
          </p>
        </Notice>
      )}
    </>
  )
}

/** Why nothing is recorded, in words; empty for a code that this page does not know. */
function recordingFault(code: string, t: Messages): string {
  const { details } = t.teach.recording
  return Object.keys(details).includes(code) ? details[code as keyof typeof details] : ''
}

function Buttons(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  const canShare = 'getDisplayMedia' in navigator.mediaDevices
  const { muted, sharing, cameraOn } = studio
  return (
    <section class="card">
      <div class="buttons">
        <Big
          icon={sharing ? 'screenOff' : 'screen'}
          words={sharing ? t.teach.stopShare : t.teach.share}
          strange={sharing}
          wide
          disabled={!canShare}
          press={() => void (sharing ? studio.stopSharing() : studio.share())}
        />
        <Big
          icon={muted ? 'microphoneOff' : 'microphone'}
          words={muted ? t.teach.unmute : t.teach.mute}
          strange={muted}
          press={() => studio.mute(!muted)}
        />
        {studio.devices.camera !== null && (
          <Big
            icon={cameraOn ? 'camera' : 'cameraOff'}
            words={cameraOn ? t.teach.hideCamera : t.teach.showCamera}
            strange={!cameraOn}
            press={() => void studio.showCamera(!cameraOn)}
          />
        )}
      </div>
      <p class="hint" role="status">
        {!canShare && t.teach.shareUnsupported}
        {sharing && t.teach.sharing}
        {studio.shareFault && t.teach.shareFailed}
      </p>
    </section>
  )
}

/** `strange`: the state that the teacher should not forget about. */
function Big(props: {
  icon: IconName
  words: string
  strange: boolean
  wide?: boolean
  disabled?: boolean
  press: () => void
}) {
  return (
    <button
      type="button"
      class={`button big${props.strange ? ' strange' : ''}${props.wide ? ' wide' : ''}`}
      disabled={props.disabled === true}
      onClick={props.press}
    >
      <Icon name={props.icon} />
      {props.words}
    </button>
  )
}

/** As many names as a teacher reads at a glance. */
const NAMED = 30

/** How many classes receive what. Weak links are theirs and ours to bear, not the teacher's. */
function Rooms(props: { studio: Studio }) {
  const t = useMessages()
  const { known, unseen, video, stills, voice, late, weak } = props.studio.classes
  if (known === 0) return null
  const summary = t.teach.classes(video, stills, voice, unseen, late)
  if (weak.length === 0)
    return (
      <p class="card classes" role="status">
        <Icon name="rooms" />
        {summary}
      </p>
    )
  return (
    <details class="card classes">
      <summary>
        <Icon name="rooms" />
        <span role="status">{summary}</span>
      </summary>
      {weak.length > late && <p class="hint">{t.teach.classesText}</p>}
      {late > 0 && <p class="hint">{t.teach.classesLateText}</p>}
      <ul>
        {weak.slice(0, NAMED).map((one) => (
          <li key={one.room}>
            <strong>{calledBy(one, t.teach.unnamedClass)}</strong>
            <span>{receives(one.rung, t)}</span>
          </li>
        ))}
      </ul>
      {weak.length > NAMED && <p class="hint">{t.teach.moreClasses(weak.length - NAMED)}</p>}
    </details>
  )
}

function receives(rung: RungName, t: Messages): string {
  if (rung === 'catch-up') return t.teach.classLate
  return rung === 'voice' ? t.teach.classVoice : t.teach.classStills
}

function Invite(props: { studio: Studio }) {
  const { t, lang } = useLanguage()
  const [url, setUrl] = useState<string | null>(null)
  const [fault, setFault] = useState<string | null>(null)
  const [copied, setCopied] = useState<'no' | 'yes' | 'by-hand'>('no')
  const [schools, setSchools] = useState<School[]>([])
  const [school, setSchool] = useState('')
  const field = useRef<HTMLInputElement>(null)
  const { api } = props.studio
  const look = async (): Promise<void> => {
    try {
      setSchools(await api.schools())
    } catch (error) {
      // Without the list there is still the link for any school.
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error
    }
  }
  const make = async (): Promise<void> => {
    setFault(null)
    try {
      const { url } = await api.invite(props.studio.lesson?.id ?? '', school === '' ? null : school)
      setUrl(url)
    } catch (error) {
      if (error instanceof Problem) {
        const { title, fix } = problemWords(error, lang)
        setFault(`${title}. ${fix}`)
      } else if (error instanceof Unreachable) setFault(t.common.cannotReach)
      else throw error
    }
  }
  const copy = async (): Promise<void> => {
    field.current?.select()
    setCopied((await toClipboard(url ?? '')) ? 'yes' : 'by-hand')
  }
  return (
    <details class="card invite" onToggle={() => void look()}>
      <summary>
        <Icon name="link" />
        {t.teach.invite}
      </summary>
      <p>{t.teach.inviteText}</p>
      {schools.length > 0 && (
        <label class="field">
          <span>{t.teach.inviteSchool}</span>
          <select
            value={school}
            onChange={(event) => {
              setSchool(event.currentTarget.value)
              setUrl(null)
              setCopied('no')
            }}
          >
            <option value="">{t.teach.inviteOtherSchool}</option>
            {schools.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
        </label>
      )}
      {school !== '' && <p class="hint">{t.teach.inviteSchoolText}</p>}
      {url === null ? (
        <button type="button" class="button" onClick={() => void make()}>
          {t.teach.inviteMake}
        </button>
      ) : (
        <div class="row">
          <input ref={field} type="text" readOnly value={url} aria-label={t.teach.invite} />
          <button type="button" class="button" onClick={() => void copy()}>
            {copied === 'yes' ? t.teach.copied : t.teach.copy}
          </button>
        </div>
      )}
      <p class="hint" role="status">
        {fault}
        {copied === 'yes' && t.teach.copiedText}
        {copied === 'by-hand' && t.teach.copyByHand}
      </p>
    </details>
  )
}

/** Asks in its own place, not in a window: nothing is covered, and Escape means "no". */
function Stop(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  const [asking, ask] = useState(false)
  const no = useRef<HTMLButtonElement>(null)
  const stop = useRef<HTMLButtonElement>(null)
  const first = useRef(true)
  useEffect(() => {
    // Focus follows the question and its answer, but must not jump when the page appears.
    if (!first.current) (asking ? no : stop).current?.focus()
    first.current = false
  }, [asking])
  if (!asking)
    return (
      <button ref={stop} type="button" class="button danger big" onClick={() => ask(true)}>
        <Icon name="stop" />
        {t.teach.stop}
      </button>
    )
  return (
    <div
      class="card asking"
      role="group"
      aria-labelledby="stop-question"
      onKeyDown={(event) => {
        if (event.key === 'Escape') ask(false)
      }}
    >
      <p id="stop-question">
        <strong>{t.teach.stopAsk}</strong>
      </p>
      <div class="row">
        <button
          type="button"
          class="button danger solid"
          onClick={() => {
            ask(false)
            void studio.end()
          }}
        >
          {t.teach.stopYes}
        </button>
        <button ref={no} type="button" class="button" onClick={() => ask(false)}>
          {t.teach.stopNo}
        </button>
      </div>
    </div>
  )
}
