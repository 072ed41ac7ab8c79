/*
 * A session as an HTTP resource: what is posted, and what its address says.
 */
import { gunzipSync } from 'node:zlib'
import { afterEach, expect, it, vi } from 'vitest'
import { SessionResource } from '../src/webrtc/resource'

const ENDPOINT = { url: 'http://relay.test/whep/-', token: 'T' }
const OFFER = 'v=0\r\n' + 'a=rtpmap:111 opus/48000/2\r\n'.repeat(500)

interface Posted {
  headers: Headers
  body: Uint8Array
}

function relay(posted: Posted[]): void {
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const body = new Uint8Array(await new Response(init.body ?? '').arrayBuffer())
    posted.push({ headers: new Headers(init.headers), body })
    const answer = new Response('v=0\r\n', {
      status: 201,
      headers: { Location: '/whep/om-9/h4x_-A' },
    })
    Object.defineProperty(answer, 'url', { value: url })
    return answer
  })
}

const create = (): Promise<SessionResource> =>
  SessionResource.create(ENDPOINT, OFFER, new AbortController().signal)

afterEach(() => vi.unstubAllGlobals())

it('posts its offer packed, and knows its lesson by its address', async () => {
  const posted: Posted[] = []
  relay(posted)
  expect((await create()).lesson).toBe('om-9')
  const [one] = posted
  expect(one?.headers.get('Content-Encoding')).toBe('gzip')
  expect(one?.body.length).toBeLessThan(500)
  expect(gunzipSync(one?.body ?? '').toString()).toBe(OFFER)
})

it('posts its offer as it is where the browser cannot pack', async () => {
  const posted: Posted[] = []
  relay(posted)
  vi.stubGlobal('CompressionStream', undefined)
  await create()
  expect(posted[0]?.headers.has('Content-Encoding')).toBe(false)
  expect(new TextDecoder().decode(posted[0]?.body)).toBe(OFFER)
})
