/*
 * What is seen of materials: the overlay, and what teachers read of their files.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lesson } from '../src/api'
import { materialsVi as words } from '../src/i18n/materials_vi'
import { PROBLEMS } from '../src/i18n/problems'
import { vi as pages } from '../src/i18n/vi'
import { LessonMaterials } from '../src/library/materials'
import { placeAt, type Material } from '../src/materials/list'
import { Problem, Unreachable } from '../src/http'
import { MaterialsOverlay } from '../src/materials/overlay'
import { Observable } from '../src/observable'
import { Ended } from '../src/teach/ended'
import { Materials, PlainMaterials } from '../src/teach/given'
import type { MaterialsDesk, Said, Unremoved, Upload } from '../src/teach/materials'
import type { Studio } from '../src/teach/studio'
import { fakeBlobAddresses, type BlobAddresses } from './fake_blobs'
import { buttonIn, FakeDocument, type FakeElement } from './fake_dom'

const PLACE = placeAt('http://relay.test', 'om', 'T')
const file = (name: string, sign: string): Material => ({
  name,
  bytes: 4,
  digest: sign.repeat(64),
})
const FILES = [file('Ôm.pdf', 'a'), file('Sơ đồ.png', 'b'), file('Phiếu.docx', 'c')]

let page: FakeDocument
let answer: (url: string) => Response | 'away'
let asked: string[]
let addresses: BlobAddresses

beforeEach(() => {
  vi.useFakeTimers()
  asked = []
  answer = () => new Response('0123')
  page = new FakeDocument()
  vi.stubGlobal('document', page)
  vi.stubGlobal('location', { origin: 'http://relay.test' })
  vi.stubGlobal('navigator', { userAgent: 'Windows', maxTouchPoints: 0 })
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('removeEventListener', () => undefined)
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url)
    const given = answer(url)
    if (given === 'away') throw new TypeError('Failed to fetch')
    return given
  })
  addresses = fakeBlobAddresses()
})
afterEach(() => {
  page.draw(null)
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const drawn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(200)
const button = (text: string): FakeElement => buttonIn(page.root, text)
const attribute = (name: string, of: string): string | null => {
  const [found] = page.root.all(name)
  const value = (found as unknown as Record<string, unknown> | undefined)?.[of]
  return found === undefined ? null : String(value ?? found.getAttribute(of))
}

describe('the overlay', () => {
  const close = vi.fn()
  const open = async (first: string | null = null, materials = FILES): Promise<void> => {
    close.mockClear()
    page.draw(<MaterialsOverlay materials={materials} place={PLACE} first={first} close={close} />)
    await drawn()
  }
  const shown = (): string => attribute('img', 'src') ?? attribute('iframe', 'src') ?? ''

  it('shows the file that is picked, and the list again with the focus where it was', async () => {
    await open()
    expect(page.activeElement?.text).toContain('Ôm.pdf')
    button('Sơ đồ.png').press()
    await drawn()
    expect(shown()).toBe('blob:here')
    expect(page.activeElement?.text).toBe(words.back)
    button(words.back).press()
    await drawn()
    expect(page.activeElement?.text).toContain('Sơ đồ.png')
    expect(asked).toEqual([PLACE.file(FILES[1]?.digest ?? '')])
  })
  it('shows a PDF in a frame, from the page itself', async () => {
    await open(FILES[0]?.digest ?? null)
    expect(attribute('iframe', 'src')).toContain('blob:here')
    expect(attribute('iframe', 'title')).toBe('Ôm.pdf')
  })
  it.each([
    ['a document', FILES[2], 'Windows'],
    ['a PDF on a phone', FILES[0], 'Linux; Android 9'],
  ])('hands %s out', async (_what, one, userAgent) => {
    vi.stubGlobal('navigator', { userAgent, maxTouchPoints: 0 })
    await open(one?.digest ?? null)
    expect(page.root.text).toContain(words.notShown)
    expect([attribute('a', 'href'), attribute('a', 'download')]).toEqual(['blob:here', one?.name])
    expect(attribute('iframe', 'src')).toBeNull()
  })
  it('says that a file is on its way, and shows it when it came', async () => {
    let isHere = false
    const problem = JSON.stringify({ type: 'urn:classroom:problem:material-on-its-way' })
    answer = () => (isHere ? new Response('0123') : new Response(problem, { status: 503 }))
    await open(FILES[1]?.digest ?? null)
    expect(page.root.text).toContain(words.onItsWay)
    isHere = true
    await vi.advanceTimersByTimeAsync(3_200)
    expect([shown(), page.root.text.includes(words.onItsWay)]).toEqual(['blob:here', false])
  })
  it('says that the network broke off, and goes on by itself', async () => {
    let isAway = true
    answer = () => (isAway ? 'away' : new Response('0123'))
    await open(FILES[1]?.digest ?? null)
    expect(page.root.text).toContain(words.waiting)
    isAway = false
    await vi.advanceTimersByTimeAsync(15_000)
    expect(shown()).toBe('blob:here')
  })
  it('says that a file was taken out meanwhile', async () => {
    answer = () =>
      new Response(JSON.stringify({ type: 'urn:classroom:problem:unknown-material' }), {
        status: 404,
      })
    await open(FILES[1]?.digest ?? null)
    expect(page.root.text).toContain(words.listLost)
  })
  it('hands out what the browser cannot show', async () => {
    await open(FILES[1]?.digest ?? null)
    page.root.all('img')[0]?.tell('error')
    await drawn()
    expect(page.root.text).toContain(words.broken)
  })
  it('asks no more for a file that nobody looks at', async () => {
    answer = () => 'away'
    await open(FILES[1]?.digest ?? null)
    button(words.back).press()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(asked).toHaveLength(1)
  })
  it('gives the memory of each file back', async () => {
    await open(FILES[1]?.digest ?? null)
    button(words.back).press()
    await drawn()
    expect(addresses).toEqual({ made: 1, revoked: 1 })
    button('Ôm.pdf').press()
    await drawn()
    page.draw(null)
    await drawn()
    expect(addresses).toEqual({ made: 2, revoked: 2 })
  })
  it('gives the focus back and says so when it closes', async () => {
    const before = page.createElement('button')
    before.focus()
    await open()
    button(words.close).press()
    await drawn()
    expect(page.activeElement).toBe(before)
    expect(close).toHaveBeenCalledOnce()
  })
  it('gives the focus back when it is taken away, and says nothing to what took its place', async () => {
    const before = page.createElement('button')
    before.focus()
    await open()
    page.draw(null)
    await drawn()
    expect(page.activeElement).toBe(before)
    expect(close).not.toHaveBeenCalled()
  })
})

describe('the library', () => {
  let player: { main: { paused: boolean; pause: () => void }; play: () => void }
  beforeEach(() => {
    const main = { paused: false, pause: () => void (main.paused = true) }
    player = { main, play: () => void (main.paused = false) }
  })
  const lesson = (materials: string | null): Lesson =>
    ({ id: 'om', title: 'Ôm', playable: true, materials }) as unknown as Lesson
  it('lists what was given along with a lesson, and opens it', async () => {
    answer = (url) =>
      new Response(url.endsWith('/materials') ? JSON.stringify({ materials: FILES }) : '0123')
    page.draw(
      <LessonMaterials lesson={lesson('d'.repeat(64))} token="T" kept={null} player={player} />,
    )
    await drawn()
    expect(asked).toEqual(['http://relay.test/api/lessons/om/materials'])
    button('Sơ đồ.png').press()
    await drawn()
    expect(attribute('img', 'src')).toBe('blob:here')
  })
  it('asks the relay that has the recording', async () => {
    const far = { ...lesson('d'), playable: undefined, relay: 'http://far.test' }
    page.draw(
      <LessonMaterials lesson={far as unknown as Lesson} token="T" kept={null} player={player} />,
    )
    await drawn()
    expect(asked[0]).toBe('http://far.test/api/lessons/om/materials')
  })
  describe('with film and sound', () => {
    const MEDIA = [file('Phim.mp4', 'a'), file('Hát.mp3', 'b'), file('Sơ đồ.png', 'c')]
    beforeEach(async () => {
      answer = (url) =>
        new Response(url.endsWith('/materials') ? JSON.stringify({ materials: MEDIA }) : '0123')
      page.draw(<LessonMaterials lesson={lesson('d')} token="T" kept={null} player={player} />)
      await drawn()
    })
    const pick = async (name: string): Promise<void> => {
      button(name).press()
      await drawn()
    }
    it.each([
      ['Phim.mp4', 'video'],
      ['Hát.mp3', 'audio'],
    ])(
      'stops the recording while %s plays, and lets it go on afterwards',
      async (name, element) => {
        await pick(name)
        expect(player.main.paused).toBe(false)
        page.root.all(element)[0]?.tell('play')
        expect(player.main.paused).toBe(true)
        await pick(words.close)
        expect(player.main.paused).toBe(false)
      },
    )
    it('begins no recording that somebody stopped', async () => {
      player.main.paused = true
      await pick('Phim.mp4')
      page.root.all('video')[0]?.tell('play')
      await pick(words.close)
      expect(player.main.paused).toBe(true)
    })
    it('lets it go on behind what has no sound', async () => {
      await pick('Sơ đồ.png')
      expect(player.main.paused).toBe(false)
    })
  })
  it('opens nothing by itself when files were taken out and given anew', async () => {
    let given = FILES
    answer = () => new Response(JSON.stringify({ materials: given }))
    const draw = async (digest: string): Promise<void> => {
      page.draw(<LessonMaterials lesson={lesson(digest)} token="T" kept={null} player={player} />)
      await drawn()
    }
    await draw('1')
    button('Sơ đồ.png').press()
    await drawn()
    expect(page.root.all('dialog')).toHaveLength(1)
    given = []
    await draw('2')
    given = FILES
    await draw('3')
    expect([page.root.all('dialog').length, page.root.text.includes('Ôm.pdf')]).toEqual([0, true])
  })
  it('asks nothing for a lesson without any', async () => {
    page.draw(<LessonMaterials lesson={lesson(null)} token="T" kept={null} player={player} />)
    await drawn()
    expect([asked, page.root.text]).toEqual([[], ''])
  })
  it('asks no server for what is kept on the device', async () => {
    const kept = { list: '/kept/om/materials.json', file: (one: string) => one, token: '' }
    page.draw(<LessonMaterials lesson={lesson('d')} token="T" kept={kept} player={player} />)
    await drawn()
    expect(asked[0]).toBe('/kept/om/materials.json')
  })
})

/** What a teacher's materials look like from outside. */
class FakeMaterials extends Observable {
  list: Material[] = [...FILES]
  uploads: Upload[] = []
  unfinished = 0
  bytes = 11.5e6
  fault: Problem | Unreachable | null = null
  unremoved: Unremoved | null = null
  said: Said | null = null
  lost: string[] = []
  paused = false
  readonly removed: string[] = []
  readonly follow = vi.fn()
  readonly add = vi.fn()
  isRemoving = (): boolean => false
  readonly tell = (): void => this.changed()
  readonly dismiss = vi.fn()
  readonly again = vi.fn()
  readonly forgetLost = vi.fn()
  remove = async (digest: string): Promise<void> => {
    this.removed.push(digest)
    this.list = this.list.filter((one) => one.digest !== digest)
    this.changed()
  }
}

