"""A voice decoded and encoded again: mono, 24 kbit/s, 60 ms in a packet. PyAV.

Lives here: libopus in and out, and how the source's packets become frames of 60 ms on the source's
own RTP clock. Must not live here: order and losses (`voice_order`), sockets.

At 24 kbit/s wide-band speech of 60 ms comes as SILK, which carries a thin copy of the frame before
(in-band correction) when told to expect losses: so even the poorest link, which has no room for
RED, gets over single losses. With headers that is 32 kbit/s on the wire. Expecting more than 10 %
makes libopus leave speech and copy alike out of balance; below 18 kbit/s it sends no copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.error import FFmpegError

from relay.derive.packets import VoicePackets
from relay.derive.voice_order import Piece, VoiceOrder
from relay.record import opus
from relay.record.feed import Track

RATE: Final = 48_000
FRAME: Final = 2_880  # samples, 60 ms: a third of the packets, so a third of the headers
BITRATE: Final = 24_000
FLUSH_SECONDS: Final = 0.12
"""s without a packet, after which a begun frame is filled up and sent: a pause has begun, and its
last words must not come with the next ones. More than a publisher's packets are apart (60 ms)."""
_OPTIONS: Final = {
    "application": "voip",
    "frame_duration": "60",
    "vbr": "constrained",
    "cutoff": "8000",
    "fec": "1",
    "packet_loss": "10",
}


class ThinVoice:
    """One voice. Times are seconds on the caller's clock."""

    def __init__(self, track: Track, ssrc: int) -> None:
        self._order = VoiceOrder(track)
        self._packets = VoicePackets(ssrc)
        self._decoder = _context("libopus", "r")
        self._encoder = _context("libopus", "w")
        self._encoder.bit_rate = BITRATE
        self._encoder.time_base = Fraction(1, RATE)
        self._encoder.options = dict(_OPTIONS)
        self._fifo = AudioFifo()
        self._start = 0
        """Unwrapped RTP timestamp of the fifo's first sample."""
        self._encoded = 0
        self._begins = True
        self._toc = opus.MONO_20_MS
        self._last = 0.0

    @property
    def concealed(self) -> float:
        """Seconds of the source that were lost."""
        return self._order.concealed / RATE

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """The RTP packets that one packet of the source completes."""
        out: list[bytes] = []
        self._last = now
        for piece in self._order.receive(data):
            if piece.after_pause:
                out += self._pause(piece.timestamp)
            out += self._decode(piece)
        return out

    def handle_timer(self, now: float) -> list[bytes]:
        """Send what waits, if a pause has begun."""
        if not self._fifo.samples or now - self._last < FLUSH_SECONDS:
            return []
        out = list(self._fill(FRAME - self._fifo.samples))
        self._order.skip_to(self._start)
        self._begins = True
        return out

    def get_timer(self) -> float | None:
        """When `handle_timer` has something to do."""
        return self._last + FLUSH_SECONDS if self._fifo.samples else None

    def _pause(self, until: int) -> list[bytes]:
        """The next sample is `until`'s; fill up the frame that was begun, as far as it goes."""
        if not self._fifo.samples:
            self._begins = True
            return []
        gap = until - (self._start + self._fifo.samples)
        room = FRAME - self._fifo.samples
        out = list(self._fill(min(gap, room)))
        self._begins = self._begins or gap > room
        return out

    def _fill(self, samples: int) -> Iterator[bytes]:
        """So many samples of what the decoder makes of nothing: it fades out, or hisses softly."""
        while samples > 0:
            step = min(samples, opus.frame_samples(self._toc))
            yield from self._add(opus.filler(self._toc), step)
            samples -= step

    def _decode(self, piece: Piece) -> Iterator[bytes]:
        if not self._fifo.samples:
            self._start = piece.timestamp
        self._toc = piece.data[0]
        yield from self._add(piece.data, piece.samples)

    def _add(self, data: bytes, samples: int) -> Iterator[bytes]:
        """Exactly `samples` more in the fifo, whatever the decoder makes of `data`."""
        try:
            frames = self._decoder.decode(av.Packet(data))
        except FFmpegError:
            frames = []
        missing = samples
        for frame in frames:
            frame.pts = None
            part = frame if frame.samples <= missing else _cut(frame, missing)
            if part is not None:
                self._fifo.write(part)
                missing -= part.samples
        if missing > 0:
            self._fifo.write(_silence(missing))
        while (full := self._fifo.read(FRAME)) is not None:
            yield from self._encode(full)

    def _encode(self, frame: av.AudioFrame) -> Iterator[bytes]:
        frame.pts = self._encoded
        frame.time_base = Fraction(1, RATE)
        self._encoded += FRAME
        timestamp, begins = self._start, self._begins
        self._start += FRAME
        self._begins = False
        for packet in self._encoder.encode(frame):
            yield self._packets.packet(timestamp, bytes(packet), begins=begins)


def _context(name: str, mode: str) -> AudioCodecContext:
    context = av.CodecContext.create(name, "w" if mode == "w" else "r")
    assert isinstance(context, AudioCodecContext), "a voice codec was named"
    context.sample_rate = RATE
    context.layout = "mono"
    context.format = av.AudioFormat("s16")
    return context


def _silence(samples: int) -> av.AudioFrame:
    frame = av.AudioFrame("s16", "mono", samples)
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    frame.sample_rate = RATE
    return frame


def _cut(frame: av.AudioFrame, samples: int) -> av.AudioFrame | None:
    if samples <= 0:
        return None
    fifo = AudioFifo()
    fifo.write(frame)
    return fifo.read(samples)
