"""The media process's end of the recorder feed: encode, keep until acknowledged, hand over again.

Every record stays here until the recorder says that it is durable, so that a recorder that is
killed and comes back loses nothing: on each new connection it gets the living tracks and all that
was not acknowledged. Bounded in bytes; beyond the bound the oldest media is dropped and counted,
because the lesson itself must go on: what begins and ends a track or a lesson stays, for without it
the recording could be neither read nor finished. Format: relay/record/feed.py.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from relay.media.timeline import ANCHORS_KEPT, Anchor
from relay.media.told_timeline import ToldTimeline
from relay.record import feed
from relay.sfu.layer import Layer
from relay.sfu.packet import Received

# 30 s of the largest lesson (all layers of camera and screen, about 4 Mbit/s) is 15 MB; four times
# that also covers a slow disk.
KEEP_BYTES: Final = 64 * 1024 * 1024


# What may wait in a recorder's socket beside what is handed over at its start: beyond it the
# recorder hangs, and is better served by a new connection than by memory without end.
BACKLOG_BYTES: Final = KEEP_BYTES + 16 * 1024 * 1024


class Stream(Protocol):
    """Where records go while a recorder is connected."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""


class Transport(Protocol):
    """What of an asyncio transport is used."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""

    def get_write_buffer_size(self) -> int:
        """Bytes queued."""

    def abort(self) -> None:
        """Close at once."""


class BoundedStream:
    """A transport that is closed when its reader hangs; all was kept, so nothing is lost.

    What is written waits for `flush`: rooms are served before the recorder is woken.
    """

    def __init__(self, transport: Transport, most: int = BACKLOG_BYTES) -> None:
        """most: bytes that may wait."""
        self._transport = transport
        self._most = most
        self._closed = False
        self._waiting: list[bytes] = []

    @property
    def is_closed(self) -> bool:
        """Whether it was closed from this side."""
        return self._closed

    def close(self) -> None:
        """Close at once; what waits is dropped."""
        self._closed = True
        self._waiting.clear()
        self._transport.abort()

    def write(self, data: bytes) -> None:
        """Queue bytes, or drop them once closed."""
        if not self._closed:
            self._waiting.append(data)

    def flush(self) -> None:
        """Hand over what was written since the last time."""
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > self._most:
            self.close()


@dataclass(slots=True)
class _Track:
    """media: sequence of its last packet or anchor. last: of its last record."""

    begun: tuple[int, bytes]
    anchors: list[tuple[int, bytes, Anchor]] = field(default_factory=list)
    media: int = 0
    last: int = 0
    ended: bool = False

    def forget_anchors(self, oldest: int) -> None:
        """Of those before `oldest`, the first record that is kept, the newest is in force, and for
        packets before the one from which it is, those that it followed."""
        before = [anchor for sequence, _, anchor in self.anchors if sequence < oldest]
        first = max(0, len(before) - 1)
        while first and before[first].since is not None and len(before) - first < ANCHORS_KEPT:
            first -= 1
        del self.anchors[:first]


class RecorderFeed:
    """Feed of all lessons of this process. Connect with `attach`, acknowledge with `receive`."""

    def __init__(self, keep_bytes: int = KEEP_BYTES) -> None:
        """keep_bytes: of records that no recorder acknowledged."""
        self._keep_bytes = keep_bytes
        # Tracks are numbered here, because numbers of different lessons must not meet.
        self._numbers: dict[Layer, int] = {}
        self._next_number = 1
        self.name = secrets.token_hex(8)
        self.dropped = 0
        self.acknowledged = 0
        self._sequence = 0
        self._spared: deque[tuple[int, bytes]] = deque()
        """Beginnings and ends from before `_kept`: all that is left of media that was dropped."""
        self._kept: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._tracks: dict[int, _Track] = {}
        self._stream: Stream | None = None
        self._acks = feed.AckParser()

    @property
    def unacknowledged(self) -> int:
        """Records kept for a recorder to come."""
        return len(self._spared) + len(self._kept)

    @property
    def connected(self) -> bool:
        """Whether a recorder is there."""
        return self._stream is not None

    def attach(self, stream: Stream) -> None:
        """A recorder connected: tell it all that it may not have."""
        self._acks = feed.AckParser()
        stream.write(feed.encode(0, feed.Hello(self.name)))
        oldest = self._oldest()
        before = list(self._spared)
        for track in self._tracks.values():
            if track.begun[0] <= self.acknowledged:
                before.append(track.begun)
            track.forget_anchors(oldest)
            before += [(at, record) for at, record, _ in track.anchors if at < oldest]
        for _, record in (*sorted(before), *self._kept):
            stream.write(record)
        self._stream = stream

    def detach(self) -> None:
        """The recorder is gone; keep everything from here on."""
        self._stream = None

    def receive(self, data: bytes) -> None:
        """Acknowledgements from the recorder."""
        acknowledged = self._acks.receive(data)
        if acknowledged is None or acknowledged <= self.acknowledged:
            return
        self.acknowledged = acknowledged
        while self._spared and self._spared[0][0] <= acknowledged:
            self._spared.popleft()
        while self._kept and self._kept[0][0] <= acknowledged:
            self._bytes -= len(self._kept.popleft()[1])
        oldest = self._oldest()
        for number, track in list(self._tracks.items()):
            if track.ended and track.last <= acknowledged:
                del self._tracks[number]
            else:
                track.forget_anchors(oldest)

    def _oldest(self) -> int:
        """Sequence of the first record that was neither acknowledged nor dropped."""
        return self._kept[0][0] if self._kept else self._sequence + 1

    # The Feed protocol

    def begin_track(self, lesson: str, layer: Layer, epoch: int) -> None:
        """A layer begins, or its codec changed; one that is not recorded never does."""
        if not layer.is_recorded:
            return
        track = layer.track
        self._numbers[layer] = number = self._next_number
        self._next_number += 1
        codec = track.codecs.get(layer.payload_type)
        told = layer.timeline if isinstance(layer.timeline, ToldTimeline) else None
        red = layer.payload_type if codec is None else None
        if codec is None:
            codec = track.codecs[track.red[layer.payload_type]]
        payload_type = next(number for number, one in track.codecs.items() if one is codec)
        if red is None:
            red = next((outer for outer, inner in track.red.items() if inner == payload_type), None)
        record = feed.Track(
            number,
            lesson,
            track.source,
            layer.rid or None,
            codec.name,
            codec.clock_rate,
            codec.channels if codec.kind == "audio" else None,
            feed.used_parameters(codec.fmtp),
            payload_type,
            red,
            feed.used_extensions(track.extensions),
            told.take.epoch if told else epoch,
            told.take.feed if told else "",
        )
        begun = self._add(record)
        self._tracks[number] = _Track(begun, last=begun[0])
        self._forget_ended()
        for anchor in told.anchors if told else ():
            self.anchor(layer, anchor)

    def anchor(self, layer: Layer, anchor: Anchor) -> None:
        """Packets of the layer from `anchor.since` on are timed by `anchor`."""
        number = self._numbers.get(layer)
        if number is None:
            return  # a report that came after the end of its track
        track = self._tracks[number]
        if track.anchors and track.anchors[-1][2] == anchor:
            return
        record = feed.Sync(number, anchor.rtp_timestamp, anchor.wall, anchor.since)
        added = self._add(record)
        track.anchors.append((*added, anchor))
        track.media = track.last = added[0]
        track.forget_anchors(self._oldest())

    def packet(self, layer: Layer, packet: Received) -> None:
        """One packet of a layer."""
        number = self._numbers.get(layer)
        if number is None:
            return
        arrival = packet.arrived + layer.timeline.ahead
        added = self._add(feed.Packet(number, arrival, packet.data))
        track = self._tracks[number]
        track.media = track.last = added[0]

    def end_track(self, layer: Layer, reason: str) -> None:
        """No more packets of this layer."""
        number = self._numbers.pop(layer, None)
        if number is None:
            return
        added = self._add(feed.End(number, reason))
        track = self._tracks[number]
        track.ended, track.last = True, added[0]

    def end_lesson(self, lesson: str) -> None:
        """The lesson is over: its archive may be finished."""
        self._add(feed.LessonEnd(lesson))

    def _add(self, record: feed.Record) -> tuple[int, bytes]:
        self._sequence += 1
        added = (self._sequence, feed.encode(self._sequence, record))
        self._kept.append(added)
        self._bytes += len(added[1])
        while self._bytes > self._keep_bytes:
            self._drop_oldest()
        if self._stream is not None:
            self._stream.write(added[1])
        return added

    def _drop_oldest(self) -> None:
        oldest = self._kept.popleft()
        self._bytes -= len(oldest[1])
        if feed.is_media(oldest[1]):
            self.dropped += 1
        else:
            self._spared.append(oldest)

    def _forget_ended(self) -> None:
        """Of an ended track whose media was all dropped, a recorder needs no more than its end."""
        oldest = self._oldest()
        gone = {
            track.begun[0]: number
            for number, track in self._tracks.items()
            if track.ended and track.media < oldest and track.last > self.acknowledged
        }
        for number in gone.values():
            del self._tracks[number]
        if gone:
            self._spared = deque(record for record in self._spared if record[0] not in gone)
