/*
 * A lesson is said to be kept when the page itself opens without a network, and not before.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lesson } from '../src/api'
import { vi as words } from '../src/i18n/vi'
import type { Material } from '../src/materials/list'
import { Observable } from '../src/observable'
import type { Holding, Keeper, KeepState } from '../src/offline/keeper'
import { PageWorker } from '../src/offline/page_worker'
import { KeepPanel } from '../src/offline/panel'
import { KeptShelf } from '../src/offline/shelf'
import { FakeDocument } from './fake_dom'

const LESSON = { id: 'om', title: 'Ôm' } as Lesson

class FakeWorker extends EventTarget {
  state = 'installing'
  to(state: string): void {
    this.state = state
    this.dispatchEvent(new Event('statechange'))
  }
}

/** What a browser says to each attempt, one after the other. */
class FakeContainer {
  active: object | null = null
  tries = 0
  constructor(private readonly answers: (FakeWorker | Error)[]) {}
  getRegistration = async (): Promise<unknown> => ({ active: this.active })
  register = async (): Promise<unknown> => {
    const answer = this.answers[Math.min(this.tries, this.answers.length - 1)]
    this.tries += 1
    if (answer instanceof Error) throw answer
    return { active: this.active, waiting: null, installing: answer }
  }
}
const workerOf = (container: FakeContainer): PageWorker =>
  new PageWorker(() => container as unknown as ServiceWorkerContainer)

class FakeKeeper extends Observable {
  readonly space = { free: 1e9, persisted: true }
  readonly bytes = 1
  begun = 0
  constructor(
    private readonly state: KeepState | null,
    private readonly missing: Material[] | null = null,
  ) {
    super()
  }
  get holdings(): Holding[] {
    const size = 'voice'
    const { state, missing } = this
    if (state === null) return []
    const isPlayable = state === 'kept' || missing !== null
    const materials = { hasMaterials: missing !== null, missing: missing ?? [] }
    return [{ lesson: LESSON, size, state, isPlayable, bytes: 4e6, total: 4e7, ...materials }]
  }
  holding(): Holding | null {
    return this.holdings[0] ?? null
  }
  offer = async (): Promise<unknown> => ({
    options: [{ size: 'voice', renditions: ['voice'], bytes: 4e7 }],
    suggested: null,
    free: 1e9,
  })
  keep = (): Promise<void> => {
    this.begun += 1
    return new Promise(() => undefined)
  }
}

let page: FakeDocument
beforeEach(() => {
  vi.useFakeTimers()
  page = new FakeDocument()
  vi.stubGlobal('document', page)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})
const drawn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(200)

const panel = (keeper: FakeKeeper, worker: PageWorker): void =>
  page.draw(<KeepPanel keeper={keeper as unknown as Keeper} lesson={LESSON} worker={worker} />)

describe('the service worker', () => {
  it('stands when every one of its files came, and is tried again until then', async () => {
    const [broken, whole] = [new FakeWorker(), new FakeWorker()]
    const container = new FakeContainer([new TypeError('Failed to fetch'), broken, whole])
    const worker = workerOf(container)
    worker.start()
    worker.start()
    await vi.advanceTimersByTimeAsync(5_000)
    expect([container.tries, worker.state]).toEqual([2, 'coming'])
    broken.to('redundant')
    await vi.advanceTimersByTimeAsync(10_000)
    expect([container.tries, worker.state]).toEqual([3, 'coming'])
    whole.to('activated')
    await drawn()
    expect(worker.state).toBe('active')
    await vi.advanceTimersByTimeAsync(600_000)
    expect(container.tries).toBe(3)
  })
  it('that stands already needs no network to be known', async () => {
    const container = new FakeContainer([new TypeError('Failed to fetch')])
    container.active = {}
    const worker = workerOf(container)
    worker.start()
    await drawn()
    expect(worker.state).toBe('active')
  })
  it('may be refused for good', async () => {
    const container = new FakeContainer([new DOMException('certificate', 'SecurityError')])
    const worker = workerOf(container)
    worker.start()
    await vi.advanceTimersByTimeAsync(600_000)
    expect([container.tries, worker.state]).toEqual([1, 'refused'])
  })
})

describe('a lesson whose files are all here', () => {
  it('is said to be kept once the page is, too', async () => {
    const coming = new FakeWorker()
    const worker = workerOf(new FakeContainer([coming]))
    panel(new FakeKeeper('kept'), worker)
    worker.start()
    await drawn()
    expect(page.root.text).toContain(words.offline.keptWith.coming('40 MB'))
    coming.to('activated')
    await drawn()
    expect(page.root.text).toContain(words.offline.keptWith.active('40 MB'))
  })
})

