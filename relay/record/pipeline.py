"""One track from RTP packets to its rendition's writer. PURE.

Here: the order reorder → frames → media time → writer, for voice and for video that is copied.
Not here: VP8, which takes a detour (`transcoded`); which tracks there are, and what a lesson's
time base is (`lesson`). Every pipeline can say which feed record it still needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from classroom.archive.journal import Place
from relay.media import rtp
from relay.media.seqno import Unwrapper, delta32
from relay.media.timeline import ANCHORS_KEPT, TIE_SECONDS
from relay.record.assemble import Frame, VideoAssembler
from relay.record.feed import Packet, Track
from relay.record.join import Joined
from relay.record.rendition import AWAY, LOSS, Piece, RenditionWriter
from relay.record.reorder import START_HOLD, Item, Lost, Reorder
from relay.record.sample_entries import opus_entry
from relay.record.voice import VoiceAssembler, VoicePacket, VoiceTimeline

FLUSH_AFTER = 10.0
"""s without a packet, after which what is held goes to disk. A link may stall for seconds and then
deliver what it held; to cut fragments there would make bytes depend on the link."""


_AGAIN_SECONDS = 60
"""How far back pictures are taken up again at most: several beats."""


class TrackClock:
    """RTP timestamps of a track to capture time, each by the anchor that is in force for it."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._unwrap = Unwrapper(32)
        self._newest = 0
        self._anchors: list[tuple[int, int, float]] = []
        """From which timestamp on, timestamp, capture time; in order."""

    @property
    def is_tied(self) -> bool:
        """Whether there is an anchor."""
        return bool(self._anchors)

    def anchor(self, timestamp: int, wall: float, since: int | None = None) -> None:
        """since: the timestamp from which on it is in force; None: of those that follow."""
        at = self._unwrap.unwrap(timestamp)
        begins = self._newest + 1 if since is None else self._unwrap.unwrap(since)
        kept = [known for known in self._anchors if known[0] < begins]
        self._anchors = [*kept, (begins, at, wall)][-ANCHORS_KEPT:]

    def wall(self, timestamp: int) -> float:
        """Unix seconds. There must be an anchor."""
        stamp = self._unwrap.unwrap(timestamp)
        self._newest = max(self._newest, stamp)
        for begins, at, wall in reversed(self._anchors):
            if stamp >= begins:
                return wall + (stamp - at) / self._rate
        _, at, wall = self._anchors[0]
        return wall + (stamp - at) / self._rate


@dataclass(frozen=True, slots=True)
class Patience:
    """What is waited for, in seconds of the feed's arrival times. hold: a packet that is lost.
    lag: every packet, for what is told about it another way."""

    hold: float
    lag: float = 0.0


class Pipeline(Protocol):
    """What the lesson asks of each track."""

    track: Track
    clock: TrackClock
    writer: RenditionWriter

    def anchor(self, timestamp: int, wall: float, since: int | None) -> None: ...
    def packet(self, feed: int, packet: Packet) -> None: ...
    def advance(self, now: float) -> None: ...
    def rest(self, now: float) -> bool: ...
    def finish(self) -> None: ...
    def first_feed(self) -> int | None: ...


