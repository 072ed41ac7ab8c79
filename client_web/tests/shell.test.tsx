/*
 * What the light pages share: the link past the header, and links opened in a tab that is open.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { followLinks } from '../src/token'
import { Shell } from '../src/ui/shell'
import { FakeDocument } from './fake_dom'

let page: FakeDocument

beforeEach(() => {
  page = new FakeDocument()
  vi.stubGlobal('document', page)
})
afterEach(() => vi.unstubAllGlobals())

describe('the link past the header', () => {
  it('leads to the content and leaves the address, which is a token or a lesson, as it is', () => {
    page.draw(<Shell title="Ôm">…</Shell>)
    const isFollowed = page.root.all('a')[0]?.press()
    expect(page.activeElement).toBe(page.root.all('main')[0])
    expect(isFollowed).toBe(false)
  })
})

describe('a page whose address changes', () => {
  it('begins anew with a new link, and only then', () => {
    const window = new EventTarget()
    const at = { hash: '', reload: vi.fn() }
    vi.stubGlobal('location', at)
    vi.stubGlobal('addEventListener', window.addEventListener.bind(window))
    followLinks()
    for (const hash of ['#main', '', '#lesson=om']) {
      at.hash = hash
      window.dispatchEvent(new Event('hashchange'))
    }
    expect(at.reload).not.toHaveBeenCalled()
    at.hash = '#token=abc'
    window.dispatchEvent(new Event('hashchange'))
    expect(at.reload).toHaveBeenCalledOnce()
  })
})
