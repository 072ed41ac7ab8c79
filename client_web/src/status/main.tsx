/*
 * How this school's relay fares, for the teacher who looks after it: what to do, then the facts.
 *
 * Asks the relay that served it every few seconds. Open to everybody on the school's own network,
 * elsewhere to whoever's link lets them manage lessons.
 */
import '../ui/base.css'
import './status.css'
import { useEffect, useState } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import { expose } from '../debug'
import { Problem, request } from '../http'
import { dayAndTime, LANGUAGES, size, useLanguage, useMessages, type Lang } from '../i18n'
import { statusEn } from '../i18n/status_en'
import { statusVi, type StatusWords } from '../i18n/status_vi'
import { takeLink } from '../token'
import { Icon, type IconName } from '../ui/icons'
import { NoLink, Notice, Shell, show } from '../ui/shell'
import { adviceWords, host, taken, worst, type Facts } from './facts'

const ASK_EVERY_MS = 5_000
const WORDS: Readonly<Record<Lang, StatusWords>> = { vi: statusVi, en: statusEn }

const token = takeLink('library')?.token ?? ''
const shown: { status: 'loading' | 'shown' | 'away' | 'refused' } = { status: 'loading' }
expose(
  'status',
  () => ({ ...shown }),
  () => null,
)

const date = (at: number, lang: Lang): string => dayAndTime(1_000 * at, lang)

function StatusPage() {
  const { lang } = useLanguage()
  const t = useMessages()
  const words = WORDS[lang]
  const [facts, setFacts] = useState<Facts | null>(null)
  const [fault, setFault] = useState<unknown>(null)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>
    let left = false
    const ask = async (): Promise<void> => {
      try {
        const answer = await request('/api/status', token)
        if (left) return
        setFacts(JSON.parse(answer.text) as Facts)
        setFault(null)
        shown.status = 'shown'
      } catch (cause) {
        if (left) return
        setFault(cause)
        shown.status = isRefused(cause) ? 'refused' : 'away'
      }
      timer = setTimeout(() => void ask(), ASK_EVERY_MS)
    }
    void ask()
    return () => {
      left = true
      clearTimeout(timer)
    }
  }, [])
  if (isRefused(fault))
    return (
      <Shell title={words.title}>
        <NoLink expired={false} />
        <p>{words.onlyHere}</p>
      </Shell>
    )
  return (
    <Shell title={facts === null ? words.title : words.titleOf(facts.name)}>
      {fault !== null && (
        <Notice kind="bad" title={words.noAnswer}>
          <p>{words.noAnswerFix}</p>
        </Notice>
      )}
      {facts === null && fault === null && <p role="status">{t.common.loading}</p>}
      {facts !== null && fault === null && <Advice facts={facts} words={words} />}
      {facts !== null && <FactCards facts={facts} words={words} lang={lang} />}
    </Shell>
  )
}

const isRefused = (fault: unknown): boolean =>
  fault instanceof Problem && (fault.status === 401 || fault.status === 403)

function Advice(props: { facts: Facts; words: StatusWords }) {
  const { facts, words } = props
  const todo = facts.advice.filter((one) => one.name !== 'all-well')
  return (
    <>
      {worst(facts.advice) === 'note' && (
        <section class="notice good" role="status">
          <Icon name="tick" />
          <div>
            <strong>{words.advice['all-well'].title}</strong>
            <p>{words.advice['all-well'].text}</p>
          </div>
        </section>
      )}
      {todo.map(({ name, level }) => (
        <Notice
          key={name}
          kind={level === 'bad' ? 'bad' : level === 'warn' ? 'warning' : 'info'}
          icon={level === 'note' ? 'tick' : 'warning'}
          title={adviceWords(name, words).title}
        >
          <p>{adviceWords(name, words).text}</p>
        </Notice>
      ))}
    </>
  )
}

function Card(props: { icon: IconName; title: string; children: ComponentChildren }) {
  return (
    <section class="card">
      <h2>
        <Icon name={props.icon} />
        {props.title}
      </h2>
      {props.children}
    </section>
  )
}

function FactCards(props: { facts: Facts; words: StatusWords; lang: Lang }) {
  const { facts, words, lang } = props
  const share = taken(facts.space)
  const { last, cuts_30_days: cuts } = facts.power
  return (
    <div class="facts">
      <Card icon="link" title={words.parent}>
        <WayUp facts={facts} words={words} lang={lang} />
        <p>{linkText(facts.link, words)}</p>
      </Card>
      <Card icon="live" title={words.live}>
        <p>{words.liveText(facts.lessons.live, facts.lessons.rooms)}</p>
      </Card>
      <Card icon="play" title={words.lessons}>
        <p>{words.lessonsText(facts.lessons.held, size(facts.lessons.bytes, lang))}</p>
      </Card>
      <Card icon="layout" title={words.space}>
        <p>{words.free(size(facts.space.free, lang))}</p>
        {share !== null && (
          <>
            <meter min={0} max={1} high={0.9} value={share} aria-label={words.taken} />
            <p class="hint">{words.takenText(Math.round(100 * share))}</p>
          </>
        )}
      </Card>
      {facts.sync !== null && (
        <Card icon="keep" title={words.sync}>
          <p>{words.syncStates[facts.sync.state] ?? facts.sync.state}</p>
          {facts.sync.lessons_left > 0 && (
            <p>{words.left(facts.sync.lessons_left, size(facts.sync.bytes_left, lang))}</p>
          )}
          {facts.sync.finish_at !== null && <p>{words.finish(date(facts.sync.finish_at, lang))}</p>}
        </Card>
      )}
      <Card icon="warning" title={words.power}>
        <p>
          {last === null
            ? words.powerNone
            : (last.kind === 'power' ? words.powerCut : words.powerKilled)(
                last.at === null ? null : date(last.at, lang),
                date(last.back_at, lang),
              )}
        </p>
        {cuts > 1 && <p>{words.powerMonth(cuts)}</p>}
      </Card>
    </div>
  )
}

function WayUp(props: { facts: Facts; words: StatusWords; lang: Lang }) {
  const { parent, central } = props.facts
  const { words, lang } = props
  if (parent !== null)
    return (
      <p class={parent.connected ? '' : 'away'}>
        {(parent.connected ? words.parentUp : words.parentDown)(
          host(parent.url),
          date(parent.since, lang),
        )}
      </p>
    )
  if (central === null) return null
  return (
    <p class={central.connected ? '' : 'away'}>
      {(central.connected ? words.centralUp : words.centralDown)(host(central.url))}
    </p>
  )
}

function linkText(link: Facts['link'], words: StatusWords): string {
  const parts: string[] = []
  if (link.rate !== null) parts.push(words.rate(Math.round(link.rate / 1_000)))
  if (link.round_trip !== null) parts.push(words.roundTrip(Math.round(1_000 * link.round_trip)))
  if (link.loss !== null) parts.push(words.loss(Math.round(1_000 * link.loss) / 10))
  return parts.length > 0 ? parts.join(' · ') : words.linkUnknown
}

show(<StatusPage />, (t) => (t === LANGUAGES.en ? statusEn : statusVi).title)
