/*
 * Which language the page speaks, and how dates, times and sizes are written in it.
 *
 * Vietnamese unless the person chose otherwise; the choice is kept in this browser. What must not
 * live here: sentences (vi.ts, en.ts).
 */
import { createContext, type ComponentChildren } from 'preact'
import { useContext, useEffect, useState } from 'preact/hooks'
import { en } from './en'
import { vi, type Messages } from './vi'

export type { Messages } from './vi'
export type Lang = 'vi' | 'en'

export const LANGUAGES: Readonly<Record<Lang, Messages>> = { vi, en }
const KEY = 'classroom.lang'

interface Language {
  lang: Lang
  t: Messages
  choose: (lang: Lang) => void
}

const Context = createContext<Language>({ lang: 'vi', t: vi, choose: () => undefined })

export function savedLang(): Lang {
  try {
    return localStorage.getItem(KEY) === 'en' ? 'en' : 'vi'
  } catch {
    return 'vi' // Storage may be forbidden; then the choice lasts as long as the page.
  }
}

/** `title` picks the page's part of the document title. */
export function LanguageProvider(props: {
  title: (t: Messages) => string
  children: ComponentChildren
}) {
  const [lang, setLang] = useState<Lang>(savedLang)
  const t = LANGUAGES[lang]
  const title = `${props.title(t)} · ${t.common.product}`
  useEffect(() => {
    document.documentElement.lang = lang
    document.title = title
  }, [lang, title])
  const choose = (next: Lang): void => {
    try {
      localStorage.setItem(KEY, next)
    } catch {
      // See savedLang.
    }
    setLang(next)
  }
  return <Context.Provider value={{ lang, t, choose }}>{props.children}</Context.Provider>
}

export const useLanguage = (): Language => useContext(Context)
export const useMessages = (): Messages => useContext(Context).t

const LOCALE: Readonly<Record<Lang, string>> = { vi: 'vi-VN', en: 'en-GB' }

/** "14:05" in the person's own time zone. `at`: milliseconds since 1970. */
export const clockTime = (at: number, lang: Lang): string =>
  new Date(at).toLocaleTimeString(LOCALE[lang], { hour: '2-digit', minute: '2-digit' })

/** "21/11/2026". */
export const dayOf = (at: number, lang: Lang): string =>
  new Date(at).toLocaleDateString(LOCALE[lang], {
    day: 'numeric',
    month: 'numeric',
    year: 'numeric',
  })

/** "14:05, 21/11/2026", or only the time when it is today. */
export function dayAndTime(at: number, lang: Lang): string {
  const today = new Date().toDateString() === new Date(at).toDateString()
  return today ? clockTime(at, lang) : `${clockTime(at, lang)}, ${dayOf(at, lang)}`
}

/** 3725 → "1:02:05", 65 → "1:05". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}

/** 1234567 → "1,2 MB" in Vietnamese, "1.2 MB" in English. */
export function size(bytes: number, lang: Lang): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let at = 0
  let value = Math.max(0, bytes)
  while (value >= 1_000 && at < units.length - 1) {
    value /= 1_000
    at += 1
  }
  const digits = at === 0 || value >= 100 ? 0 : 1
  return `${value.toLocaleString(LOCALE[lang], { maximumFractionDigits: digits })} ${units[at]}`
}
