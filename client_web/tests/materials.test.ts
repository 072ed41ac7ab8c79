/*
 * A lesson's materials apart from any page: which files, the list, and bringing one of them.
 */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MaterialFile } from '../src/materials/file'
import {
  freeName,
  kindOf,
  MAX_BYTES,
  MAX_NAME,
  mediaTypeOf,
  refusalOf,
  SUFFIXES,
  tidyName,
} from '../src/materials/kinds'
import { MaterialList, placeAt, readList, type Material } from '../src/materials/list'
import { readText, showsPdf } from '../src/materials/viewer'
import { fakeBlobAddresses, type BlobAddresses } from './fake_blobs'

const PLACE = placeAt('http://relay.test', 'om', 'T')
const PDF: Material = { name: 'Ôm.pdf', bytes: 10, digest: 'a'.repeat(64) }
const listOf = (...materials: Material[]): string =>
  JSON.stringify({ format: 1, lesson: 'om', materials })

type Answer = Response | 'away'
let asked: { url: string; range: string | null }[]
let answer: (count: number) => Answer
let addresses: BlobAddresses

beforeEach(() => {
  vi.useFakeTimers()
  asked = []
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const headers = new Headers(init.headers)
    expect(headers.get('Authorization')).toBe('Bearer T')
    asked.push({ url, range: headers.get('Range') })
    const given = answer(asked.length)
    if (given === 'away') throw new TypeError('Failed to fetch')
    return given
  })
  addresses = fakeBlobAddresses()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

describe('kinds of files', () => {
  const python = readFileSync(
    new URL('../../classroom/archive/materials.py', import.meta.url),
    'utf8',
  )
  it('are those that the servers take, served as the servers serve them', () => {
    const lines = [...python.matchAll(/^ {4}"(\w+)": "([^"]+)",$/gm)]
    expect(lines.length).toBeGreaterThan(20)
    expect([...SUFFIXES].sort()).toEqual(lines.map((line) => line[1]).sort())
    for (const [, suffix, type] of lines) expect(mediaTypeOf(`x.${suffix}`)).toBe(type)
  })
  it('have the limits of the servers', () => {
    const number = (name: string): unknown =>
      new RegExp(`^${name}: Final = (.+)$`, 'm').exec(python)?.[1]
    expect(number('MAX_NAME')).toBe(String(MAX_NAME))
    expect(number('MAX_MATERIAL_BYTES')).toBe(`${MAX_BYTES / 1e6} * 10**6`)
  })
  it('are known by the end of a name alone', () => {
    expect(['a.PDF', 'b.JPeG', 'c.mp4', 'd.m4a', 'e.txt', 'f.pptx'].map(kindOf)).toEqual([
      'pdf',
      'picture',
      'film',
      'sound',
      'text',
      'document',
    ])
    expect([kindOf('x.constructor'), mediaTypeOf('x.constructor')]).toEqual([
      'document',
      'application/octet-stream',
    ])
  })
  it.each([
    ['trang.html', 5, 'material-type'],
    ['hình.svg', 5, 'material-type'],
    ['pdf', 5, 'material-type'],
    ['Ôm.pdf', 0, 'material-empty'],
    ['Ôm.pdf', 500e6 + 1, 'material-too-large'],
    ['Ôm.pdf', 500e6, null],
  ])('%s of %d bytes meets %s', (name, bytes, code) => {
    expect(refusalOf(name, bytes)).toBe(code)
  })
})

describe('a name', () => {
  it.each([
    ['Ôm.pdf', 'Ôm.pdf'],
    ['  Ôm.pdf ', 'Ôm.pdf'],
    ['Bài 1: U/R?.pdf', 'Bài 1- U-R-.pdf'],
    ['..ẩn.pdf', 'ẩn.pdf'],
    ['hai\u00a0dòng\n.pdf', 'hai dòng .pdf'],
    ['a\u200bb\u0000.pdf', 'ab.pdf'],
  ])('%j is kept as %j', (name, kept) => {
    expect(tidyName(name)).toBe(kept)
  })
  it('is composed, so that it is the same wherever it was written', () => {
    expect(tidyName('O\u0302m.pdf')).toBe('Ôm.pdf')
  })
  it.each([
    ['Ôm.pdf', [], 'Ôm.pdf'],
    ['Ôm.pdf', ['Ôm.pdf'], 'Ôm (2).pdf'],
    ['Ôm.pdf', ['Ôm.pdf', 'Ôm (2).pdf'], 'Ôm (3).pdf'],
    ['Ôm.1.pdf', ['Ôm.1.pdf'], 'Ôm.1 (2).pdf'],
    ['Ôm', ['Ôm'], 'Ôm (2)'],
  ])('%s beside %j becomes %s', (name, taken, free) => {
    expect(freeName(name, new Set(taken))).toBe(free)
  })
  it('that has its number is no longer than any other, nor cut within a letter', () => {
    const name = tidyName(`${'𝐱'.repeat(200)}.pdf`)
    const free = freeName(name, new Set([name]))
    expect([[...free].length, free.endsWith('𝐱 (2).pdf')]).toEqual([MAX_NAME, true])
    expect([refusalOf(free, 1), tidyName(free)]).toEqual([null, free])
    const spaced = `${'a'.repeat(111)} ${'b'.repeat(4)}.pdf`
    expect(freeName(spaced, new Set([spaced]))).toBe(`${'a'.repeat(111)} (2).pdf`)
  })
  it('is cut before its end where it is too long, by letters', () => {
    const name = tidyName(`${'𝐱'.repeat(200)}.pdf`)
    expect([[...name].length, name.endsWith('𝐱.pdf')]).toEqual([MAX_NAME, true])
    expect(refusalOf(name, 1)).toBeNull()
  })
})

