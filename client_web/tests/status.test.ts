/*
 * What the status page makes of a relay's numbers.
 */
import { describe, expect, test } from 'vitest'
import { size } from '../src/i18n'
import { statusEn } from '../src/i18n/status_en'
import { adviceWords, host, taken, worst } from '../src/status/facts'

describe('status facts', () => {
  test('sizes are written as people of each language write them', () => {
    expect(size(999, 'en')).toBe('999 B')
    expect(size(1_240_000, 'en')).toBe('1.2 MB')
    expect(size(1_240_000, 'vi')).toBe('1,2 MB')
    expect(size(340e9, 'en')).toBe('340 GB')
    expect(size(5e15, 'en')).toMatch(/TB$/)
    expect(size(-1, 'en')).toBe('0 B')
  })

  test('without a quota lessons may take what is free above the floor', () => {
    const space = { held: 50, quota: 200, free: 1_000, floor: 100, full: false }
    expect(taken(space)).toBe(0.25)
    expect(taken({ ...space, held: 900, quota: 0 })).toBe(0.5)
    expect(taken({ ...space, held: 300 })).toBe(1)
    expect(taken({ ...space, held: 0, quota: 0, free: 0 })).toBe(null)
  })

  test('one is told as one', () => {
    expect(statusEn.liveText(1, 0)).toBe('1 lesson, 0 rooms watching.')
    expect(statusEn.lessonsText(2, '3 MB')).toBe('2 lessons, 3 MB')
  })

  test('an address is known by its host', () => {
    expect(host('https://relay.example:8081')).toBe('relay.example')
    expect(host('rubbish')).toBe('rubbish')
  })

  test('an advice that the page does not know is told by its name', () => {
    expect(adviceWords('disk-low', statusEn)).toEqual(statusEn.advice['disk-low'])
    expect(adviceWords('roof-leaks', statusEn).text).toContain('roof-leaks')
    expect(adviceWords('constructor', statusEn).text).toContain('constructor')
  })

  test('the worst advice colours the page', () => {
    expect(worst([{ name: 'all-well', level: 'note' }])).toBe('note')
    expect(
      worst([
        { name: 'disk-low', level: 'warn' },
        { name: 'disk-full', level: 'bad' },
      ]),
    ).toBe('bad')
  })
})
