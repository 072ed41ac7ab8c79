/*
 * When a room is asked what it wants to see of what it missed, and what follows, in virtual time.
 */
import { describe, expect, it } from 'vitest'
import {
  ASK_MS,
  CatchUp,
  LATE_S,
  WORTH_MS,
  type CatchUpState,
  type Playing,
  type Seen,
  type Setting,
} from '../src/room/catch_up'

/** A room whose link, lesson and recording are in the test's hands. */
class Room {
  date = 1e12
  readonly states: CatchUpState[] = []
  playing: Playing | null = null
  machine: CatchUp
  #heard: number | null = null

  constructor(setting: Setting = 'live', heard: number | null = null, wasBehind = false) {
    this.machine = new CatchUp(setting, heard, wasBehind)
  }

  /** Let `seconds` pass with things as they are. */
  pass(seconds: number, seen: Partial<Seen> = {}): this {
    for (let step = 0; step < seconds * 4; step += 1) {
      this.date += 250
      const flowing = seen.flowing ?? true
      if (flowing) this.#heard = this.date
      this.machine.look({
        date: this.date,
        flowing,
        heard: this.#heard,
        isEnded: false,
        isTaught: true,
        playing: this.playing,
        ...seen,
      })
      if (this.states.at(-1) !== this.machine.state) this.states.push(this.machine.state)
    }
    return this
  }

  /** Cut off for `seconds`, and back. */
  cut(seconds: number): this {
    return this.pass(seconds, { flowing: false }).pass(0.25)
  }

  /** The recording is open, so far behind. */
  plays(late: number, ahead = 20, isOver = false): this {
    this.playing = { isReady: true, late, ahead, isOver }
    return this
  }

  get state(): CatchUpState {
    return this.machine.state
  }
}

describe('a room after an outage', () => {
  it('is asked when it missed something that was taught', () => {
    const room = new Room().pass(5)
    const lost = room.date
    room.cut(60)
    expect(room.state).toBe('checking')
    expect(room.machine.missed?.map((date) => Math.round((date - lost) / 1000))).toEqual([0, 60])
    room.machine.checked(55, room.date)
    expect(room.state).toBe('offered')
    // Meanwhile it watches live.
    expect([room.machine.isLate, room.machine.reason]).toEqual([false, null])
  })
  it.each([
    ['it was short', WORTH_MS / 1000 - 1, 19],
    ['nobody taught meanwhile', 300, 4],
  ])('is not asked when %s', (_, seconds, taught) => {
    const room = new Room().pass(5).cut(seconds)
    room.machine.checked(taught, room.date)
    expect(room.pass(30).state).toBe('live')
    expect(room.states).not.toContain('offered')
  })
  it('goes on live when nobody knows what was recorded', () => {
    expect(new Room().pass(5).cut(60).pass(20).states).toEqual(['live', 'lost', 'checking', 'live'])
  })
  it.each([
    ['live', 'live'],
    ['missed', 'opening'],
  ] as const)('and is set to %s, does so unless somebody answers', (setting, state) => {
    const room = new Room(setting).pass(5).cut(60)
    room.machine.checked(55, room.date)
    room.pass(ASK_MS[setting] / 1000 - 1)
    expect(room.state).toBe('offered')
    expect(room.pass(1.5).state).toBe(state)
  })
  it('does as somebody answers', () => {
    const room = new Room('missed').pass(5).cut(60)
    room.machine.checked(55, room.date)
    room.machine.choose('live', room.date)
    expect(room.pass(60).state).toBe('live')
    const other = new Room('live').pass(5)
    const lost = other.date
    other.cut(60)
    other.machine.checked(55, other.date)
    other.machine.choose('missed', other.date)
    expect(other.state).toBe('opening')
    expect(other.machine.reason).toBe('missed')
    // The last words before the silence are heard again.
    expect(lost - other.machine.from).toBeGreaterThan(1_000)
    expect(lost - other.machine.from).toBeLessThan(8_000)
  })
  it('that is cut off again misses all of it', () => {
    const room = new Room().pass(5)
    const lost = room.date
    room.cut(60)
    room.machine.checked(55, room.date)
    room.pass(3).cut(30)
    expect(room.state).toBe('checking')
    const [from, to] = room.machine.missed ?? [0, 0]
    expect([Math.round((from - lost) / 1000), Math.round((to - from) / 1000)]).toEqual([0, 94])
  })
  it('is asked nothing of a lesson that is over', () => {
    expect(new Room().pass(5).pass(60, { flowing: false, isEnded: true }).state).toBe('live')
    const room = new Room().pass(5).cut(60)
    room.machine.checked(55, room.date)
    expect(room.pass(1, { isEnded: true }).state).toBe('live')
  })
})

