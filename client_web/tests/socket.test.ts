/*
 * The events connection as a story: opened, lost, opened again, refused.
 */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { unpack } from '../src/events/msgpack'
import { EventsSocket } from '../src/events/socket'

const vectors = JSON.parse(
  readFileSync(new URL('../../tests/vectors/wire/valid.json', import.meta.url), 'utf8'),
) as { name: string; hex: string }[]
const message = (name: string): ArrayBuffer => {
  const found = vectors.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no vector ${name}`)
  return Uint8Array.from(Buffer.from(found.hex, 'hex')).buffer
}

class FakeSocket {
  static readonly OPEN = 1
  static all: FakeSocket[] = []
  readyState = 0
  binaryType = ''
  sent: unknown[] = []
  onopen: (() => void) | null = null
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null
  onclose: ((event: { code: number }) => void) | null = null

  constructor(readonly url: string) {
    FakeSocket.all.push(this)
  }

  static get last(): FakeSocket {
    const socket = FakeSocket.all[FakeSocket.all.length - 1]
    if (socket === undefined) throw new Error('no socket was opened')
    return socket
  }

  open(): void {
    this.readyState = 1
    this.onopen?.()
  }

  say(name: string): void {
    this.onmessage?.({ data: message(name) })
  }

  drop(code: number): void {
    this.readyState = 3
    this.onclose?.({ code })
  }

  send(bytes: Uint8Array): void {
    this.sent.push(unpack(bytes))
  }

  close(): void {
    this.readyState = 3
  }
}

const connect = (lesson: string | null = 'vat-ly-9'): EventsSocket => {
  const socket = new EventsSocket({
    url: 'ws://relay.test/events',
    token: 'a b',
    page: 'room',
    lang: 'vi',
    lesson,
  })
  socket.start()
  return socket
}
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers()
  FakeSocket.all = []
  vi.stubGlobal('WebSocket', FakeSocket)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('the events connection', () => {
  it('says hello with its token, and learns the lesson', () => {
    const events = connect()
    expect(FakeSocket.last.url).toBe('ws://relay.test/events?token=a%20b')
    FakeSocket.last.open()
    expect(FakeSocket.last.sent).toEqual([
      [1, 'hello', { page: 'room', lang: 'vi', lesson: 'vat-ly-9' }],
    ])
    FakeSocket.last.say('welcome with a lesson')
    expect(events.state).toBe('open')
    expect(events.name).toBe('Lớp 9A, Trà Leng')
    expect(events.lesson?.publishing).toBe(true)
  })
  it('pings every ten seconds', async () => {
    connect()
    FakeSocket.last.open()
    FakeSocket.last.say('welcome with a lesson')
    await pass(20_500)
    expect(FakeSocket.last.sent).toHaveLength(3)
  })
  it('comes back by itself and keeps what it knew meanwhile', async () => {
    const events = connect()
    FakeSocket.last.open()
    FakeSocket.last.say('welcome with a lesson')
    FakeSocket.last.drop(1006)
    await pass(0)
    expect(events.state).toBe('waiting')
    expect(events.lesson?.title).toBe('Vật lý 9: Định luật Ôm')
    await pass(600)
    expect(FakeSocket.all).toHaveLength(2)
    expect(events.state).toBe('connecting')
  })
  it('gives up a link that has gone silent', async () => {
    connect()
    FakeSocket.last.open()
    FakeSocket.last.say('welcome with a lesson')
    await pass(45_000)
    expect(FakeSocket.all.length).toBeGreaterThan(1)
  })
  it('gives it up whatever the clock is set to', async () => {
    connect()
    FakeSocket.last.open()
    FakeSocket.last.say('welcome with a lesson')
    vi.setSystemTime(Date.now() - 3_600_000)
    await pass(45_000)
    expect(FakeSocket.all.length).toBeGreaterThan(1)
  })
  it('gives up a connection that never opens', async () => {
    connect()
    await pass(16_000)
    expect(FakeSocket.all).toHaveLength(2)
  })
  it('backs off to eight seconds while there is no server', async () => {
    connect()
    for (let attempt = 0; attempt < 200; attempt += 1) {
      if (FakeSocket.last.readyState !== 3) FakeSocket.last.drop(1006)
      await pass(300)
    }
    // A minute: about six within the first eight seconds, then one every four to eight.
    expect(FakeSocket.all.length).toBeGreaterThan(10)
    expect(FakeSocket.all.length).toBeLessThan(22)
  })
  it('says why it was refused, and asks again only now and then', async () => {
    const events = connect()
    FakeSocket.last.open()
    FakeSocket.last.say('error')
    FakeSocket.last.drop(4403)
    await pass(0)
    expect(events.state).toBe('refused')
    expect(events.refusal?.code).toBe('wrong-lesson')
    await pass(29_000)
    expect(FakeSocket.all).toHaveLength(1)
    await pass(2_000)
    expect(FakeSocket.all).toHaveLength(2)
  })
  it('shows what is running when its link is for every lesson', () => {
    const events = connect(null)
    FakeSocket.last.open()
    FakeSocket.last.say('welcome without a lesson')
    FakeSocket.last.say('lesson planned')
    expect(events.lesson?.id).toBe('toan-8')
    FakeSocket.last.say('lesson live')
    expect(events.lesson?.id).toBe('vat-ly-9')
    expect(events.lessons).toHaveLength(2)
  })
  it('passes over what it cannot read', () => {
    const events = connect()
    FakeSocket.last.open()
    FakeSocket.last.say('welcome with a lesson')
    FakeSocket.last.onmessage?.({ data: Uint8Array.of(0xc1).buffer })
    FakeSocket.last.say('relay-hello')
    expect(events.state).toBe('open')
  })
  it('stays closed once it is closed', async () => {
    const events = connect()
    FakeSocket.last.open()
    events.close()
    await pass(60_000)
    expect(FakeSocket.all).toHaveLength(1)
    expect(events.state).toBe('closed')
  })
})
