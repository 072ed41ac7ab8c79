"""Decides for each viewer which layer each slot is to receive, and when to think again.

Sources map to slots by name; the one video of a stock WHEP player shows the screen while it is
shared, else the camera. The arithmetic is `allocation`'s, the moving is `joining`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, Generic

from relay.sfu.allocation import Option, choose, next_step
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.joining import Joining, can_decode
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.negotiated import CAMERA, PROGRAMME, SCREEN, VOICE
from relay.sfu.viewer import Viewer, W

# Often enough to follow a link, seldom enough to cost little with 200 viewers.
ALLOCATION_INTERVAL: Final = 1.0
# How long the options (rates of layers) may be used without looking again.
_OPTIONS_AGE: Final = 0.25
# Until a larger picture has been measured it is taken for what browsers make of it, bit/s; the
# smallest one is sent in any case.
_UNMEASURED_SECONDS: Final = 2.0
_USUAL_RATES: Final = (0.0, 350_000.0, 1_200_000.0)
# A layer that sends so many times the bits of one named after it is the larger picture of the two:
# neighbours of a usual ladder differ by three, and a still scene makes them more alike.
_MISPLACED: Final = 1.5
# Of a layer that is silent for longer, the rate that is left says nothing.
_FLOWING_SECONDS: Final = 0.4
# A first picture may take this long of the link; a larger one waits for a keyframe instead.
_FIRST_PICTURE_SECONDS: Final = 1.0
# A room that has to leave its layer at once waits for the beat instead, four seconds on average,
# if the cached pictures of the next one would take longer than this.
_FALL_SECONDS: Final = 2.0


class Selection(Generic[W]):
    """One per router. Set `changed` when layers came, went or changed their codec."""

    def __init__(self, joining: Joining[W]) -> None:
        self._joining = joining
        self.changed = False
        self._active: frozenset[int] = frozenset()
        self._options: dict[str, list[tuple[Option, Layer]]] = {}
        self._options_at = -1e9

    def needs_reset(self, layers: Sequence[Layer], now: float) -> bool:
        """Whether the set of layers that are being sent changed since the last reset."""
        return self.changed or self._active != _active(layers, now)

    def reset(self, viewers: Iterable[Viewer[W]], layers: Sequence[Layer], now: float) -> None:
        """Think again for everybody: a source came or went."""
        self.changed = False
        self._active = _active(layers, now)
        self._options_at = -1e9
        for viewer in viewers:
            if viewer.running:
                self.allocate(viewer, layers, now)

    def start(self, viewer: Viewer[W], layers: Sequence[Layer], now: float) -> None:
        """A viewer begins or comes back: the best first picture that its link can take."""
        self.allocate(viewer, layers, now)

    def allocate(self, viewer: Viewer[W], layers: Sequence[Layer], now: float) -> None:
        """Set every leg's target."""
        viewer.next_allocation = now + ALLOCATION_INTERVAL
        options = self._current(layers, now)
        estimate = viewer.bandwidth
        if estimate.congested_at > viewer.climber.changed_at:
            viewer.climber.congested(now)
        if any(leg.group is None or leg.group.layer is not leg.target for leg in _seen(viewer)):
            viewer.climber.still_waiting(now)
        budget = estimate.bitrate
        voice = options.get(VOICE)
        voice_leg = viewer.legs.get(VOICE)
        if voice_leg is not None and voice:
            self._joining.want(voice_leg, voice[-1][1], ALL_TEMPORAL, now)
            budget -= voice[-1][0].bitrate
        may_try = viewer.climber.may_try(now - estimate.congested_at, now)
        for slot in (SCREEN, PROGRAMME, CAMERA):
            leg = viewer.legs.get(slot)
            if leg is None:
                continue
            source = slot
            if slot == PROGRAMME:
                shared = options.get(SCREEN, ())
                source = SCREEN if any(can_decode(leg, layer) for _, layer in shared) else CAMERA
            found = [one for one in options.get(source, ()) if can_decode(leg, one[1])]
            if not found:
                # Silent sources may come back: their legs go on then as if nothing had been.
                continue
            option = choose([one for one, _ in found], budget)
            current = self._current_option(leg, found)
            if current is not None and (option is None or _order(option) < _order(current)):
                # Nothing pushed back: what flows may stay, whatever the estimate's guess.
                if estimate.is_clean(1.0, now):
                    option = current
            elif current is not None and option is not None and option.layer > current.layer:
                # The estimate runs ahead of what was proven, so this is a try as well.
                if viewer.climber.may_follow(now):
                    viewer.climber.stepped_up(now)
                    may_try = False
                else:
                    same = [one for one, _ in found if one.layer == current.layer]
                    option = choose(same, budget) or current
            elif may_try and option == current:
                step = next_step([one for one, _ in found], current)
                if step is not None:
                    option = step
                    viewer.climber.stepped_up(now)
                    may_try = False
            self._move(leg, option, found, budget, viewer, now)
            budget -= option.bitrate if option is not None else 0.0

    def _move(
        self,
        leg: Leg[W],
        option: Option | None,
        found: Sequence[tuple[Option, Layer]],
        budget: float,
        viewer: Viewer[W],
        now: float,
    ) -> None:
        if option is None:
            self._joining.want(leg, None, 0, now)
            return
        layer = next(layer for one, layer in found if one == option)
        temporal = option.temporal
        may_burst, at_once = True, False
        if leg.group is None or leg.group.layer.track is not layer.track:
            if leg.burst_layer is not None and any(each is leg.target for _, each in found):
                # The first picture is under way; the next thought comes when it is live.
                return
            layer, temporal = self._first_picture(layer, temporal, found, viewer)
            may_burst = leg.last_timestamp is None or self._is_light(layer, budget)
        elif layer.index < leg.group.layer.index:
            # Down: until the beat the lowest temporal layer of what flows now, if that fits.
            now_flows = leg.group.layer
            least = min((one.bitrate for one, each in found if each is now_flows), default=0.0)
            at_once = least > budget
            if at_once and not self._is_light(layer, budget):
                layer, temporal = self._smallest(found)
            may_burst = self._is_light(layer, budget)
        if temporal == max(one.temporal for one, each in found if each is layer):
            temporal = ALL_TEMPORAL
        self._joining.want(leg, layer, temporal, now, at_once=at_once, may_burst=may_burst)

    def _first_picture(
        self,
        layer: Layer,
        temporal: int,
        found: Sequence[tuple[Option, Layer]],
        viewer: Viewer[W],
    ) -> tuple[Layer, int]:
        """`layer`, or the smallest one when the cached pictures of `layer` are too heavy."""
        allowed = viewer.bandwidth.bitrate * _FIRST_PICTURE_SECONDS / 8
        if 0 < self._weight(layer) <= allowed:
            return layer, temporal
        smallest = self._smallest(found)
        return smallest if smallest[0].pictures.base_frames() else (layer, temporal)

    def _smallest(self, found: Sequence[tuple[Option, Layer]]) -> tuple[Layer, int]:
        smallest = found[0][1]
        return smallest, max(one.temporal for one, each in found if each is smallest)

    def _is_light(self, layer: Layer, budget: float) -> bool:
        """Whether a burst may be sent to a room that had pictures before."""
        return self._weight(layer) <= budget * _FALL_SECONDS / 8

    def _weight(self, layer: Layer) -> int:
        """Bytes of a burst from the layer's cache."""
        frames = layer.pictures.base_frames()
        return sum(len(packet.data) for frame in frames for packet in frame)

    def _current_option(self, leg: Leg[W], found: Sequence[tuple[Option, Layer]]) -> Option | None:
        if leg.target is None:
            return None
        same = [one for one, layer in found if layer is leg.target]
        for one in same:
            if one.temporal == leg.target_temporal:
                return one
        return same[-1] if same else None

    def _current(
        self, layers: Sequence[Layer], now: float
    ) -> dict[str, list[tuple[Option, Layer]]]:
        if now - self._options_at < _OPTIONS_AGE:
            return self._options
        self._options_at = now
        _rank(layers, now)
        options: dict[str, list[tuple[Option, Layer]]] = {}
        for layer in sorted(layers, key=lambda one: one.index):
            if not layer.rate.is_active(now) or layer.payload_type < 0:
                continue
            found = options.setdefault(layer.track.source, [])
            for temporal in range(layer.rate.temporal_layers()):
                rate = layer.rate.rate(temporal, now)
                if now - layer.began_at < _UNMEASURED_SECONDS:
                    rate = max(rate, _USUAL_RATES[min(layer.index, len(_USUAL_RATES) - 1)])
                found.append((Option(layer.index, temporal, rate), layer))
        self._options = options
        return options


