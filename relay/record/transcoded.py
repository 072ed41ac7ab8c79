"""A VP8 track to its rendition: its frames are transcoded to H.264 on the way. PURE.

Here: what the transcoder is asked, what is done with its answers, and from which feed record a
restarted decoder has to begin. Not here: the worker process (`transcode`), copying (`pipeline`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from classroom.archive.journal import Note, Place
from relay.media.frame_info import PayloadError
from relay.record.actions import Log
from relay.record.assemble import Frame
from relay.record.feed import Track
from relay.record.join import H264Joiner, Joined
from relay.record.pipeline import Patience, VideoPipeline, lowest
from relay.record.rendition import RenditionWriter

GROUP_HOLD: Final = 20.0
"""s. A transcoded group of pictures is kept in the feed from its keyframe on, so that a restarted
decoder can begin there; a longer group is let go, for the media process keeps 30 s."""


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
        patience: Patience,
        resume: Place | None,
    ) -> None:
        # The decoder begins anew at a keyframe, whatever was durable before.
        super().__init__(track, writer, take, ticks, patience, None)
        self.jobs: deque[Job] = deque()
        self._limit = writer.end if writer.restored_take == take else 0
        self._stream = f"{writer.name}/{track.track}/{take}"
        self._joiner = H264Joiner()
        self._waiting_key = True
        self._groups: deque[tuple[int, float]] = deque()
        """Feed sequence and arrival of the keyframes that frames not durable yet build on."""
        self._asked: deque[Job] = deque()
        self._finishing = False

    def first_feed(self) -> int | None:
        asked = min((job.frame.first_feed for job in (*self.jobs, *self._asked)), default=None)
        needed = lowest(super().first_feed(), asked)
        # A frame needs its whole group of pictures, from the keyframe on.
        while len(self._groups) > 1 and (needed is None or self._groups[1][0] <= needed):
            self._groups.popleft()
        return lowest(needed, self._groups[0][0] if self._groups else None)

    @property
    def outstanding(self) -> bool:
        """Frames are with the transcoder, or on their way to it."""
        return bool(self.jobs or self._asked)

    @property
    def ended(self) -> bool:
        """Nothing will be asked or answered any more."""
        return self._finishing and not self.outstanding

    def finish(self) -> None:
        """As for any track; but the segment is closed when the last answer is there."""
        self._receive(self._reorder.take(0.0, everything=True))
        self._finishing = True
        if not self.outstanding:
            self.writer.finish()

    def advance(self, now: float) -> None:
        super().advance(now)
        while self._groups and now - self._groups[0][1] > GROUP_HOLD:
            self._groups.popleft()

    def rest(self, now: float) -> bool:
        return super().rest(now) and not self.outstanding

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
            self._groups.append((frame.first_feed, frame.arrival))
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
        if byte_stream and job.encode:
            self._place(job, byte_stream)
        if self.ended:
            self.writer.finish()

    def _place(self, job: Job, byte_stream: bytes) -> None:
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
