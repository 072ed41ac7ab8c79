/*
 * What a room receives: stills out of their parts, video that takes their place, words for each.
 */
import { beforeEach, describe, expect, it } from 'vitest'
import type { Rung, ServerMessage } from '../src/events/wire'
import { en } from '../src/i18n/en'
import { vi as vietnamese } from '../src/i18n/vi'
import { barsOf, rungWords, unseenWords } from '../src/room/badge'
import { Quality } from '../src/room/quality'
import type { Slot, SlotMedia, WhepViewer } from '../src/webrtc/whep'

const RUNG: Rung = {
  lesson: 'toan-8',
  rung: 'stills',
  reason: 'link',
  since: 1e9,
  bitrate: 64_000,
  loss: 0.05,
  round_trip: 0.6,
  playout_ms: 1_400,
}
const head = (still: number, parts: number, bytes: number): ServerMessage => ({
  kind: 'still',
  still,
  lesson: 'toan-8',
  source: 'screen',
  captured: 1e9 + still,
  mime: 'image/avif',
  width: 640,
  height: 360,
  parts,
  bytes,
})
const part = (still: number, number: number, size = 3): ServerMessage => ({
  kind: 'still-part',
  still,
  part: number,
  data: new Uint8Array(size),
})

class FakeViewer {
  frames = 0
  readonly receivers: { jitterBufferTarget?: number | null }[] = [
    { jitterBufferTarget: null },
    { jitterBufferTarget: null },
    {},
  ]
  get slots(): ReadonlyMap<Slot, SlotMedia> {
    return new Map([['camera', { frames: this.frames } as SlotMedia]])
  }
  peer = { getReceivers: () => this.receivers }
  as(): WhepViewer {
    return this as unknown as WhepViewer
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))
let quality: Quality
let shown: string[]
const captured = (): number | null => quality.still('toan-8')?.captured ?? null
const say = async (...messages: ServerMessage[]): Promise<void> => {
  for (const message of messages) quality.receive(message)
  await settle()
}

beforeEach(() => {
  shown = []
  quality = new Quality((url) => {
    shown.push(url)
    return Promise.resolve()
  })
})

describe('a still picture', () => {
  it('is shown when its last part is there, and no earlier', async () => {
    await say(head(1, 2, 5), part(1, 0))
    expect(captured()).toBe(null)
    await say(part(1, 1, 2))
    expect(captured()).toBe((1e9 + 1) * 1000)
    expect(quality.still('van-8')).toBe(null)
  })
  it('stays until the next one is whole', async () => {
    await say(head(1, 1, 3), part(1, 0))
    await say(head(2, 2, 6), part(2, 0))
    expect(captured()).toBe((1e9 + 1) * 1000)
    await say(part(2, 1))
    expect(captured()).toBe((1e9 + 2) * 1000)
  })
  it.each([
    ['of another picture', [head(1, 2, 6), part(1, 0), part(2, 1)]],
    ['out of order', [head(1, 2, 6), part(1, 1), part(1, 0)]],
    ['without a head', [part(1, 0)]],
    ['of another length', [head(1, 1, 4), part(1, 0)]],
    [
      'of a connection before',
      [
        head(1, 2, 6),
        part(1, 0),
        { kind: 'welcome', name: '', role: 'room', lesson: null, server_time: 1e9 },
        part(1, 1),
      ],
    ],
  ] as [string, ServerMessage[]][])('is not made of parts %s', async (_name, messages) => {
    await say(...messages)
    expect(captured()).toBe(null)
  })
  it('that the browser cannot show leaves the one before', async () => {
    let fails = false
    quality = new Quality(() => (fails ? Promise.reject(new Error('format')) : Promise.resolve()))
    await say(head(1, 1, 3), part(1, 0))
    fails = true
    await say(head(2, 1, 3), part(2, 0))
    expect(captured()).toBe((1e9 + 1) * 1000)
  })
  it('gives way to video that flows, and not to the rest of what was under way', async () => {
    const viewer = new FakeViewer()
    viewer.frames = 100
    quality.follow(viewer.as())
    await say(head(1, 1, 3), part(1, 0))
    viewer.frames = 104
    quality.follow(viewer.as())
    expect(captured()).not.toBe(null)
    viewer.frames = 108
    quality.follow(viewer.as())
    expect(captured()).toBe(null)
  })
  it('gives way to the video of a new session, too', async () => {
    const viewer = new FakeViewer()
    viewer.frames = 100
    quality.follow(viewer.as())
    await say(head(1, 1, 3), part(1, 0))
    viewer.frames = 0
    quality.follow(viewer.as())
    expect(captured()).not.toBe(null)
    viewer.frames = 8
    quality.follow(viewer.as())
    expect(captured()).toBe(null)
  })
})

