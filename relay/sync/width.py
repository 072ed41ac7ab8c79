"""How many requests run side by side over one link. PURE.

Here: finding the fewest connections that keep a link busy. One TCP connection carries about
1.2 segments / (round trip × √loss), 140 kbit/s at 600 ms and 3 %, whatever the link could take, and
a clean link is full with one. Not here: what is asked for (`loads`), measuring.

A link is full when a queue stands before it, so connections are added while none does, and taken
away when the queue is long: what a page or a call of the same school sends would else wait behind a
second of recordings.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MOST: Final = 16
_FIRST: Final = 2
# Over a round trip so long (s) two take minutes to fill what four fill at once.
_LONG_WAY_S: Final = 0.3
_FIRST_LONG: Final = 4
# Seconds of a standing queue (the least of some pings over the least ever): below, the link has
# room; above, there are too many.
_SHORT_S: Final = 0.04
_LONG_S: Final = 0.25
# A step is thought over after so long: slow start over, and some pings back (s, round trips).
_LEAST_S: Final = 3.0
_ROUND_TRIPS: Final = 6.0
# The least round trip is forgotten after this long, for a link's way may change (s).
_BASE_KEPT_S: Final = 600.0
_PINGS_KEPT: Final = 400
# One request brings so much: the link is busy for this long with it (s, and round trips), so that
# the round trip before its first byte counts for little. Bytes, at the least and at the most.
_LOAD_S: Final = 10.0
_LOAD_ROUND_TRIPS: Final = 12.0
_LOAD_LEAST: Final = 192 * 1024
LOAD_MOST: Final = 4 << 20


class Width:
    """Tell it of bytes and pings; `connections` is what it found. Times are monotonic seconds."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._pings: deque[tuple[float, float]] = deque(maxlen=_PINGS_KEPT)
        self._bytes = 0
        self._since: float | None = None
        self.connections = min(_FIRST, most)
        self.rate = 0.0
        """Bytes per second, of the last steps."""

    @property
    def round_trip(self) -> float | None:
        """Seconds, without any queue; None before the first ping."""
        return min((took for _, took in self._pings), default=None)

    def load_bytes(self) -> int:
        """What one of the requests side by side should bring."""
        seconds = max(_LOAD_S, _LOAD_ROUND_TRIPS * (self.round_trip or 0.0))
        size = seconds * self.rate / self.connections
        return round(min(LOAD_MOST, max(_LOAD_LEAST, size)))

    def receive_bytes(self, size: int) -> None:
        """They came over the link."""
        self._bytes += size

    def receive_ping(self, now: float, took: float) -> None:
        """A small request was answered after `took` seconds."""
        if not self._pings and not self.rate and took > _LONG_WAY_S:
            self.connections = min(_FIRST_LONG, self._most)
        while self._pings and self._pings[0][0] < now - _BASE_KEPT_S:
            self._pings.popleft()
        self._pings.append((now, took))

    def pause(self) -> None:
        """Nothing is under way: time that passes now says nothing of the link."""
        self._since = None

    def handle_timer(self, now: float, busy: bool) -> None:
        """Think again; call it once a second or so while something is under way.

        busy: whether all connections have something to do and nothing but the link holds them up.
        """
        if self._since is None:
            self._since, self._bytes = now, 0
            return
        spent = now - self._since
        if spent < max(_LEAST_S, _ROUND_TRIPS * (self.round_trip or 0.0)):
            return
        rate = self._bytes / spent
        self.rate = rate if not self.rate else self.rate + (rate - self.rate) / 2
        queue = self._queue(self._since)
        if queue is not None and queue > _LONG_S:
            self.connections = max(1, self.connections - 1)
        elif busy and (queue is None or queue < _SHORT_S):
            self.connections = min(self._most, self.connections + max(1, self.connections // 2))
        self._since, self._bytes = now, 0

    def _queue(self, since: float) -> float | None:
        """Seconds that stood before the link all the while; None without pings."""
        recent = [took for at, took in self._pings if at >= since]
        base = self.round_trip
        return min(recent) - base if recent and base is not None else None
