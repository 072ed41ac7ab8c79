/*
 * Which files may go along with a lesson, what they are shown as, and names that every school can keep.
 *
 * Pure. The suffixes, the signs and the limits are those of classroom/archive/materials.py, so that
 * nobody waits for an upload that is refused in the end; a test compares the two. What must not live
 * here: words, fetching.
 */

/** What a page does with a file; `document`: browsers show none of these, so it is handed out. */
export type Kind = 'picture' | 'pdf' | 'film' | 'sound' | 'text' | 'document'

const OFFICE = 'application/vnd.openxmlformats-officedocument'
const OPEN = 'application/vnd.oasis.opendocument'

const TYPES: Readonly<Record<string, readonly [Kind, string]>> = {
  pdf: ['pdf', 'application/pdf'],
  png: ['picture', 'image/png'],
  jpg: ['picture', 'image/jpeg'],
  jpeg: ['picture', 'image/jpeg'],
  webp: ['picture', 'image/webp'],
  gif: ['picture', 'image/gif'],
  avif: ['picture', 'image/avif'],
  mp4: ['film', 'video/mp4'],
  webm: ['film', 'video/webm'],
  mp3: ['sound', 'audio/mpeg'],
  m4a: ['sound', 'audio/mp4'],
  ogg: ['sound', 'audio/ogg'],
  wav: ['sound', 'audio/wav'],
  txt: ['text', 'text/plain; charset=utf-8'],
  docx: ['document', `${OFFICE}.wordprocessingml.document`],
  pptx: ['document', `${OFFICE}.presentationml.presentation`],
  xlsx: ['document', `${OFFICE}.spreadsheetml.sheet`],
  doc: ['document', 'application/msword'],
  ppt: ['document', 'application/vnd.ms-powerpoint'],
  xls: ['document', 'application/vnd.ms-excel'],
  odt: ['document', `${OPEN}.text`],
  odp: ['document', `${OPEN}.presentation`],
  ods: ['document', `${OPEN}.spreadsheet`],
}

export const SUFFIXES: readonly string[] = Object.keys(TYPES)
/** Letters as people count them, not UTF-16 units. */
export const MAX_NAME = 120
/** What a list may say of one file; a server may take less. */
export const MAX_BYTES = 500e6

const suffixOf = (name: string): string =>
  name.includes('.') ? name.slice(name.lastIndexOf('.') + 1).toLowerCase() : ''

const typeOf = (name: string): readonly [Kind, string] | null => {
  const suffix = suffixOf(name)
  return Object.keys(TYPES).includes(suffix) ? (TYPES[suffix] ?? null) : null
}

export const kindOf = (name: string): Kind => typeOf(name)?.[0] ?? 'document'

/** As servers serve it. A page that shows a file goes by its name, never by what it holds. */
export const mediaTypeOf = (name: string): string => typeOf(name)?.[1] ?? 'application/octet-stream'

/**
 * `name` as it may stand in a list: signs that some systems cannot keep become dashes, and what is
 * too long is cut before its suffix. Nobody has to rename a file for it.
 */
export function tidyName(name: string): string {
  const plain = name
    .normalize('NFC')
    .replace(/[\p{Z}\t\n\r]+/gu, ' ')
    .replace(/\p{C}/gu, '')
    .replace(/[/\\:*?"<>|]/g, '-')
    .trim()
    .replace(/^[.\s]+(?=.*\.)/, '')
  const letters = [...plain]
  if (letters.length <= MAX_NAME) return plain
  const suffix = suffixOf(plain)
  const room = MAX_NAME - [...suffix].length - 1
  return `${letters.slice(0, room).join('').trimEnd()}.${suffix}`
}

/** `name` (tidy), or where it is `taken` the same with the first number that makes it another one. */
export function freeName(name: string, taken: ReadonlySet<string>): string {
  const dot = name.includes('.') ? name.lastIndexOf('.') : name.length
  const stem = [...name.slice(0, dot)]
  const suffix = name.slice(dot)
  let free = name
  for (let count = 2; taken.has(free); count += 1) {
    const end = ` (${count})${suffix}`
    free = `${stem
      .slice(0, Math.max(0, MAX_NAME - [...end].length))
      .join('')
      .trimEnd()}${end}`
  }
  return free
}

/** The code of the refusal that `name` (tidy) or its size would meet at every server, or null. */
export function refusalOf(name: string, bytes: number): string | null {
  if (typeOf(name) === null) return 'material-type'
  if (name.startsWith('.') || [...name].length > MAX_NAME) return 'material-name'
  if (bytes === 0) return 'material-empty'
  return bytes > MAX_BYTES ? 'material-too-large' : null
}
