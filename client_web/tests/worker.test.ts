/*
 * The service worker answers for the library's page from its cache, and never worse than the network.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

type Answering = (event: { request: Request; respondWith: (answer: unknown) => void }) => void

/** Outside what these tests are checked with: its types are a worker's. */
const WORKER: string = '../src/worker/sw'
const ORIGIN = 'https://relay.test'
let cached: () => Promise<Response | undefined>
let answering: Answering

beforeEach(async () => {
  vi.resetModules()
  cached = async () => undefined
  vi.stubGlobal('LIBRARY_FILES', ['/assets/library.js'])
  vi.stubGlobal('LIBRARY_VERSION', '1')
  vi.stubGlobal('caches', { open: async () => ({ match: () => cached() }) })
  vi.stubGlobal('fetch', async () => new Response('network'))
  vi.stubGlobal('self', {
    location: { origin: ORIGIN },
    addEventListener: (name: string, listener: Answering) => {
      if (name === 'fetch') answering = listener
    },
  })
  await import(WORKER)
})
afterEach(() => vi.unstubAllGlobals())

async function ask(path: string): Promise<string | null> {
  let given: unknown = null
  answering({ request: new Request(ORIGIN + path), respondWith: (answer) => (given = answer) })
  return given === null ? null : (await (given as Promise<Response>)).text()
}

it('answers from its cache', async () => {
  cached = async () => new Response('cached')
  expect(await ask('/library')).toBe('cached')
})
it('asks the network where its cache has nothing, or cannot be read', async () => {
  expect(await ask('/assets/library.js')).toBe('network')
  cached = async () => Promise.reject(new DOMException('', 'UnknownError'))
  expect(await ask('/assets/library.js')).toBe('network')
})
it('leaves other pages alone', async () => {
  expect(await ask('/room')).toBeNull()
})
