"""RTP packets of one track put in order, with a limit on how long a hole is waited for. PURE.

Here: sequence numbers only. Losses are repaired upstream (NACK, about a second at worst); a hole
that is still there `hold` seconds after the packet behind it came is given up. Not here: payloads.
Time is the arrival time in the feed, so the same feed gives the same result at any later hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay.media.rtp import RtpHeader
from relay.media.seqno import Unwrapper

CAPACITY: Final = 8_192  # packets behind one hole: 2 s at 30 Mbit/s
RESTART_AFTER: Final = 20.0
"""s without a packet, after which numbers are not compared with earlier ones: a layer that was sent
all the while passes half of the 65,536 numbers in a minute or two."""
START_HOLD: Final = 0.1  # s in which the first packets of a track may still change places


@dataclass(slots=True)
class Item:
    """One packet. feed: its sequence in the feed."""

    feed: int
    arrival: float
    data: bytes
    header: RtpHeader


@dataclass(frozen=True, slots=True)
class Lost:
    """`count` packets in a row did not come in time."""

    count: int


class Reorder:
    """Push packets as they come; take them in order, with what is lost between them."""

    def __init__(
        self,
        hold: float,
        after: int | None = None,
        lag: float = 0.0,
        start: float = START_HOLD,
    ) -> None:
        """hold: seconds. after: the last RTP sequence number already dealt with, on a resume.
        lag: seconds that every packet waits, for what is to be known of it before. start: seconds
        that the first packets wait."""
        self._hold = hold
        self._lag = lag
        self._start = start
        self._unwrap = Unwrapper(16)
        self._waiting: dict[int, Item] = {}
        self._next: int | None = None
        self._offset = 0
        self._first_arrival: float | None = None
        self._last_arrival: float | None = None
        if after is not None:
            self._next = self._unwrap.unwrap(after) + 1

    def push(self, item: Item) -> None:
        """Keep a packet; what comes too late or twice is dropped."""
        if self._first_arrival is None:
            self._first_arrival = item.arrival
        if self._last_arrival is not None and item.arrival - self._last_arrival > RESTART_AFTER:
            self._offset += self._unwrap.highest + 1
            self._unwrap = Unwrapper(16)
        self._last_arrival = item.arrival
        number = self._offset + self._unwrap.unwrap(item.header.sequence_number)
        if self._next is None or number >= self._next:
            self._waiting.setdefault(number, item)

    def take(self, now: float, *, everything: bool = False) -> Iterator[Item | Lost]:
        """All that is in order at `now` (arrival time); `everything`: wait for nothing more."""
        waiting = self._waiting
        while waiting:
            if self._next is None:
                assert self._first_arrival is not None
                if now - self._first_arrival < max(self._start, self._lag) and not everything:
                    return
                self._next = min(waiting)
            item = waiting.get(self._next)
            if item is None:
                found = min(waiting)
                patient = now - waiting[found].arrival < self._hold and len(waiting) < CAPACITY
                if patient and not everything:
                    return
                count = found - self._next
                self._next = found
                yield Lost(count)
                continue
            if now - item.arrival < self._lag and not everything:
                return
            del waiting[self._next]
            self._next += 1
            yield item

    def first_feed(self) -> int | None:
        """The lowest feed sequence among packets kept, None without any."""
        return min((item.feed for item in self._waiting.values()), default=None)