class _Base(ABC):
    """What all pipelines share: the clock, the reorder window, idle flushing."""

    def __init__(
        self,
        track: Track,
        writer: RenditionWriter,
        take: int,
        ticks: Callable[[float], int],
        patience: Patience,
        resume: Place | None,
    ) -> None:
        """ticks: capture time to media time. resume: the last durable frame of this same track."""
        self.track = track
        self.writer = writer
        self.clock = TrackClock(track.clock_rate)
        self._take_number = take
        self._ticks = ticks
        after = None if resume is None else resume.sequence
        # A little more than until the last anchor that may re-time the first packets.
        start = TIE_SECONDS + START_HOLD
        self._reorder = Reorder(patience.hold, after, patience.lag, start)
        # Fragments may have become durable after the last mark: their frames come once more.
        durable = resume.end if resume is not None else 0
        self._limit = writer.end if writer.restored_take == take and writer.end > durable else 0
        self._last_arrival = 0.0

    def anchor(self, timestamp: int, wall: float, since: int | None) -> None:
        """Packets from `since` on are timed by this; see `TrackClock.anchor`."""
        self.clock.anchor(timestamp, wall, since)

    def packet(self, feed: int, packet: Packet) -> None:
        """A packet of this track; what is no RTP, or comes before the first anchor, is ignored."""
        try:
            header = rtp.parse(packet.packet)
        except rtp.RtpError:
            return
        if self.clock.is_tied:
            self._reorder.push(Item(feed, packet.arrival, packet.packet, header))
            self._last_arrival = packet.arrival

    def advance(self, now: float) -> None:
        """Arrival time has come to `now`."""
        self._receive(self._reorder.take(now))
        if now - self._last_arrival > FLUSH_AFTER:
            self.writer.flush()

    def rest(self, now: float) -> bool:
        """The track seems to rest, its arrival time has come to `now`. Whether nothing of it is on
        its way to the writer."""
        self.advance(now)
        return self._reorder.first_feed() is None

    def finish(self) -> None:
        """The track has ended: nothing more is waited for, and its segment is closed."""
        self._receive(self._reorder.take(0.0, everything=True))
        self.writer.finish()

    @abstractmethod
    def _receive(self, items: Iterator[Item | Lost]) -> None:
        """What left the reorder window, in order."""

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
        patience: Patience,
        resume: Place | None,
    ) -> None:
        super().__init__(track, writer, take, ticks, patience, resume)
        following = None if resume is None else resume.timestamp
        self._assembler = VoiceAssembler(track, following)
        end: int | None
        if resume is not None:
            end = resume.end
        else:
            end = writer.end if writer.has_media and not self._limit else None
        self._timeline = VoiceTimeline(end)
        self._entry = opus_entry(2 if (track.channels or 2) > 1 else 1)

    def first_feed(self) -> int | None:
        return lowest(self._reorder.first_feed(), self.writer.first_feed())

    def _receive(self, items: Iterator[Item | Lost]) -> None:
        for packet in self._assembler.receive(items):
            self._place(packet)

    def _place(self, packet: VoicePacket) -> None:
        at = self._ticks(self.clock.wall(packet.timestamp))
        for time, samples, data in self._timeline.place(packet, at):
            if self._is_repeated(time):
                continue
            following = (packet.timestamp + packet.samples) & 0xFFFFFFFF
            place = (self.track.track, packet.sequence, following)
            entry, take, feed = self._entry, self._take_number, packet.first_feed
            self.writer.add(Piece(time, samples, True, data, entry, take, feed, place))


class VideoPipeline(_Base):
    """Pictures that come from a relay above may come again after an outage, from a keyframe on that
    is recorded already: they are recorded once. A new trunk goes on at a keyframe that is new."""

    def __init__(
        self,
        track: Track,
        writer: RenditionWriter,
        take: int,
        ticks: Callable[[float], int],
        patience: Patience,
        resume: Place | None,
    ) -> None:
        super().__init__(track, writer, take, ticks, patience, resume)
        self._assembler = VideoAssembler(track, resumed=resume is not None)
        self._resumed = resume is not None or self._limit > 0
        self._last: int | None = None
        """RTP timestamp of the newest frame, where frames may come again."""

    def first_feed(self) -> int | None:
        return lowest(
            self._reorder.first_feed(), self._assembler.first_feed(), self.writer.first_feed()
        )

    def _receive(self, items: Iterator[Item | Lost]) -> None:
        for frame in self._assembler.receive(items):
            time = max(self._ticks(self.clock.wall(frame.timestamp)), 0)
            if self.track.origin and self._came_before(frame, time):
                continue
            if not self._is_repeated(time):
                self._add(frame, frame.joined, time)
            self._assembler.left_out = 0

    def rest(self, now: float) -> bool:
        if not super().rest(now):
            return False
        if self._assembler.first_feed() is not None:
            if now - self._last_arrival <= FLUSH_AFTER:
                return False  # the picture that it goes on with
            self._assembler.let_go()
        return True

    def _came_before(self, frame: Frame, time: int) -> bool:
        if self._last is not None:
            back = delta32(self._last, frame.timestamp)
            if 0 <= back < _AGAIN_SECONDS * self.track.clock_rate:
                return True
        elif not self._resumed and (time <= self.writer.newest or not frame.joined.key):
            return True
        self._last = frame.timestamp
        return False

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
