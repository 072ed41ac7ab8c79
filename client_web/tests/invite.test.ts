/*
 * Links that a teacher hands out: to any school, and to one with a relay of its own.
 */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Api } from '../src/api'

interface Asked {
  url: string
  body: unknown
}

function answering(document: unknown): Asked[] {
  const asked: Asked[] = []
  vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
    asked.push({ url, body: typeof init.body === 'string' ? JSON.parse(init.body) : null })
    return Promise.resolve(new Response(JSON.stringify(document)))
  })
  return asked
}

afterEach(() => vi.unstubAllGlobals())

describe('a link for a class', () => {
  const api = new Api('https://lop.example', 'token')
  it('leads to the relay of the school that is chosen', async () => {
    const asked = answering({ url: 'http://192.168.1.9:8081/room#token=t', token: 't' })
    expect((await api.invite('toan-8', 'school-7')).url).toContain('192.168.1.9')
    await api.invite('toan-8', null)
    expect(asked.map((one) => one.body)).toEqual([
      { role: 'room', school: 'school-7' },
      { role: 'room' },
    ])
    expect(asked[0]?.url).toBe('https://lop.example/api/lessons/toan-8/links')
  })
  it('may be for each school whose relay is there', async () => {
    answering({ relays: [], below: [{ id: 'school-7', name: 'Trà Leng', url: 'http://x' }] })
    expect((await api.schools()).map((one) => one.name)).toEqual(['Trà Leng'])
  })
})
