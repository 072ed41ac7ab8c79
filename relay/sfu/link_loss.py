"""What the link to a publisher loses, as its layers show it: what had to come again, or never did.

Here: one moving average for all layers of a publisher. Not here: asking again (relay.media.nack),
what follows for rooms (relay.sfu.repair_plan). Pure; seconds, shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.sfu.layer import Layer

_EVERY_SECONDS: Final = 2.0
# A shower is over after so many looks, and one lost packet is none.
_WEIGHT: Final = 0.2


class LinkLoss:
    """`loss`: of all packets, 0 to 1."""

    __slots__ = ("_at", "_counted", "loss")

    def __init__(self) -> None:
        self.loss = 0.0
        self._at = -1e9
        self._counted: dict[Layer, tuple[int, int]] = {}

    def update(self, layers: Sequence[Layer], now: float) -> float:
        """Look at what came and what had to come again; 0 to 1. Works it out every 2 s."""
        if now - self._at < _EVERY_SECONDS:
            return self.loss
        self._at = now
        lost = came = 0
        before, self._counted = self._counted, {}
        for layer in layers:
            counts = (layer.nack.recovered + layer.nack.abandoned, layer.reception.received)
            self._counted[layer] = counts
            earlier = before.get(layer, (0, 0))
            lost += counts[0] - earlier[0]
            came += counts[1] - earlier[1]
        if came > 0:
            share = min(1.0, max(0, lost) / (came + max(0, lost)))
            self.loss += (share - self.loss) * _WEIGHT
        return self.loss
