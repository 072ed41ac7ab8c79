/*
 * The page behind `python -m tests.bench codecs`: one side of a pair of peer connections.
 *
 * Lives here: what only a browser can do, as functions that the benchmark calls by name: offer and
 * answer, statistics, the brightness of decoded pictures. Must not live here: what is measured,
 * when, and what it means. The same file is the worker that reads encoded frames (WebRTC Encoded
 * Transform), to weigh keyframes and to ask for them.
 */
'use strict'

const isWorker = typeof window === 'undefined'

if (isWorker) {
  const asking = new Map()
  onmessage = ({ data }) => {
    if (data === 'ask') for (const ask of asking.values()) ask()
  }
  onrtctransform = ({ transformer }) => {
    const layer = transformer.options.layer
    asking.set(layer, () => transformer.sendKeyFrameRequest().catch(() => {}))
    const weigh = new TransformStream({
      transform(frame, controller) {
        if (frame.type === 'key') postMessage({ layer, bytes: frame.data.byteLength })
        controller.enqueue(frame)
      },
    })
    transformer.readable.pipeThrough(weigh).pipeTo(transformer.writable).catch(() => {})
  }
}

let camera = null
let peers = []
let tracks = new Map()
let keyframes = []
let worker = null

/** Open the fake camera and microphone. */
async function openDevices(width, height, rate) {
  camera = await navigator.mediaDevices.getUserMedia({
    video: { width, height, frameRate: rate },
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  })
  const { width: w, height: h, frameRate } = camera.getVideoTracks()[0].getSettings()
  return [w, h, frameRate]
}

function preferred(kind, wanted) {
  const known = RTCRtpSender.getCapabilities(kind).codecs
  const first = known.filter((codec) => codec.mimeType.toLowerCase() === wanted)
  const rest = known.filter((codec) => /\/(rtx|opus)$/i.test(codec.mimeType))
  return [...first, ...rest.filter((codec) => !first.includes(codec))]
}

async function gathered(peer) {
  while (peer.iceGatheringState !== 'complete')
    await new Promise((resolve) => setTimeout(resolve, 20))
  return peer.localDescription.sdp
}

/** Offer the camera with these encodings (as the teacher page: L1T3 if the browser grants it). */
async function offerVideo(mimeType, encodings) {
  const peer = new RTCPeerConnection()
  const add = (sendEncodings) =>
    peer.addTransceiver(camera.getVideoTracks()[0], { direction: 'sendonly', sendEncodings })
  let transceiver
  try {
    transceiver = add(encodings.map((one) => ({ ...one, scalabilityMode: 'L1T3' })))
  } catch {
    transceiver = add(encodings)
  }
  transceiver.setCodecPreferences(preferred('video', mimeType))
  await peer.setLocalDescription()
  const parameters = transceiver.sender.getParameters()
  // A layer keeps its size, as it does within simulcast; else a single encoding shrinks instead.
  parameters.degradationPreference = 'maintain-resolution'
  await transceiver.sender.setParameters(parameters)
  peers.push(peer)
  return gathered(peer)
}

/** Offer the microphone at `bitrate` bit/s, with redundancy (RFC 2198) or without. */
async function offerVoice(bitrate, redundant) {
  const peer = new RTCPeerConnection()
  const transceiver = peer.addTransceiver(camera.getAudioTracks()[0], {
    direction: 'sendonly',
    sendEncodings: [{ maxBitrate: bitrate }],
  })
  transceiver.setCodecPreferences(preferred('audio', redundant ? 'audio/red' : 'audio/opus'))
  await peer.setLocalDescription()
  peers.push(peer)
  return gathered(peer)
}

async function takeAnswer(sdp) {
  await peers.at(-1).setRemoteDescription({ type: 'answer', sdp })
}

/** Answer an offer; each video track is known by its section's id. */
async function answer(sdp) {
  const peer = new RTCPeerConnection()
  peer.ontrack = ({ track, transceiver }) => {
    if (track.kind !== 'video') return
    const layer = transceiver.mid
    tracks.set(layer, track)
    if (worker === null) {
      worker = new Worker('/page.js')
      worker.onmessage = ({ data }) => keyframes.push(data)
    }
    transceiver.receiver.transform = new RTCRtpScriptTransform(worker, { layer })
  }
  await peer.setRemoteDescription({ type: 'offer', sdp })
  await peer.setLocalDescription()
  peers.push(peer)
  return gathered(peer)
}

function askKeyframes() {
  worker?.postMessage('ask')
}

/** All keyframes so far: [{layer, bytes}]. */
function seenKeyframes() {
  return keyframes
}

/** The statistics of these types, of every connection. */
async function stats(types) {
  const all = await Promise.all(peers.map((peer) => peer.getStats()))
  return all.map((one) => [...one.values()].filter((entry) => types.includes(entry.type)))
}

/**
 * For `seconds`, keep the brightness of each decoded picture of each layer; then post them all to
 * /pictures. (Posting at once would slow the browser that is watched.)
 */
async function grab(seconds) {
  const taken = []
  const work = [...tracks].map(async ([layer, track]) => {
    const mine = track.clone()
    const reader = new MediaStreamTrackProcessor({ track: mine, maxBufferSize: 30 }).readable
      .getReader()
    setTimeout(() => mine.stop(), seconds * 1000)
    for (;;) {
      const { done, value: frame } = await reader.read()
      if (done) return
      const { width, height } = frame.visibleRect
      if (!['I420', 'NV12'].includes(frame.format))
        throw new Error('the decoder gave no picture with a plane of brightness')
      const bytes = new Uint8Array(frame.allocationSize())
      const [{ offset, stride }] = await frame.copyTo(bytes)
      frame.close()
      taken.push({ layer, width, height, stride, luma: bytes.subarray(offset, offset + stride * height) })
    }
  })
  await Promise.all(work)
  for (const { layer, width, height, stride, luma } of taken)
    await fetch(`/pictures?layer=${layer}&width=${width}&stride=${stride}`, {
      method: 'POST',
      body: luma,
    })
}

function closeAll() {
  for (const peer of peers) peer.close()
  worker?.terminate()
  peers = []
  tracks = new Map()
  keyframes = []
  worker = null
}
