/*
 * What is seen of lessons on the device: deleting one takes two presses meant for it, and a file can be
 * asked for until it is there.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lesson } from '../src/api'
import { FilePanel } from '../src/offline/file'
import type { Keeper } from '../src/offline/keeper'
import { KeptShelf } from '../src/offline/shelf'
import { vi as words } from '../src/i18n/vi'
import { Observable } from '../src/observable'
import { FakeDocument, type FakeElement } from './fake_dom'

let page: FakeDocument

beforeEach(() => {
  vi.useFakeTimers()
  page = new FakeDocument()
  vi.stubGlobal('document', page)
  vi.stubGlobal('location', { origin: 'http://relay.test', hash: '' })
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** Let what was changed be drawn. */
const drawn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(200)
const button = (text: string): FakeElement => {
  const found = page.root.all('button').find((one) => one.text === text)
  if (found === undefined) throw new Error(`no button says ${text}`)
  return found
}

class FakeKeeper extends Observable {
  readonly removed: string[] = []
  readonly space = { free: 1e9, persisted: true }
  readonly bytes = 1
  readonly holdings = [
    {
      lesson: { id: 'om', title: 'Ôm' },
      size: 'voice',
      state: 'kept',
      isPlayable: true,
      missing: [],
      bytes: 1,
      total: 1,
    },
  ]
  remove(id: string): void {
    this.removed.push(id)
  }
  /** One more file of another lesson is here. */
  grow(): void {
    this.changed()
  }
}

describe('deleting a lesson', () => {
  it('asks, with the focus on what deletes nothing, and takes the focus once', async () => {
    const keeper = new FakeKeeper()
    page.draw(<KeptShelf keeper={keeper as unknown as Keeper} offline={false} />)
    await drawn()
    button(words.offline.remove).press()
    await drawn()
    expect(page.activeElement?.text).toBe(words.offline.removeNo)
    const [title] = page.root.all('a')
    title?.focus()
    keeper.grow()
    await drawn()
    expect(page.activeElement).toBe(title)
    button(words.offline.removeYes).press()
    expect(keeper.removed).toEqual(['om'])
  })
  it('leaves the focus where it was when the lesson is to stay', async () => {
    page.draw(<KeptShelf keeper={new FakeKeeper() as unknown as Keeper} offline={false} />)
    await drawn()
    // Nothing was asked yet, so nothing takes the focus.
    expect(page.activeElement).toBeNull()
    button(words.offline.remove).press()
    await drawn()
    button(words.offline.removeNo).press()
    await drawn()
    expect(page.activeElement?.text).toBe(words.offline.remove)
  })
})

describe('a lesson as one file', () => {
  /** What the relay answers, one after the other; the last one again and again. */
  let answers: (string | number | 'away')[]
  let asked: number
  beforeEach(() => {
    asked = 0
    vi.stubGlobal('isSecureContext', true)
    vi.stubGlobal('location', {
      assign: () => {
        throw new Error('the page is left')
      },
    })
    vi.stubGlobal('fetch', async () => {
      const answer = answers[Math.min(asked, answers.length - 1)] ?? 'away'
      asked += 1
      if (answer === 'away') throw new TypeError('Failed to fetch')
      const status = typeof answer === 'number' ? answer : 200
      const body = { state: answer, bytes: 1e6, plays_everywhere: true }
      return new Response(JSON.stringify(body), { status })
    })
    const lesson = { id: 'om', title: 'Ôm' } as Lesson
    page.draw(<FilePanel lesson={lesson} archive="http://relay.test/archives/om" token="" />)
  })
  async function press(): Promise<void> {
    button(words.file.load).press()
    await drawn()
  }
  it.each(['busy', 'failed', 'away', 404] as const)('can be asked for after %s', async (first) => {
    answers = [first, 'ready']
    await press()
    expect(page.followed).toEqual([])
    await press()
    expect([asked, page.followed.length]).toEqual([2, 1])
    await press()
    expect([asked, page.followed.length]).toEqual([3, 2])
  })
  it.each(['away', 503] as const)('is waited for when its relay is %s meanwhile', async (fault) => {
    answers = ['making', fault, fault, 'making', 'ready']
    await press()
    await vi.advanceTimersByTimeAsync(4_000)
    expect(page.root.text).toContain(words.file.making)
    await vi.advanceTimersByTimeAsync(6_000)
    expect([asked, page.followed.length]).toEqual([5, 1])
  })
  it('is asked for once, and not by choosing another picture', async () => {
    answers = ['ready']
    await press()
    const [choice] = page.root.all('select')
    choice?.change('camera')
    await drawn()
    expect([asked, page.followed.length]).toEqual([1, 1])
    expect(page.root.all('a')).toEqual([])
    await press()
    expect(page.followed.map((address) => new URL(address).searchParams.get('picture'))).toEqual([
      'auto',
      'camera',
    ])
  })
  it('is given up when it cannot be made', async () => {
    answers = ['making', 500]
    await press()
    await vi.advanceTimersByTimeAsync(10_000)
    expect(asked).toBe(2)
    expect(page.root.text).toContain(words.file.failed)
  })
})
