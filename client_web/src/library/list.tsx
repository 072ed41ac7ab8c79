/*
 * The list with its search box and filter.
 */
import { useEffect } from 'preact/hooks'
import type { Lesson } from '../api'
import { expose } from '../debug'
import { dayAndTime, duration, useLanguage } from '../i18n'
import { Icon } from '../ui/icons'
import { isPlayable, isRunning, lengthOf } from './catalog'
import { keptPosition } from './player'
import type { Filter, Shelf } from './shelf'

export function List(props: { shelf: Shelf }) {
  const { t } = useLanguage()
  const { shelf } = props
  const { words, filter, total, labels, subject, grade, school } = shelf
  const found = shelf.lessons ?? []
  useEffect(() => {
    expose(
      'library',
      () => ({ player: 'idle', lessons: shelf.lessons?.length ?? null, total: shelf.total }),
      () => null,
    )
  }, [shelf])
  return (
    <>
      <div class="finder" role="search">
        <label class="field words">
          <span>{t.library.search}</span>
          <input
            type="search"
            value={words}
            maxLength={200}
            aria-describedby="search-hint"
            onInput={(event) => shelf.find(event.currentTarget.value, filter)}
          />
        </label>
        <label class="field">
          <span>{t.library.filter}</span>
          <select
            value={filter}
            onChange={(event) => shelf.find(words, event.currentTarget.value as Filter)}
          >
            <option value="all">{t.library.all}</option>
            <option value="recorded">{t.library.recorded}</option>
            <option value="running">{t.library.running}</option>
          </select>
        </label>
        {labels.subjects.length > 1 && (
          <Labels
            name={t.library.subject}
            all={t.library.all}
            values={labels.subjects}
            value={subject}
            choose={(value) => shelf.narrow(value, grade, school)}
          />
        )}
        {labels.grades.length > 1 && (
          <Labels
            name={t.library.gradeFilter}
            all={t.library.all}
            values={labels.grades}
            value={grade}
            choose={(value) => shelf.narrow(subject, value, school)}
          />
        )}
        {labels.schools.length > 1 && (
          <Labels
            name={t.library.school}
            all={t.library.all}
            values={labels.schools}
            value={school}
            choose={(value) => shelf.narrow(subject, grade, value)}
          />
        )}
        <p class="hint" id="search-hint">
          {t.library.searchHint}
        </p>
      </div>
      <p class="count" role="status">
        {total > 0 ? t.library.count(total) : shelf.wide ? t.library.none : t.library.noneFound}
      </p>
      <ul class="lessons">
        {found.map((lesson) => (
          <Entry key={lesson.id} lesson={lesson} />
        ))}
      </ul>
      {found.length < total && (
        <p class="more">
          <button type="button" class="button" onClick={() => shelf.more()}>
            {t.library.more}
          </button>
          <span>{t.library.shown(found.length, total)}</span>
        </p>
      )}
    </>
  )
}

function Labels(props: {
  name: string
  all: string
  values: string[]
  value: string
  choose: (value: string) => void
}) {
  return (
    <label class="field">
      <span>{props.name}</span>
      <select value={props.value} onChange={(event) => props.choose(event.currentTarget.value)}>
        <option value="">{props.all}</option>
        {props.values.map((one) => (
          <option value={one}>{one}</option>
        ))}
      </select>
    </label>
  )
}

function Entry(props: { lesson: Lesson }) {
  const { t, lang } = useLanguage()
  const { lesson } = props
  const playable = isPlayable(lesson)
  const kept = keptPosition(lesson.id)
  const length = lengthOf(lesson)
  const facts = [
    lesson.subject,
    lesson.grade === null || lesson.grade === '' ? null : t.library.grade(lesson.grade),
    lesson.teacher,
    lesson.school,
    lesson.started_at === null ? null : dayAndTime(lesson.started_at * 1000, lang),
  ].filter((fact) => fact !== null && fact !== '')
  const body = (
    <>
      <span class={`thumb ${isRunning(lesson) ? 'running' : ''}`} aria-hidden="true">
        <Icon name="play" />
      </span>
      <span class="about">
        <strong>{lesson.title}</strong>
        <span class="facts">{facts.join(' · ')}</span>
        <span class="facts">
          {isRunning(lesson) && <span class="badge">{t.library.live}</span>}
          {!playable && t.library.notYet}
          {playable && !isRunning(lesson) && duration(length)}
          {playable && kept !== null && (
            <span class="kept">{t.library.resumeFrom(duration(kept))}</span>
          )}
        </span>
      </span>
    </>
  )
  return (
    <li>
      {playable ? (
        <a class="entry" href={`#lesson=${lesson.id}`}>
          {body}
        </a>
      ) : (
        <div class="entry closed">{body}</div>
      )}
    </li>
  )
}
