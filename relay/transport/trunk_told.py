"""What relays tell each other of a lesson's layers and of what is wanted, in and out of plain maps.

The services carry these maps and check them (`classroom.wire`); here they become what the core
works with, and which of them is news. Not here: sessions (`trunks`), sending.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from relay.media.timeline import Anchor
from relay.media.told_timeline import TakeName, ToldTimeline
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.layer import Layer
from relay.sfu.trunk_selection import stream_ssrc
from relay.sfu.upstream import ToldTrack, Upstream
from relay.sfu.wants import Wants

STEP: Final = 1.5
"""Rates that differ by less than this factor, or so, are the same."""


def told_track(lesson: str, layer: Layer, take: TakeName, now: float) -> ToldTrack:
    """A layer as a child is told of it. take: whose media it is, unless this was told itself."""
    codec, timeline = layer.track.codecs.get(layer.payload_type), layer.timeline
    sprop = codec.fmtp.get("sprop-parameter-sets", "") if codec is not None else ""
    if isinstance(timeline, ToldTimeline):
        take = timeline.take
    active = layer.rate.is_active(now)
    return ToldTrack(
        stream_ssrc(lesson, layer, "media"),
        stream_ssrc(lesson, layer, "repair"),
        layer.track.source,
        layer.rid,
        tuple(layer.track.rids),
        layer.index,
        layer.rate.rate(ALL_TEMPORAL, now) if active else 0.0,
        layer.origin is not None or not layer.is_recorded,
        layer.slot_offset,
        take.feed,
        take.epoch,
        timeline.anchors,
        sprop if len(sprop) <= 1_000 else "",
    )


def key_of(track: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a layer is told at once when it changes."""
    return tuple(str(value) for name, value in track.items() if name != "bitrate")


def size_of(bitrate: float) -> int:
    """The same number for rates that differ by less than about a half."""
    return round(math.log(max(bitrate, 1.0), STEP))


def is_other(upstream: Upstream, told: Sequence[ToldTrack]) -> bool:
    """Whether a source has other encodings than it was begun with."""
    known = {track.source: track.rids for track in upstream.tracks}
    return any(known.get(one.source) != one.rids for one in told)


def read_tracks(tracks: Sequence[Mapping[str, Any]]) -> list[ToldTrack]:
    """Layers as the service hands them on, which has checked them."""
    return [
        ToldTrack(
            **{
                **track,
                "rids": tuple(track["rids"]),
                "anchors": tuple(Anchor(**one) for one in track["anchors"]),
            }
        )
        for track in tracks
    ]


def read_wants(told: Mapping[str, Any]) -> Wants:
    """What a child wants, as the service hands it on."""
    layers = {source: tuple(places) for source, places in told.get("layers", {}).items()}
    return Wants(layers, told.get("lowest"))
