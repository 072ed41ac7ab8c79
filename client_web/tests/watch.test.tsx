/*
 * Whence a lesson plays: from the device or from a server, and what goes along with it.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { Lesson } from '../src/api'
import { Watch } from '../src/library/watch'
import { Observable } from '../src/observable'
import type { Holding, Keeper } from '../src/offline/keeper'
import { buttonIn, FakeDocument, type FakeElement } from './fake_dom'

const LESSON = {
  id: 'om',
  title: 'Ôm',
  playable: true,
  state: 'published',
  materials: 'd'.repeat(64),
} as unknown as Lesson
const FILES = ['a', 'b'].map((sign) => ({
  name: `${sign}.txt`,
  bytes: 4,
  digest: sign.repeat(64),
}))

/** Where the players of this page were to play from. */
const archives = vi.hoisted((): string[] => [])
vi.mock('../src/library/player', async () => {
  const { Observable: Model } = await import('../src/observable')
  return {
    Player: class extends Model {
      state = 'ready'
      length = 100
      time = 0
      heights = []
      captionsChoices = []
      caption = ''
      resumedFrom = null
      readonly main = document.createElement('video')
      readonly screen = document.createElement('video')
      constructor(options: { archive: string }) {
        super()
        archives.push(options.archive)
      }
      open = async (): Promise<void> => undefined
      close(): void {}
    },
  }
})

let page: FakeDocument
let asked: string[]

beforeEach(() => {
  vi.useFakeTimers()
  asked = []
  archives.length = 0
  page = new FakeDocument()
  vi.stubGlobal('window', globalThis)
  vi.stubGlobal('document', page)
  vi.stubGlobal('location', { origin: 'http://relay.test' })
  vi.stubGlobal('navigator', { serviceWorker: { controller: {} }, userAgent: '' })
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('removeEventListener', () => undefined)
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url)
    return new Response(JSON.stringify({ materials: FILES }))
  })
})
afterEach(() => {
  page.draw(null)
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const drawn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(200)
const button = (text: string): FakeElement => buttonIn(page.root, text)

class FakeKeeper extends Observable {
  constructor(private readonly held: Partial<Holding>) {
    super()
  }
  holding(): Partial<Holding> {
    return { lesson: LESSON, bytes: 1, total: 1, missing: [], hasMaterials: true, ...this.held }
  }
}
async function watch(held: Partial<Holding>): Promise<void> {
  const keeper = new FakeKeeper(held) as unknown as Keeper
  page.draw(<Watch lesson={LESSON} token="T" keeper={keeper} />)
  await drawn()
}

it('plays from the device once its recording is whole, with what is here of the rest', async () => {
  await watch({ state: 'on-its-way', isPlayable: true, missing: FILES.slice(0, 1) })
  expect(archives).toEqual(['/kept/om'])
  expect(asked).toEqual(['/kept/om/materials.json'])
  button('b.txt').press()
  await drawn()
  expect(asked[1]).toBe(`/kept/om/materials/${'b'.repeat(64)}`)
})
it('asks the school for a file that is not here', async () => {
  await watch({ state: 'on-its-way', isPlayable: true, missing: FILES.slice(0, 1) })
  button('a.txt').press()
  await drawn()
  expect(asked[1]).toBe(`http://relay.test/api/lessons/om/materials/${'a'.repeat(64)}`)
})
it('plays from the server while its recording is on its way', async () => {
  await watch({ state: 'loading', isPlayable: false, missing: FILES })
  expect(archives).toEqual(['http://relay.test/archives/om'])
  expect(asked).toEqual(['http://relay.test/api/lessons/om/materials'])
})
