"""The last packets of one layer, for sending again what a receiver missed.

Here: a store by sequence number, bounded by packets, bytes and age, that is kept once per layer
however many viewers there are. Not here: who may ask how often, what a packet is (the owner says
its size). Keys are whatever numbers the owner uses (extended or 16-bit); with 16-bit keys
`packets` must stay below 65,536. No time is read: age is counted against the `now` of the last
call that gave one.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

P = TypeVar("P")


class PacketCache(Generic[P]):
    """Every operation is O(1), the ones that throw away amortised."""

    __slots__ = ("_by_seq", "_order", "bytes_held", "max_age", "max_bytes", "max_packets")

    def __init__(
        self, max_packets: int = 2048, max_bytes: int = 4 << 20, max_age: float = 3.0
    ) -> None:
        """`max_age` in seconds. It should cover a few round trips and may be changed later."""
        self.max_packets = max_packets
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.bytes_held = 0
        self._by_seq: dict[int, tuple[int, P, int, float]] = {}
        self._order: deque[tuple[int, P, int, float]] = deque()
        """(number, packet, size, when put), oldest first; an entry that was replaced stays till its
        turn, told from its successor by identity."""

    def __len__(self) -> int:
        return len(self._by_seq)

    def put(self, seq: int, packet: P, size: int, now: float) -> None:
        """Keep `packet` of `size` bytes. A number already there is replaced."""
        order = self._order
        self._by_seq[seq] = entry = (seq, packet, size, now)
        order.append(entry)
        self.bytes_held += size
        if (
            self.bytes_held > self.max_bytes
            or len(order) > self.max_packets
            or order[0][3] < now - self.max_age
        ):
            self._evict(now)

    def get(self, seq: int) -> P | None:
        """The packet, or None when it was never put or is gone."""
        entry = self._by_seq.get(seq)
        return None if entry is None else entry[1]

    def expire(self, now: float) -> None:
        """Let go of what is too old, for a layer that has stopped; `put` does so by itself."""
        self._evict(now)

    def clear(self) -> None:
        self._by_seq.clear()
        self._order.clear()
        self.bytes_held = 0

    def _evict(self, now: float) -> None:
        order = self._order
        by_seq = self._by_seq
        oldest = now - self.max_age
        while order and (
            self.bytes_held > self.max_bytes
            or len(order) > self.max_packets
            or order[0][3] < oldest
        ):
            entry = order.popleft()
            self.bytes_held -= entry[2]
            if by_seq.get(entry[0]) is entry:
                del by_seq[entry[0]]
