/*
 * The library's page as a whole, while the server that it asks is away.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { vi as words } from '../src/i18n/vi'
import { Observable } from '../src/observable'
import { FakeStorage } from './fake_browser'
import { FakeDocument } from './fake_dom'

class FakeKeeper extends Observable {
  readonly space = { free: 1e9, persisted: true }
  readonly bytes = 1
  readonly holdings = [
    {
      lesson: { id: 'om', title: 'Định luật Ôm' },
      size: 'voice',
      state: 'kept',
      bytes: 1,
      total: 1,
    },
  ]
  holding(): null {
    return null
  }
  stop(): void {}
}

let page: FakeDocument

beforeEach(() => {
  vi.resetModules()
  vi.useFakeTimers()
  page = new FakeDocument()
  page.root.setAttribute('id', 'app')
  vi.stubGlobal('document', page)
  vi.stubGlobal('window', globalThis)
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('removeEventListener', () => undefined)
  vi.stubGlobal('scrollTo', () => undefined)
  vi.stubGlobal('localStorage', new FakeStorage())
  vi.stubGlobal('sessionStorage', new FakeStorage())
  vi.stubGlobal('fetch', async () => {
    throw new TypeError('Failed to fetch')
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.doUnmock('../src/offline/device')
})

/** Open the page at `hash` and let it draw. */
async function open(hash: string): Promise<void> {
  const origin = 'http://relay.test'
  vi.stubGlobal('location', { origin, hash, href: `${origin}/library${hash}` })
  await import('../src/library/main')
  await vi.dynamicImportSettled()
  await vi.advanceTimersByTimeAsync(1_000)
}

const links = (): (string | null)[] => page.root.all('a').map((one) => one.getAttribute('href'))

describe('a lesson that is not kept, without a network', () => {
  it('says so, and leads back to the list', async () => {
    vi.stubGlobal('isSecureContext', false)
    await open('#lesson=toan-7')
    expect(page.root.text).toContain(words.common.cannotReach)
    expect(page.root.text).toContain(words.library.back)
  })
  it('leads to what is kept, too', async () => {
    vi.stubGlobal('isSecureContext', true)
    vi.stubGlobal('navigator', { serviceWorker: {} })
    vi.stubGlobal('caches', {})
    vi.stubGlobal('MediaSource', class {})
    vi.doMock('../src/offline/device', () => ({ openKeeper: async () => new FakeKeeper() }))
    await open('#lesson=toan-7')
    expect(page.root.text).toContain(words.common.cannotReach)
    expect(page.root.text).toContain(words.library.back)
    expect(links()).toContain('#lesson=om')
  })
})
