/*
 * The files that a class works on, while its lesson ends and the next one begins.
 */
import { useReducer, useState } from 'preact/hooks'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { materialsVi as words } from '../src/i18n/materials_vi'
import { MaterialList, placeAt } from '../src/materials/list'
import { OpenMaterials } from '../src/room/materials'
import { fakeBlobAddresses } from './fake_blobs'
import { FakeDocument, type FakeElement } from './fake_dom'

const FILES = ['a', 'b'].map((sign) => ({ name: `${sign}.txt`, bytes: 4, digest: sign.repeat(64) }))
const placeOf = (lesson: string) => placeAt('http://relay.test', lesson, 'T')

let page: FakeDocument
/** Of the lesson that is watched, and of the next one. */
let lists: [MaterialList, MaterialList]
let opened: string | null

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
  fakeBlobAddresses()
  lists = [new MaterialList(), new MaterialList()]
  lists[0].follow(placeOf('om'), '1')
  page.draw(<Room />)
  await openList('om')
})
afterEach(() => {
  page.draw(null)
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** As much of the room's page as opens and closes them. */
let open: (list: string | null) => void
let redraw: () => void
function Room() {
  const [now, setNow] = useState<string | null>(null)
  const [, again] = useReducer((count: number) => count + 1, 0)
  opened = now
  open = setNow
  redraw = () => again(null)
  return (
    <OpenMaterials lists={lists} opened={now} closeWords={undefined} close={() => setNow(null)} />
  )
}
const drawn = (): Promise<unknown> => {
  redraw()
  return vi.advanceTimersByTimeAsync(200)
}
async function openList(lesson: string): Promise<void> {
  open(placeOf(lesson).list)
  await vi.advanceTimersByTimeAsync(200)
  // Chunks come in real time.
  await vi.dynamicImportSettled()
  await drawn()
}
const button = (text: string): FakeElement => {
  const found = page.root.all('button').find((one) => one.text.startsWith(text))
  if (found === undefined) throw new Error(`no button says ${text}`)
  return found
}
const title = (): string | undefined => page.root.all('h2')[0]?.text

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
