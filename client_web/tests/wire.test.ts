/*
 * The wire as the Python side promises it: golden vectors of tests/vectors/wire, read by both.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { MAX_BYTES, NotMsgpack, pack, unpack, type Packed } from '../src/events/msgpack'
import { decode, encode, WireError, type PageMessage } from '../src/events/wire'

const folder = new URL('../../tests/vectors/wire/', import.meta.url)
const read = <T>(name: string): T[] =>
  JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as T[]
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (raw: Uint8Array): string => Buffer.from(raw).toString('hex')

interface Valid {
  name: string
  hex: string
  message: [number, string, Record<string, Packed>]
}
const valid = read<Valid>('valid.json')
const tolerated = read<{ name: string; hex: string; same_as: string }>('tolerated.json')
const invalid = read<{ name: string; hex: string; code: string; field: string | null }>(
  'invalid.json',
)
const FROM_RELAY_OR_CENTRAL = ['rung', 'still', 'still-part', 'rooms', 'voice-wish']
const FROM_SERVER = ['welcome', 'lesson', 'pong', 'error', ...FROM_RELAY_OR_CENTRAL]
const FROM_PAGE = ['hello', 'ping', 'watching', 'catch-up']

/** What `decode` should give for the JSON form of a message. */
function meaning([, kind, body]: Valid['message']): unknown {
  // JSON has no bytes: the vectors write them as {"hex": …}.
  if (kind === 'still-part')
    return { kind, ...body, data: bytes((body['data'] as { hex: string }).hex) }
  return kind === 'lesson' ? { kind, lesson: body } : { kind, ...body }
}

const fault = (work: () => unknown): WireError => {
  try {
    work()
  } catch (error) {
    if (error instanceof WireError) return error
    throw error
  }
  throw new Error('was not refused')
}

describe('messages of the servers', () => {
  const known = valid.filter((one) => FROM_SERVER.includes(one.message[1]))
  it('are all among the vectors', () => {
    expect(new Set(known.map((one) => one.message[1]))).toEqual(new Set(FROM_SERVER))
  })
  it.each(known)('$name', ({ hex, message }) => {
    expect(decode(bytes(hex))).toEqual(meaning(message))
  })
  it.each(tolerated)('$name', ({ hex, same_as }) => {
    const same = valid.find((one) => one.name === same_as)
    if (same === undefined) throw new Error(`no vector ${same_as}`)
    if (!FROM_SERVER.includes(same.message[1])) return
    // What a sender left out is unknown; for a recording that is: nothing on disk.
    const left = decode(bytes(hex))
    const right = decode(bytes(same.hex))
    if (left.kind === 'lesson' && right.kind === 'lesson')
      expect({ ...left.lesson, recording: null }).toEqual({ ...right.lesson, recording: null })
    else expect(left).toEqual(right)
  })
  it.each(valid.filter((one) => !FROM_SERVER.includes(one.message[1])))(
    'passes over $name, which is not for pages',
    ({ hex }) => {
      expect(fault(() => decode(bytes(hex))).code).toBe('wire-unknown-kind')
    },
  )
})

describe('messages of the page', () => {
  const own = valid.filter((one) => FROM_PAGE.includes(one.message[1]))
  it('are all among the vectors', () => {
    expect(new Set(own.map((one) => one.message[1]))).toEqual(new Set(FROM_PAGE))
  })
  it.each(own)('$name', (one) => {
    const [, kind, body] = one.message
    expect(hex(encode({ kind, ...body } as unknown as PageMessage))).toBe(one.hex)
  })
})

describe('bad messages', () => {
  /** Fields of kinds that only servers read are not looked at by a page. */
  const forPages = (code: string, raw: Uint8Array): string => {
    if (code !== 'wire-bad-field') return code
    const parts = unpack(raw) as [number, string, Packed]
    return FROM_SERVER.includes(parts[1]) ? code : 'wire-unknown-kind'
  }
  it.each(invalid)('$name', ({ hex, code, field }) => {
    const raw = bytes(hex)
    const wanted = forPages(code, raw)
    const refused = fault(() => decode(raw))
    expect(refused.code).toBe(wanted)
    if (wanted === 'wire-bad-field') expect(refused.field).toBe(field)
  })
  it('are refused by size before anything is read', () => {
    expect(fault(() => decode(new Uint8Array(MAX_BYTES + 1))).code).toBe('wire-too-large')
  })
  it('never raise anything but the named error, whatever the bytes', () => {
    // A small generator with a fixed seed: the same bytes in every run.
    let seed = 1
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      return Math.floor((seed / 0x80000000) * below)
    }
    for (let round = 0; round < 4000; round += 1) {
      const base = valid[random(valid.length)]
      const raw = bytes(base?.hex ?? '')
      for (let change = random(4); change >= 0; change -= 1) raw[random(raw.length)] = random(256)
      const cut = raw.subarray(0, random(4) === 0 ? random(raw.length + 1) : raw.length)
      try {
        decode(cut)
      } catch (error) {
        expect(error).toBeInstanceOf(WireError)
      }
    }
  })
})

describe('msgpack', () => {
  const numbers = [0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
  it.each([...numbers, ...numbers.map((one) => -one), 0.5, -1.25, 1e300])(
    'carries %d',
    (number) => {
      expect(unpack(pack(number))).toBe(number)
    },
  )
  it.each([0, 31, 32, 255, 256, 4096])('carries text of %d characters', (length) => {
    const text = 'ạ'.repeat(length)
    expect(unpack(pack(text))).toBe(text)
  })
  it('packs each number as short as it can be', () => {
    const sizes = [0, 127, 128, 255, 256, 65535, 65536, 2 ** 32].map((one) => pack(one).length)
    expect(sizes).toEqual([1, 1, 2, 2, 3, 3, 5, 9])
  })
  it('carries long lists and maps', () => {
    const list = Array.from({ length: 300 }, (_, at) => at)
    const map = Object.fromEntries(list.map((at) => [`k${at}`, at]))
    expect(unpack(pack(list))).toEqual(list)
    expect({ ...(unpack(pack(map)) as object) }).toEqual(map)
  })
  it('does not take a key for a prototype', () => {
    const map = unpack(bytes('81a95f5f70726f746f5f5f90')) as Record<string, Packed>
    expect(Object.keys(map)).toEqual(['__proto__'])
  })
  it('refuses what follows the value', () => {
    expect(() => unpack(bytes('c0c0'))).toThrow(NotMsgpack)
  })
})
