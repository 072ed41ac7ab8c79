/*
 * What is asked of a browser's peer connection in one step: offers, and what has become of it.
 *
 * No server here, and no state but whose turn it is; when these are called is for session.ts to
 * decide.
 */
import { withVoiceNack } from './sdp'

/** Make an offer that asks for lost voice to be sent again, and apply it; returns its text. */
export async function makeOffer(
  peer: RTCPeerConnection,
  options: RTCOfferOptions = {},
): Promise<string> {
  const plain = (await peer.createOffer(options)).sdp ?? ''
  const offer = withVoiceNack(plain)
  try {
    await peer.setLocalDescription({ type: 'offer', sdp: offer })
    return offer
  } catch {
    // A browser that takes no changes to its own offer gets it back as it was.
    await peer.setLocalDescription({ type: 'offer', sdp: plain })
    return plain
  }
}

/** The last exchange of each connection. */
const exchanges = new WeakMap<RTCPeerConnection, Promise<unknown>>()

/**
 * Offer anew and answer that ourselves, from the answer in force then; null leaves all as it is.
 *
 * One at a time for each connection: of two at once the second would be answered when nothing is
 * offered any more, which throws. Should the browser refuse the answer, the one in force is applied
 * again.
 */
export function exchange(
  peer: RTCPeerConnection,
  answerFrom: (inForce: string) => string | null,
  options: RTCOfferOptions = {},
): Promise<void> {
  const before = exchanges.get(peer) ?? Promise.resolve()
  const turn = before.then(async () => {
    const inForce = peer.currentRemoteDescription?.sdp
    if (inForce === undefined || peer.signalingState === 'closed') return
    const sdp = answerFrom(inForce)
    if (sdp === null) return
    await makeOffer(peer, options)
    try {
      await peer.setRemoteDescription({ type: 'answer', sdp })
    } catch (error) {
      if (peer.signalingState === 'have-local-offer')
        await peer.setRemoteDescription({ type: 'answer', sdp: inForce })
      throw error
    }
  })
  exchanges.set(
    peer,
    turn.catch(() => undefined),
  )
  return turn
}

/**
 * Begin ICE anew under the answer that is in force; without effect on a connection that is closed.
 *
 * Only our credentials are new. The server's hold for the life of the session (relay/transport/
 * ice.py), so it need not be asked.
 */
export function restartIce(peer: RTCPeerConnection): Promise<void> {
  return exchange(peer, (inForce) => inForce, { iceRestart: true })
}

/** How many ICE checks were answered so far, by candidate pair. */
export function answeredChecks(stats: RTCStatsReport | null): Map<string, number> {
  const found = new Map<string, number>()
  stats?.forEach((entry: { id: string; type: string; responsesReceived?: number }) => {
    if (entry.type === 'candidate-pair') found.set(entry.id, entry.responsesReceived ?? 0)
  })
  return found
}

/** Whether ICE has lost its path. */
export const hasLostPath = (peer: RTCPeerConnection): boolean =>
  peer.iceConnectionState === 'disconnected' || peer.iceConnectionState === 'failed'

/** Whether the connection is closed, or its encryption beyond repair by new ICE credentials. */
export function isOver(peer: RTCPeerConnection): boolean {
  const state = peer.getTransceivers()[0]?.sender.transport?.state
  return (
    state === 'failed' ||
    state === 'closed' ||
    peer.connectionState === 'closed' ||
    peer.signalingState === 'closed'
  )
}
