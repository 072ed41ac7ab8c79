/*
 * The library: recorded and running lessons, found by words and watched again.
 */
import '../ui/base.css'
import './library.css'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { Api, type Lesson } from '../api'
import { expose } from '../debug'
import { Problem } from '../http'
import { useLanguage, useMessages } from '../i18n'
import { problemWords } from '../i18n/problems'
import { takeLink, type Link } from '../token'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { NoLink, Notice, Shell, show } from '../ui/shell'
import { List } from './list'
import { lookUp, Shelf } from './shelf'
import { Watch } from './watch'

const RETRY_MS = 4_000
const MISSING_MS = 20_000

/** The lesson in the address, `#lesson=ID`, or null for the list. */
const lessonInAddress = (): string | null =>
  new URLSearchParams(location.hash.slice(1)).get('lesson')

function LibraryPage(props: { link: Link }) {
  const t = useMessages()
  const { link } = props
  const api = useMemo(() => new Api(location.origin, link.token), [link])
  const shelf = useMemo(() => new Shelf(api), [api])
  useObservable(shelf)
  const [chosen, choose] = useState<string | null>(lessonInAddress)
  useEffect(() => {
    const follow = (): void => choose(lessonInAddress())
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  // While a lesson is watched nobody sees the list.
  useEffect(() => (chosen === null ? shelf.start() : undefined), [shelf, chosen])
  const [looked, lessonFault] = useLesson(api, shelf, chosen)
  useEffect(() => {
    // Someone who came from the list, by keyboard or screen reader, begins at the new content.
    document.getElementById('main')?.focus({ preventScroll: true })
    scrollTo(0, 0)
  }, [chosen])
  const fault = chosen === null ? shelf.fault : lessonFault
  const refused = fault instanceof Problem && (fault.status === 401 || fault.status === 403)
  if (chosen !== null && looked !== null && looked !== 'missing')
    return (
      <Shell title={looked.title} links={<BackLink />}>
        <Watch key={looked.id} lesson={looked} token={link.token} />
      </Shell>
    )
  return (
    <Shell title={t.library.title}>
      {refused && <NoLink expired={true} />}
      {fault !== null && !refused && <Trouble fault={fault} />}
      {looked === 'missing' && (
        <Notice kind="warning" title={t.player.notFound}>
          <p>
            <a href="#">{t.library.back}</a>
          </p>
        </Notice>
      )}
      {chosen === null && shelf.lessons !== null ? (
        <List shelf={shelf} />
      ) : (
        fault === null && looked === null && <p role="status">{t.common.loading}</p>
      )}
    </Shell>
  )
}

/** The lesson `id`: null while it is looked for; and what went wrong with looking. */
function useLesson(
  api: Api,
  shelf: Shelf,
  id: string | null,
): [Lesson | 'missing' | null, fault: unknown] {
  const [found, setFound] = useState<{ id: string; lesson: Lesson | 'missing' } | null>(null)
  const [fault, setFault] = useState<unknown>(null)
  useEffect(() => {
    if (id === null) return
    let timer: ReturnType<typeof setTimeout>
    let left = false
    const look = async (): Promise<void> => {
      try {
        const shown = shelf.lessons?.find((one) => one.id === id)
        const lesson = shown ?? (await lookUp(api, id)) ?? 'missing'
        if (left) return
        setFound({ id, lesson })
        setFault(null)
        // It may be on its way here.
        if (lesson === 'missing') timer = setTimeout(() => void look(), MISSING_MS)
      } catch (error) {
        if (left) return
        setFault(error)
        timer = setTimeout(() => void look(), RETRY_MS)
      }
    }
    void look()
    return () => {
      left = true
      clearTimeout(timer)
    }
  }, [api, shelf, id])
  return [found !== null && found.id === id ? found.lesson : null, fault]
}

function Trouble(props: { fault: unknown }) {
  const { t, lang } = useLanguage()
  const { fault } = props
  const words =
    fault instanceof Problem
      ? problemWords(fault, lang)
      : { title: t.common.cannotReach, fix: t.common.cannotReachFix }
  return (
    <Notice kind="warning" title={words.title}>
      <p>{words.fix}</p>
    </Notice>
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
