/*
 * A lesson as one file, where this browser keeps no lessons in the page.
 *
 * Lives here: asking the relay how far the file is (relay/web/files.py) and handing it to the
 * browser, which saves it. What must not: keeping lessons in the page (panel.tsx).
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { Problem, request, timeLimit, Unreachable } from '../http'
import { useLanguage } from '../i18n'
import { askLan } from '../ui/lan'
import { Icon } from '../ui/icons'
import { inMegabytes } from './plan'

const PICTURES = ['auto', 'screen', 'camera', 'none'] as const
type Picture = (typeof PICTURES)[number]

/** What somebody pressed for; each press is one of its own, so that it may be pressed again. */
interface Wish {
  picture: Picture
}

type State = 'waiting' | 'making' | 'ready' | 'incomplete' | 'full' | 'busy' | 'failed' | 'none'

interface Answer {
  state: State
  bytes: number
  plays_everywhere: boolean
}

/** An answer, and the wish that it belongs to. */
interface Granted {
  wish: Wish
  answer: Answer
}

const AGAIN_MS = 1_500
const PROBE_MS = 4_000

export function FilePanel(props: { lesson: Lesson; archive: string; token: string }) {
  const { t, lang } = useLanguage()
  const { lesson, archive, token } = props
  const [picture, setPicture] = useState<Picture>('auto')
  const [wish, want] = useState<Wish | null>(null)
  const answer = useFile(archive, token, wish)
  const secure = useSecureAddress(lesson.id)
  const isReady = wish !== null && answer?.state === 'ready'
  const link = useRef<HTMLAnchorElement>(null)
  const taken = useRef<Wish | null>(null)
  useEffect(() => {
    if (!isReady || taken.current === wish) return
    taken.current = wish
    // As if pressed: what the server refuses by now leaves this page where it is, too.
    link.current?.click()
  }, [isReady, wish])
  const isUnderWay = answer?.state === 'waiting' || answer?.state === 'making'
  return (
    <section class="keeping" aria-labelledby="file-title">
      <h2 id="file-title">{t.file.title}</h2>
      <p>{globalThis.isSecureContext ? t.file.textPlain : t.file.text}</p>
      {secure !== null && (
        <p>
          <a href={secure}>{t.file.secure}</a>
        </p>
      )}
      <div class="choose">
        <label class="field">
          <span>{t.file.picture}</span>
          <select
            value={picture}
            onChange={(event) => {
              setPicture(event.currentTarget.value as Picture)
              want(null)
            }}
          >
            {PICTURES.map((one) => (
              <option value={one}>{t.file.pictures[one]}</option>
            ))}
          </select>
        </label>
        <button
          type="button"
          class="button primary"
          disabled={isUnderWay}
          onClick={() => want({ picture })}
        >
          <Icon name="keep" />
          {t.file.load}
        </button>
      </div>
      <p role="status">
        {isUnderWay && t.file.making}
        {isReady && (
          <a ref={link} href={fileAddress(archive, wish.picture, token)} download>
            {t.file.ready(inMegabytes(answer.bytes, lang))}
          </a>
        )}
        {isReady && !answer.plays_everywhere && ` ${t.file.maybeNot}`}
        {answer !== null && !isUnderWay && !isReady && t.file[answer.state as 'failed']}
      </p>
    </section>
  )
}

function fileAddress(archive: string, picture: Picture, token: string): string {
  const query = new URLSearchParams({ picture })
  if (token !== '') query.set('token', token)
  return `${archive}/file.mp4?${String(query)}`
}

/** How far the file that is wished for is; null while nobody wants one, or it was asked only now. */
function useFile(archive: string, token: string, wish: Wish | null): Answer | null {
  const [granted, grant] = useState<Granted | null>(null)
  useEffect(() => {
    if (wish === null) return
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout>
    const ask = async (isUnderWay: boolean): Promise<void> => {
      const answer = await askFile(archive, token, wish.picture, isUnderWay, stop.signal)
      if (stop.signal.aborted) return
      if (answer !== null) grant({ wish, answer })
      if (answer === null || answer.state === 'waiting' || answer.state === 'making')
        timer = setTimeout(() => void ask(true), AGAIN_MS)
    }
    void ask(false)
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [archive, token, wish])
  return granted !== null && granted.wish === wish ? granted.answer : null
}

/** null: of a file that is under way nothing can be said just now. */
async function askFile(
  archive: string,
  token: string,
  picture: Picture,
  isUnderWay: boolean,
  signal: AbortSignal,
): Promise<Answer | null> {
  try {
    const { text } = await request(`${archive}/file.json?picture=${picture}`, token, { signal })
    return JSON.parse(text) as Answer
  } catch (error) {
    // The relay, or a proxy before it, begins anew; it will make the file then.
    const status = error instanceof Problem ? error.status : 0
    if (isUnderWay && (error instanceof Unreachable || status > 500)) return null
    const state = status === 404 ? 'none' : 'failed'
    return { state, bytes: 0, plays_everywhere: true }
  }
}

/** This lesson at the relay's https address, where that can be reached from here; else null. */
function useSecureAddress(lesson: string): string | null {
  const [address, setAddress] = useState<string | null>(null)
  useEffect(() => {
    let left = false
    const look = async (): Promise<void> => {
      const secure = globalThis.isSecureContext ? null : ((await askLan())?.secure ?? null)
      if (secure === null || left) return
      try {
        const signal = timeLimit(PROBE_MS)
        // Only whether it answers: what it says is for its own pages.
        await fetch(new URL('/healthz', secure), { mode: 'no-cors', signal })
        if (!left) setAddress(`${secure}#lesson=${lesson}`)
      } catch {
        // Without internet its name is not found.
      }
    }
    void look()
    return () => {
      left = true
    }
  }, [lesson])
  return address
}
