"""What a relay's rooms can use of a lesson: which layers its parent should send over the trunk.

Every room would have the largest picture that its link takes; a relay asks for the largest that any
of them takes, and for smaller ones only while poorer rooms are there. What a room's link takes
above what it is sent is not known, so that one which lacks nothing may have all there is. Rooms
that watch the recording need nothing live. Pure; bit/s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.sfu import rungs
from relay.sfu.allocation import margin
from relay.sfu.negotiated import CAMERA, PROGRAMME, SCREEN, VOICE
from relay.sfu.trunk_selection import share
from relay.sfu.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Wants:
    """lowest: bit/s of the poorest link below, None while nobody is. layers: source → places in its
    ladder (0 is the smallest), the best first; of a source that is not named, the best there is; of
    one without places, nothing."""

    layers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    lowest: float | None = None

    def of(self, source: str, places: Sequence[int]) -> tuple[int, ...]:
        """Which of these places are wanted, the best first."""
        if not places:
            return ()
        if source not in self.layers:
            return (max(places),)
        wanted = self.layers[source]
        # Who wants more than there is takes the most there is.
        return tuple(sorted({min(one, max(places)) for one in wanted} & set(places), reverse=True))


def wanted(
    viewers: Collection[Viewer[Any]], ladders: Mapping[str, Sequence[tuple[int, float]]]
) -> Wants:
    """What all of a lesson's viewers together can use.

    ladders: source → (place, bit/s) of each layer that the parent has, the smallest first.
    """
    found: dict[str, set[int]] = {source: set() for source in ladders}
    for viewer in viewers:
        if viewer.wants is not None:
            _add_relay(viewer, viewer.wants, ladders, found)
        elif viewer.running and not viewer.behind:
            _add_room(viewer, ladders, found)
    # What nobody watches just now is recorded all the same, or will be watched in a moment.
    layers = {source: tuple(sorted(one, reverse=True)) for source, one in found.items() if one}
    return Wants(layers, lowest(viewers))


def lowest(viewers: Iterable[Viewer[Any]]) -> float | None:
    """bit/s of the poorest link of all viewers, and of all behind those that are relays."""
    rates = [one.bandwidth.bitrate for one in viewers if one.running]
    rates += [one.wants.lowest for one in viewers if one.wants and one.wants.lowest is not None]
    return min(rates, default=None)


def _add_relay(
    viewer: Viewer[Any],
    wants: Wants,
    ladders: Mapping[str, Sequence[tuple[int, float]]],
    found: dict[str, set[int]],
) -> None:
    """What a relay below wants, as far as its trunk takes it: what does not fit there serves
    nobody."""
    budget = viewer.bandwidth.bitrate
    voices = ladders.get(VOICE, ())
    if voices:
        found[VOICE].update(wants.of(VOICE, [place for place, _ in voices]))
        if viewer.thin or budget < voices[-1][1]:
            found[VOICE].add(voices[0][0])
        budget -= voices[-1][1]
    if viewer.bandwidth.is_satisfied:
        budget = float("inf")
    pictures = {source: ladder for source, ladder in ladders.items() if source != VOICE}
    named = {
        source: wants.of(source, [place for place, _ in ladder])
        for source, ladder in pictures.items()
    }
    for source, place in share(pictures, named, budget):
        found[source].add(place)
    for source, places in named.items():
        if places and not found[source]:
            found[source].add(pictures[source][0][0])


def _add_room(
    viewer: Viewer[Any],
    ladders: Mapping[str, Sequence[tuple[int, float]]],
    found: dict[str, set[int]],
) -> None:
    estimate = viewer.bandwidth
    # It lacks nothing of what comes, so that only more of it could show what its link takes.
    contented = viewer.rung is None or viewer.rung.reason in (rungs.SOURCE, rungs.STARTING)
    budget = float("inf") if contented else estimate.bitrate
    for source in (VOICE, SCREEN, CAMERA):
        ladder = ladders.get(source, ())
        if not ladder:
            continue
        if source == VOICE:
            # As a lesson of nothing but voice lacks no picture, content does not tell.
            starting = viewer.rung is None or viewer.rung.reason == rungs.STARTING
            thin = viewer.thin and not starting
            place, bitrate = ladder[0] if thin else ladder[-1]
            found[source].add(place)
            budget -= bitrate
            continue
        leg = viewer.legs.get(source) or viewer.legs.get(PROGRAMME)
        if leg is None:
            continue
        fitting = [one for one in ladder if one[1] * margin(one[1]) <= budget]
        # The smallest is wanted in any case: stills are made of it where it does not fit.
        place, bitrate = fitting[-1] if fitting else ladder[0]
        found[source].add(place)
        if leg.target is not None and leg.target.track.source == source:
            # It shows this one until the other has begun.
            found[source].add(leg.target.index)
        budget -= bitrate
