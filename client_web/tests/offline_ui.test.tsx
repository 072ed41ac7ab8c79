/*
 * What is seen of lessons on the device: deleting one takes two presses meant for it.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
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
    { lesson: { id: 'om', title: 'Ôm' }, size: 'voice', state: 'kept', bytes: 1, total: 1 },
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
