"""What a child relay is sent within what its link takes: one copy, whole layers, nothing for show.

The voice first; then of the screen and of the camera the best single layer that is wanted and fits;
then further layers that poorer rooms behind the child want. A layer is sent whole or not at all:
what arrives is recorded and forwarded there, so no temporal layer is left out and no number but
those of the transport is changed. A leg for each layer of the publisher, each an RTP stream of its
own. The arithmetic is `share`; what rooms are sent is `selection`'s. Pure; bit/s on the wire,
seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Generic

from relay.media.seqno import delta32
from relay.sfu.allocation import AMPLE, MARGIN_AGAIN, frames_of, margin
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.joining import Joining
from relay.sfu.layer import CACHE_SECONDS, Layer
from relay.sfu.leg import Leg
from relay.sfu.negotiated import CAMERA, SCREEN, VOICE, SlotSpec
from relay.sfu.offerings import Offering
from relay.sfu.pacing import STALE_SECONDS
from relay.sfu.repair_plan import LinkState
from relay.sfu.viewer import Viewer, W

_INTERVAL: Final = 1.0
_STARTING_INTERVAL: Final = 0.25
# A layer that another has taken the place of goes on for so long: rooms behind the child move at
# the other's first keyframe, which comes to them through one or two more relays.
_OVERLAP: Final = 2.0
# The cached pictures are sent on joining where that takes no longer than this.
_CATCH_UP_SECONDS: Final = 3.0
# Until a link pushed back, all that is chosen is no more than so many times what was seen to pass.
_BOLD: Final = 1.5
_BOLD_UNTIL: Final = 300_000.0
# What flows stays while it takes no more than so many times what is left for it.
_STAYS: Final = 1.1
_PACE_LEAST: Final = 8_000.0
# Of the voice's own rate, below which a thin one is sent instead, and from which it is not.
_THIN_BELOW: Final = 0.85
_THIN_UNTIL: Final = 1.2

Place = tuple[str, int]
"""Source, and place in its ladder."""


def share(
    ladders: Mapping[str, Sequence[tuple[int, float]]],
    wants: Mapping[str, Sequence[int]],
    budget: float,
    flowing: Sequence[Place] = (),
    *,
    again: bool = False,
) -> list[Place]:
    """What of the pictures is sent, in the order of its worth.

    ladders: source → (place, bit/s), the smallest first. wants: source → places, the best first.
    flowing: what is sent now. again: a step up failed before.
    """

    def fits(source: str, place: int, bitrate: float) -> bool:
        if (source, place) in flowing:
            return bitrate <= budget * _STAYS
        return bitrate * (MARGIN_AGAIN if again else margin(bitrate)) <= budget

    chosen: list[Place] = []
    for source in (SCREEN, CAMERA):
        wanted = wants.get(source, ())
        ladder = [one for one in ladders.get(source, ()) if wanted and one[0] <= max(wanted)]
        for place, bitrate in reversed(ladder):
            if fits(source, place, bitrate):
                chosen.append((source, place))
                budget -= bitrate
                break
    best = dict(chosen)
    for source in (SCREEN, CAMERA):
        bitrates = dict(ladders.get(source, ()))
        for place in wants.get(source, ()):
            if place not in bitrates or source not in best or place >= best[source]:
                continue
            if fits(source, place, bitrates[place]):
                chosen.append((source, place))
                budget -= bitrates[place]
    return chosen


def stream_ssrc(lesson: str, layer: Layer, use: str) -> int:
    """The SSRC of a layer on every trunk of this relay: another one whenever the layer is."""
    text = f"{lesson}/{layer.number}/{layer.began_at}/{layer.ssrc}/{layer.rid}/{use}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") or 1


class TrunkSelection(Generic[W]):
    """One per router, for its viewers that are relays."""

    def __init__(self, lesson: str, joining: Joining[W]) -> None:
        self._lesson = lesson
        self._joining = joining

    def allocate(
        self,
        viewer: Viewer[W],
        layers: Sequence[Layer],
        found: Mapping[str, Offering],
        now: float,
    ) -> None:
        """Set every leg's target and the pace. found: what the sources have to offer."""
        estimate, hold, starting = viewer.bandwidth, viewer.hold, viewer.is_starting(now)
        viewer.next_allocation = now + (_STARTING_INTERVAL if starting else _INTERVAL)
        legs = self._legs(viewer, layers, now)
        if estimate.resumed_at > hold.forgiven_at:
            hold.forgive(now)
        elif (
            estimate.congested_at > max(hold.changed_at, hold.forgiven_at)
            and estimate.bitrate < AMPLE * viewer.allotted
        ):
            hold.congested(now)
        if any(leg.target is not None and leg.group is None for leg in legs.values()):
            hold.still_waiting(now)
        if viewer.pace.delay > STALE_SECONDS * (2.0 if starting else 1.0):
            for leg in legs.values():
                if leg.spec.kind == "video":
                    self._joining.give_up(leg, now)
        budget = estimate.bitrate - self._give_voice(viewer, legs, found.get(VOICE), now)
        pace = estimate.start_pace if viewer.is_unproven(now) else estimate.pace
        viewer.pace.set_rate(max(budget + pace - estimate.bitrate, _PACE_LEAST), now)
        for leg in legs.values():
            if leg.group is not None:
                leg.group.legs.paces_changed()
        wanted, spent = self._give_pictures(viewer, legs, found, budget, now)
        viewer.allotted = estimate.bitrate - budget + spent
        estimate.note_limited(estimate.bitrate - budget + wanted, now)

    def _legs(self, viewer: Viewer[W], layers: Sequence[Layer], now: float) -> dict[Layer, Leg[W]]:
        """The leg of each layer; those of layers that are gone go when nobody asks any more."""
        found: dict[Layer, Leg[W]] = {}
        changed = False
        for layer in layers:
            # A derived layer has the number of its origin.
            name = f"{layer.track.source}/{layer.rid}/{layer.number}/{layer.ssrc}"
            leg = viewer.legs.get(name)
            if leg is None:
                template = viewer.templates.get(layer.track.source)
                if template is None:
                    continue
                leg = self._new_leg(viewer, name, template, layer)
                changed = True
            found[layer] = leg
            leg.expire(now)
            viewer.served[name] = now
        for name, at in list(viewer.served.items()):
            if now - at > CACHE_SECONDS and viewer.legs[name].group is None:
                leg = viewer.legs.pop(name)
                del viewer.served[name], viewer.by_ssrc[leg.spec.ssrc]
                changed = True
        if changed:
            viewer.pace.legs = list(viewer.legs.values())
        return found

    def _new_leg(self, viewer: Viewer[W], name: str, template: SlotSpec, layer: Layer) -> Leg[W]:
        ssrc = stream_ssrc(self._lesson, layer, "media")
        spec = replace(
            template, slot=name, ssrc=ssrc, rtx_ssrc=stream_ssrc(self._lesson, layer, "repair")
        )
        leg = viewer.legs[name] = Leg(viewer.wire, spec, pace=viewer.pace)
        viewer.by_ssrc[ssrc] = leg
        return leg

    def _give_voice(
        self,
        viewer: Viewer[W],
        legs: Mapping[Layer, Leg[W]],
        voice: Offering | None,
        now: float,
    ) -> float:
        """The voice, and what guards it against loss; its bit/s."""
        assert viewer.wants is not None, "a relay's viewer"
        estimate = viewer.bandwidth
        bitrate = 0.0
        chosen: dict[Layer, float] = {}
        if voice is not None and voice.options:
            # What is recorded is the teacher's own: only where that is too much, a thinner one.
            own = voice.options[-1].bitrate * (_THIN_UNTIL if viewer.thin else _THIN_BELOW)
            viewer.thin = len(voice.options) > 1 and estimate.lasting < own
            places = voice.places()
            wanted = viewer.wants.of(VOICE, places) or (max(places),)
            if viewer.thin:
                wanted = (min(places),)
            # The teacher's own is what is recorded; a thin one beside it is for poor rooms.
            chosen = {
                layer: option.bitrate
                for layer, option in zip(voice.layers, voice.options, strict=False)
                if layer.index in wanted
            }
            bitrate = sum(chosen.values())
        for layer, leg in legs.items():
            if not layer.is_video:
                self._joining.want(leg, layer if layer in chosen else None, ALL_TEMPORAL, now)
        viewer.flows = bitrate > 0.0
        frames = frames_of(bitrate, thin=viewer.thin)
        if now >= viewer.next_plan:
            viewer.next_plan = now + _INTERVAL
            link = LinkState(
                estimate.bitrate, estimate.loss, viewer.rtt, estimate.jitter, estimate.burst
            )
            viewer.plan.update(link, frames, now)
        depth = viewer.plan.red_depth
        for layer, leg in legs.items():
            if not layer.is_video and leg.red_depth != depth:
                leg.red_depth = depth
                self._joining.reprofile(leg)
        return bitrate + depth * frames

    def _give_pictures(
        self,
        viewer: Viewer[W],
        legs: Mapping[Layer, Leg[W]],
        found: Mapping[str, Offering],
        budget: float,
        now: float,
    ) -> tuple[float, float]:
        """bit/s of pictures that the child could be sent at best, and of those chosen."""
        assert viewer.wants is not None, "a relay's viewer"
        estimate, hold = viewer.bandwidth, viewer.hold
        rates: dict[Place, float] = {}
        by_place: dict[Place, Layer] = {}
        ladders: dict[str, list[tuple[int, float]]] = {}
        wants: dict[str, tuple[int, ...]] = {}
        for source in (SCREEN, CAMERA):
            offering = found.get(source)
            if offering is None:
                continue
            ladder = [(one.layer, one.bitrate) for one in offering.options if one.whole]
            ladders[source] = ladder
            wants[source] = viewer.wants.of(source, [place for place, _ in ladder])
            rates |= {(source, place): bitrate for place, bitrate in ladder}
            by_place |= {(source, layer.index): layer for layer in offering.layers}
        flowing = [
            place
            for place, layer in by_place.items()
            if layer in legs and legs[layer].target is layer
        ]
        granted = budget
        if viewer.is_unproven(now):
            passed = max(estimate.proven, viewer.started)
            budget = min(budget, max(_BOLD * passed, _BOLD_UNTIL) - (estimate.bitrate - budget))
        chosen = share(ladders, wants, budget, flowing, again=hold.has_failed)
        if not set(chosen) <= set(flowing):
            more = sum(rates[one] for one in chosen) > sum(rates[one] for one in flowing)
            if more and flowing:
                ample = sum(rates[one] for one in chosen) * AMPLE <= budget
                if viewer.is_starting(now) or hold.may_step_up(now) or ample:
                    hold.stepped_up(now)
                else:
                    chosen = share(ladders, wants, granted, flowing)
                    chosen = [one for one in chosen if one in flowing]
        self._move(viewer, legs, by_place, rates, chosen, granted, now)
        wanted = sum(
            max((rates[source, place] for place in places), default=0.0)
            for source, places in wants.items()
        )
        spent = sum(rates[one] for one in chosen)
        viewer.flows = viewer.flows or bool(chosen)
        return max(wanted, spent), spent

    def _move(
        self,
        viewer: Viewer[W],
        legs: Mapping[Layer, Leg[W]],
        by_place: Mapping[Place, Layer],
        rates: Mapping[Place, float],
        chosen: Sequence[Place],
        budget: float,
        now: float,
    ) -> None:
        left = budget - sum(rates[place] for place in chosen)
        for leg in legs.values():
            if leg.group is None:
                viewer.begun.pop(leg.spec.slot, None)
            else:
                viewer.begun.setdefault(leg.spec.slot, now)
        for place, layer in by_place.items():
            if layer not in legs:
                continue
            leg = legs[layer]
            siblings = [
                other
                for one, other in by_place.items()
                if one[0] == place[0] and one != place and other in legs
            ]
            if place in chosen:
                # The beat brings the picture where a smaller one is shown meanwhile.
                fresh = not any(legs[other].group is not None for other in siblings)
                may_burst = fresh and _catches_up(leg, layer, left)
                self._joining.want(leg, layer, ALL_TEMPORAL, now, may_burst=may_burst)
            elif leg.target is not None:
                successors = [
                    viewer.begun.get(legs[by_place[one]].spec.slot)
                    for one in chosen
                    if one[0] == place[0] and one[1] > place[1] and by_place[one] in legs
                ]
                # Its rooms go on with it until the larger one has begun, unless it is too much.
                waits = any(since is None or now - since < _OVERLAP for since in successors)
                if not waits or viewer.pace.delay > _OVERLAP:
                    self._joining.want(leg, None, 0, now)


def _catches_up(leg: Leg[Any], layer: Layer, spare: float) -> bool:
    """Whether the cached pictures may be sent first: none of them was, and they are soon through.

    spare: bit/s beside all that is chosen.
    """
    pictures = layer.pictures
    first = pictures.first
    if first is None or not pictures.is_whole() or spare <= 0.0:
        return False
    if leg.last_timestamp is not None and delta32(first.timestamp, leg.last_timestamp) <= 0:
        return False
    size = sum(len(packet.data) for packet in pictures.packets)
    return size * 8 / spare <= _CATCH_UP_SECONDS