def _seen(viewer: Viewer[W]) -> list[Leg[W]]:
    """The legs that are to show something."""
    return [leg for leg in viewer.legs.values() if leg.target is not None]


def _rank(layers: Sequence[Layer], now: float) -> None:
    """Set right the ladder of a source whose offer named the largest encoding first.

    RFC 8853 leaves the order to the sender: browsers begin with the smallest, others do not.
    """
    by_track: dict[str, list[Layer]] = {}
    for layer in layers:
        flows = now - layer.rate.last_packet < _FLOWING_SECONDS
        # A voice in a pause says nothing of its size beside the thin one that is made of it.
        if flows and layer.is_video and now - layer.began_at >= _UNMEASURED_SECONDS:
            by_track.setdefault(layer.track.mid, []).append(layer)
    for ladder in by_track.values():
        ladder.sort(key=lambda one: one.index)
        rates = [layer.rate.rate(ALL_TEMPORAL, now) for layer in ladder]
        if any(lower > upper * _MISPLACED for lower, upper in pairwise(rates)):
            places = [layer.index for layer in ladder]
            ranked = sorted(zip(rates, ladder, strict=True), key=lambda one: one[0])
            for place, (_, layer) in zip(places, ranked, strict=True):
                layer.index = place


def _order(option: Option) -> tuple[int, int]:
    return option.layer, option.temporal


def _active(layers: Sequence[Layer], now: float) -> frozenset[int]:
    return frozenset(id(layer) for layer in layers if layer.rate.is_active(now))
