/*
 * The list with its search box and filter.
 */
import { useEffect, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { expose } from '../debug'
import { dayAndTime, duration, useLanguage } from '../i18n'
import { Icon } from '../ui/icons'
import { find, isPlayable, isRunning, lengthOf, type Filter } from './catalog'
import { keptPosition } from './player'

export function List(props: { lessons: Lesson[] }) {
  const { t } = useLanguage()
  const [words, setWords] = useState('')
  const [filter, setFilter] = useState<Filter>('all')
  const found = find(props.lessons, words, filter)
  const none = find(props.lessons, '', 'all').length === 0
  useEffect(() => {
    expose(
      'library',
      () => ({ player: 'idle', lessons: found.length }),
      () => null,
    )
  })
  return (
    <>
      <div class="finder" role="search">
        <label class="field words">
          <span>{t.library.search}</span>
          <input
            type="search"
            value={words}
            aria-describedby="search-hint"
            onInput={(event) => setWords(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          <span>{t.library.filter}</span>
          <select
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value as Filter)}
          >
            <option value="all">{t.library.all}</option>
            <option value="recorded">{t.library.recorded}</option>
            <option value="running">{t.library.running}</option>
          </select>
        </label>
        <p class="hint" id="search-hint">
          {t.library.searchHint}
        </p>
      </div>
      <p class="count" role="status">
        {none
          ? t.library.none
          : found.length === 0
            ? t.library.noneFound
            : t.library.count(found.length)}
      </p>
      <ul class="lessons">
        {found.map((lesson) => (
          <Entry key={lesson.id} lesson={lesson} />
        ))}
      </ul>
    </>
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
