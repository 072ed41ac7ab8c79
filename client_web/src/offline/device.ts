/*
 * This device as a place for lessons: the keeper over its storage, and the service worker.
 *
 * Loaded when the library's page is drawn already, and only where the browser may keep lessons.
 */
import { archiveOf, hostOf } from '../library/catalog'
import { playable } from '../library/plays'
import { placeAt } from '../materials/list'
import { canKeep } from './able'
import { Keeper } from './keeper'
import { Store } from './store'

/** The keeper with what is here already; null where this browser keeps nothing. */
export async function openKeeper(token: () => string): Promise<Keeper | null> {
  if (!canKeep()) return null
  const keeper = new Keeper(
    new Store(caches),
    (lesson) => archiveOf(lesson, location.origin),
    (lesson) => placeAt(hostOf(lesson, location.origin), lesson.id, token()),
    token,
    playable(),
  )
  await keeper.load()
  return keeper
}

/**
 * Let the service worker bring the page without a network. Refused by servers that have none, as
 * the control plane, which keeps no recordings.
 */
export async function installWorker(): Promise<void> {
  await navigator.serviceWorker
    .register('/sw.js', { scope: '/library', updateViaCache: 'none' })
    .catch(() => undefined)
}
