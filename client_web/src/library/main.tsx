/*
 * The library: recorded and running lessons, found by words and watched again.
 */
import '../ui/base.css'
import './library.css'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { Api, type Lesson } from '../api'
import { expose } from '../debug'
import { Problem } from '../http'
import { useMessages } from '../i18n'
import { takeLink, type Link } from '../token'
import { Icon } from '../ui/icons'
import { NoLink, Notice, Shell, show } from '../ui/shell'
import { List } from './list'
import { Watch } from './watch'

const LIST_EVERY_MS = 20_000
const RETRY_MS = 4_000

/** The lesson in the address, `#lesson=ID`, or null for the list. */
const lessonInAddress = (): string | null =>
  new URLSearchParams(location.hash.slice(1)).get('lesson')

function LibraryPage(props: { link: Link }) {
  const t = useMessages()
  const { link } = props
  const api = useMemo(() => new Api(location.origin, link.token), [link])
  const [lessons, setLessons] = useState<Lesson[] | null>(null)
  const [fault, setFault] = useState<unknown>(null)
  const [chosen, choose] = useState<string | null>(lessonInAddress)
  useEffect(() => {
    const follow = (): void => choose(lessonInAddress())
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>
    const look = async (): Promise<void> => {
      let wait = LIST_EVERY_MS
      try {
        setLessons(await api.lessons())
        setFault(null)
      } catch (error) {
        setFault(error)
        wait = RETRY_MS
      }
      timer = setTimeout(() => void look(), wait)
    }
    void look()
    return () => clearTimeout(timer)
  }, [api])
  useEffect(() => {
    // Someone who came from the list, by keyboard or screen reader, begins at the new content.
    document.getElementById('main')?.focus({ preventScroll: true })
    scrollTo(0, 0)
  }, [chosen])
  const refused = fault instanceof Problem && (fault.status === 401 || fault.status === 403)
  const lesson = lessons?.find((one) => one.id === chosen)
  if (chosen !== null && lesson !== undefined)
    return (
      <Shell title={lesson.title} links={<BackLink />}>
        <Watch key={lesson.id} lesson={lesson} token={link.token} />
      </Shell>
    )
  return (
    <Shell title={t.library.title}>
      {refused && <NoLink expired={true} />}
      {fault !== null && !refused && (
        <Notice kind="warning" title={t.common.cannotReach}>
          <p>{t.common.cannotReachFix}</p>
        </Notice>
      )}
      {chosen !== null && lessons !== null && (
        <Notice kind="warning" title={t.player.notFound}>
          <p>
            <a href="#">{t.library.back}</a>
          </p>
        </Notice>
      )}
      {lessons === null
        ? fault === null && <p role="status">{t.common.loading}</p>
        : chosen === null && <List lessons={lessons} />}
    </Shell>
  )
}

function BackLink() {
  const t = useMessages()
  return (
    <a class="back" href="#">
      <Icon name="back" />
      {t.library.back}
    </a>
  )
}

function NoLinkPage() {
  const t = useMessages()
  return (
    <Shell title={t.library.title}>
      <NoLink expired={false} />
    </Shell>
  )
}

const given = new URLSearchParams(location.hash.slice(1))
const link = takeLink('library')
// The token leaves the address; the lesson that came beside it stays.
if (given.has('token') && given.has('lesson'))
  history.replaceState(null, '', `#lesson=${encodeURIComponent(given.get('lesson') ?? '')}`)
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) location.reload()
})
if (link === null)
  expose(
    'library',
    () => ({ player: 'no-link' }),
    () => null,
  )
show(link === null ? <NoLinkPage /> : <LibraryPage link={link} />, (t) => t.library.title)
