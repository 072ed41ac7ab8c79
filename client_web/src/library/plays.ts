/*
 * Which codecs this browser plays, so that the server offers those alone.
 *
 * Pure but for asking the browser. What is recorded is mostly VP9 with Opus; Safari before 17 plays
 * no Opus from fMP4, and some old devices no VP9. The server has a copy for them (FORMAT.md,
 * extras.json) and picks it when the families named here lack what was recorded.
 */

/** A family as it begins in a codec's name (RFC 6381), and something of it to ask for. */
const PROBES: Readonly<Record<string, string>> = {
  avc1: 'video/mp4; codecs="avc1.42e01f"',
  vp09: 'video/mp4; codecs="vp09.00.31.08"',
  av01: 'video/mp4; codecs="av01.0.05M.08"',
  opus: 'audio/mp4; codecs="opus"',
  mp4a: 'audio/mp4; codecs="mp4a.40.2"',
}

/** The families that `plays` says yes to. */
export const families = (plays: (type: string) => boolean): string[] =>
  Object.entries(PROBES)
    .filter(([, type]) => plays(type))
    .map(([family]) => family)

/** What pages can hand to this browser piece by piece; null where it takes whole playlists alone. */
export function mediaSource(): { isTypeSupported: (type: string) => boolean } | null {
  const scope = globalThis as {
    ManagedMediaSource?: typeof MediaSource
    MediaSource?: typeof MediaSource
  }
  return scope.MediaSource ?? scope.ManagedMediaSource ?? null
}

/** The families for this browser's way of playing, with commas between them. */
export function playable(): string {
  const source = mediaSource()
  if (source !== null) return families((type) => source.isTypeSupported(type)).join(',')
  const video = document.createElement('video')
  return families((type) => video.canPlayType(type) !== '').join(',')
}