describe('a room that watches what it missed', () => {
  const behind = (setting: Setting = 'live'): Room => {
    const room = new Room(setting).pass(5).cut(120)
    room.machine.checked(100, room.date)
    room.machine.choose('missed', room.date)
    return room.pass(2).plays(125).pass(1)
  }
  it('needs nothing live meanwhile, and goes live by itself at the end of what is recorded', () => {
    const room = behind()
    expect([room.state, room.machine.reason]).toEqual(['behind', 'missed'])
    room.pass(60, { flowing: false }).plays(9, 6).pass(1, { flowing: false })
    expect(room.state).toBe('behind')
    room.plays(2.4, 1.2).pass(0.5, { flowing: false })
    expect([room.state, room.machine.reason]).toEqual(['returning', null])
    expect(room.pass(2, { flowing: false }).state).toBe('returning')
    expect(room.pass(0.5).state).toBe('live')
  })
  it('goes live also where no more is listed than it has played', () => {
    expect(behind().plays(11, 0.3).pass(0.5, { flowing: false }).state).toBe('returning')
  })
  it('goes live at a press', () => {
    const room = behind()
    room.machine.goLive(room.date)
    expect([room.state, room.machine.reason]).toEqual(['returning', null])
    expect(room.pass(0.5).state).toBe('live')
    expect(room.pass(60).state).toBe('live')
  })
  it('stops and goes on at a press', () => {
    const room = behind()
    room.machine.pause(room.date)
    expect([room.state, room.machine.reason]).toEqual(['paused', 'paused'])
    room.plays(425).pass(300, { flowing: false })
    expect(room.state).toBe('paused')
    room.machine.play(room.date)
    expect(room.pass(0.5, { flowing: false }).state).toBe('behind')
    expect(room.machine.reason).toBe('missed')
  })
  it('sees a lesson to its end that was over before', () => {
    const room = behind()
    expect(room.pass(60, { isEnded: true, flowing: false }).state).toBe('behind')
    room.plays(200, 0.1).pass(1, { isEnded: true, flowing: false })
    expect(room.state).toBe('behind')
    expect(room.plays(200, 0, true).pass(1, { isEnded: true, flowing: false }).state).toBe('live')
  })
  it('waits for nobody where the teacher has gone', () => {
    const room = behind().plays(30, 0.2)
    room.pass(1, { flowing: false, isTaught: false })
    expect([room.machine.isLate, room.machine.reason]).toEqual([false, null])
    expect(room.states).toContain('live')
  })
  it('is live again when the recording cannot be opened', () => {
    const room = new Room().pass(5).cut(60)
    room.machine.checked(55, room.date)
    room.machine.choose('missed', room.date)
    expect(room.pass(30).state).toBe('opening')
    expect(room.pass(30).states.at(-1)).toBe('live')
    expect(room.machine.hasFailed).toBe(true)
  })
  it('is live again when a recording that was open does not come back', () => {
    const room = new Room().pass(5).cut(60)
    room.machine.checked(55, room.date)
    room.machine.choose('missed', room.date)
    room.plays(55).pass(10, { flowing: false })
    expect(room.state).toBe('behind')
    room.playing = null
    expect(room.pass(30, { flowing: false }).state).toBe('opening')
    expect(room.pass(30).state).toBe('live')
  })
  describe('and is cut off again on its way to the lesson', () => {
    /** At the end of what is listed, eighteen seconds behind, after so long without the lesson. */
    function cutAgain(seconds: number): Room {
      const room = new Room().pass(5).cut(120)
      room.machine.checked(100, room.date)
      room.machine.choose('missed', room.date)
      room.pass(1).plays(18).pass(1).plays(18, 0.4).pass(1, { flowing: false })
      expect(room.state).toBe('returning')
      return room.pass(seconds, { flowing: false })
    }
    it('is asked about what it missed, from what it heard last', () => {
      const room = cutAgain(300)
      expect(room.state).toBe('returning')
      expect(room.pass(0.25).state).toBe('checking')
      const [from, to] = room.machine.missed ?? [0, 0]
      expect((to - from) / 1000).toBeCloseTo(300 + 18, -0.7)
    })
    it('is not asked for a moment, nor after the lesson', () => {
      expect(cutAgain(10).pass(0.25).state).toBe('live')
      expect(cutAgain(300).pass(0.25, { isEnded: true }).state).toBe('live')
    })
    it('is not asked about what somebody chose to leave out', () => {
      const room = new Room().pass(5).cut(600)
      room.machine.checked(100, room.date)
      room.machine.choose('missed', room.date)
      room.pass(1).plays(590).pass(5)
      room.machine.goLive(room.date)
      room.pass(60, { flowing: false }).pass(0.25)
      expect(room.state).toBe('checking')
      const [from, to] = room.machine.missed ?? [0, 0]
      expect((to - from) / 1000).toBeCloseTo(60, -0.5)
    })
  })
  it('goes on with it when its page was opened anew', () => {
    const room = new Room('live', 1e12 - 300_000, true).pass(1)
    expect([room.state, room.machine.reason]).toEqual(['opening', 'missed'])
    expect(new Room('live', 1e12 - 300_000).pass(1).state).toBe('checking')
    expect(new Room('live', 1e12 - 5_000).pass(1).state).toBe('live')
  })
})

