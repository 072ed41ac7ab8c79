/*
 * The little that a WHIP or WHEP client reads and writes of SDP: ICE fragments, Link headers, and
 * one line for the voice.
 *
 * Implements the client's part of RFC 8840 (application/trickle-ice-sdpfrag) for ICE restarts and
 * RFC 9725 section 4.6 (ICE servers in Link headers). Pure; no peer connection here.
 */

/** The fragment of an ICE restart: new credentials of the first section of the bundle. */
export function restartFragment(offer: string): string {
  const lines = offer.split(/\r?\n/)
  const first = lines.findIndex((line) => line.startsWith('m='))
  if (first < 0) throw new Error('an offer without media sections')
  const next = lines.findIndex((line, at) => at > first && line.startsWith('m='))
  const session = lines.slice(0, first)
  const section = lines.slice(first, next < 0 ? undefined : next)
  const find = (prefix: string): string | undefined =>
    section.find((line) => line.startsWith(prefix)) ??
    session.find((line) => line.startsWith(prefix))
  const kept = [
    find('a=group:BUNDLE'),
    find('a=ice-options:'),
    section[0],
    find('a=mid:'),
    find('a=ice-ufrag:'),
    find('a=ice-pwd:'),
    ...section.filter((line) => line.startsWith('a=candidate:')),
  ]
  return kept.filter((line) => line !== undefined).join('\r\n') + '\r\n'
}

/**
 * The answer `answer` with the ICE credentials and candidates of the server's `fragment`.
 *
 * Everything else of the session stands as it was agreed (RFC 9725 section 4.3.3). Throws when the
 * fragment carries no credentials.
 */
export function withFragment(answer: string, fragment: string): string {
  const given = fragment.split(/\r?\n/)
  const ufrag = given.find((line) => line.startsWith('a=ice-ufrag:'))
  const pwd = given.find((line) => line.startsWith('a=ice-pwd:'))
  if (ufrag === undefined || pwd === undefined) throw new Error('a fragment without credentials')
  const candidates = given.filter((line) => line.startsWith('a=candidate:'))
  const ends = given.includes('a=end-of-candidates') ? ['a=end-of-candidates'] : []
  const result: string[] = []
  for (const line of answer.trimEnd().split(/\r?\n/)) {
    const isCandidate = line.startsWith('a=candidate:') || line === 'a=end-of-candidates'
    if (isCandidate && candidates.length > 0) continue
    if (line.startsWith('a=ice-ufrag:')) {
      result.push(ufrag)
    } else if (line.startsWith('a=ice-pwd:')) {
      result.push(pwd)
      // Beside the credentials is a place that every section which had any is sure to have.
      result.push(...candidates, ...ends)
    } else {
      result.push(line)
    }
  }
  return result.join('\r\n') + '\r\n'
}

/**
 * `sdp` with `nack` feedback for Opus (RFC 4585 section 4.2), so that a lost voice packet is sent
 * again. Browsers do it when it is agreed, but do not offer it by themselves.
 */
export function withVoiceNack(sdp: string): string {
  return sdp
    .split(/^(?=m=)/m)
    .map((section) =>
      section.startsWith('m=audio ')
        ? section.replace(/^a=rtpmap:(\d+) opus\/.*\r?\n/gim, (line, number: string) => {
            const feedback = `a=rtcp-fb:${number} nack`
            return section.split(/\r?\n/).includes(feedback) ? line : `${line}${feedback}\r\n`
          })
        : section,
    )
    .join('')
}

/** ICE servers named by `Link: <stun:…>; rel="ice-server"; username="…"; credential="…"`. */
export function iceServers(link: string | null): RTCIceServer[] {
  const servers: RTCIceServer[] = []
  for (const entry of link?.match(/<[^>]*>(?:;\s*[\w-]+=(?:"[^"]*"|[^\s;,]+))*/g) ?? []) {
    const url = entry.slice(1, entry.indexOf('>'))
    const parameter = (name: string): string | undefined =>
      new RegExp(`;\\s*${name}=(?:"([^"]*)"|([^\\s;,]+))`, 'i')
        .exec(entry)
        ?.slice(1)
        .find((value) => value !== undefined)
    if (parameter('rel') !== 'ice-server' || !/^(stun|turn)s?:/.test(url)) continue
    const username = parameter('username')
    const credential = parameter('credential')
    servers.push({
      urls: url,
      ...(username === undefined ? {} : { username }),
      ...(credential === undefined ? {} : { credential }),
    })
  }
  return servers
}
