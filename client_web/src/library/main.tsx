/*
 * The library: recorded and running lessons, found by words and watched again.
 */
import '../ui/base.css'
import './library.css'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Api, type Lesson } from '../api'
import { expose } from '../debug'
import { Problem } from '../http'
import { useLanguage, useMessages } from '../i18n'
import { problemWords } from '../i18n/problems'
import { part, PartMissing, withPart } from '../parts'
import { followLinks, takeLink, type Link } from '../token'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { NoLink, Notice, Shell, show } from '../ui/shell'
import { canKeep } from '../offline/able'
import type { Keeper } from '../offline/keeper'
import { List } from './list'
import { lookUp, Shelf } from './shelf'

const RETRY_MS = 4_000
const MISSING_MS = 20_000

/** The lesson in the address, `#lesson=ID`, or null for the list. */
const lessonInAddress = (): string | null =>
  new URLSearchParams(location.hash.slice(1)).get('lesson')

/** Parts of the page that most visits to the list need none of. */
type Parts = typeof import('./watch') & typeof import('../offline/shelf')

/** link: null for a pupil who came by the school's network alone. */
function LibraryPage(props: { link: Link | null }) {
  const t = useMessages()
  const [token, setToken] = useState(props.link?.token ?? '')
  const api = useMemo(() => new Api(location.origin, token), [token])
  const shelf = useMemo(() => new Shelf(api), [api])
  useObservable(shelf)
  const [keeper, isLate] = useKeeper(token)
  useObservable(keeper ?? null)
  const [chosen, choose] = useState<string | null>(lessonInAddress)
  const [parts, partsFault] = useParts(chosen !== null)
  const isRelay = shelf.lessons?.some((one) => one.playable !== undefined) === true
  useEffect(() => {
    // The control plane keeps no recordings, and so has nothing for a service worker to do.
    if (keeper && isRelay)
      void import('../offline/device').then((device) => device.pageWorker.start())
  }, [keeper, isRelay])
  useEffect(() => {
    const follow = (): void => choose(lessonInAddress())
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  // While a lesson is watched nobody sees the list.
  useEffect(() => (chosen === null ? shelf.start() : undefined), [shelf, chosen])
  const [found, lessonFault] = useLesson(api, shelf, chosen)
  // What is on this device needs no server to be known.
  const own = chosen === null ? null : (keeper?.holding(chosen) ?? null)
  const watched = useRef<Lesson | null>(null)
  if (own !== null) watched.current = own.lesson
  // Deleted from the device without a network, it stays on the screen until one leaves it.
  const last = watched.current?.id === chosen ? watched.current : null
  const looked = own?.isPlayable === true ? own.lesson : (found ?? last)
  useEffect(() => {
    // Someone who came from the list, by keyboard or screen reader, begins at the new content.
    document.getElementById('main')?.focus({ preventScroll: true })
    scrollTo(0, 0)
  }, [chosen])
  const fault = chosen === null ? shelf.fault : lessonFault
  const refused = fault instanceof Problem && (fault.status === 401 || fault.status === 403)
  useEffect(() => {
    // A link that is void may still be open in the school itself.
    if (refused && token !== '') setToken('')
  }, [refused, token])
  if (chosen !== null && looked !== null && looked !== 'missing')
    return (
      <Shell title={looked.title} links={<BackLink />}>
        {parts !== null && (keeper !== undefined || isLate) ? (
          <parts.Watch key={looked.id} lesson={looked} token={token} keeper={keeper} />
        ) : partsFault !== null ? (
          <Trouble fault={partsFault} />
        ) : (
          <p role="status">{t.common.loading}</p>
        )}
      </Shell>
    )
  const away = fault !== null && !(fault instanceof Problem)
  const showsKept = keeper && parts !== null && (chosen === null || away)
  // In the list the shelf of what is kept says in its own words that the network is away.
  const isSaid = refused || (away && showsKept && chosen === null)
  return (
    <Shell title={t.library.title} {...(chosen === null ? {} : { links: <BackLink /> })}>
      {refused && <NoLink expired={props.link !== null} />}
      {fault !== null && !isSaid && <Trouble fault={fault} />}
      {showsKept && <parts.KeptShelf keeper={keeper} offline={away && chosen === null} />}
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

/**
 * What this device holds: undefined while that is read, null where it holds nothing. isLate: what reads
 * it has not come; it is asked for again, and lessons are watched without.
 */
function useKeeper(token: string): [Keeper | null | undefined, isLate: boolean] {
  const [keeper, setKeeper] = useState<Keeper | null | undefined>(() =>
    canKeep() ? undefined : null,
  )
  const [isLate, setLate] = useState(false)
  const now = useRef(token)
  now.current = token
  const isHere = keeper !== undefined
  useEffect(() => {
    if (isHere) return
    let left = false
    const stop = withPart(async () => {
      const open = await part(async () => (await import('../offline/device')).openKeeper).catch(
        (error: unknown) => {
          setLate(true)
          throw error
        },
      )
      const opened = await open(() => now.current).catch(() => null)
      if (left) opened?.stop()
      else setKeeper(opened)
    }, false)
    return () => {
      left = true
      stop()
    }
  }, [isHere])
  useEffect(() => () => keeper?.stop(), [keeper])
  return [keeper, isLate]
}

/** The parts, null until they are there, and why they are not. isNeeded: nothing is seen without. */
function useParts(isNeeded: boolean): [Parts | null, fault: PartMissing | null] {
  const [parts, setParts] = useState<Parts | null>(null)
  const [fault, setFault] = useState<PartMissing | null>(null)
  const isHere = parts !== null
  useEffect(() => {
    if (isHere) return
    // After the list has been drawn: first what everybody came for.
    return withPart(async () => {
      try {
        const [watch, kept] = await part(() =>
          Promise.all([import('./watch'), import('../offline/shelf')]),
        )
        setParts({ ...watch, ...kept })
      } catch (error) {
        if (error instanceof PartMissing) setFault(error)
        throw error
      }
    }, isNeeded)
  }, [isHere, isNeeded])
  return [parts, fault]
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

const given = new URLSearchParams(location.hash.slice(1))
const link = takeLink('library')
// The token leaves the address; the lesson that came beside it stays.
if (given.has('token') && given.has('lesson'))
  history.replaceState(null, '', `#lesson=${encodeURIComponent(given.get('lesson') ?? '')}`)
followLinks()
expose(
  'library',
  () => ({ player: link === null ? 'no-link' : 'idle' }),
  () => null,
)
show(<LibraryPage link={link} />, (t) => t.library.title)
