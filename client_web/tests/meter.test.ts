/*
 * What a teacher is told of the own microphone.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LevelMeter } from '../src/teach/meter'
import { FakeBrowser, FakeSound, FakeTrack } from './fake_browser'

beforeEach(() => {
  vi.useFakeTimers()
  new FakeBrowser().install()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const microphone = (id: string): MediaStreamTrack =>
  new FakeTrack('audio', id) as unknown as MediaStreamTrack
const pass = (ms: number): unknown => vi.advanceTimersByTime(ms)

/** A meter that has just heard a sound, after which it is silent. */
function heard(): LevelMeter {
  const meter = new LevelMeter()
  meter.follow(microphone('good'))
  FakeSound.peak = 0.3
  meter.level()
  FakeSound.peak = 0
  return meter
}

describe('before the lesson', () => {
  it('a sound is good for about five seconds', () => {
    const meter = heard()
    pass(4_500)
    expect(meter.hearing(Date.now(), false)).toBe('heard')
    pass(1_000)
    expect(meter.hearing(Date.now(), false)).toBe('quiet')
  })
  it('a sound of one microphone says nothing of another', () => {
    const meter = heard()
    meter.follow(microphone('dead'))
    meter.level()
    expect(meter.hearing(Date.now(), false)).toBe('quiet')
  })
})

describe('during the lesson', () => {
  it('a pause between sentences is no fault, a long silence is', () => {
    const meter = heard()
    pass(19_000)
    expect(meter.hearing(Date.now(), true)).toBe('heard')
    pass(2_000)
    expect(meter.hearing(Date.now(), true)).toBe('silent')
  })
  it('a new or unmuted microphone has as long to be heard', () => {
    const meter = heard()
    pass(60_000)
    meter.restart()
    expect(meter.hearing(Date.now(), true)).toBe('quiet')
    pass(21_000)
    expect(meter.hearing(Date.now(), true)).toBe('silent')
  })
})
