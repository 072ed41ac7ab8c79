"""One track from RTP packets to its rendition's writer. PURE.

Here: the order reorder → frames → media time → writer, for voice, for video that is copied, and
for VP8, whose frames take a detour through a transcoder. Not here: which tracks there are, and
what a lesson's time base is (`lesson`). Every pipeline can say which feed record it still needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from classroom.archive.journal import Note, Place
from relay.media import rtp
from relay.media.frame_info import PayloadError
from relay.media.seqno import Unwrapper
from relay.record.actions import Log
from relay.record.assemble import Frame, VideoAssembler
from relay.record.feed import Packet, Track
from relay.record.join import H264Joiner, Joined
from relay.record.rendition import AWAY, IDLE_SECONDS, LOSS, Piece, RenditionWriter
from relay.record.reorder import Item, Lost, Reorder
from relay.record.sample_entries import opus_entry
from relay.record.voice import VoiceAssembler, VoicePacket, VoiceTimeline

GROUP_HOLD: Final = 20.0
"""s. A transcoded group of pictures is kept in the feed from its keyframe on, so that a restarted
decoder can begin there; a longer group is let go, for the media process keeps 30 s."""


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
        self._take = take
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
        return _lowest(self._reorder.first_feed(), self.writer.first_feed())

    def _receive(self, items: Iterator[Item | Lost]) -> None:
        for packet in self._assembler.receive(items):
            self._place(packet)

    def _place(self, packet: VoicePacket) -> None:
        for time, samples, data in self._timeline.place(packet, self._ticks(packet.wall)):
            if self._is_repeated(time):
                continue
            following = (packet.timestamp + packet.samples) & 0xFFFFFFFF
            place = (self.track.track, packet.sequence, following)
            entry, take, feed = self._entry, self._take, packet.first_feed
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
        return _lowest(
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
                self._take,
                frame.first_feed,
                place,
                reason,
            )
        )


@dataclass(slots=True)
class Job:
    """A VP8 frame for the transcoder. encode: False where only the decoder needs it.

    stream: names the decoder and encoder that it belongs to. lost: its answer is not wanted.
    """

    stream: str
    data: bytes
    key: bool
    encode: bool
    frame: Frame
    time: int
    lost: bool = False


class TranscodedPipeline(VideoPipeline):
    """VP8 in, H.264 out. The shell takes `jobs` and answers each with `receive`, in order."""

    def __init__(
        self,
        track: Track,
        writer: RenditionWriter,
        take: int,
        ticks: Callable[[float], int],
        hold: float,
        resume: Place | None,
    ) -> None:
        # The decoder begins anew at a keyframe, whatever was durable before.
        super().__init__(track, writer, take, ticks, hold, None)
        self.jobs: deque[Job] = deque()
        self._limit = writer.end if writer.restored_take == take else 0
        self._stream = f"{writer.name}/{track.track}/{take}"
        self._joiner = H264Joiner()
        self._waiting_key = True
        self._group: tuple[int, float] | None = None
        self._asked: deque[Job] = deque()

    def first_feed(self) -> int | None:
        group = self._group[0] if self._group is not None else None
        asked = min((job.frame.first_feed for job in (*self.jobs, *self._asked)), default=None)
        return _lowest(super().first_feed(), group, asked)

    def advance(self, now: float) -> None:
        super().advance(now)
        if self._group is not None and now - self._group[1] > GROUP_HOLD:
            self._group = None

    def take_jobs(self) -> list[Job]:
        """Frames to transcode, in order; each is answered by `receive` or by `lose`."""
        jobs = list(self.jobs)
        self.jobs.clear()
        self._asked.extend(jobs)
        return jobs

    def _add(self, frame: Frame, joined: Joined, time: int) -> None:
        self._queue(frame, time)

    def _is_repeated(self, time: int) -> bool:
        return False

    def _queue(self, frame: Frame, time: int) -> None:
        if frame.joined.key:
            self._waiting_key = False
            self._group = (frame.first_feed, frame.arrival)
        if self._waiting_key:
            return
        encode = time >= self._limit
        job = Job(self._stream, frame.joined.data, frame.joined.key, encode, frame, time)
        self.jobs.append(job)

    def receive(self, job: Job, byte_stream: bytes) -> None:
        """The transcoder's answer: an access unit in annex B form, empty if there is none."""
        if job.lost:
            return
        self._asked.popleft()
        if not byte_stream or not job.encode:
            return
        try:
            joined = self._joiner.join_stream(byte_stream)
        except PayloadError:
            return
        if joined.entry is not None:
            joined = replace(joined, entry=replace(joined.entry, source=self.track.codec))
        super()._add(job.frame, joined, job.time)

    def lose(self, reason: str) -> None:
        """The transcoder died or is too slow: go on at the next keyframe."""
        self.writer.out.append(Log(Note(int(self._last_arrival * 1000), reason)))
        for job in (*self.jobs, *self._asked):
            job.lost = True
        self.jobs.clear()
        self._asked.clear()
        self._waiting_key = True
        self._assembler.left_out += 1


def _lowest(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)
