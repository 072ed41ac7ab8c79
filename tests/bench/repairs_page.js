/*
 * The page of `python -m tests.bench repairs`: one connection for each room.
 *
 * Lives here: offers as stock players make them, and statistics. No measurement is judged here.
 */
const peers = []
async function offer(nack) {
  const peer = new RTCPeerConnection({bundlePolicy: 'max-bundle'})
  peers.push(peer)
  for (const kind of ['audio', 'video']) peer.addTransceiver(kind, {direction: 'recvonly'})
  peer.ontrack = ({track}) => {
    const element = document.createElement(track.kind)
    element.autoplay = true
    element.volume = 0.01
    element.srcObject = new MediaStream([track])
    document.body.append(element)
  }
  const made = await peer.createOffer()
  const opus = /(a=rtpmap:(\d+) opus.*\r\n)/
  if (nack) made.sdp = made.sdp.replace(opus, '$1a=rtcp-fb:$2 nack\r\n')
  await peer.setLocalDescription(made)
  return peer.localDescription.sdp
}
async function take(index, sdp) { await peers[index].setRemoteDescription({type: 'answer', sdp}) }
async function delay(index, milliseconds) {
  for (const receiver of peers[index].getReceivers()) receiver.jitterBufferTarget = milliseconds
}
async function stats() {
  return Promise.all(peers.map(async (peer) =>
    [...(await peer.getStats()).values()].filter((one) => one.type === 'inbound-rtp')))
}
