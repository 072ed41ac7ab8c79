"""Voice packets to a timeline without holes: Opus from RTP, plain or with redundancy. PURE.

Here: redundancy (RFC 2198) filling lost packets, pauses filled, drift taken up. Not here: ordering,
fragments. A player counts the samples that it decodes and does not look at the times of packets
that follow each other (Chromium warns of "AV sync to drift" and goes on). So the number of samples
itself must follow the lesson's clock: where a pause, a loss or a slow sound card leaves room,
packets that conceal are put in (`opus.filler`); where a fast card gives too much, one is left out.
At 50 ppm that is one packet of 20 ms in 400 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay.media import red
from relay.media.frame_info import PayloadError
from relay.media.seqno import delta32
from relay.record import opus
from relay.record.feed import Track
from relay.record.reorder import Item, Lost

RATE: Final = 48_000
FILL_SECONDS: Final = 10
"""Pauses up to this are filled; a longer one (the publisher was away) stays a hole."""
_DRIFT_SHARE: Final = 0.75  # of a packet, before one is put in or left out: no to and fro
_DRIFT_LIMIT: Final = 36 * RATE // 1000  # ticks; with it, voice stays within 40 ms of pictures


@dataclass(frozen=True, slots=True)
class VoicePacket:
    """One Opus packet. wall: capture time, Unix seconds. samples: its length at 48 kHz."""

    wall: float
    timestamp: int
    data: bytes
    samples: int
    first_feed: int
    sequence: int


class VoiceAssembler:
    """The Opus packets of one track, in order, with what redundancy can restore."""

    def __init__(self, track: Track, next_timestamp: int | None) -> None:
        """next_timestamp: on a resume, where the last durable packet ended."""
        self._red = track.red_payload_type
        self._codec = track.payload_type
        self._next = next_timestamp

    def receive(self, items: Iterator[Item | Lost]) -> Iterator[VoicePacket]:
        for item in items:
            if isinstance(item, Item):
                yield from self._packet(item)

    def _packet(self, item: Item) -> Iterator[VoicePacket]:
        header = item.header
        start, end = header.payload_offset, header.payload_end
        if header.payload_type != self._red:
            yield from self._give(item, header.timestamp, item.data[start:end])
            return
        try:
            blocks = red.parse(item.data, start, end)
        except PayloadError:
            return
        for payload_type, offset, data in blocks:
            if payload_type == self._codec and (self._next is not None or not offset):
                yield from self._give(item, (header.timestamp - offset) & 0xFFFFFFFF, data)

    def _give(self, item: Item, timestamp: int, data: bytes) -> Iterator[VoicePacket]:
        samples = opus.packet_samples(data)
        if samples is None:
            return
        if self._next is not None and delta32(timestamp, self._next) < 0:
            return
        self._next = (timestamp + samples) & 0xFFFFFFFF
        wall = item.wall + delta32(timestamp, item.header.timestamp) / RATE
        sequence = item.header.sequence_number
        yield VoicePacket(wall, timestamp, data, samples, item.feed, sequence)


class VoiceTimeline:
    """Where each packet goes, in samples since the lesson's epoch."""

    def __init__(self, end: int | None, toc: int | None, next_timestamp: int | None) -> None:
        """end: ticks where the rendition ends now, None for a new one."""
        self._end = end
        self._toc = opus.STEREO_20_MS if toc is None else toc
        self._next = next_timestamp
        self.inserted = self.dropped = 0
        """Packets put in and left out so far."""

    def place(self, packet: VoicePacket, ideal: int) -> list[tuple[int, int, bytes]]:
        """(time, samples, data) of what to record for `packet`, whose own time is `ideal` ticks:
        fillers and then itself, or nothing."""
        paused = self._next is not None and packet.timestamp != self._next
        self._next = (packet.timestamp + packet.samples) & 0xFFFFFFFF
        if self._end is None or ideal - self._end > FILL_SECONDS * RATE:
            self._end = max(ideal, 0)
        room = ideal - self._end
        step = opus.frame_samples(self._toc)
        share = _DRIFT_SHARE * packet.samples
        limit = max(min(share, _DRIFT_LIMIT), 0.6 * packet.samples)
        if room <= -limit:
            self.dropped += 1
            return []
        result: list[tuple[int, int, bytes]] = []
        count = (2 * room + step) // (2 * step) if paused or room >= limit else 0
        for _ in range(count):
            result.append((self._end, step, opus.filler(self._toc)))
            self._end += step
            self.inserted += 1
        result.append((self._end, packet.samples, packet.data))
        self._end += packet.samples
        self._toc = packet.data[0]
        return result
