/*
 * The little that a WHIP or WHEP client reads and writes of SDP: Link headers, and one line for the
 * voice.
 *
 * Implements RFC 9725 section 4.6 (ICE servers in Link headers). Pure; no peer connection here.
 */

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