describe('a list', () => {
  it('passes over what has another shape', () => {
    const odd = [null, { name: 'x' }, { ...PDF, digest: '../x' }, PDF]
    expect(readList(JSON.stringify({ materials: odd }))).toEqual([PDF])
    expect(readList('{}')).toEqual([])
  })
  const tagged = (digest: string, text: string): Response =>
    new Response(text, { headers: { ETag: `"${digest}"` } })

  it('is asked for until the server answers, and once more for each newer one', async () => {
    const list = new MaterialList()
    answer = (count) => (count < 3 ? 'away' : tagged('d1', listOf(PDF)))
    list.follow(PLACE, 'd1')
    list.follow(PLACE, 'd1')
    await pass(60_000)
    list.follow(PLACE, 'd1')
    await pass(60_000)
    expect([asked.length, list.materials]).toEqual([3, [PDF]])
    answer = () => tagged('d2', listOf())
    list.follow(placeAt('http://relay.test', 'om', 'T'), 'd2')
    // The older one stands until the newer one is here.
    expect(list.materials).toEqual([PDF])
    await pass(10)
    expect([asked.length, list.materials]).toEqual([4, []])
  })
  it('is asked for again where the school has an older one than it was told of', async () => {
    const list = new MaterialList()
    answer = (count) => tagged(count < 3 ? 'old' : 'new', count < 3 ? listOf() : listOf(PDF))
    list.follow(PLACE, 'new')
    await pass(120_000)
    expect([asked.length, list.materials]).toEqual([3, [PDF]])
  })
  it('is gone with its lesson, and nothing is asked for a lesson without any', async () => {
    const list = new MaterialList()
    answer = () => tagged('d1', listOf(PDF))
    list.follow(PLACE, 'd1')
    await pass(10)
    list.follow(placeAt('http://relay.test', 'vang', 'T'), null)
    await pass(60_000)
    expect([asked.length, list.materials, list.place]).toEqual([1, [], null])
  })
  it('is asked for again where the server had no time for it', async () => {
    const list = new MaterialList()
    answer = (count) =>
      count === 1 ? new Response('{}', { status: 408 }) : tagged('d1', listOf(PDF))
    list.follow(PLACE, 'd1')
    await pass(60_000)
    expect([asked.length, list.materials]).toEqual([2, [PDF]])
  })
  it('is not asked for again once it was refused', async () => {
    const list = new MaterialList()
    answer = () => new Response('{}', { status: 403 })
    list.follow(PLACE, 'd1')
    await pass(60_000)
    expect(asked).toHaveLength(1)
  })
})

