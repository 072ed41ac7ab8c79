/*
 * What a lesson of the library's list is.
 */
import { describe, expect, it } from 'vitest'
import type { Lesson } from '../src/api'
import { archiveOf, isPlayable } from '../src/library/catalog'

const lesson = (id: string, title: string, more: Partial<Lesson> = {}): Lesson => ({
  id,
  title,
  subject: null,
  grade: null,
  school: null,
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
