/*
 * A room that goes into the recording and back, with a player that plays in virtual time: what it
 * hears, how fast, and that it reaches the lesson by itself.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { CatchUpReason } from '../src/events/wire'
import type { Player, PlayerOptions } from '../src/library/player'
import { PartMissing, type Renewal } from '../src/parts'
import { takeSetting } from '../src/room/kept'
import { TimeShift, type Facts, type Means } from '../src/room/time_shift'
import { FakeStorage } from './fake_browser'

const EPOCH = Date.parse('2026-03-01T01:00:00.000Z')
const BEAT_S = 8

/** A lesson that is taught and recorded as time goes on; segments are listed when they are whole. */
class Lesson {
  /** Nobody taught in these seconds. */
  away: [number, number] | null = null
  isRecorded = true
  isEnded = false

  get now(): number {
    return (Date.now() - EPOCH) / 1000
  }
  get end(): number {
    return Math.max(0, Math.floor((this.now - 1) / BEAT_S) * BEAT_S)
  }
  get pieces(): { start: number; duration: number; away: boolean; programDateTime: number }[] {
    return Array.from({ length: this.end / BEAT_S }, (_, beat) => {
      const start = beat * BEAT_S
      const away = this.away !== null && start >= this.away[0] && start < this.away[1]
      return { start, duration: BEAT_S, away, programDateTime: EPOCH + start * 1000 }
    })
  }
  get playlist(): string {
    const lines = this.pieces.map((one) => `#EXTINF:8.00000,${one.away ? 'away' : ''}\nx.m4s`)
    const date = new Date(EPOCH).toISOString()
    return ['#EXTM3U', `#EXT-X-PROGRAM-DATE-TIME:${date}`, ...lines].join('\n')
  }
}

class FakePlayer {
  state = 'loading'
  blocked = false
  waiting = false
  screenShown = false
  hasPicture = true
  isClosed = false
  /** Every second of the lesson that was heard, and at which rate. */
  readonly heard: [number, number][] = []
  readonly rates = new Set<number>()
  readonly main = {
    paused: true,
    ended: false,
    seeking: false,
    readyState: 0,
    volume: 1,
    playbackRate: 1,
    preservesPitch: false,
    pause: (): void => void (this.main.paused = true),
  }
  time: number
  #timer: ReturnType<typeof setInterval> | null = null

  constructor(
    readonly options: PlayerOptions,
    readonly lesson: Lesson,
  ) {
    this.time = options.from ?? 0
  }

  onChange(): () => void {
    return () => undefined
  }
  async open(): Promise<void> {
    setTimeout(() => {
      this.state = 'ready'
      this.main.readyState = 4
    }, 800)
    this.play()
    this.#timer = setInterval(() => this.#advance(0.05), 50)
  }
  #advance(seconds: number): void {
    const { main } = this
    if (this.state !== 'ready' || main.paused) return
    const before = this.time
    this.time = Math.min(this.lesson.end, this.time + seconds * main.playbackRate)
    if (main.volume === 1 && this.time > before) this.heard.push([before, this.time])
    if (this.time > before) this.rates.add(main.playbackRate)
    main.ended = this.lesson.isEnded && this.time >= this.lesson.end
  }
  close(): void {
    this.isClosed = true
    if (this.#timer !== null) clearInterval(this.#timer)
  }
  play(): void {
    this.main.paused = false
  }
  seek(time: number): void {
    this.time = Math.max(0, Math.min(time, this.lesson.end))
  }
  isNear = false
  setNear(near: boolean): void {
    this.isNear = near
  }
  setRate(rate: number): void {
    this.main.playbackRate = rate
  }
  get pieces(): Lesson['pieces'] {
    return this.lesson.pieces
  }
  get edge(): number {
    return this.lesson.end
  }
  get buffered(): number {
    return Math.min(30, this.lesson.end - this.time)
  }
}

