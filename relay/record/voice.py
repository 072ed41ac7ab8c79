"""Voice packets to a timeline without holes: Opus from RTP, plain or with redundancy. PURE.

Here: redundancy (RFC 2198) filling lost packets, pauses filled, drift taken up. Not here: ordering,
fragments. A player counts the samples that it decodes and does not look at the times of packets
that follow each other (Chromium warns of "AV sync to drift" and goes on). So the number of samples
itself must follow the lesson's clock: where a pause, a loss or a slow sound card leaves room,
packets that conceal are put in (`opus.fillers`); where a fast card gives too much, one is left out.
At 50 ppm that is one packet of 20 ms in 400 s, since a voice's anchors move by whole packets alone.

A packet's place follows from its timestamp and the anchor, never from what was recorded before it:
so a relay that missed minutes records what follows like one that missed nothing.
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
from relay.record.rendition import VOICE_FOLD
from relay.record.reorder import Item, Lost

RATE: Final = 48_000
FILL_SECONDS: Final = 10
"""Pauses up to this are filled; a longer one (the publisher was away) stays a hole."""


@dataclass(frozen=True, slots=True)
class VoicePacket:
    """One Opus packet. samples: its length at 48 kHz."""

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
        # Some senders' timestamps jitter by a tick or two: such a packet is no repetition.
        if self._next is not None and delta32(timestamp, self._next) < -(samples // 2):
            return
        self._next = (timestamp + samples) & 0xFFFFFFFF
        yield VoicePacket(timestamp, data, samples, item.feed, item.header.sequence_number)


class VoiceTimeline:
    """Where each packet goes, in samples since the lesson's epoch."""

    def __init__(self, end: int | None) -> None:
        """end: ticks where the rendition ends now, None for a new one."""
        self._end = end
        self.inserted = self.dropped = 0
        """Packets put in and left out so far."""

    def place(self, packet: VoicePacket, at: int) -> list[tuple[int, int, bytes]]:
        """(time, samples, data) of what to record for `packet`, whose own time is `at` ticks:
        fillers and then itself, or nothing."""
        at = max(at, 0)
        if self._end is None or at - self._end > FILL_SECONDS * RATE:
            self._end = at
        room = at - self._end
        if room <= -VOICE_FOLD:
            self.dropped += 1
            return []
        result: list[tuple[int, int, bytes]] = []
        if room >= VOICE_FOLD:
            found = opus.fillers(packet.data[0], room)
            self.inserted += len(found)
            start = at - sum(samples for samples, _ in found)
            for samples, data in found:
                result.append((start, samples, data))
                start += samples
        result.append((at, packet.samples, packet.data))
        self._end = at + packet.samples
        return result
