/*
 * Finding lessons by words, with and without diacritics.
 */
import { describe, expect, it } from 'vitest'
import type { Lesson } from '../src/api'
import { archiveOf, find, fold, isPlayable } from '../src/library/catalog'

const lesson = (id: string, title: string, more: Partial<Lesson> = {}): Lesson => ({
  id,
  title,
  subject: null,
  grade: null,
  teacher: 'Cô Hoa',
  state: 'published',
  planned_at: null,
  started_at: 1000,
  ended_at: 2000,
  relay: 'http://relay.test',
  publishing: false,
  rooms: 0,
  recording: { state: 'finished', detail: '', seconds: 60 },
  ...more,
})

const LESSONS = [
  lesson('om', 'Vật lý 9: Định luật Ôm', { started_at: 1000 }),
  lesson('duong', 'Đường thẳng', { started_at: 3000, subject: 'Toán', teacher: 'Thầy Định' }),
  lesson('song', 'Sóng', { started_at: 2000, state: 'live' }),
  lesson('mai', 'Ngày mai', { state: 'planned' }),
]
const ids = (words: string, filter: 'all' | 'recorded' | 'running' = 'all'): string[] =>
  find(LESSONS, words, filter).map((one) => one.id)

describe('folding', () => {
  it('drops every mark and the stroke of đ, composed or not', () => {
    expect(fold('Đường THẲNG')).toBe('duong thang')
    expect(fold('Định luật Ôm'.normalize('NFD'))).toBe('dinh luat om')
  })
})

describe('finding', () => {
  it('shows what was begun, running ones first, then newest first', () => {
    expect(ids('')).toEqual(['song', 'duong', 'om'])
  })
  it('matches beginnings of words in any order', () => {
    expect(ids('luat vat')).toEqual(['om'])
    expect(ids('uat')).toEqual([])
  })
  it('puts matches in the title before others', () => {
    expect(ids('dinh')).toEqual(['om', 'duong'])
  })
  it('finds by subject and teacher', () => {
    expect(ids('toán')).toEqual(['duong'])
    expect(ids('co hoa')).toEqual(['song', 'om'])
  })
  it('filters by state', () => {
    expect(ids('', 'running')).toEqual(['song'])
    expect(ids('', 'recorded')).toEqual(['duong', 'om'])
  })
})

describe('where a recording is', () => {
  it('is the named relay for the control plane’s list, and this server for a relay’s own', () => {
    const known = lesson('om', 'x')
    expect(archiveOf(known, 'http://here.test')).toBe('http://relay.test/archives/om')
    const own = { ...known, playable: true }
    expect(archiveOf(own, 'http://here.test')).toBe('http://here.test/archives/om')
  })
  it('needs something on disk', () => {
    const empty = { state: 'none', detail: '', seconds: 0 } as const
    expect(isPlayable(lesson('om', 'x'))).toBe(true)
    expect(isPlayable(lesson('om', 'x', { recording: empty }))).toBe(false)
    expect(isPlayable(lesson('om', 'x', { playable: false }))).toBe(false)
  })
})
