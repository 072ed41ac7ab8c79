"""Packets of streams that nobody has told us of yet: kept for a moment, because the word may be
late.

A parent relay says over one connection what it sends over another, so a stream's first packets may
overtake the word that names them. They are kept by SSRC, for seconds and up to a bound, and given
back with the times at which they came; what nobody claims is dropped and counted. Not here: who
sends what (upstream). Pure; seconds, bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Final

KEEP_SECONDS: Final = 5.0
KEEP_BYTES: Final = 1 << 20


class Strangers:
    """One transport's. dropped: packets that were not claimed in time, or found no room."""

    def __init__(self, seconds: float = KEEP_SECONDS, size: int = KEEP_BYTES) -> None:
        self.dropped = 0
        self._seconds = seconds
        self._most = size
        self._bytes = 0
        self._kept: deque[tuple[float, int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, ssrc: int, data: bytes, now: float) -> None:
        """Keep one packet; the oldest make room."""
        self._kept.append((now, ssrc, data))
        self._bytes += len(data)
        self.expire(now)
        while self._bytes > self._most:
            self._drop()

    def expire(self, now: float) -> None:
        """Drop what waited too long."""
        while self._kept and now - self._kept[0][0] > self._seconds:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= len(self._kept.popleft()[2])
        self.dropped += 1

    def claim(self, known: Container[int], now: float) -> list[tuple[bytes, float]]:
        """The packets of SSRCs in `known`, in the order of their arrival, each with its time."""
        self.expire(now)
        claimed = [(data, at) for at, ssrc, data in self._kept if ssrc in known]
        self._kept = deque(one for one in self._kept if one[1] not in known)
        self._bytes = sum(len(data) for _, _, data in self._kept)
        return claimed
