/*
 * Parts of a page that are loaded when they are first wanted, and what is done when one does not come.
 *
 * A browser may remember for the life of a page that a part did not come, and after an update the
 * server has parts of other names only. Then nothing helps but to open the page anew, which is done
 * seldom and only while its server answers. What must not live here: what the parts are for.
 */
import { ANSWER_LIMIT_MS, timeLimit } from './http'
import { loadForTab, saveForTab } from './token'

const AGAIN_MS = 4_000
const RENEWED_KEY = 'classroom.renewed'
/** Where that did not help, a page may be opened anew again after so long. */
const RENEW_EVERY_MS = 10 * 60_000

/** A part of the page did not come. */
export class PartMissing extends Error {}

/** opened: the page is about to begin anew · away: no server gives it now · lately: it did so just now. */
export type Renewal = 'opened' | 'away' | 'lately'

/** What `load` imports; throws `PartMissing`. */
export async function part<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw new PartMissing('a part of the page did not come', { cause })
  }
}

/** Open the page anew, so that a part that did not come is asked for again. */
export async function renew(): Promise<Renewal> {
  const last = Number.parseFloat(loadForTab(RENEWED_KEY) ?? '')
  if (Math.abs(Date.now() - last) < RENEW_EVERY_MS) return 'lately'
  try {
    // What a browser shows in place of a page that it cannot load has no way back.
    const signal = timeLimit(ANSWER_LIMIT_MS)
    const answer = await fetch(location.href, { cache: 'no-store', signal })
    if (!answer.ok) return 'away'
  } catch {
    return 'away'
  }
  const now = String(Date.now())
  saveForTab(RENEWED_KEY, now)
  // A browser that remembers nothing would do it without end.
  if (loadForTab(RENEWED_KEY) !== now) return 'lately'
  location.reload()
  return 'opened'
}

/**
 * Do `use`, which wants a part, again and again until it does not throw `PartMissing`. isNeeded: it is
 * worth opening the page anew. Returns how to stop.
 */
export function withPart(use: () => Promise<void>, isNeeded = true): () => void {
  let isStopped = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const attempt = async (count: number): Promise<void> => {
    try {
      await use()
    } catch (error) {
      if (!(error instanceof PartMissing)) throw error
      // Some browsers do ask again.
      if (count > 0 && isNeeded && !isStopped) await renew()
      if (!isStopped) timer = setTimeout(() => void attempt(count + 1), AGAIN_MS)
    }
  }
  void attempt(0)
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
