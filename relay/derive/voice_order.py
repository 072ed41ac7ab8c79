"""A voice's RTP packets to what a decoder is to be given, in order. PURE.

Lives here: order, redundancy (RFC 2198) filling what was lost, what is concealed and what is a
pause. Must not live here: decoding. Waits for a lost packet only until 60 ms of voice are there
behind it: a repair that takes longer comes too late for a voice that is to go on. Concealment is a
packet of one empty frame: decoders take it as lost (RFC 6716 §3.2.1, §4.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay.media import red, rtp
from relay.media.frame_info import PayloadError
from relay.media.seqno import Unwrapper
from relay.record import opus
from relay.record.feed import Track

HOLD: Final = 2_880  # ticks of 48 kHz behind a hole, 60 ms
CONCEAL_MOST: Final = 5_760  # ticks, 120 ms; more than that concealed is only noise
FAR: Final = 480_000  # ticks, 10 s: a timestamp from elsewhere
_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """`samples` of voice from `timestamp` (unwrapped) on, to decode from `data`.

    after_pause: the publisher sent nothing just before (silence, or an outage).
    """

    timestamp: int
    samples: int
    data: bytes
    after_pause: bool


class VoiceOrder:
    """Give every packet as it comes; take what is to be decoded."""

    def __init__(self, track: Track) -> None:
        self._red = track.red_payload_type
        self._codec = track.payload_type
        self._numbers = Unwrapper(16)
        self._times = Unwrapper(32)
        self._waiting: dict[int, tuple[int, bytes]] = {}
        """Packet number → timestamp and Opus packet."""
        self._earlier: dict[int, bytes] = {}
        """Timestamp → Opus packet that came again as redundancy."""
        self._next_number: int | None = None
        self._next_time = 0
        self._toc = opus.MONO_20_MS
        self.concealed = 0
        """Samples that were lost."""

    def skip_to(self, timestamp: int) -> None:
        """Voice before `timestamp` is wanted no more: silence went out in its place."""
        self._next_time = max(self._next_time, timestamp)

    def receive(self, data: bytes) -> Iterator[Piece]:
        """What one more packet makes decodable; run it to its end."""
        try:
            header = rtp.parse(data)
            start, end = header.payload_offset, header.payload_end
            blocks = [(self._codec, 0, data[start:end])]
            if header.payload_type == self._red:
                blocks = red.parse(data, start, end)
        except (rtp.RtpError, PayloadError):
            return
        time = self._times.unwrap(header.timestamp)
        number = self._numbers.unwrap(header.sequence_number)
        if self._next_number is not None and abs(time - self._next_time) > FAR:
            self._next_number = None
            self._waiting.clear()
            self._earlier.clear()
        if self._next_number is None:
            self._next_number, self._next_time = number, time
        for payload_type, offset, payload in blocks[:-1]:
            if payload_type == self._codec and time - offset >= self._next_time:
                self._earlier[time - offset] = payload
        if number >= self._next_number:
            self._waiting[number] = (time, blocks[-1][2])
        yield from self._drain()

    def _drain(self) -> Iterator[Piece]:
        assert self._next_number is not None, "set by the first packet"
        while self._waiting:
            found = self._waiting.pop(self._next_number, None)
            if found is not None:
                self._next_number += 1
                time, payload = found
                samples = opus.packet_samples(payload)
                if samples is not None and time >= self._next_time:
                    yield self._piece(time, samples, payload)
                continue
            first = min(self._waiting)
            time = self._waiting[first][0]
            restored = self._earlier.pop(self._next_time, None)
            samples = opus.packet_samples(restored) if restored is not None else None
            if restored is not None and samples is not None and self._next_time < time:
                yield self._piece(self._next_time, samples, restored)
                continue
            if self._next_time < time:
                newest = max(at for at, _ in self._waiting.values())
                if newest - self._next_time < HOLD and len(self._waiting) < _KEPT:
                    return
                yield from self._conceal(time)
            self._next_number = first
        self._forget()

    def _conceal(self, time: int) -> Iterator[Piece]:
        """What stands for the lost packets before `time`, as far as it is worth it."""
        length = opus.frame_samples(self._toc)
        limit = min(time, self._next_time + CONCEAL_MOST)
        while self._next_time + length <= limit:
            restored = self._earlier.pop(self._next_time, None)
            samples = opus.packet_samples(restored) if restored is not None else None
            if restored is not None and samples is not None:
                yield self._piece(self._next_time, samples, restored)
                continue
            self.concealed += length
            yield self._piece(self._next_time, length, opus.filler(self._toc))

    def _piece(self, time: int, samples: int, data: bytes) -> Piece:
        paused = time > self._next_time
        self._next_time = time + samples
        self._toc = data[0]
        return Piece(time, samples, data, paused)

    def _forget(self) -> None:
        if len(self._earlier) > _KEPT or not self._waiting:
            self._earlier = {
                time: data for time, data in self._earlier.items() if time >= self._next_time
            }
