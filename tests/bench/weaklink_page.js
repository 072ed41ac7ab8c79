/*
 * What the weak-link benchmark reads inside a room's page: its own statistics, many times a second.
 *
 * Put before the page's own scripts. `window.weaklink.rows` grows; times are page time, in
 * milliseconds since 1970. Nothing here touches the page's connection.
 */
;(() => {
  const FIELDS = {
    audio: [
      'packetsReceived',
      'packetsLost',
      'packetsDiscarded',
      'totalSamplesReceived',
      'concealedSamples',
      'silentConcealedSamples',
      'concealmentEvents',
      'jitterBufferDelay',
      'jitterBufferEmittedCount',
      'bytesReceived',
      'headerBytesReceived',
      'nackCount',
      'fecPacketsReceived',
      'lastPacketReceivedTimestamp',
    ],
    video: [
      'packetsReceived',
      'packetsLost',
      'framesReceived',
      'framesDecoded',
      'keyFramesDecoded',
      'framesDropped',
      'frameHeight',
      'freezeCount',
      'totalFreezesDuration',
      'totalPausesDuration',
      'jitterBufferDelay',
      'jitterBufferEmittedCount',
      'bytesReceived',
      'headerBytesReceived',
      'nackCount',
      'pliCount',
      'retransmittedBytesReceived',
      'fecBytesReceived',
    ],
  }
  const SLOTS = { 0: 'voice', 1: 'camera', 2: 'screen' }
  const rows = []
  // Chromium makes new statistics at most every 50 ms.
  const view = { rows, pace: 50 }
  window.weaklink = view

  async function look() {
    const peer = window.classroom?.peer
    const row = {
      t: performance.timeOrigin + performance.now(),
      state: { ...window.classroom?.state },
    }
    if (peer) {
      row.ice = peer.iceConnectionState
      row.dtls = peer.connectionState
      const report = await peer.getStats()
      row.t = performance.timeOrigin + performance.now()
      for (const entry of report.values()) {
        if (entry.type === 'candidate-pair' && entry.nominated)
          row.rtt = entry.currentRoundTripTime ?? null
        const slot = entry.type === 'inbound-rtp' ? SLOTS[entry.mid] : undefined
        if (slot === undefined) continue
        row[slot] = {}
        for (const name of FIELDS[entry.kind]) row[slot][name] = entry[name] ?? 0
      }
    }
    rows.push(row)
  }

  // What the browser itself noted of loading the page and asking for the session.
  view.steps = () => {
    const [page] = performance.getEntriesByType('navigation')
    const posts = performance
      .getEntriesByType('resource')
      .filter((entry) => entry.name.includes('/whep/') && entry.initiatorType === 'fetch')
    return {
      html: page?.responseEnd ?? null,
      scripts: page?.domContentLoadedEventEnd ?? null,
      offer: posts[0]?.startTime ?? null,
      answer: posts[0]?.responseEnd ?? null,
    }
  }

  async function go() {
    for (;;) {
      try {
        await look()
      } catch {
        // A connection that was closed meanwhile has no statistics.
      }
      await new Promise((resolve) => setTimeout(resolve, view.pace))
    }
  }
  void go()
})()
