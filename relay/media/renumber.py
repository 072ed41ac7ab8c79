"""Closing the gaps that packets dropped on purpose leave in sequence numbers and picture ids.

Here: numbers in → numbers out for one group of viewers that are sent the same, and back again for
their NACKs. Not here: what to drop, wrapping (all numbers are extended ones: see seqno.Unwrapper).
A packet that was not seen yet when later ones passed is presumed to be forwarded, so it keeps its
number; when it turns out to be dropped, that number stays a hole.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

# Runs of dropped packets remembered. With three temporal layers at 30 frames/s there are 30 of
# them a second, so this is at least half a minute: longer than any packet cache.
MAX_SEGMENTS: Final = 1024
# Numbers not seen yet that may still come; beyond it the older ones count as lost for good.
MAX_OPEN: Final = 2048


class _Segments:
    """Where the distance between numbers in and out changes. Segment i holds for numbers in from
    `_starts[i]` to where the next one begins; `_outs[i]` is its first number out."""

    __slots__ = ("_first_out", "_highest", "_outs", "_shift", "_starts")

    def __init__(self, first_out: int | None = None) -> None:
        """`first_out`: number out of the first one in, whatever that is; None leaves numbers as
        they are until something is dropped."""
        self._first_out = first_out
        self._highest = -1
        self._shift = 0
        self._starts: list[int] = []
        self._outs: list[int] = []

    @property
    def started(self) -> bool:
        return self._highest >= 0

    @property
    def highest_in(self) -> int:
        """Highest number forwarded or dropped; -1 before the first."""
        return self._highest

    @property
    def next_out(self) -> int:
        """What the next number in would become (before the first one: `first_out`, or 0)."""
        if self._highest < 0:
            return self._first_out or 0
        return self._highest + 1 - self._shift

    def find(self, number: int) -> int | None:
        """The number out of `number`, changing nothing. None when it was dropped, did not come up
        yet or is no longer remembered."""
        if number > self._highest:
            return None
        starts = self._starts
        index = bisect_right(starts, number) - 1
        if index < 0:
            return None
        out = self._outs[index] + number - starts[index]
        following = index + 1
        if following < len(starts):
            return out if out < self._outs[following] else None
        return out

    def origin(self, out: int) -> int | None:
        """The number in that became `out`; None when none did or it is no longer remembered."""
        index = bisect_right(self._outs, out) - 1
        if index < 0:
            return None
        number = self._starts[index] + out - self._outs[index]
        return number if number <= self._highest else None

    def _start(self, number: int) -> None:
        """Begin with `number`; the caller then counts it as forwarded or dropped."""
        if self._first_out is not None:
            self._shift = number - self._first_out
        self._starts.append(number)
        self._outs.append(number - self._shift)

    def _cut(self, number: int) -> None:
        """Drop `number`, which is the highest so far."""
        self._shift += 1
        starts = self._starts
        if starts[-1] == number:
            starts[-1] = number + 1
            return
        starts.append(number + 1)
        self._outs.append(number + 1 - self._shift)
        if len(starts) > MAX_SEGMENTS:
            del starts[: MAX_SEGMENTS // 4]
            del self._outs[: MAX_SEGMENTS // 4]


class Renumberer(_Segments):
    """Sequence numbers of one group of viewers.

    Gives each number out at most once for a first sending (`forward`, `drop`), so the owner may
    encrypt under it; `find` is for sending again (a hole is found too: its padding may be lost).
    """

    __slots__ = ("_holes", "_open")

    def __init__(self, first_out: int | None = None) -> None:
        super().__init__(first_out)
        self._open: dict[int, None] = {}
        self._holes: dict[int, None] = {}

    def forward(self, number: int) -> int | None:
        """The number out of a packet now forwarded. None for one that must not be sent: it went
        out or was dropped before, or is older than everything remembered."""
        expected = self._highest + 1
        if number == expected and expected:
            self._highest = number
            return number - self._shift
        if not expected:
            self._start(number)
        elif number < expected:
            if number not in self._open:
                return None
            del self._open[number]
            return self.find(number)
        else:
            self._presume(range(expected, number))
        self._highest = number
        return number - self._shift

    def drop(self, number: int) -> int | None:
        """Leave a packet out. Gives None when nothing shows; else the number of the hole that it
        leaves, because later packets went out already: the owner may fill it with padding."""
        expected = self._highest + 1
        if not expected:
            self._start(number)
        elif number < expected:
            if number not in self._open:
                return None
            del self._open[number]
            hole = self.find(number)
            self._holes[number] = None
            _trim(self._holes)
            return hole
        elif number > expected:
            self._presume(range(expected, number))
        self._highest = number
        self._cut(number)
        return None

    def origin(self, out: int) -> int | None:
        """The number in of the packet that went out as `out`; None also for a hole."""
        number = super().origin(out)
        return None if number in self._holes else number

    def hole(self, out: int) -> int | None:
        """The number in of the dropped packet whose place `out` is; None when it is no hole."""
        number = super().origin(out)
        return number if number in self._holes else None

    def _presume(self, gap: range) -> None:
        """Numbers that were stepped over may still come; of a huge gap only the newest."""
        self._open.update(dict.fromkeys(gap[-MAX_OPEN:]))
        _trim(self._open)


class FrameRenumberer(_Segments):
    """Picture ids of one group of viewers: the same number comes once for each packet of a frame,
    and every packet of a frame gets the same answer."""

    __slots__ = ()

    def forward(self, number: int) -> int | None:
        """The picture id out; None when the frame was dropped or is no longer remembered."""
        if number <= self._highest:
            return self.find(number)
        if self._highest < 0:
            self._start(number)
        self._highest = number
        return number - self._shift

    def drop(self, number: int) -> None:
        """Leave a frame out. When later frames went out already its id stays a gap."""
        if number <= self._highest:
            return
        if self._highest < 0:
            self._start(number)
        self._highest = number
        self._cut(number)


def _trim(numbers: dict[int, None]) -> None:
    """Keep the newest entries only."""
    excess = len(numbers) - MAX_OPEN
    if excess > 0:
        for number in list(numbers)[: excess + MAX_OPEN // 4]:
            del numbers[number]
