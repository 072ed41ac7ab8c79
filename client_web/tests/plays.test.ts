import { expect, it } from 'vitest'
import { families } from '../src/library/plays'

it('names the families that a browser plays', () => {
  expect(families(() => true)).toEqual(['avc1', 'vp09', 'av01', 'opus', 'mp4a'])
  // Safari before 17.
  expect(families((type) => !/opus|av01/.test(type))).toEqual(['avc1', 'vp09', 'mp4a'])
  expect(families(() => false)).toEqual([])
})
