/*
 * How the voice should be encoded, written into the answer that the browser encodes by.
 *
 * A browser reads the other side's wishes for Opus (RFC 7587 section 6.1) and for the packet time
 * (RFC 8866 section 6.4) from the answer in force, so a wish that comes during a lesson is written
 * into that answer and the answer applied again: the server is not asked, and nothing else changes.
 * Pure; measured in Chromium 156 (PAGES.md).
 */

export interface VoiceWish {
  /** Bits per second. */
  maxaveragebitrate: number
  /** Milliseconds of voice in a packet. */
  ptime: number
  /** Send nothing in silence. */
  dtx: boolean
}

/** How it is encoded while nobody lacks anything; as the relay wishes for it then. */
export const FULL: VoiceWish = { maxaveragebitrate: 32_000, ptime: 20, dtx: false }

/** On a link that takes hardly more than the voice: 57 kbit/s with headers and redundancy, not 85. */
export const THRIFTY: VoiceWish = { maxaveragebitrate: 24_000, ptime: 60, dtx: true }

export const isSameWish = (one: VoiceWish, other: VoiceWish): boolean =>
  one.maxaveragebitrate === other.maxaveragebitrate &&
  one.ptime === other.ptime &&
  one.dtx === other.dtx

/**
 * `answer` with `wish` in every section of Opus. Whether a wish is in force cannot be told from it:
 * browsers write the description in force in an order of their own.
 */
export function withVoiceWish(answer: string, wish: VoiceWish): string {
  return answer
    .split(/^(?=m=)/m)
    .map((section) => (section.startsWith('m=audio ') ? withWish(section, wish) : section))
    .join('')
}

function withWish(section: string, wish: VoiceWish): string {
  const number = /^a=rtpmap:(\d+) opus\//im.exec(section)?.[1]
  if (number === undefined) return section
  const lines = section.trimEnd().split(/\r?\n/)
  const isFmtp = (line: string): boolean => line.startsWith(`a=fmtp:${number} `)
  const known = lines.find(isFmtp)?.slice(`a=fmtp:${number} `.length) ?? ''
  const fmtp = parameters(known)
  fmtp.set('maxaveragebitrate', String(wish.maxaveragebitrate))
  fmtp.set('usedtx', wish.dtx ? '1' : '0')
  const text = [...fmtp].map(([key, value]) => (value === null ? key : `${key}=${value}`)).join(';')
  const result: string[] = []
  for (const line of lines) {
    if (isFmtp(line) || line.startsWith('a=ptime:')) continue
    result.push(line)
    if (line.startsWith(`a=rtpmap:${number} `)) result.push(`a=fmtp:${number} ${text}`)
  }
  result.push(`a=ptime:${wish.ptime}`)
  return result.join('\r\n') + '\r\n'
}

function parameters(text: string): Map<string, string | null> {
  const found = new Map<string, string | null>()
  for (const part of text.split(';')) {
    const [key = '', ...rest] = part.trim().split('=')
    if (key !== '') found.set(key, rest.length === 0 ? null : rest.join('='))
  }
  return found
}
