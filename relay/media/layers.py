"""How much a layer carries: bytes per second by temporal layer, and whether it is sent at all.

The allocation compares these with what a room's link takes. Pure; times in seconds.
"""

from __future__ import annotations

from typing import Final

# Averaging time: long enough to hold several frames at 5 fps, short enough to see a layer stop.
WINDOW: Final = 2.0
# A simulcast layer that the publisher's encoder pauses sends nothing at all; screens at rest may
# send one frame a second.
SILENT_AFTER: Final = 2.5
MAX_TEMPORAL: Final = 4


class LayerRate:
    """Bits per second of each temporal layer, as an exponentially aged average."""

    __slots__ = ("_bits", "_last", "last_packet")

    def __init__(self) -> None:
        self._bits = [0.0] * MAX_TEMPORAL
        self._last = -1e9
        self.last_packet = -1e9
        """Arrival of the newest packet, seconds."""

    def receive(self, size: int, temporal_id: int, now: float) -> None:
        """Count one packet of `size` bytes."""
        self._age(now)
        self._bits[min(temporal_id, MAX_TEMPORAL - 1)] += size * 8
        self.last_packet = now

    def is_active(self, now: float) -> bool:
        """Whether the layer is being sent."""
        return now - self.last_packet < SILENT_AFTER

    def rate(self, max_temporal: int, now: float) -> float:
        """bit/s of temporal layers 0 to `max_temporal` together."""
        self._age(now)
        return sum(self._bits[: max_temporal + 1]) / WINDOW

    def temporal_layers(self) -> int:
        """How many temporal layers carry anything, at least 1."""
        for index in range(MAX_TEMPORAL - 1, 0, -1):
            if self._bits[index] > 1.0:
                return index + 1
        return 1

    def _age(self, now: float) -> None:
        elapsed = now - self._last
        if elapsed <= 0.0:
            return
        self._last = now
        # exp(-x) by its first terms is enough, and free of imports; long silences clear all.
        factor = 0.0 if elapsed > 8 * WINDOW else (1.0 - elapsed / (8 * WINDOW)) ** 8
        for index in range(MAX_TEMPORAL):
            self._bits[index] *= factor
