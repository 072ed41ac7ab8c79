"""Encoded pieces on their way from a source's thread to aiortc, each sent at its moment.

Lives here: `Piece` (one encoded frame), `Outlet` (a queue between two threads), `Timeline` (media
time to loop time) and `PacketTrack` (what aiortc reads). Must not live here: codecs and files.

An outlet outlives a connection: while nobody reads, a file or generated source waits (nothing is
lost for the recording), a live source drops what is old. A reader always starts at a keyframe, and
goes on at one after a drop: a picture that refers to one that is missing shows rubbish.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from classroom.clock import Clock, monotonic

AHEAD_S: Final = 0.3  # coded in advance: hides a slow frame, yet a keyframe request acts soon
DEEPEST_S: Final = 10.0  # a badly interleaved file may hold one track this far ahead of another
LATE_S: Final = 0.5  # later than this is a pause, not jitter: the timeline starts anew
LIVE_DELAY_S: Final = 0.08  # a live picture and voice wait this long, so both leave in step

Name = Literal["voice", "camera", "screen"]
Codec = Literal["opus", "h264", "vp8"]
CLOCK_RATES: Final[dict[Codec, int]] = {"opus": 48_000, "h264": 90_000, "vp8": 90_000}


@dataclass(frozen=True, slots=True)
class Piece:
    """One encoded frame: `time` in seconds since its source began, never falling in an outlet."""

    data: bytes
    time: float
    keyframe: bool


def ignore_keyframe_request() -> None:
    """What a copied stream does with a keyframe request: it has only the keyframes it has."""


class Outlet:
    """One track's queue. `put` and `close` belong to the source's thread, the rest to the loop."""

    def __init__(self, name: Name, codec: Codec, *, live: bool) -> None:
        self.name: Name = name
        self.codec: Codec = codec
        self.live = live
        self.request_keyframe: Callable[[], None] = ignore_keyframe_request
        self.siblings: tuple[Outlet, ...] = ()
        self.dropped = 0
        self._pieces: deque[Piece] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._lacks_key = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()

    @property
    def kind(self) -> Literal["audio", "video"]:
        """What aiortc calls this kind of track."""
        return "audio" if self.name == "voice" else "video"

    def put(self, piece: Piece) -> bool:
        """Queue `piece`, waiting while the reader is `AHEAD_S` behind; False once closed."""
        with self._changed:
            while not self._closed and self._is_full():
                if self.live:
                    self._drop_to_keyframe()
                else:
                    # A sibling's reader may empty its queue without waking us: look again soon.
                    self._changed.wait(0.05)
            if self._closed:
                return False
            self._lacks_key = self._lacks_key and not piece.keyframe
            if self._lacks_key:
                self.dropped += 1
                return True
            self._pieces.append(piece)
        self._wake()
        return True

    def close(self) -> None:
        """No more pieces will come; the reader gets what is queued, then the end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._wake()

    async def get(self) -> Piece | None:
        """The next piece, or None at the end of the source."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._arrived.clear()
            with self._changed:
                if self._pieces:
                    piece = self._pieces.popleft()
                    self._changed.notify_all()
                    return piece
                if self._closed:
                    return None
            await self._arrived.wait()

    @property
    def ended(self) -> bool:
        """Whether the source is over and everything was read."""
        with self._changed:
            return self._closed and not self._pieces

    def _drop_to_keyframe(self) -> None:
        """Drop the oldest piece, and those after it that need it."""
        self._pieces.popleft()
        self.dropped += 1
        while self._pieces and not self._pieces[0].keyframe:
            self._pieces.popleft()
            self.dropped += 1
        if not self._pieces:
            self._lacks_key = True
            self.request_keyframe()

    def _is_full(self) -> bool:
        if not self._pieces:
            return False
        span = self._pieces[-1].time - self._pieces[0].time
        if span <= AHEAD_S:
            return False
        hungry = any(not sibling._pieces and not sibling._closed for sibling in self.siblings)
        return not hungry or span > DEEPEST_S

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)


class Timeline:
    """Maps a source's media time (seconds) to the loop's; shared by the tracks of one source."""

    def __init__(self, *, live: bool, clock: Clock = monotonic) -> None:
        self._live = live
        self._clock = clock
        self._base: float | None = None
        self._origin = 0.0

    def wait(self, time: float) -> float:
        """Seconds until a piece of media time `time` is due; 0 or less: now.

        Starts anew when the piece is late by a pause (the relay was away, a device stalled), and
        on a live source when pieces arrive ever earlier (its clock runs faster than ours).
        """
        now = self._clock()
        delay = LIVE_DELAY_S if self._live else 0.0
        if self._base is None:
            self._base = self._origin = now - time + delay
        ahead = self._base + time - now
        if ahead < -LATE_S or (self._live and ahead > delay + AHEAD_S):
            self._base = now - time + delay
            ahead = delay
        return ahead

    def stamp(self, time: float) -> float:
        """Media time `time` as the receiver is to see it, in seconds.

        A pause of the source is a gap here, as it is for who watches: a timestamp and the moment
        of its sending stay tied, for all tracks of the source alike (RFC 3550 §5.1).
        """
        return time if self._base is None else time + self._base - self._origin

    def due(self, time: float) -> float:
        """When, on the clock, a piece of media time `time` is due, after `wait` was asked."""
        return self._clock() if self._base is None else self._base + time

    def restart(self) -> None:
        """Forget the mapping: the next piece sets it."""
        self._base = None


class PacketTrack(MediaStreamTrack):
    """What one connection's sender reads from an outlet: packets, each at its moment.

    sent: pieces read. due: when the newest of them was due, on the timeline's clock.
    """

    def __init__(self, outlet: Outlet, timeline: Timeline) -> None:
        super().__init__()
        self.kind = outlet.kind
        self.sent = 0
        self.due = 0.0
        self._outlet = outlet
        self._timeline = timeline
        self._rate = CLOCK_RATES[outlet.codec]
        self._started = outlet.kind == "audio"
        self._pts = -1

    async def recv(self) -> av.Packet[av.stream.Stream]:
        """The next packet for aiortc; MediaStreamError after the last one."""
        while True:
            piece = await self._outlet.get()
            if piece is None:
                self.stop()
                raise MediaStreamError("the source has ended")
            if self._started or piece.keyframe:
                break
        self._started = True
        wait = self._timeline.wait(piece.time)
        # A live source whose clock is ahead is led back; its timestamps still only grow.
        self._pts = max(self._pts + 1, round(self._timeline.stamp(piece.time) * self._rate))
        packet = av.Packet(piece.data)
        packet.pts = self._pts
        if wait > 0:
            await asyncio.sleep(wait)
        packet.time_base = Fraction(1, self._rate)
        self.due = self._timeline.due(piece.time)
        self.sent += 1
        return packet
