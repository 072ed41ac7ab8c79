/*
 * Before the lesson: picture, sound, which lesson, and the one large button.
 */
import { useState } from 'preact/hooks'
import { dayAndTime, dayOf, useLanguage } from '../i18n'
import { useMaterialsWords } from '../i18n/materials'
import { problemWords } from '../i18n/problems'
import { Problem } from '../http'
import { useNow } from '../ui/hooks'
import { Notice } from '../ui/shell'
import type { DeviceState } from './devices'
import { choiceOf } from './choice'
import { Materials, PlainMaterials } from './given'
import { Level, Pickers, Preview } from './preview'
import type { Studio } from './studio'

/** The choice that stands for "a new lesson now"; no lesson has this id. */
const NEW = ''

export function Prepare(props: { studio: Studio }) {
  const { t, lang } = useLanguage()
  const words = useMaterialsWords()
  const { studio } = props
  useNow()
  const [picked, pick] = useState<string | null>(null)
  const [ownTitle, setTitle] = useState<string | null>(null)
  const title = ownTitle ?? t.teach.titleFor(dayOf(Date.now(), lang))
  const { lessons: sorted, preset } = choiceOf(studio.lessons ?? [], Date.now() / 1000)
  // What was picked may have ended meanwhile.
  const stands = picked === NEW || sorted.some((one) => one.id === picked)
  const choice = (stands ? picked : preset) ?? NEW
  const lesson = sorted.find((one) => one.id === choice)
  const ready = studio.devices.state === 'ready'
  const starting = studio.phase === 'starting'
  const titled = choice !== NEW || title.trim() !== ''
  const unsent = studio.materials.unfinished
  const press = (event: Event): void => {
    event.preventDefault()
    if (ready && titled) void studio.goLive(lesson ? { id: lesson.id } : { title: title.trim() })
  }
  return (
    <>
      <p class="lead">{t.teach.readyLead}</p>
      <form class="studio" onSubmit={press}>
        <section class="card look" aria-label={t.teach.picture}>
          {ready && <Preview studio={studio} />}
          <DeviceHelp studio={studio} />
          {ready && (
            <>
              <Level studio={studio} live={false} />
              <Pickers studio={studio} />
            </>
          )}
        </section>
        <div class="side">
          <section class="card choose">
            <Fault studio={studio} />
            <fieldset>
              <legend>
                <h2>{t.teach.plannedLegend}</h2>
              </legend>
              <div class="lessons">
                {sorted.map((one) => (
                  <label class="choice">
                    <input
                      type="radio"
                      name="lesson"
                      checked={one.id === choice}
                      onChange={() => pick(one.id)}
                    />
                    <span>
                      <strong>{one.title}</strong>
                      <small>
                        {[
                          one.mine === true ? '' : one.teacher,
                          one.state === 'live'
                            ? t.teach.liveNow
                            : one.planned_at !== null &&
                              t.teach.plannedAt(dayAndTime(one.planned_at * 1000, lang)),
                        ]
                          .filter(Boolean)
                          .join(' · ')}
                      </small>
                    </span>
                  </label>
                ))}
                <label class="choice">
                  <input
                    type="radio"
                    name="lesson"
                    checked={choice === NEW}
                    onChange={() => pick(NEW)}
                  />
                  <span>
                    <strong>{t.teach.startNow}</strong>
                  </span>
                </label>
              </div>
            </fieldset>
            {choice === NEW && (
              <label class="field">
                <span>{t.teach.lessonTitle}</span>
                <input
                  type="text"
                  maxLength={200}
                  value={title}
                  aria-invalid={!titled}
                  aria-describedby={titled ? undefined : 'title-missing'}
                  onInput={(event) => setTitle(event.currentTarget.value)}
                />
              </label>
            )}
            {!titled && (
              <p class="hint" id="title-missing" role="alert">
                {t.teach.titleMissing}
              </p>
            )}
            <button type="submit" class="go" disabled={!ready || starting || !titled}>
              <span class="dot" aria-hidden="true" />
              {starting
                ? t.teach.starting
                : lesson?.state === 'live'
                  ? t.teach.continueLive
                  : t.teach.goLive}
            </button>
            <p class="hint">{t.teach.goLiveNote}</p>
            <p class="hint" role="status">
              {unsent > 0 && words.teach.wait(unsent)}
            </p>
          </section>
          {lesson?.state === 'planned' && (
            <Materials key={lesson.id} desk={studio.materials} lesson={lesson} />
          )}
          {lesson?.state === 'live' && (
            <PlainMaterials key={lesson.id} desk={studio.materials} lesson={lesson} />
          )}
        </div>
      </form>
    </>
  )
}

/** What to do when there is no microphone yet. */
export function DeviceHelp(props: { studio: Studio }) {
  const { t } = useLanguage()
  const { devices } = props.studio
  const state: DeviceState = devices.state
  if (state === 'idle' || state === 'ready') return null
  if (state === 'asking')
    return (
      <Notice kind="info" title={t.teach.asking} icon="camera">
        {null}
      </Notice>
    )
  const help = t.teach.problems[state]
  return (
    <Notice kind="warning" title={help.title}>
      <ol>
        {help.steps.map((step) => (
          <li>{step}</li>
        ))}
      </ol>
      {state !== 'insecure' && (
        <button type="button" class="button" onClick={() => void devices.open()}>
          {t.teach.tryAgain}
        </button>
      )}
    </Notice>
  )
}

export function Fault(props: { studio: Studio }) {
  const { t, lang } = useLanguage()
  const { fault } = props.studio
  if (fault === null) return null
  const words =
    fault instanceof Problem
      ? problemWords(fault, lang)
      : { title: t.common.cannotReach, fix: t.common.cannotReachFix }
  return (
    <Notice kind="bad" title={words.title}>
      <p>{words.fix}</p>
    </Notice>
  )
}