describe('the wait for repairs', () => {
  it('is the same for voice and pictures, where the browser has it', async () => {
    const viewer = new FakeViewer()
    quality.follow(viewer.as())
    expect(viewer.receivers).toEqual([
      { jitterBufferTarget: null },
      { jitterBufferTarget: null },
      {},
    ])
    await say({ kind: 'rung', ...RUNG })
    quality.follow(viewer.as())
    expect(viewer.receivers).toEqual([
      { jitterBufferTarget: 1_400 },
      { jitterBufferTarget: 1_400 },
      {},
    ])
    await say({ kind: 'rung', ...RUNG, playout_ms: 9_000 })
    quality.follow(viewer.as())
    expect(viewer.receivers[0]?.jitterBufferTarget).toBe(4_000)
  })
})

describe('words', () => {
  it('say why, where that is not said already', () => {
    expect(rungWords(RUNG, {}, en)).toBe('Weak link: still pictures and voice')
    expect(rungWords({ ...RUNG, rung: 'small' }, {}, en)).toBe('Small picture · narrow link')
    expect(rungWords({ ...RUNG, rung: 'small', reason: 'choice' }, {}, en)).toBe('Small picture')
    expect(rungWords({ ...RUNG, rung: 'full', reason: 'choice' }, {}, en)).toBe('Clear picture')
    expect(rungWords({ ...RUNG, rung: 'small', reason: 'new-one' }, {}, en)).toBe(
      'Small picture · narrow link',
    )
  })
  it('name slides beside the voice where they are all there is to see', () => {
    const voice: Rung = { ...RUNG, rung: 'voice' }
    expect(rungWords(voice, {}, en)).toBe('Very weak link: voice only')
    expect(rungWords(voice, { slides: true }, en)).toBe('Very weak link: voice and slides')
  })
  it('blame no link for what the teacher does not send, nor while it is measured', () => {
    const unseen: Rung = { ...RUNG, rung: 'voice', reason: 'source' }
    expect(rungWords(unseen, {}, en)).toBe('The teacher sends no picture now')
    expect(rungWords(unseen, { slides: true, frozen: true }, vietnamese)).toBe(
      'Lúc này thầy cô không gửi hình',
    )
    expect(unseenWords({ ...unseen, rung: 'stills' }, en)).toBe(en.room.soundOnly)
    expect(barsOf(unseen)).toBe('full')
    for (const rung of ['voice', 'stills'] as const) {
      const starting: Rung = { ...RUNG, rung, reason: 'starting' }
      expect(rungWords(starting, { slides: true }, en)).toBe('Measuring the link')
      expect(rungWords(starting, {}, vietnamese)).toBe('Đang đo đường truyền')
      expect(unseenWords(starting, en)).toBe(en.room.soundOnly)
      expect(barsOf(starting)).toBe('small')
    }
    expect(unseenWords(RUNG, en)).toBe(en.room.stillWaiting)
    expect(barsOf(RUNG)).toBe('stills')
  })
  it('speak of a picture that stands still, unless stills are what is meant', () => {
    expect(rungWords(null, { frozen: true }, en)).toBe(en.room.frozen)
    expect(rungWords({ ...RUNG, rung: 'small' }, { frozen: true }, en)).toBe(en.room.frozen)
    expect(rungWords(RUNG, { frozen: true }, vietnamese)).toBe(vietnamese.room.rungs.stills)
    expect(rungWords(null, {}, en)).toBe('')
  })
})
