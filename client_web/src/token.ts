/*
 * The person's link: the token in the address, kept by this browser, and what it says.
 *
 * Lives here: reading `#token=…` and storing it per page. What must not: checking signatures (the
 * servers do that). The fragment is removed at once, so that the token is not in the address that
 * is shown on a projector or copied by mistake.
 */
import type { PageName } from './events/wire'

/** The claims that pages look at; everything else is the servers' affair. */
export interface Claims {
  name: string
  role: string
  /** A lesson's id, or "*". */
  lesson: string
  /** Unix seconds, or null. */
  expiresAt: number | null
}

export interface Link {
  token: string
  claims: Claims
  /** The lesson that the link names beside its token, or that the token is for. */
  lesson: string | null
}

const key = (page: PageName): string => `classroom.${page}.link`

/** The link of this page: from the address if it has one, else the one kept; null if neither. */
export function takeLink(page: PageName): Link | null {
  const given = new URLSearchParams(location.hash.slice(1))
  const token = given.get('token')
  if (token !== null && token !== '') {
    save(key(page), JSON.stringify({ token, lesson: given.get('lesson') }))
    history.replaceState(history.state, '', location.pathname + location.search)
    return toLink(token, given.get('lesson'))
  }
  // A teacher may look into the library, too: any link that this browser holds will do there.
  const places: PageName[] = page === 'library' ? ['library', 'teach', 'room'] : [page]
  for (const place of places) {
    const kept = parse(load(key(place)))
    if (kept !== null) return toLink(kept.token, place === page ? kept.lesson : null)
  }
  return null
}

/** A new link opened in this very tab changes only the fragment, which loads nothing by itself. */
export function followLinks(): void {
  addEventListener('hashchange', () => {
    if (new URLSearchParams(location.hash.slice(1)).has('token')) location.reload()
  })
}

/** What the token says about itself; unreadable tokens give empty claims. */
export function readClaims(token: string): Claims {
  let map: Record<string, unknown> = {}
  try {
    const part = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/')
    const bytes = Uint8Array.from(atob(part), (char) => char.charCodeAt(0))
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof value === 'object' && value !== null) map = value as Record<string, unknown>
  } catch {
    // Not a readable token; the server will refuse it with a reason.
  }
  const text = (name: string): string => (typeof map[name] === 'string' ? map[name] : '')
  return {
    name: text('name'),
    role: text('role'),
    lesson: text('lesson'),
    expiresAt: typeof map['exp'] === 'number' ? map['exp'] : null,
  }
}

function toLink(token: string, lesson: string | null): Link {
  const claims = readClaims(token)
  const own = claims.lesson === '' || claims.lesson === '*' ? null : claims.lesson
  return { token, claims, lesson: own ?? lesson }
}

function parse(text: string | null): { token: string; lesson: string | null } | null {
  try {
    const kept = JSON.parse(text ?? '') as { token?: unknown; lesson?: unknown } | null
    if (typeof kept?.token !== 'string') return null
    return { token: kept.token, lesson: typeof kept.lesson === 'string' ? kept.lesson : null }
  } catch {
    return null
  }
}

/** Storage that is full or forbidden must not break a lesson. */
export function save(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name)
    else localStorage.setItem(name, value)
  } catch {
    // The page works on without remembering.
  }
}

export function load(name: string): string | null {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

/** As `save`, but only this tab reads it, also after a reload. */
export function saveForTab(name: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(name)
    else sessionStorage.setItem(name, value)
  } catch {
    // The page works on without remembering.
  }
}

export function loadForTab(name: string): string | null {
  try {
    return sessionStorage.getItem(name)
  } catch {
    return null
  }
}
