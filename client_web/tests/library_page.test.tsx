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
      // Of its materials some are on their way to the school.
      state: 'on-its-way',
      isPlayable: true,
      missing: [],
      bytes: 1,
      total: 1,
    },
  ]
  holding(id: string): unknown {
    return this.holdings.find((one) => one.lesson.id === id) ?? null
  }
  stop(): void {}
}

let page: FakeDocument
/** What the server says to everything, or null while it is away. */
let answer: unknown

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
  answer = null
  vi.stubGlobal('fetch', async () => {
    if (answer === null) throw new TypeError('Failed to fetch')
    return new Response(JSON.stringify(answer))
  })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.doUnmock('../src/offline/device')
  vi.doUnmock('../src/library/watch')
})

/** Chunks come in real time. */
const wait = globalThis.setTimeout

async function until(test: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !test(); tries += 1) {
    await new Promise((resolve) => wait(resolve, 10))
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(test()).toBe(true)
}

/** Open the page at `hash`. */
async function open(hash: string): Promise<void> {
  const origin = 'http://relay.test'
  vi.stubGlobal('location', { origin, hash, href: `${origin}/library${hash}` })
  await import('../src/library/main')
}

const links = (): (string | null)[] => page.root.all('a').map((one) => one.getAttribute('href'))

describe('a browser', () => {
  beforeEach(() => {
    vi.stubGlobal('isSecureContext', true)
    vi.stubGlobal('navigator', { serviceWorker: {} })
    vi.stubGlobal('caches', {})
  })
  it('keeps lessons where pages can hand media to it piece by piece', async () => {
    const { canKeep } = await import('../src/offline/able')
    expect(canKeep()).toBe(false)
    vi.stubGlobal('ManagedMediaSource', class {})
    expect(canKeep()).toBe(true)
    vi.stubGlobal('isSecureContext', false)
    expect(canKeep()).toBe(false)
  })
  it('is asked again for the part that keeps lessons, and is not said to keep none', async () => {
    vi.stubGlobal('MediaSource', class {})
    let tries = 0
    vi.doMock('../src/offline/device', () => ({
      get openKeeper() {
        tries += 1
        if (tries === 1) throw new TypeError('Failed to fetch dynamically imported module')
        return async () => new FakeKeeper()
      },
    }))
    const shown: unknown[] = []
    vi.doMock('../src/library/watch', () => ({
      Watch: (props: { keeper: unknown }) => {
        shown.push(props.keeper)
        return null
      },
    }))
    answer = { lessons: [{ id: 'toan-7', title: 'Toán', playable: true }], total: 1 }
    await open('#lesson=toan-7')
    await until(() => shown.length > 0)
    expect([...new Set(shown)]).toEqual([undefined])
    await until(() => shown.at(-1) instanceof FakeKeeper)
    expect(shown).not.toContain(null)
  })
})

describe('a lesson that is not kept, without a network', () => {
  it('says so, and leads back to the list', async () => {
    vi.stubGlobal('isSecureContext', false)
    await open('#lesson=toan-7')
    await until(() => page.root.text.includes(words.common.cannotReach))
    expect(page.root.text).toContain(words.library.back)
  })
  it('leads to what is kept, too', async () => {
    vi.stubGlobal('isSecureContext', true)
    vi.stubGlobal('navigator', { serviceWorker: {} })
    vi.stubGlobal('caches', {})
    vi.stubGlobal('MediaSource', class {})
    vi.doMock('../src/offline/device', () => ({ openKeeper: async () => new FakeKeeper() }))
    await open('#lesson=toan-7')
    await until(() => page.root.text.includes(words.common.cannotReach))
    expect(page.root.text).toContain(words.library.back)
    await until(() => links().includes('#lesson=om'))
  })
})

describe('a lesson whose recording is kept', () => {
  it('opens where no server knows it, whatever of its materials is here', async () => {
    vi.stubGlobal('isSecureContext', true)
    vi.stubGlobal('navigator', { serviceWorker: {} })
    vi.stubGlobal('caches', {})
    vi.stubGlobal('MediaSource', class {})
    vi.doMock('../src/offline/device', () => ({ openKeeper: async () => new FakeKeeper() }))
    vi.doMock('../src/library/watch', () => ({
      Watch: (props: { lesson: { title: string } }) => `watching ${props.lesson.title}`,
    }))
    answer = { lessons: [], total: 0 }
    await open('#lesson=om')
    await until(() => page.root.text.includes('watching'))
    await vi.advanceTimersByTimeAsync(5_000)
    expect(page.root.text).toContain('watching Định luật Ôm')
  })
})
