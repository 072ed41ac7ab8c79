"""Timestamps of a room's first pictures: moved to when they leave, as long as they leave late.

A link that is not known yet takes the first keyframe in a second or so, and all that follows waits
behind it. A browser draws a line through timestamps and arrivals, and trusts the first ones most
(libwebrtc: TimestampExtrapolator); late at first and in time later bends it, so that for a minute
pictures are played up to 0.3 s early, until it notices and stops them for so long, several times
over. Pictures that say when they left keep the line straight. Later ones keep the publisher's
timestamps, since lateness is then what the delay of playing is for. Pure; seconds, bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from relay.media.seqno import delta32

CLOCK_RATE: Final = 90_000
# What pictures may leave late without being moved: less than their distance, so that the first
# one that is in time again comes after the last that was not.
_SLACK: Final = 0.050
# Ticks between frames, at least, as those of the cache have: late ones fit in between.
_APART: Final = 90
# They leave in pieces at first, with pauses between; in time is who is so after so long. Packets
# that the teacher's link brings late belong to frames that were moved so lately, at most.
_AT_LEAST: Final = 2.0
_LATE_PACKETS: Final = 1.0
# What begins anew so long after the first picture is measured against what came in time.
_EARLY: Final = 20.0
# Nobody asks for a frame that left so long ago.
_RESENT: Final = 10.0
# Frames remembered, for the rest of their packets and for resends: 10 s of them.
_MOST: Final = 300


class FirstPictures:
    """One leg's, from its first picture on until all that waits has left.

    is_over: pictures go out with everybody's timestamps; before that, each of them goes through
    `wait` and `leave`, or a frame might have two.
    """

    __slots__ = ("_began", "_first", "_last", "_late_at", "_moved", "_waiting", "is_over")

    def __init__(self, now: float) -> None:
        self.is_over = False
        self._first = self._began = self._late_at = now
        self._waiting: dict[int, tuple[float, int]] = {}
        """Frames by timestamp: when the first packet began to wait, bytes that wait."""
        self._moved: dict[int, int] = {}
        self._last: int | None = None

    @property
    def told(self) -> int | None:
        """The timestamp that the last of the frames left under; None before the first."""
        return self._moved.get(self._last, self._last) if self._last is not None else None

    def begin_again(self, now: float) -> None:
        """Pictures had stopped, and begin anew with a keyframe."""
        if now - self._first <= _EARLY:
            self._began, self.is_over = now, False

    def wait(self, timestamp: int, size: int, now: float) -> bool:
        """One packet of `size` bytes begins to wait; whether it is to be moved when it leaves."""
        if self.is_over:
            return False
        since, before = self._waiting.get(timestamp, (now, 0))
        self._waiting[timestamp] = since, before + size
        return True

    def leave(self, timestamp: int, rate: float, now: float) -> int:
        """The timestamp under which a packet that waited leaves. rate: bit/s of what waits."""
        since, size = self._waiting.pop(timestamp, (now, 0))
        if timestamp not in self._moved:
            late = now + size * 8 / rate - since - _SLACK
            moved = timestamp
            # On a link that pictures fill, some are late at any time.
            if late > 0.0 and now - self._first <= _EARLY:
                moved = timestamp + round(late * CLOCK_RATE) & 0xFFFFFFFF
            moved = self._in_order(timestamp, moved)
            if moved != timestamp:
                # Until the time that it tells nothing may tell an earlier one.
                told = since + delta32(moved, timestamp) / CLOCK_RATE
                self._late_at = max(self._late_at, now, told)
            self._moved[timestamp] = moved
            if len(self._moved) > _MOST:
                del self._moved[next(iter(self._moved))]
        return self._moved[timestamp]

    def _in_order(self, timestamp: int, moved: int) -> int:
        """`moved`, or what is nearest to it and keeps the frames in their order."""
        if self._last is None or delta32(timestamp, self._last) > 0:
            # The rate may have risen since the frame before was said to be so late.
            before = self._moved.get(self._last, self._last) if self._last is not None else None
            if before is not None and delta32(moved, before) < _APART:
                moved = before + _APART & 0xFFFFFFFF
            self._last = timestamp
            return moved
        return self._between(timestamp, moved)

    def _between(self, timestamp: int, moved: int) -> int:
        """`moved`, or what lies between those around it: the frame came late to the relay."""
        earlier: tuple[int, int] | None = None
        later: tuple[int, int] | None = None
        for each in self._moved.items():
            distance = delta32(each[0], timestamp)
            if distance < 0 and (earlier is None or delta32(each[0], earlier[0]) > 0):
                earlier = each
            elif distance > 0 and (later is None or delta32(each[0], later[0]) < 0):
                later = each
        too_early = earlier is not None and delta32(moved, earlier[1]) <= 0
        too_late = later is not None and delta32(moved, later[1]) >= 0
        if earlier is not None and later is not None and (too_early or too_late):
            # In proportion, which leaves room for others that come late as well.
            room = delta32(later[1], earlier[1])
            share = delta32(timestamp, earlier[0]) / delta32(later[0], earlier[0])
            moved = earlier[1] + max(1, min(round(room * share), room - 1))
        elif earlier is not None and too_early:
            moved = earlier[1] + 1
        elif later is not None and too_late:
            moved = later[1] - 1
        return moved & 0xFFFFFFFF

    def give_up(self, timestamps: Iterable[int]) -> None:
        """Frames that waited do so no more, and have not left."""
        for timestamp in timestamps:
            self._waiting.pop(timestamp, None)

    def find(self, timestamp: int) -> int:
        """The timestamp under which a frame left, or is to leave now that never did: it came to the
        relay when the room had gone on with another layer."""
        moved = self._moved.get(timestamp)
        if moved is None:
            if timestamp in self._waiting:
                return timestamp  # what it tells is seen when it leaves
            moved = self._between(timestamp, timestamp)
            if moved != timestamp:
                self._moved[timestamp] = moved
        return moved

    def note_empty(self, now: float) -> None:
        """Nothing waits: what comes is in time, unless it has only just begun."""
        self._waiting.clear()
        if now - self._began > _AT_LEAST and now - self._late_at > _LATE_PACKETS:
            self.is_over = True

    def expire(self, now: float) -> None:
        """Call now and then: forget what nobody asks for any more."""
        if self._moved and self.is_over and now - self._late_at > _RESENT:
            self._moved = {}
