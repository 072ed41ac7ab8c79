/*
 * Refusals of the servers in the words of the pages.
 */
import { readdir, readFile } from 'node:fs/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LANGUAGES } from '../src/i18n'
import { PROBLEMS, problemWords } from '../src/i18n/problems'
import { toClipboard } from '../src/teach/clipboard'

afterEach(() => vi.unstubAllGlobals())

describe('a refusal', () => {
  it('is told by its code in the language of the page', () => {
    const problem = { status: 409, code: 'lesson-taken' }
    expect(problemWords(problem, 'vi').title).toBe('Thầy cô khác đang dạy buổi này')
    expect(problemWords(problem, 'en').title).toBe('Another teacher is teaching this lesson')
  })
  it('without words of its own takes those of its family', () => {
    const expired = problemWords({ status: 401, code: 'token-expired' }, 'vi')
    expect(expired).toEqual(PROBLEMS.vi['token'])
  })
  it('of a code that nobody foresaw still says what to do, and names the code', () => {
    const words = problemWords({ status: 418, code: 'tea-only' }, 'vi')
    expect(words.title).toBe('Máy chủ không làm được việc này')
    expect(words.fix).toContain('tea-only')
    expect(problemWords({ status: 502, code: '' }, 'en').fix).toContain('502')
    expect(problemWords({ status: 500, code: 'constructor' }, 'en').fix).toContain('constructor')
  })
  it('has a title without a full stop and a fix that is a sentence', () => {
    for (const words of Object.values(PROBLEMS).flatMap((all) => Object.values(all))) {
      expect(words.title).toMatch(/[^.!?]$/)
      expect(words.fix).toMatch(/[.]$/)
    }
  })
})

describe('the words', () => {
  it('spell one word in one way', async () => {
    const folder = new URL('../src/i18n/', import.meta.url)
    for (const name of await readdir(folder))
      expect(await readFile(new URL(name, folder), 'utf8'), name).not.toMatch(/xoá|khoá/i)
  })
})

describe('a recording that fails', () => {
  it('has words for every reason that a relay gives', () => {
    for (const t of Object.values(LANGUAGES))
      expect(Object.keys(t.teach.recording.details).sort()).toEqual([
        'disk-failing',
        'disk-full',
        'not-recorded',
      ])
  })
})

describe('copying', () => {
  it('says whether it was done', async () => {
    const writeText = vi.fn(async () => undefined)
    vi.stubGlobal('navigator', { clipboard: { writeText } })
    expect(await toClipboard('link')).toBe(true)
    expect(writeText).toHaveBeenCalledWith('link')
  })
  it('is not claimed where there is no clipboard or it is forbidden', async () => {
    vi.stubGlobal('navigator', {})
    expect(await toClipboard('link')).toBe(false)
    const writeText = async (): Promise<void> => Promise.reject(new DOMException('', 'NotAllowed'))
    vi.stubGlobal('navigator', { clipboard: { writeText } })
    expect(await toClipboard('link')).toBe(false)
  })
})