describe('the teacher’s list', () => {
  let model: FakeMaterials
  const LESSON = { id: 'om', title: 'Ôm', materials: 'd' } as unknown as Lesson
  const draw = async (
    what: typeof Materials | typeof PlainMaterials = Materials,
  ): Promise<void> => {
    const desk = { of: () => model } as unknown as MaterialsDesk
    const Given = what
    page.draw(<Given desk={desk} lesson={LESSON} />)
    await drawn()
  }
  beforeEach(() => {
    model = new FakeMaterials()
  })
  const refused = (code: string, status: number, limit: number | null = null): Upload => ({
    id: 1,
    name: 'x.mp4',
    bytes: 1,
    state: 'refused',
    percent: 0,
    refusal: { code, status, limit },
  })

  it('takes a file out only after a question, with the focus on what takes nothing out', async () => {
    await draw()
    expect(model.follow).toHaveBeenCalledWith('d')
    button(words.teach.remove).press()
    await drawn()
    expect(page.activeElement?.text).toBe(words.teach.removeNo)
    button(words.teach.removeNo).press()
    await drawn()
    expect([model.removed, page.activeElement?.text]).toEqual([[], words.teach.remove])
    button(words.teach.remove).press()
    await drawn()
    button(words.teach.removeYes).press()
    await drawn()
    expect(model.removed).toEqual([FILES[0]?.digest])
    expect(page.activeElement?.text).toBe(words.teach.add)
  })
  it('says of a file that was not taken out what to do, and nothing of the list', async () => {
    const [one] = FILES as [Material]
    const { name, digest } = one
    model.unremoved = { name, digest, fault: new Unreachable('away') }
    await draw()
    const { notRemoved, removeAway, listAway } = words.teach
    expect(page.root.text).toContain(`${notRemoved('Ôm.pdf')} ${removeAway}`)
    expect(page.root.text).not.toContain(listAway)
    model.unremoved = { name, digest, fault: new Problem(403, 'right-missing', '', '') }
    model.fault = new Unreachable('away')
    model.tell()
    await drawn()
    const told = PROBLEMS.vi['right-missing']
    expect(page.root.text).toContain(`${notRemoved('Ôm.pdf')} ${told?.title}. ${told?.fix}`)
    expect(page.root.text).toContain(listAway)
  })
  it('says how long a slow school needs', async () => {
    await draw()
    expect(page.root.text).toContain('khoảng 6 phút')
  })
  it.each([
    'material-name',
    'material-type',
    'material-too-large',
    'materials-full',
    'material-digest',
    'material-empty',
    'disk-full',
    'right-missing',
  ])('has words of its own for %s', async (code) => {
    model.uploads = [refused(code, code === 'disk-full' ? 507 : 400)]
    await draw()
    const told = PROBLEMS.vi[code]
    expect(page.root.text).toContain(`${told?.title}. ${told?.fix}`)
  })
  it('names the limit of a file that is too large', async () => {
    model.uploads = [refused('material-too-large', 413, 50e6)]
    await draw()
    expect(page.root.text).toContain('Mỗi tệp lớn nhất 50 MB.')
  })
  it('takes files that are dropped onto it', async () => {
    await draw()
    const files = [new File(['x'], 'x.pdf')]
    page.root.all('section')[0]?.tell('drop', { dataTransfer: { files } })
    expect(model.add).toHaveBeenCalledWith(files)
  })
  it('asks for https where the browser names no files by their digests', async () => {
    vi.stubGlobal('crypto', {})
    await draw()
    expect(page.root.text).toContain(words.teach.insecure)
    expect(page.root.all('input')).toHaveLength(0)
  })
  it('says which files were not sent the last time', async () => {
    model.lost = ['Ôm.pdf', 'Vàng.pdf']
    await draw()
    expect(page.root.text).toContain('Ôm.pdf, Vàng.pdf')
  })
  it('says while the lesson is taught what was refused', async () => {
    model.list = []
    model.uploads = [refused('materials-full', 409)]
    await draw(PlainMaterials)
    const told = PROBLEMS.vi['materials-full']
    expect(page.root.text).toContain(`x.mp4${told?.title}. ${told?.fix}`)
    expect(page.root.all('button')).toHaveLength(0)
  })
  it.each([
    ['a file is not to be sent after all', words.teach.stop],
    ['a refusal was read', words.teach.seen],
    ['a refused file is sent again', words.teach.again],
    ['what was lost was read', words.teach.seen],
  ])('has the focus still when %s', async (what, press) => {
    const one = refused('disk-full', 507)
    if (what.startsWith('what')) model.lost = ['Vàng.pdf']
    else
      model.uploads = [
        press === words.teach.stop ? { ...one, state: 'queued', refusal: null } : one,
      ]
    await draw()
    button(press).focus()
    button(press).press()
    expect(page.activeElement?.text).toBe(words.teach.add)
    // Where nothing may be added there is no such button.
    vi.stubGlobal('crypto', {})
    await draw()
    button(press).press()
    expect(page.activeElement?.text).toBe(words.title)
  })
  it('has nothing to press while the lesson is taught', async () => {
    await draw(PlainMaterials)
    expect(page.root.text).toContain(`${words.title} (3)`)
    expect([page.root.all('button').length, page.root.all('input').length]).toEqual([0, 0])
    model.list = []
    await draw(PlainMaterials)
    expect(page.root.text).toBe('')
  })
})