describe('a file', () => {
  /** `text`, of which the network breaks off when it was read. */
  const broken = (text: string, status = 200): Response =>
    new Response(
      new ReadableStream(
        {
          start: (controller) => controller.enqueue(new TextEncoder().encode(text)),
          pull: (controller) => controller.error(new TypeError('network error')),
        },
        { highWaterMark: 0 },
      ),
      { status },
    )
  const onItsWay = (): Response =>
    new Response(JSON.stringify({ type: 'urn:classroom:problem:material-on-its-way' }), {
      status: 503,
      headers: { 'Retry-After': '3' },
    })
  let states: string[]
  function opened(): MaterialFile {
    const file = new MaterialFile(PLACE, PDF)
    states = []
    file.onChange(() => {
      if (states.at(-1) !== file.state) states.push(file.state)
    })
    void file.open()
    return file
  }

  it('is shown by its name and not by what the server calls it', async () => {
    answer = () => new Response('0123456789', { headers: { 'Content-Type': 'text/html' } })
    const file = opened()
    await pass(10)
    expect([file.state, file.url, file.blob?.type]).toEqual([
      'here',
      'blob:here',
      'application/pdf',
    ])
    expect(asked[0]?.url).toBe(`http://relay.test/api/lessons/om/materials/${PDF.digest}`)
  })
  it.each([408, 416, 429, 502])('is asked for again after %d', async (status) => {
    answer = (count) => (count === 1 ? new Response('{}', { status }) : new Response('0123456789'))
    const file = opened()
    await pass(30_000)
    expect([asked.length, file.state]).toEqual([2, 'here'])
  })
  it('on its way to the school is waited for as long as the school says', async () => {
    answer = (count) => (count < 3 ? onItsWay() : new Response('0123456789'))
    const file = opened()
    await pass(5_900)
    expect([asked.length, file.state]).toEqual([2, 'on-its-way'])
    await pass(200)
    expect([asked.length, file.state]).toEqual([3, 'here'])
  })
  it('goes on from the byte that was reached when the network broke off', async () => {
    answer = (count) => {
      if (count === 1) return broken('0123')
      if (count === 2) return onItsWay()
      return new Response('456789', { status: 206 })
    }
    const file = opened()
    await pass(30_000)
    expect(asked.map((one) => one.range)).toEqual([null, 'bytes=4-', 'bytes=4-'])
    expect(await file.blob?.text()).toBe('0123456789')
    expect(states).toEqual(['loading', 'waiting', 'on-its-way', 'loading', 'here'])
  })
  it('begins anew where the server gives it from the start', async () => {
    answer = (count) => (count === 1 ? broken('0123') : new Response('0123456789'))
    const file = opened()
    await pass(60_000)
    expect(await file.blob?.text()).toBe('0123456789')
    expect(asked).toHaveLength(2)
  })
  it('begins anew where there is too much of it', async () => {
    answer = (count) => new Response(count === 1 ? '0123456789abc' : '0123456789')
    const file = opened()
    await pass(60_000)
    expect(await file.blob?.text()).toBe('0123456789')
    expect(asked.map((one) => one.range)).toEqual([null, null])
  })
  it('of which no byte comes any more is asked for again', async () => {
    const silent = (init: ResponseInit): Response => new Response(new ReadableStream({}), init)
    const stop = vi.fn()
    answer = (count) => (count === 1 ? silent({}) : new Response('0123456789'))
    const fetching = globalThis.fetch
    vi.stubGlobal('fetch', (url: string, init: RequestInit) =>
      Promise.race([
        fetching(url, init).then((response) => {
          if (asked.length > 1) return response
          // As browsers do: aborting ends the reading, too.
          const aborted = new Promise<never>((_, reject) => {
            init.signal?.addEventListener('abort', () => {
              stop()
              reject(new DOMException('aborted', 'AbortError'))
            })
          })
          return { status: 200, ok: true, body: { getReader: () => ({ read: () => aborted }) } }
        }),
      ]),
    )
    const file = opened()
    await pass(60_000)
    expect([stop.mock.calls.length, file.state]).toEqual([1, 'here'])
  })
  it('that is not among the materials any more is not asked for again', async () => {
    answer = () =>
      new Response(JSON.stringify({ type: 'urn:classroom:problem:unknown-material' }), {
        status: 404,
      })
    const file = opened()
    await pass(60_000)
    expect([asked.length, file.state, file.problem?.code]).toEqual([
      1,
      'refused',
      'unknown-material',
    ])
  })
  it('that is here gives its memory back when nobody looks at it any more', async () => {
    answer = () => new Response('0123456789')
    const file = opened()
    await pass(10)
    expect(addresses).toEqual({ made: 1, revoked: 0 })
    file.close()
    file.close()
    expect([addresses, file.url]).toEqual([{ made: 1, revoked: 1 }, null])
  })
  it('is let go when nobody looks at it any more', async () => {
    answer = () => 'away'
    const file = opened()
    await pass(100)
    file.close()
    await pass(60_000)
    expect(asked).toHaveLength(1)
  })
})

describe('showing', () => {
  it('reads text as UTF-8, or as old Windows wrote it', () => {
    expect(readText(new TextEncoder().encode('Ôm').buffer as ArrayBuffer)).toBe('Ôm')
    const wide = new Uint8Array([0xff, 0xfe, 0xd4, 0x00, 0x6d, 0x00])
    expect(readText(wide.buffer)).toBe('Ôm')
  })
  it.each([
    ['Windows NT 10.0', 0, true, true],
    ['Windows NT 10.0', 0, undefined, true],
    ['Linux; Android 13', 5, false, false],
    ['Linux; Android 9', 5, undefined, false],
    ['iPhone; CPU iPhone OS 17_1', 5, true, false],
    ['Macintosh; Intel Mac OS X', 5, true, false],
    ['Macintosh; Intel Mac OS X', 0, true, true],
  ])(
    'of a PDF in the page is left on %s (%d touches, viewer %s): %s',
    (ua, touches, viewer, isIn) => {
      const browser = { userAgent: `Mozilla/5.0 (${ua})`, maxTouchPoints: touches }
      const told = viewer === undefined ? browser : { ...browser, pdfViewerEnabled: viewer }
      expect(showsPdf(told)).toBe(isIn)
    },
  )
})
