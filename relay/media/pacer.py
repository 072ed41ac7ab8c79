"""What waits for its turn on one viewer's slow link, and when it may leave.

Lives here: an order of urgency and a rate. A keyframe that leaves at once stands in the link's own
queue, with the voice behind it; here it stands where the voice overtakes it. Must not live here:
packets (an item is whatever the caller likes), sending, what rate (`bandwidth`). Fresh voice never
waits: the caller sends it and says so with `spend`. RFC 8298 §4.1.2 and draft-ietf-rmcat-gcc-02
§3 pace alike. Pure; seconds, bytes, bit/s.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# So much may leave together: a pause between two packets needs a timer, and timers are not finer.
BURST: Final = 0.005
# What waited for a timer that came late, on a busy machine, is made up for as far as this: else so
# much less leaves than the link takes, and more and more waits. (libwebrtc does so for 30 ms.)
LATE: Final = 0.030
# Voice beyond the rate holds everything else up, but no longer than this.
DEBT: Final = 0.25
IP_UDP: Final = 28
_SLOWEST: Final = 8_000.0


class Kind(enum.IntEnum):
    """In order of urgency. What a picture lacks comes before the pictures that lean on it."""

    VOICE_REPAIR = 0
    PICTURE_REPAIR = 1
    PICTURE = 2
    PADDING = 3


class Pacer(Generic[T]):
    """One viewer's. backlog: bytes that wait, with IP and UDP headers."""

    __slots__ = ("_free_at", "_queues", "_rate", "_waited", "backlog")

    def __init__(self, rate: float = 60_000.0) -> None:
        """rate: bit/s on the wire."""
        self.backlog = 0
        self._rate = rate
        self._free_at = -1e18
        """When the link has taken everything that left so far."""
        self._waited = False
        """Whether something did when packets left last."""
        self._queues: tuple[deque[tuple[int, T]], ...] = tuple(deque() for _ in Kind)

    @property
    def delay(self) -> float:
        """Seconds that what waits needs at the present rate."""
        return self.backlog * 8 / self._rate

    def set_rate(self, rate: float, now: float) -> None:
        """From `now` on; what has left already is waited for at the new rate."""
        rate = max(rate, _SLOWEST)
        if self._free_at > now:
            self._free_at = now + (self._free_at - now) * min(self._rate / rate, 2.0)
        self._rate = rate

    def push(self, kind: Kind, size: int, item: T) -> None:
        """An item of `size` bytes (without IP and UDP) goes to the end of its kind."""
        self._queues[kind].append((size + IP_UDP, item))
        self.backlog += size + IP_UDP

    def spend(self, size: int, now: float) -> None:
        """A packet of `size` bytes was sent without asking: the others make room for it."""
        free_at = max(self._free_at, now - BURST) + (size + IP_UDP) * 8 / self._rate
        self._free_at = min(free_at, now + DEBT)

    def due(self, now: float) -> float | None:
        """When `pop` gives something, `now` at the earliest; None if nothing waits."""
        return max(self._free_at, now) if self.backlog else None

    def pop(self, now: float) -> list[T]:
        """What may leave now: the most urgent first, one packet or BURST worth of them, or as much
        as waited too long for this call."""
        out: list[T] = []
        free_at = max(self._free_at, now - (LATE if self._waited else BURST))
        if not self.backlog or free_at > now:
            return out
        per_byte = 8 / self._rate
        for queue in self._queues:
            while queue and free_at <= now:
                size, item = queue.popleft()
                self.backlog -= size
                free_at += size * per_byte
                out.append(item)
        self._free_at = free_at
        self._waited = self.backlog > 0
        return out

    def waiting(self, kind: Kind) -> Iterator[T]:
        """What waits of one kind, first come first."""
        return (item for _, item in self._queues[kind])

    def drop(self, predicate: Callable[[T], bool]) -> int:
        """Forget what `predicate` says yes to; how many items that were."""
        dropped = 0
        for queue in self._queues:
            kept = [entry for entry in queue if not predicate(entry[1])]
            dropped += len(queue) - len(kept)
            if len(kept) < len(queue):
                queue.clear()
                queue.extend(kept)
        self.backlog = sum(size for queue in self._queues for size, _ in queue)
        self._waited &= self.backlog > 0
        return dropped

    def clear(self) -> None:
        """Forget everything that waits."""
        for queue in self._queues:
            queue.clear()
        self.backlog = 0
        self._waited = False
