"""A parent relay as this relay's publisher: the same lesson, its layers by name, nothing guessed.

What a stream is comes from the parent by word (`ToldTrack`), never from its packets: a layer keeps
down the tree the source, RID, place in its ladder and timeline that it has at the root. A packet of
an SSRC that was not told of is kept for a moment (`strangers`) and else dropped. Losses are
repaired and reported as towards a teacher; keyframes come with the root's beat and are asked for
only where something is damaged. Pure; seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from relay.media import rtp
from relay.media.codec import FORWARDED, OPUS, Codec
from relay.media.timeline import Anchor
from relay.media.told_timeline import TakeName, ToldTimeline, UpstreamClock
from relay.sfu.layer import Layer
from relay.sfu.negotiated import CAMERA, SCREEN, VOICE, TrackSpec
from relay.sfu.publisher import Publisher
from relay.sfu.strangers import Strangers

# Between relays payload types and extensions are ours to choose. 64 to 95 are RTCP's (RFC 5761 §4).
OPUS_TYPE: Final = 111
RED_TYPE: Final = 63
VIDEO_TYPES: Final[Mapping[int, Codec]] = MappingProxyType(
    dict(
        zip(
            (96, 98, 100, 102, 104, 106, 108, 112, 114, 116, 118, 120, 122),
            [codec for codec in FORWARDED if codec.kind == "video"],
            strict=True,
        )
    )
)
"""Payload type → codec; one more is its RTX."""
EXTENSIONS: Final[Mapping[str, int]] = MappingProxyType(
    {rtp.TRANSPORT_CC: 3, rtp.DEPENDENCY_DESCRIPTOR: 8, rtp.VIDEO_ORIENTATION: 13}
)
# A stream that is heard of first with a higher number began long before.
_FIRST_NUMBERS: Final = 400
SOURCES: Final = (VOICE, CAMERA, SCREEN)
_SPROP: Final = "sprop-parameter-sets"


@dataclass(frozen=True, slots=True)
class ToldTrack:
    """One layer as its parent tells of it.

    ssrc, repair_ssrc: under which it comes. source, rid: as at the root; "" for the only encoding.
    rids: all encodings of its source. index: its place in the ladder, 0 the smallest picture.
    bitrate: bit/s at present, 0 while it is silent. derived: made from another layer, never
    recorded. slot_offset: from its timestamps to those that rooms see (32 bits). feed, epoch:
    whose media it is, see `TakeName`. anchors: by which it is timed, oldest first. sprop: H.264
    parameter sets, if they stand in the description alone.
    """

    ssrc: int
    repair_ssrc: int
    source: str
    rid: str
    rids: tuple[str, ...]
    index: int
    bitrate: float
    derived: bool
    slot_offset: int
    feed: str
    epoch: int
    anchors: tuple[Anchor, ...]
    sprop: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a parent's word. packets: those that waited for it, with their arrivals, for
    `Router.receive_rtp`. anchors: new ones, for the recording."""

    packets: list[tuple[bytes, float]]
    anchors: list[tuple[Layer, Anchor]]


class Upstream(Publisher):
    """`tell` it what the parent said; feed it as any publisher."""

    def __init__(
        self,
        identity: str,
        subject: str,
        tracks: Sequence[TrackSpec],
        new_layer: Callable[[TrackSpec, str, int, Layer | None], Layer],
        now: float,
    ) -> None:
        super().__init__(identity, subject, tracks, new_layer, now)
        self.strangers = Strangers()
        self.upstream_clock = UpstreamClock()
        self.told: dict[int, ToldTrack] = {}
        """By SSRC; the newest word is kept also of layers that are not sent just now."""
        self._repaired: dict[int, int] = {}

    def tell(self, tracks: Sequence[ToldTrack], now: float) -> Told:
        """All layers that there are."""
        self.told = {one.ssrc: one for one in tracks}
        self._repaired = {one.repair_ssrc: one.ssrc for one in tracks}
        anchors: list[tuple[Layer, Anchor]] = []
        for layer in self.layers:
            one = self.told.get(layer.ssrc)
            if one is not None and isinstance(layer.timeline, ToldTimeline):
                layer.index = one.index
                if all(group.legs.is_empty for group in layer.groups.values()):
                    layer.slot_offset = one.slot_offset
                anchors += [(layer, anchor) for anchor in layer.timeline.tell(one.anchors)]
        known = self.told.keys() | self._repaired.keys()
        return Told(self.strangers.claim(known, now), anchors)

    def _stranger(self, data: bytes, header: rtp.RtpHeader, now: float) -> None:
        super()._stranger(data, header, now)
        # It did arrive, whatever it is: the parent must not take it for lost.
        self._note_arrival(data, header, self.tracks[0], now)
        self.strangers.put(header.ssrc, data, now)

    def _identify(self, data: bytes, header: rtp.RtpHeader) -> tuple[Layer | None, Layer | None]:
        media = self._repaired.get(header.ssrc)
        if media is not None:
            layer = self._by_ssrc.get(media)
            if layer is not None:
                self._repairs[header.ssrc] = layer
            return None, layer
        one = self.told.get(header.ssrc)
        track = next((each for each in self.tracks if one and each.source == one.source), None)
        if one is None or track is None or header.ssrc in self._replaced:
            return None, None
        layer = self._begin_layer(track, one.rid, header.ssrc)
        if header.sequence_number < _FIRST_NUMBERS:
            # Its numbers begin with 0: what is missing before this one is to be asked for.
            layer.unwrapper.unwrap(0xFFFF)
            layer.nack.receive(0xFFFF, self.last_packet)
        return layer, None

    def _begin_layer(self, track: TrackSpec, rid: str, ssrc: int) -> Layer:
        layer = super()._begin_layer(track, rid, ssrc)
        one = self.told.get(ssrc)
        if one is not None:
            layer.index = one.index
            layer.is_recorded = not one.derived
            layer.slot_offset, layer.slot_offset_exact = one.slot_offset, True
            layer.timeline = ToldTimeline(
                layer.timeline.rate,
                TakeName(one.feed, one.epoch),
                self.upstream_clock,
                one.anchors,
            )
        return layer


def track_specs(tracks: Sequence[ToldTrack]) -> tuple[TrackSpec, ...]:
    """What is agreed about each source of a trunk; made anew when the teacher began anew."""
    return tuple(
        _spec(source, [one for one in tracks if one.source == source]) for source in SOURCES
    )


def _spec(source: str, tracks: Sequence[ToldTrack]) -> TrackSpec:
    if source == VOICE:
        return TrackSpec(
            source, source, "audio", {OPUS_TYPE: OPUS}, red={RED_TYPE: OPUS_TYPE},
            extensions=EXTENSIONS, pli=False,
        )  # fmt: skip
    sprop = next((one.sprop for one in tracks if one.sprop), "")
    codecs = {
        number: replace(codec, fmtp={**codec.fmtp, _SPROP: sprop})
        if sprop and codec.name == "h264"
        else codec
        for number, codec in VIDEO_TYPES.items()
    }
    return TrackSpec(
        source,
        source,
        "video",
        codecs,
        {number + 1: number for number in VIDEO_TYPES},
        rids=next((one.rids for one in tracks), ()),
        extensions=EXTENSIONS,
    )