describe('the page after the lesson', () => {
  class FakeDesk extends Observable {
    unfinished = 0
    readonly of = (): FakeMaterials => model
  }
  let model: FakeMaterials
  let desk: FakeDesk
  const upload = (more: Partial<Upload>): Upload => ({
    ...{ id: 1, name: 'x.mp4', bytes: 1, state: 'sending', percent: 42, refusal: null },
    ...more,
  })
  const draw = async (): Promise<void> => {
    const studio = {
      lesson: { id: 'om', title: 'Ôm', materials: 'd' },
      materials: desk,
      fault: null,
      endedElsewhere: false,
    }
    page.draw(<Ended studio={studio as unknown as Studio} />)
    await drawn()
  }
  beforeEach(() => {
    model = new FakeMaterials()
    desk = new FakeDesk()
  })

  it('says nothing of files that are all there', async () => {
    await draw()
    expect(page.root.text).toContain(pages.teach.endedText)
    expect(page.root.text).not.toContain(words.title)
    expect(model.follow).toHaveBeenCalledWith('d')
  })
  it('shows how far files are, and what became of the last one', async () => {
    model.uploads = [upload({})]
    model.unfinished = 1
    desk.unfinished = 1
    await draw()
    expect(page.root.text).toContain(words.teach.sending(42))
    expect(page.root.text).toContain(words.teach.over)
    Object.assign(model, { uploads: [], unfinished: 0, said: { what: 'added', name: 'x.mp4' } })
    desk.unfinished = 0
    model.tell()
    await drawn()
    expect(page.root.text).toContain(words.teach.added('x.mp4'))
  })
  it('shows what was refused', async () => {
    const refusal = { code: 'disk-full', status: 507, limit: null }
    model.uploads = [upload({ state: 'refused', refusal })]
    await draw()
    expect(page.root.text).toContain(PROBLEMS.vi['disk-full']?.title)
    expect(button(words.teach.again)).toBeDefined()
  })
  it('says which files were lost with a page that was closed, and takes them', async () => {
    model.lost = ['Vàng.pdf']
    await draw()
    expect(page.root.text).toContain(words.teach.unsent('Vàng.pdf'))
    expect(button(words.teach.add)).toBeDefined()
  })
  it('says that files of another lesson are on their way', async () => {
    desk.unfinished = 2
    await draw()
    expect(page.root.text).toContain(words.teach.others(2))
  })
})
