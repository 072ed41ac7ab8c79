import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { RunningDigest } from '../src/offline/running_digest'

/** Bytes that look like any, the same every time. */
const some = (count: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, index) => (index * 2654435761) >>> 24)
const told = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

function inPieces(data: Uint8Array, ...sizes: number[]): string {
  const digest = new RunningDigest()
  let at = 0
  for (let turn = 0; at < data.byteLength; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1
    digest.update(data.subarray(at, at + size))
    at += size
  }
  return digest.end()
}

describe('a digest of what comes piece by piece', () => {
  it('is the one of the whole, however long that is', () => {
    for (let count = 0; count <= 200; count += 1)
      expect([count, inPieces(some(count), 1000)]).toEqual([count, told(some(count))])
  })
  it.each([[[1]], [[63, 1, 65]], [[64]], [[5, 200, 0, 64, 7]], [[16_384, 3]]])(
    'is the one of the whole in pieces of %j bytes',
    (sizes) => {
      expect(inPieces(some(40_000), ...sizes)).toBe(told(some(40_000)))
    },
  )
})
