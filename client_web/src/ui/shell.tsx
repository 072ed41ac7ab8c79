/*
 * What the light pages share: header with the language switch, notices, the page without a link.
 */
import { render, type ComponentChildren } from 'preact'
import {
  LANGUAGES,
  LanguageProvider,
  useLanguage,
  useMessages,
  type Lang,
  type Messages,
} from '../i18n'
import { Icon, type IconName } from './icons'

/** Draw `page` into the document. `title` picks the page's part of the document title. */
export function show(page: ComponentChildren, title: (t: Messages) => string): void {
  const root = document.getElementById('app')
  if (root === null) throw new Error('the page has no #app')
  root.textContent = ''
  render(<LanguageProvider title={title}>{page}</LanguageProvider>, root)
}

export function LanguageSwitch() {
  const { lang, t, choose } = useLanguage()
  return (
    <div class="languages" role="group" aria-label={t.common.language}>
      {(Object.keys(LANGUAGES) as Lang[]).map((one) => (
        <button type="button" lang={one} aria-pressed={one === lang} onClick={() => choose(one)}>
          {LANGUAGES[one].languageName}
        </button>
      ))}
    </div>
  )
}

/** The address stays: its fragment is a link's token or the lesson that is watched. */
function toContent(event: Event): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

export function Shell(props: {
  title: string
  links?: ComponentChildren
  /** Nothing in the header leads away: a lesson is running. */
  stay?: boolean
  children: ComponentChildren
}) {
  const t = useMessages()
  return (
    <>
      <a class="skip" href="#main" onClick={toContent}>
        {t.common.skip}
      </a>
      <header class="top">
        <a class="brand" {...(props.stay === true ? {} : { href: '/' })}>
          <img src="/favicon.svg" alt="" width="32" height="32" />
          <span>{t.common.product}</span>
        </a>
        <nav>{props.links}</nav>
        <LanguageSwitch />
      </header>
      <main id="main" tabIndex={-1}>
        <h1>{props.title}</h1>
        {props.children}
      </main>
    </>
  )
}

export function Notice(props: {
  kind: 'info' | 'warning' | 'bad'
  title: string
  icon?: IconName
  children?: ComponentChildren
}) {
  return (
    <section class={`notice ${props.kind}`} role={props.kind === 'bad' ? 'alert' : 'status'}>
      <Icon name={props.icon ?? 'warning'} />
      <div>
        <strong>{props.title}</strong>
        {props.children}
      </div>
    </section>
  )
}

/** Shown instead of a page that was opened without a link, or with one that is used up. */
export function NoLink(props: { expired: boolean }) {
  const t = useMessages()
  const [title, fix] = props.expired
    ? [t.common.linkExpired, t.common.linkExpiredFix]
    : [t.common.linkMissing, t.common.linkMissingFix]
  return (
    <Notice kind="warning" title={title} icon="link">
      <p>{fix}</p>
    </Notice>
  )
}
