"""What a lesson's sources have to offer just now: each layer, each temporal step, and its rate.

Worked out once for all viewers and used for a moment. A ladder whose offer named its largest
encoding first is set right here by what its layers measure. Pure; bit/s on the wire, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from relay.sfu.allocation import Option
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.joining import can_decode
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SCREEN

# How long the rates of layers may be used without looking again.
_AGE: Final = 0.25
# Until a larger picture has been measured it is taken for what browsers make of it, bit/s; the
# smallest one is sent in any case.
_UNMEASURED_SECONDS: Final = 2.0
_USUAL_RATES: Final = (0.0, 350_000.0, 1_200_000.0)
# A layer that sends so many times the bits of one named after it is the larger picture of the two:
# neighbours of a usual ladder differ by three, and a still scene makes them more alike.
_MISPLACED: Final = 1.5
# Of a layer that is silent for longer, the rate that is left says nothing.
_FLOWING_SECONDS: Final = 0.4
# Of three temporal layers the lowest has a quarter of the frames: a still picture says as much.
_LEAST_OF_THREE: Final = 1


@dataclass(slots=True)
class Offering:
    """One source. options: by layer, then temporal id. layers: the smallest picture first."""

    source: str
    options: list[Option] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    floors: dict[int, float] = field(default_factory=dict)
    """bit/s of the lowest temporal layer, by index."""

    def decodable(self, leg: Leg[Any]) -> Offering:
        """What of it the leg's viewer can decode."""
        layers = [layer for layer in self.layers if can_decode(leg, layer)]
        if len(layers) == len(self.layers):
            return self
        places = {layer.index for layer in layers}
        options = [one for one in self.options if one.layer in places]
        return Offering(self.source, options, layers, self.floors)

    def layer_of(self, option: Option) -> Layer:
        """The layer that an option of this source means."""
        return next(layer for layer in self.layers if layer.index == option.layer)

    def option_of(self, leg: Leg[Any]) -> Option | None:
        """What the leg is to receive at present, None for nothing of this source."""
        if leg.target not in self.layers:
            return None
        same = [one for one in self.options if one.layer == leg.target.index]
        for one in same:
            if one.temporal == leg.target_temporal:
                return one
        return same[-1] if same else None

    def places(self) -> list[int]:
        """Indices of the layers, the smallest picture first."""
        return [layer.index for layer in self.layers]

    def top_temporal(self, layer: Layer) -> int:
        """The highest temporal id that is sent of `layer`."""
        return max(one.temporal for one in self.options if one.layer == layer.index)

    def least_of(self, layer: Layer) -> float:
        """bit/s of the lowest temporal layer of `layer`; 0 when it is none of this source's."""
        return self.floors.get(layer.index, 0.0) if layer in self.layers else 0.0

    def smallest(self) -> tuple[Layer, int]:
        """The smallest picture, and its highest temporal id."""
        return self.layers[0], self.top_temporal(self.layers[0])


class Offerings:
    """One per router."""

    def __init__(self) -> None:
        self._found: dict[str, Offering] = {}
        self._at = -1e9

    def forget(self) -> None:
        """Look again at the next question."""
        self._at = -1e9

    def current(self, layers: Sequence[Layer], now: float) -> dict[str, Offering]:
        """By source; sources that send nothing are left out."""
        if now - self._at < _AGE:
            return self._found
        self._at = now
        _rank(layers, now)
        self._found = {}
        for layer in sorted(layers, key=lambda one: one.index):
            if not layer.rate.is_active(now) or layer.payload_type < 0:
                continue
            source = layer.track.source
            offering = self._found.setdefault(source, Offering(source))
            offering.layers.append(layer)
            offering.floors[layer.index] = layer.rate.rate(0, now)
            top = layer.rate.temporal_layers() - 1
            least = _LEAST_OF_THREE if top > 1 and source != SCREEN else 0
            for temporal in range(least, top + 1):
                rate = layer.rate.rate(temporal, now)
                if layer.is_video and now - layer.began_at < _UNMEASURED_SECONDS:
                    rate = max(rate, _USUAL_RATES[min(layer.index, len(_USUAL_RATES) - 1)])
                offering.options.append(Option(layer.index, temporal, rate, temporal == top))
        return self._found


def _rank(layers: Sequence[Layer], now: float) -> None:
    """Set right the ladder of a source whose offer named the largest encoding first.

    RFC 8853 leaves the order to the sender: browsers begin with the smallest, others do not.
    """
    by_track: dict[str, list[Layer]] = {}
    for layer in layers:
        flows = now - layer.rate.last_packet < _FLOWING_SECONDS
        if layer.is_video and flows and now - layer.began_at >= _UNMEASURED_SECONDS:
            by_track.setdefault(layer.track.mid, []).append(layer)
    for ladder in by_track.values():
        ladder.sort(key=lambda one: one.index)
        rates = [layer.rate.rate(ALL_TEMPORAL, now) for layer in ladder]
        if any(lower > upper * _MISPLACED for lower, upper in pairwise(rates)):
            places = [layer.index for layer in ladder]
            ranked = sorted(zip(rates, ladder, strict=True), key=lambda one: one[0])
            for place, (_, layer) in zip(places, ranked, strict=True):
                layer.index = place
