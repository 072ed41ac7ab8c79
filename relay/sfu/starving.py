"""Who waits for a picture in vain, so that the teacher must be asked for a keyframe.

A room's own join or loss is answered from the cache. That fails when something is missing there,
which is waited for as long as it may still come: over a link that loses a tenth of the packets
something is missing at every moment, and whoever waits for all of it waits for ever. Not here: how
often may be asked (keyframes). Pure; seconds.
"""

from __future__ import annotations

from typing import Any, Final

from relay.sfu.layer import Layer
from relay.sfu.leg import Leg

_PATIENCE: Final = 1.0
_ROUND_TRIPS: Final = 2.0


def patience(rtt: float) -> float:
    """Seconds in which a publisher `rtt` seconds away sends what was lost, unless it is lost
    again."""
    return _PATIENCE + _ROUND_TRIPS * rtt


def is_fresh(leg: Leg[Any], layer: Layer) -> bool:
    """Whether the leg shows nothing of the source that it waits for."""
    return leg.group is None or leg.group.layer.track is not layer.track


def starves(layer: Layer, rtt: float, now: float) -> bool:
    """Whether somebody waits for a first picture of this layer, and in vain: the cache does not
    reach up to now, and nothing that was asked for came in time. rtt: to the publisher."""
    waiting = [leg for leg in layer.joiners if leg.target is layer and is_fresh(leg, layer)]
    if not waiting or not layer.is_video:
        layer.starving_since = None
        return False
    if layer.starving_since is None:
        layer.starving_since = now
    # The beat brings keyframes of simulcast layers by itself.
    beaten = bool(layer.rid)
    if layer.pictures.is_whole() and all(leg.may_burst or beaten for leg in waiting):
        return False
    return not layer.nack.missing or now - layer.starving_since > patience(rtt)


def steps_up(layer: Layer) -> bool:
    """Whether somebody who shows a smaller picture of the source waits for a keyframe of this
    layer, which no beat brings."""
    if layer.rid or not layer.is_video:
        return False
    return any(
        leg.target is layer
        and leg.group is not None
        and leg.group.layer is not layer
        and leg.group.layer.track is layer.track
        for leg in layer.joiners
    )
