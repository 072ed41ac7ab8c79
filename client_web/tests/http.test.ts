/*
 * Asking a server: an answer may be slow, and silence has an end.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Problem, request, Unreachable } from '../src/http'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A server that sends `pieces`, with `ms` before each, and then nothing more or (whole) the end. */
function sends(pieces: readonly string[], ms: number, whole: boolean): void {
  vi.stubGlobal('fetch', async (_url: string, { signal }: { signal: AbortSignal }) => {
    const left = [...pieces]
    const body = new ReadableStream<Uint8Array>({
      start(stream) {
        signal.addEventListener('abort', () => stream.error(new DOMException('', 'AbortError')))
      },
      async pull(stream) {
        await new Promise((resolve) => setTimeout(resolve, ms))
        if (signal.aborted) return
        const piece = left.shift()
        if (piece !== undefined) stream.enqueue(new TextEncoder().encode(piece))
        else if (whole) stream.close()
      },
    })
    return new Response(body)
  })
}

describe('an answer', () => {
  it('may take long, as long as it comes', async () => {
    sends(Array.from('Định luật Ôm.'), 5_000, true)
    const answer = request('http://relay.test/manifest.json', '')
    await vi.advanceTimersByTimeAsync(120_000)
    expect((await answer).text).toBe('Định luật Ôm.')
  })
  it('that stops coming is none', async () => {
    sends(['{'], 1_000, false)
    const answer = request('http://relay.test/manifest.json', '').catch((error: unknown) => error)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(await answer).toBeInstanceOf(Unreachable)
  })
  it('is not waited for when nobody wants it any more', async () => {
    sends(['{'], 1_000, false)
    const stop = new AbortController()
    const { signal } = stop
    const answer = request('http://relay.test/', '', { signal }).catch((error: unknown) => error)
    await vi.advanceTimersByTimeAsync(3_000)
    stop.abort()
    expect(await answer).toBeInstanceOf(Unreachable)
  })
})

describe('a refusal', () => {
  it.each([408, 425, 429, 500, 502, 503, 507])('%d may pass', (status) => {
    expect(new Problem(status, '', '', '').isPassing).toBe(true)
  })
  it.each([400, 401, 403, 404, 409, 413, 415])('%d stays', (status) => {
    expect(new Problem(status, '', '', '').isPassing).toBe(false)
  })
})