let lesson: Lesson
let players: FakePlayer[]
let said: (CatchUpReason | null)[]
let link: { isUp: boolean; heldMs: number }
let storage: FakeStorage
let frames: number
let name: string

/** The relay sends again half a second after it was told to. */
function facts(): Facts {
  const reason = said.at(-1) ?? null
  if (reason !== null) link.heldMs = Date.now()
  const flowing = link.isUp && reason === null && Date.now() - link.heldMs > 500
  if (flowing) frames += 1
  if (flowing) heardAt = Date.now()
  return {
    lesson: name,
    date: Date.now(),
    flowing,
    heard: heardAt,
    frames,
    hasPictures: true,
    isEnded: lesson.isEnded,
    isTaught: !lesson.isEnded,
  }
}
let heardAt: number | null

function room(means: Partial<Means> = {}): TimeShift {
  const shift = new TimeShift({
    facts,
    archive: (id) => `http://relay.test/archives/${id}`,
    token: 'T',
    read: async (url) =>
      lesson.isRecorded && link.isUp && url.endsWith('/voice.m3u8?tail=1') ? lesson.playlist : null,
    open: async (options) => {
      const player = new FakePlayer(options, lesson)
      players.push(player)
      return player as unknown as Player
    },
    say: (reason) => {
      if (said.at(-1) !== reason) said.push(reason)
    },
    renew: async () => 'opened',
    ...means,
  })
  shift.start()
  return shift
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.setSystemTime(EPOCH + 600_000)
  lesson = new Lesson()
  players = []
  said = [null]
  link = { isUp: true, heldMs: -Infinity }
  frames = 0
  heardAt = null
  name = 'toan-8'
  storage = new FakeStorage()
  vi.stubGlobal('localStorage', storage)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const pass = (seconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(seconds * 1000)
const last = (): FakePlayer => {
  const player = players.at(-1)
  if (player === undefined) throw new Error('nothing was played')
  return player
}

/** A room that was cut off for so long and chose to see what it missed. */
async function missed(seconds: number): Promise<TimeShift> {
  const shift = room()
  await pass(5)
  link.isUp = false
  await pass(seconds)
  link.isUp = true
  await pass(3)
  expect(shift.state).toBe('offered')
  shift.choose('missed')
  await pass(3)
  expect(shift.state).toBe('behind')
  return shift
}

describe('what was missed', () => {
  it('is heard without a hole, faster, and the room is live again by itself', async () => {
    const shift = await missed(360)
    const lost = 605
    expect(shift.late).toBeGreaterThan(350)
    expect(last().main.preservesPitch).toBe(true)
    expect(said.at(-1)).toBe('missed')
    await pass(1_200)
    expect(shift.state).toBe('behind')
    expect(last().isNear).toBe(false)
    await pass(500)
    expect(shift.state).toBe('live')
    expect(said.at(-1)).toBeNull()
    const { heard, rates } = last()
    expect(heard[0]?.[0]).toBeLessThan(lost)
    const holes = heard.filter(([from], at) => at > 0 && from - (heard[at - 1]?.[1] ?? 0) > 0.01)
    expect(holes).toEqual([])
    expect(Math.max(...rates)).toBe(1.25)
    expect(last().isClosed).toBe(true)
    expect(last().isNear).toBe(true)
    expect(players).toHaveLength(1)
  })
  it('is asked about again when the link is cut on the way to the lesson', async () => {
    const shift = await missed(60)
    // Taught, but recorded no further here than the room had seen.
    const { end } = lesson
    const cut = vi.spyOn(lesson, 'end', 'get').mockReturnValue(end)
    link.isUp = false
    await pass(120)
    expect(shift.state).toBe('returning')
    const first = last()
    cut.mockRestore()
    link.isUp = true
    await pass(5)
    expect(shift.asked?.missed).toBeGreaterThan(20)
    // Its voice is not heard beside the live one.
    expect([first.isClosed, shift.shown]).toEqual([true, null])
    shift.choose('missed')
    await pass(5)
    expect(shift.state).toBe('behind')
    expect(last()).not.toBe(first)
    expect(last().heard[0]?.[0]).toBeLessThan(end)
  })
  it('may be left for the lesson at any moment, within a second', async () => {
    const shift = await missed(120)
    shift.goLive()
    expect(said.at(-1)).toBeNull()
    // The recording is heard until the lesson is.
    const before = last().time
    await pass(0.25)
    expect([shift.state, shift.isLate]).toEqual(['returning', true])
    await pass(0.25)
    expect(last().time).toBeGreaterThan(before)
    expect(last().main.volume).toBe(1)
    await pass(0.5)
    expect(shift.state).toBe('live')
    await pass(1)
    expect(last().isClosed).toBe(true)
    expect(shift.shown).toBeNull()
  })
  it('passes over what the relay has not, and says so', async () => {
    lesson.away = [640, 720]
    const shift = await missed(240)
    await pass(32)
    expect(shift.skipped).toBeGreaterThan(70)
    expect(last().heard.some(([from]) => from > 645 && from < 715)).toBe(false)
    await pass(20)
    expect(shift.skipped).toBeNull()
    expect(shift.state).toBe('behind')
  })
  it('is not offered where nothing of it was recorded', async () => {
    lesson.away = [600, 900]
    const shift = room()
    await pass(5)
    link.isUp = false
    await pass(120)
    link.isUp = true
    await pass(60)
    expect(shift.state).toBe('live')
    expect(players).toEqual([])
  })
  it('is watched to the end of the lesson', async () => {
    const shift = await missed(120)
    lesson.isEnded = true
    vi.spyOn(lesson, 'end', 'get').mockReturnValue(736)
    await pass(100)
    expect(shift.state).toBe('behind')
    await pass(60)
    expect(shift.state).toBe('live')
    expect(last().time).toBe(736)
    expect(storage.getItem('classroom.room.heard')).toBeNull()
  })
  it('is there again after a power cut', async () => {
    const before = room()
    await pass(20)
    before.end()
    await pass(240)
    const shift = room()
    await pass(4)
    expect(shift.asked?.missed).toBeGreaterThan(230)
    shift.choose('missed')
    await pass(30)
    expect(last().heard[0]?.[0]).toBeLessThan(620)
    shift.end()
    const again = room()
    await pass(3)
    expect(again.state).toBe('behind')
    expect(last().heard[0]?.[0]).toBeGreaterThan(640)
    // Another lesson has nothing to do with it.
    again.end()
    name = 'van-8'
    const other = room()
    await pass(30)
    expect(other.state).toBe('live')
  })
})

describe("a class's own teacher", () => {
  it('stops the lesson and goes on where it stopped', async () => {
    const shift = room()
    await pass(10)
    shift.pause()
    expect([shift.state, said.at(-1)]).toEqual(['paused', 'paused'])
    await pass(60)
    shift.play()
    await pass(2)
    expect(shift.state).toBe('behind')
    expect(last().heard[0]?.[0]).toBeCloseTo(610, 0)
    shift.pause()
    const stopped = last().time
    await pass(60)
    expect(last().time).toBe(stopped)
  })
  it('waits a moment for what was taught last', async () => {
    const shift = room()
    await pass(10)
    shift.pause()
    await pass(1)
    shift.play()
    await pass(3)
    expect([shift.state, shift.shown]).toEqual(['opening', null])
    await pass(7)
    expect(shift.state).toBe('behind')
    expect(last().heard[0]?.[0]).toBeCloseTo(610, 0)
  })
  it('goes back, and back again', async () => {
    const shift = room()
    await pass(10)
    shift.skip(-30)
    await pass(2)
    expect(shift.late).toBeCloseTo(31, -0.5)
    shift.skip(-30)
    await pass(0.5)
    expect(shift.late).toBeGreaterThan(55)
    expect(players).toHaveLength(1)
  })
  it('goes on at most to what is recorded', async () => {
    const shift = await missed(40)
    for (let press = 0; press < 4; press += 1) {
      shift.skip(30)
      await pass(0.5)
    }
    await pass(2)
    expect([shift.state, said.at(-1)]).toEqual(['live', null])
    expect(players).toHaveLength(1)
  })
  it.each([true, false])(
    'goes back while the lesson is awaited (recorded: %s)',
    async (isThere) => {
      const shift = await missed(120)
      shift.goLive()
      await pass(0.25)
      expect(shift.state).toBe('returning')
      lesson.isRecorded = isThere
      shift.skip(-30)
      await pass(10)
      expect(shift.state).toBe(isThere ? 'behind' : 'opening')
      await pass(60)
      expect(shift.state).toBe(isThere ? 'behind' : 'live')
      expect(players).toHaveLength(isThere ? 2 : 1)
    },
  )
  it('is told that there is no recording, and sees the lesson', async () => {
    lesson.isRecorded = false
    const shift = room()
    await pass(10)
    shift.skip(-30)
    await pass(46)
    expect(shift.hasFailed).toBe(true)
    await pass(14)
    expect([shift.state, shift.hasFailed]).toEqual(['live', false])
    expect(said.at(-1)).toBeNull()
  })
})

describe('a room that is set to be late', () => {
  it('by its link keeps so, has everything, and gets its lead back after an outage', async () => {
    takeSetting('#token=x&catch-up=late')
    const shift = room()
    await pass(5)
    expect(shift.setting).toBe('late')
    expect([shift.state, said.at(-1)]).toEqual(['behind', 'choice'])
    await pass(60)
    expect(shift.late).toBeCloseTo(41, -0.5)
    expect([...last().rates]).toEqual([1])
    last().main.paused = true
    vi.spyOn(last(), 'play').mockImplementation(() => undefined)
    await pass(60)
    vi.restoreAllMocks()
    await pass(5)
    expect(shift.late).toBeGreaterThan(95)
    await pass(600)
    expect(shift.late).toBeLessThan(45)
    expect(shift.state).toBe('behind')
    expect(new Set([...last().rates].map((rate) => rate <= 1.25))).toEqual(new Set([true]))
  })
  it('takes no other setting from a link', () => {
    takeSetting('#token=x&catch-up=sideways')
    expect(room().setting).toBe('live')
  })
})

describe("a room that the player's code does not come to", () => {
  let tries: number
  let renewals: Renewal[]
  beforeEach(() => {
    tries = 0
    renewals = []
    storage.setItem('classroom.room.catch-up', 'late')
  })
  const roomWithout = (answer: (count: number) => Renewal): TimeShift =>
    room({
      open: async () => {
        tries += 1
        throw new PartMissing('')
      },
      renew: async () => {
        renewals.push(answer(renewals.length))
        return renewals.at(-1) ?? 'lately'
      },
    })
  it('begins anew, and goes on where it was', async () => {
    const before = roomWithout(() => 'opened')
    await pass(1)
    expect(renewals).toEqual(['opened'])
    const { heard } = { heard: heardAt }
    before.end()
    const shift = room()
    await pass(5)
    expect(shift.state).toBe('behind')
    expect(last().options.from).toBeLessThan(((heard ?? 0) - EPOCH) / 1000)
  })
  it('has the lesson live where beginning anew did not help, and hardly a silence', async () => {
    roomWithout((count) => (count === 0 ? 'opened' : 'lately'))
    let silence = 0
    for (let second = 0; second < 2_700; second += 1) {
      await pass(1)
      if (!facts().flowing) silence += 1
    }
    expect(tries).toBeGreaterThan(10)
    expect(silence).toBeLessThan(60)
  })
  it('waits while its relay is away', async () => {
    const shift = roomWithout((count) => (count < 5 ? 'away' : 'opened'))
    await pass(20)
    expect([shift.state, shift.hasFailed]).toEqual(['opening', false])
    expect(renewals.at(-1)).toBe('opened')
  })
})
