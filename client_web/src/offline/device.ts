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
import { pageWorker } from './page_worker'
import { Store } from './store'

export { pageWorker }

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
  // The control plane has no recordings, and so no worker either; what is here came from a relay.
  if (keeper.holdings.length > 0) pageWorker.start()
  return keeper
}
