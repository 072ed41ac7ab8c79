"""One track from RTP packets to its rendition's writer. PURE.

Here: the order reorder → frames → media time → writer, for voice and for video that is copied.
Not here: VP8, which takes a detour (`transcoded`); which tracks there are, and what a lesson's
time base is (`lesson`). Every pipeline can say which feed record it still needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from classroom.archive.journal import Place
from relay.media import rtp
from relay.media.seqno import Unwrapper
from relay.record.assemble import Frame, VideoAssembler
from relay.record.feed import Packet, Track
from relay.record.join import Joined
from relay.record.rendition import AWAY, IDLE_SECONDS, LOSS, Piece, RenditionWriter
from relay.record.reorder import Item, Lost, Reorder
from relay.record.sample_entries import opus_entry
from relay.record.voice import VoiceAssembler, VoicePacket, VoiceTimeline


class TrackClock:
    """RTP timestamps of a track to capture time, through the anchor in force."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._unwrap = Unwrapper(32)
        self._anchor: tuple[int, float] | None = None

    def anchor(self, timestamp: int, wall: float) -> None:
        self._anchor = (self._unwrap.unwrap(timestamp), wall)

    def wall(self, timestamp: int) -> float | None:
        """Unix seconds, None before the first anchor."""
        if self._anchor is None:
            return None
        at, wall = self._anchor
        return wall + (self._unwrap.unwrap(timestamp) - at) / self._rate


class Pipeline(Protocol):
    """What the lesson asks of each track."""

    track: Track
    clock: TrackClock
    writer: RenditionWriter

    def packet(self, feed: int, packet: Packet) -> None: ...
    def advance(self, now: float) -> None: ...
    def finish(self) -> None: ...
    def first_feed(self) -> int | None: ...


class _Base:
    """What all pipelines share: the clock, the reorder window, idle flushing."""

    def __init__(
        self,
        track: Track,
        writer: RenditionWriter,
        take: int,
        ticks: Callable[[float], int],
        hold: float,
        resume: Place | None,
    ) -> None:
        """ticks: capture time to media time. resume: the last durable frame of this same track."""
        self.track = track
        self.writer = writer
        self.clock = TrackClock(track.clock_rate)
        self._take_number = take
        self._ticks = ticks
        self._reorder = Reorder(hold, None if resume is None else resume.sequence)
        # Fragments may have become durable after the last mark: their frames come once more.
        durable = resume.end if resume is not None else 0
        self._limit = writer.end if writer.restored_take == take and writer.end > durable else 0
        self._last_arrival = 0.0

    def packet(self, feed: int, packet: Packet) -> None:
        """A packet of this track; what is no RTP, or comes before the first anchor, is ignored."""
        try:
            header = rtp.parse(packet.packet)
        except rtp.RtpError:
            return
        wall = self.clock.wall(header.timestamp)
        if wall is not None:
            self._reorder.push(Item(feed, packet.arrival, wall, packet.packet, header))
            self._last_arrival = packet.arrival

    def advance(self, now: float) -> None:
        """Arrival time has come to `now`."""
        self._receive(self._reorder.take(now))
        if now - self._last_arrival > IDLE_SECONDS:
            self.writer.flush()

    def finish(self) -> None:
        """The track has ended: nothing more is waited for, and its segment is closed."""
        self._receive(self._reorder.take(0.0, everything=True))
        self.writer.finish()

    def _receive(self, items: Iterator[Item | Lost]) -> None:
        raise NotImplementedError

    def _is_repeated(self, time: int) -> bool:
        if time < self._limit:
            return True
        self._limit = 0
        return False


class VoicePipeline(_Base):
    def __init__(
        self,
        track: Track,
        writer: RenditionWriter,
        take: int,
        ticks: Callable[[float], int],
        hold: float,
        resume: Place | None,
    ) -> None:
        super().__init__(track, writer, take, ticks, hold, resume)
        following = None if resume is None else resume.timestamp
        self._assembler = VoiceAssembler(track, following)
        end: int | None
        if resume is not None:
            end = resume.end
        else:
            end = writer.end if writer.has_media and not self._limit else None
        self._timeline = VoiceTimeline(end, writer.last_toc, following)
        self._entry = opus_entry(2 if (track.channels or 2) > 1 else 1)

    def first_feed(self) -> int | None:
        return lowest(self._reorder.first_feed(), self.writer.first_feed())

    def _receive(self, items: Iterator[Item | Lost]) -> None:
        for packet in self._assembler.receive(items):
            self._place(packet)

    def _place(self, packet: VoicePacket) -> None:
        for time, samples, data in self._timeline.place(packet, self._ticks(packet.wall)):
            if self._is_repeated(time):
                continue
            following = (packet.timestamp + packet.samples) & 0xFFFFFFFF
            place = (self.track.track, packet.sequence, following)
            entry, take, feed = self._entry, self._take_number, packet.first_feed
            self.writer.add(Piece(time, samples, True, data, entry, take, feed, place))
            self.writer.last_toc = packet.data[0]


class VideoPipeline(_Base):
    def __init__(
        self,
        track: Track,
        writer: RenditionWriter,
        take: int,
        ticks: Callable[[float], int],
        hold: float,
        resume: Place | None,
    ) -> None:
        super().__init__(track, writer, take, ticks, hold, resume)
        self._assembler = VideoAssembler(track, resumed=resume is not None)

    def first_feed(self) -> int | None:
        return lowest(
            self._reorder.first_feed(), self._assembler.first_feed(), self.writer.first_feed()
        )

    def _receive(self, items: Iterator[Item | Lost]) -> None:
        for frame in self._assembler.receive(items):
            time = max(self._ticks(frame.wall), 0)
            if not self._is_repeated(time):
                self._add(frame, frame.joined, time)
            self._assembler.left_out = 0

    def _add(self, frame: Frame, joined: Joined, time: int) -> None:
        place = (self.track.track, frame.sequence, frame.timestamp)
        reason = LOSS if self._assembler.left_out else AWAY
        self.writer.add(
            Piece(
                time,
                None,
                joined.key,
                joined.data,
                joined.entry,
                self._take_number,
                frame.first_feed,
                place,
                reason,
            )
        )


def lowest(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)