describe('a lesson some of whose materials are not here', () => {
  const MISSING = ['Ôm.pdf', 'Phiếu.docx'].map((name) => ({ name, bytes: 1, digest: name }))
  const standing = async (): Promise<PageWorker> => {
    const container = new FakeContainer([new TypeError('Failed to fetch')])
    container.active = {}
    const worker = workerOf(container)
    worker.start()
    await drawn()
    return worker
  }
  it.each(['loading', 'waiting', 'on-its-way', 'full', 'failed'] as const)(
    'plays, and says which and why (%s)',
    async (state) => {
      panel(new FakeKeeper(state, MISSING), await standing())
      await drawn()
      expect(page.root.text).toContain(words.offline.keptWith.active('4 MB'))
      expect(page.root.text).toContain(words.offline.lacks('Ôm.pdf, Phiếu.docx'))
      expect(page.root.text).toContain(words.offline.lacksWhy[state])
    },
  )
  it('blames no network while they are on their way to the school', async () => {
    panel(new FakeKeeper('on-its-way', MISSING), await standing())
    await drawn()
    expect(page.root.text).not.toContain('mạng, sẽ')
    expect(page.root.text).toContain('đang trên đường về trường')
  })
  it('says on the shelf how many', async () => {
    const keeper = new FakeKeeper('on-its-way', MISSING) as unknown as Keeper
    page.draw(<KeptShelf keeper={keeper} offline={false} worker={await standing()} />)
    await drawn()
    expect(page.root.text).toContain(`${words.offline.keptShort.active}, 4 MB`)
    expect(page.root.text).toContain(words.offline.lacksShort(2))
  })
})

describe('the shelf', () => {
  const states = ['loading', 'waiting', 'on-its-way', 'full', 'failed'] as const
  it.each(states)('names a lesson %s', async (state) => {
    const keeper = new FakeKeeper(state) as unknown as Keeper
    page.draw(
      <KeptShelf keeper={keeper} offline={false} worker={workerOf(new FakeContainer([]))} />,
    )
    await drawn()
    expect(page.root.text).toContain(words.offline.partly[state]('4 MB', '40 MB'))
  })
})

describe('pressing to keep a lesson', () => {
  it('shows whether the browser refuses before anything is loaded', async () => {
    const keeper = new FakeKeeper(null)
    const worker = workerOf(new FakeContainer([new DOMException('certificate', 'SecurityError')]))
    panel(keeper, worker)
    await drawn()
    page.root.all('button')[0]?.press()
    await drawn()
    expect([keeper.begun, worker.state]).toEqual([0, 'refused'])
  })
  it('names what is kept without the materials, where that is offered', async () => {
    const keeper = new FakeKeeper(null)
    const small = { size: 'small', renditions: ['voice'], bytes: 105e6 } as const
    const alone = { ...small, bytes: 5e6, leavesOut: true } as const
    const voice = { size: 'voice', renditions: ['voice'], bytes: 101e6 } as const
    keeper.offer = async () => ({ options: [small, alone, voice], suggested: small, free: 2e8 })
    const keep = vi.spyOn(keeper, 'keep')
    panel(keeper, workerOf(new FakeContainer([new FakeWorker()])))
    await drawn()
    page.root.all('button')[0]?.press()
    await drawn()
    expect(page.root.all('option').map((one) => one.text)).toEqual([
      words.offline.option(words.offline.sizes.small, '105 MB'),
      words.offline.optionWithout(words.offline.sizes.small, '5 MB'),
      words.offline.option(words.offline.sizes.voice, '101 MB'),
    ])
    page.root.all('select')[0]?.change('small-alone')
    await drawn()
    page.root.all('button')[0]?.press()
    expect(keep.mock.calls[0]).toContain(alone)
  })
  it('is answered at once, and begins it once', async () => {
    const keeper = new FakeKeeper(null)
    panel(keeper, workerOf(new FakeContainer([new FakeWorker()])))
    await drawn()
    page.root.all('button')[0]?.press()
    await drawn()
    const [save] = page.root.all('button')
    save?.press()
    save?.press()
    await drawn()
    expect(keeper.begun).toBe(1)
    expect(page.root.text).toContain(words.offline.beginning)
  })
})
