/*
 * What is asked of a browser's peer connection in one step: offers, and what has become of it.
 *
 * No state here and no server; when these are called is for session.ts to decide.
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

/** Whether an offer was made that the server has not answered. */
export const isUnanswered = (peer: RTCPeerConnection | null): boolean =>
  peer?.signalingState === 'have-local-offer'

/** Forget an offer that the server has not answered. */
export async function takeBack(peer: RTCPeerConnection | null): Promise<void> {
  if (isUnanswered(peer)) await peer?.setLocalDescription({ type: 'rollback' })
}

/** Whether ICE has a path that answers. */
export const hasPath = (peer: RTCPeerConnection | null): boolean =>
  peer?.iceConnectionState === 'connected' || peer?.iceConnectionState === 'completed'

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
