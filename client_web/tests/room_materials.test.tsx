/*
 * The files that a class works on, while its lesson ends and the next one begins.
 */
import { useReducer, useState } from 'preact/hooks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { vi as pages } from '../src/i18n/vi'
import { materialsVi as words } from '../src/i18n/materials_vi'
import { MaterialList, placeAt } from '../src/materials/list'
import { OpenMaterials, type Opened } from '../src/room/materials'
import { fakeBlobAddresses } from './fake_blobs'
import { FakeStorage } from './fake_browser'
import { buttonIn, FakeDocument, type FakeElement } from './fake_dom'

const FILES = ['a', 'b'].map((sign) => ({ name: `${sign}.txt`, bytes: 4, digest: sign.repeat(64) }))
const placeOf = (lesson: string) => placeAt('http://relay.test', lesson, 'T')

let page: FakeDocument
/** Of the lesson that is watched, and of the next one. */
let lists: [MaterialList, MaterialList]
let opened: string | null
let mayRenew: boolean
let reloads: number

/** How often the overlay's part was asked for, and whether its server has none of this name. */
const chunk = vi.hoisted(() => ({ asked: 0, isGone: false }))
vi.mock('../src/materials/overlay', async (load) => {
  const real = await load<typeof import('../src/materials/overlay')>()
  return {
    get MaterialsOverlay() {
      chunk.asked += 1
      if (chunk.isGone) throw new TypeError('Failed to fetch dynamically imported module')
      return real.MaterialsOverlay
    },
  }
})

beforeEach(async () => {
  vi.useFakeTimers()
  page = new FakeDocument()
  vi.stubGlobal('document', page)
  vi.stubGlobal('navigator', { userAgent: '' })
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('removeEventListener', () => undefined)
  vi.stubGlobal('fetch', async (url: string) =>
    url.endsWith('/materials')
      ? new Response(JSON.stringify({ materials: FILES }))
      : new Response('0123'),
  )
  vi.stubGlobal('sessionStorage', new FakeStorage())
  vi.stubGlobal('location', { href: 'http://relay.test/room', reload: () => void (reloads += 1) })
  fakeBlobAddresses()
  reloads = 0
  mayRenew = false
  Object.assign(chunk, { asked: 0, isGone: false })
  lists = [new MaterialList(), new MaterialList()]
  lists[0].follow(placeOf('om'), '1')
})
afterEach(() => {
  page.draw(null)
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** As much of the room's page as opens and closes them. */
let open: (press: Opened | null) => void
let redraw: () => void
function Room() {
  const [now, setNow] = useState<Opened | null>(null)
  const [, again] = useReducer((count: number) => count + 1, 0)
  opened = now?.list ?? null
  open = setNow
  redraw = () => again(null)
  return (
    <OpenMaterials
      lists={lists}
      opened={now}
      mayRenew={mayRenew}
      closeWords={undefined}
      close={() => setNow(null)}
    />
  )
}
const drawn = (): Promise<unknown> => {
  redraw()
  return vi.advanceTimersByTimeAsync(200)
}
/** Chunks come in real time. */
const wait = globalThis.setTimeout
async function until(test: () => boolean): Promise<void> {
  await drawn()
  for (let tries = 0; tries < 200 && !test(); tries += 1) {
    await new Promise((resolve) => wait(resolve, 10))
    await drawn()
  }
  expect(test()).toBe(true)
}
async function enter(): Promise<void> {
  page.draw(<Room />)
  await until(() => chunk.asked > 0)
  await drawn()
}
async function openList(lesson: string): Promise<void> {
  open({ list: placeOf(lesson).list })
  const isShown = (): boolean => page.root.all('ul').length > 0
  await until(() => isShown() || page.root.text.includes(pages.room.materialsMissing))
}
const button = (text: string): FakeElement => buttonIn(page.root, text)
const title = (): string | undefined => page.root.all('h2')[0]?.text

describe('the files that are open', () => {
  beforeEach(async () => {
    await enter()
    await openList('om')
  })
  it('stay open when the lesson ends and another one is planned', async () => {
    button('a.txt').press()
    await drawn()
    lists[1].follow(placeOf('vang'), '2')
    await drawn()
    expect(title()).toBe('a.txt')
  })
  it('give way to the next lesson when it begins', async () => {
    lists[1].follow(placeOf('vang'), '2')
    lists.reverse()
    lists[1].follow(null, null)
    await drawn()
    expect([opened, page.root.all('dialog').length]).toEqual([null, 0])
  })
  it('stay open when the lesson begins that they were opened for', async () => {
    lists[1].follow(placeOf('vang'), '2')
    await openList('vang')
    button('b.txt').press()
    await drawn()
    lists.reverse()
    lists[1].follow(null, null)
    await drawn()
    expect(title()).toBe('b.txt')
  })
  it('are those of the other lesson when its button is pressed, and do not close by themselves', async () => {
    lists[1].follow(placeOf('vang'), '2')
    await openList('vang')
    expect([opened, title()]).toEqual([placeOf('vang').list, words.title])
    button(words.close).press()
    await drawn()
    expect([opened, page.root.all('dialog').length]).toEqual([null, 0])
  })
})

describe('the part that shows files', () => {
  const { room } = pages
  it('is here before somebody presses', async () => {
    await enter()
    expect([chunk.asked, page.root.text]).toEqual([1, ''])
    open({ list: placeOf('om').list })
    await drawn()
    expect(title()).toBe(words.title)
    expect(chunk.asked).toBe(1)
  })
  it('is not asked for by a room that has no files', async () => {
    lists[0].follow(null, null)
    page.draw(<Room />)
    await drawn()
    await drawn()
    expect(chunk.asked).toBe(0)
  })
  it('that does not come is asked for at each press alone, and can be closed', async () => {
    chunk.isGone = true
    await enter()
    await vi.advanceTimersByTimeAsync(600_000)
    expect([chunk.asked, page.root.text]).toEqual([1, ''])
    await openList('om')
    expect(page.root.text).toContain(room.materialsMissing)
    button(room.materialsShut).press()
    await drawn()
    expect([opened, page.root.text, chunk.asked]).toEqual([null, '', 2])
    await openList('om')
    await openList('om')
    expect(chunk.asked).toBe(4)
    chunk.isGone = false
    await openList('om')
    expect([title(), reloads]).toEqual([words.title, 0])
  })
  it('can be closed while it is on its way', async () => {
    await enter()
    page.draw(null)
    page.draw(<Room />)
    open({ list: placeOf('om').list })
    await Promise.resolve()
    page.draw(<Room />)
    expect(page.root.text).toContain(room.materialsOpening)
    button(room.materialsShut).press()
    await drawn()
    expect([opened, page.root.text]).toEqual([null, ''])
  })
  it('makes the page begin anew when the lesson is over, never during it', async () => {
    chunk.isGone = true
    await enter()
    await openList('om')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(reloads).toBe(0)
    mayRenew = true
    await until(() => reloads > 0)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(reloads).toBe(1)
  })
})

describe('the way in', () => {
  it('says how many files there are', () => {
    expect(pages.room.materials(3)).toBe('Học liệu (3)')
  })
})
