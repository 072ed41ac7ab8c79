/*
 * The service worker of the library: the page itself and the lessons kept on this device, without
 * any network.
 *
 * Lives here: answering from caches. What must not: fetching lessons (offline/keeper.ts), anything
 * of other pages; its scope is /library. The page and its files come from the cache of one build as
 * a whole, so that an old page never meets new files; a new build waits until no page of the old one
 * is open. Built apart from the pages (vite.config.ts), which puts in the names of their files.
 */
declare const self: ServiceWorkerGlobalScope
declare const LIBRARY_FILES: readonly string[]
declare const LIBRARY_VERSION: string

const PAGE = '/library'
const PAGES = `library-${LIBRARY_VERSION}`
const KEPT = /^\/kept\/([a-z0-9][a-z0-9-]{2,39})\//

self.addEventListener('install', (event) => {
  event.waitUntil(fill())
})

self.addEventListener('activate', (event) => {
  event.waitUntil(takeOver())
})

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url)
  if (event.request.method !== 'GET' || url.origin !== self.location.origin) return
  const kept = KEPT.exec(url.pathname)
  if (kept !== null) event.respondWith(fromKept(kept[1] ?? '', event.request))
  else if (url.pathname === PAGE || LIBRARY_FILES.includes(url.pathname))
    event.respondWith(fromPages(url.pathname, event.request))
})

async function fill(): Promise<void> {
  const cache = await caches.open(PAGES)
  // Past the browser's own cache for the page, which says no-cache; files carry digests in their names.
  await cache.addAll([new Request(PAGE, { cache: 'reload' }), ...LIBRARY_FILES])
}

async function takeOver(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith('library-') && name !== PAGES)
  await Promise.all(old.map((name) => caches.delete(name)))
  // The page that registered this worker may keep lessons at once.
  await self.clients.claim()
}

async function fromPages(path: string, request: Request): Promise<Response> {
  let found: Response | undefined
  try {
    found = await (await caches.open(PAGES)).match(path)
  } catch {
    // A storage that cannot be read must not keep the page from those who have a network.
  }
  return found ?? fetch(request)
}

/** By the very address first: the voice alone has a playlist of its own under another query. */
async function fromKept(lesson: string, request: Request): Promise<Response> {
  const name = `kept-${lesson}`
  if (!(await caches.has(name))) return absent()
  const cache = await caches.open(name)
  const options = { ignoreVary: true }
  return (
    (await cache.match(request, options)) ??
    (await cache.match(request, { ...options, ignoreSearch: true })) ??
    absent()
  )
}

const absent = (): Response => new Response('not kept here', { status: 404 })

// A module, so that `self` here is the worker's alone; the build makes a plain script of it.
export {}