describe("a class's own teacher", () => {
  it('stops the lesson, and goes on from there', () => {
    const room = new Room().pass(60)
    room.machine.pause(room.date)
    const stopped = room.date
    expect([room.state, room.machine.reason, room.machine.from]).toEqual([
      'paused',
      'paused',
      stopped,
    ])
    room.pass(40, { flowing: false }).plays(40)
    room.machine.play(room.date)
    room.pass(1, { flowing: false })
    expect([room.state, room.machine.reason]).toEqual(['behind', 'choice'])
  })
  it('goes back', () => {
    const room = new Room().pass(60)
    room.machine.rewind(30, room.date)
    expect(room.state).toBe('opening')
    expect(room.date - room.machine.from).toBe(30_000)
  })
  it('stops what is offered, too', () => {
    const room = new Room().pass(5).cut(60)
    room.machine.checked(55, room.date)
    room.machine.pause(room.date)
    expect(room.pass(60).state).toBe('paused')
  })
})

describe('a room that is set to be late', () => {
  it('is late from the first moment, and stays so far behind', () => {
    const room = new Room('late').pass(1)
    expect([room.state, room.machine.reason]).toEqual(['opening', 'choice'])
    expect(Math.abs(room.date - room.machine.from - LATE_S * 1000)).toBeLessThan(1_000)
    room.plays(LATE_S).pass(600, { flowing: false })
    expect([room.state, room.machine.target]).toEqual(['behind', LATE_S])
    // Neither at the end of what is listed nor when its link is lost.
    expect(room.plays(30, 0.1).pass(60, { flowing: false }).state).toBe('behind')
  })
  it('waits for the lesson', () => {
    const room = new Room('late').pass(60, { flowing: false, isTaught: false })
    expect(room.state).toBe('live')
    expect(room.pass(1).state).toBe('opening')
  })
  it('misses nothing when its page is opened anew', () => {
    const room = new Room('late', 1e12 - 600_000, true).pass(1)
    expect(room.state).toBe('opening')
    expect(room.date - room.machine.from).toBeGreaterThan(600_000)
  })
  it('is live for this lesson when somebody wants it', () => {
    const room = new Room('late').pass(1).plays(LATE_S).pass(5)
    room.machine.goLive(room.date)
    expect(room.pass(300).state).toBe('live')
    room.machine.set('late', room.date)
    expect(room.pass(1).state).toBe('behind')
  })
  it('tries again later when the recording cannot be opened', () => {
    const room = new Room('late').pass(60)
    expect(room.state).toBe('live')
    expect(room.pass(120).states.slice(-2)).toEqual(['live', 'opening'])
  })
})
