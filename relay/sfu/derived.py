"""Layers derived from a source: a thin voice, small pictures of a source with one encoding.

Lives here: which sources the worker follows, and its packets as layers of the same source. Must
not live here: codecs, sockets, the worker (relay.derive), which room receives what (selection).
A derived layer shares its origin's track and timeline, so that rooms move to it and back as
between simulcast layers and lip synchronisation holds; it is never recorded, asked for keyframes
only of the worker, and ends with its origin. Pure; seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Protocol

from relay.media import rtp
from relay.media.codec import PAYLOAD_PARSERS, VP8
from relay.media.frame_info import PayloadError
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.layer import Layer
from relay.sfu.negotiated import CAMERA, SCREEN, VOICE, TrackSpec
from relay.sfu.packet import Received
from relay.sfu.viewer import Viewer

THIN: Final = "thin"
SMALL: Final = "small"
MEDIUM: Final = "medium"
RIDS: Final = (THIN, SMALL, MEDIUM)
"""Names of derived layers; the smallest of a source comes first. No publisher's encoding that is
followed has a name, so they never meet."""
PAYLOAD_TYPE: Final = 200
"""Of derived pictures, inside the relay only: beyond the seven bits that a publisher can write."""
KEEP_SECONDS: Final = 30.0
"""s that a need is served on after it ended: rooms whose links flap must not start it anew."""
POLLS: Final = 3
"""Seconds that rooms' links look poor before pictures are made for them: estimates start low. A
voice is made at once, since a link that it fills loses it."""
THIN_BELOW: Final = 110_000.0
"""bit/s of a room's link, below which the thin voice leaves room for something beside it."""
VIDEO_MARGIN: Final = 1.1
_FOLLOWED: Final = frozenset(("opus", "vp8", "vp9", "h264", "av1"))


class Worker(Protocol):
    """Takes the packets of followed sources. Must not block; may be away."""

    def begin(self, owner: DerivedLayers, layer: Layer) -> None:
        """Follow `layer`; what is derived comes to `owner.receive`."""

    def packet(self, layer: Layer, packet: Received) -> None:
        """One packet of a layer that is followed."""

    def end(self, layer: Layer) -> None:
        """Follow it no more."""

    def request_keyframe(self, layer: Layer, rid: str) -> None:
        """A keyframe of what is derived from `layer` as `rid` is wanted."""


def extended(tracks: Sequence[TrackSpec]) -> list[TrackSpec]:
    """The tracks with the codec of what may be derived from them."""
    return [
        replace(track, codecs=MappingProxyType({**track.codecs, PAYLOAD_TYPE: VP8}))
        if track.kind == "video" and not track.rids
        else track
        for track in tracks
    ]


class DerivedLayers:
    """One per router. Say what is needed with `need`; the layers come when the worker has them."""

    def __init__(
        self,
        layers: Callable[[], list[Layer]],
        take: Callable[[Layer, Received, bool, float], None],
        end: Callable[[Layer, str], None],
        ask: Callable[[Sequence[Layer], float], None],
    ) -> None:
        """What the router does: layers: the publisher's, to add to. take: forwards a packet.
        end: nobody receives the layer any more. ask: for keyframes, as rarely as may be."""
        self.worker: Worker | None = None
        """None where nothing is derived."""
        self.sources: dict[Layer, dict[str, Layer]] = {}
        """Followed layers, each with what is derived from it by its rid."""
        self.malformed = 0
        self._layers = layers
        self._take = take
        self._end = end
        self._ask = ask
        self._until = {"audio": -1e9, "video": -1e9}
        self._polls = 0
        """How often in a row links looked too poor for a source with one encoding."""
        self._next_poll = -1e9

    def poll(self, viewers: Iterable[Viewer[Any]], now: float) -> None:
        """Work out once a second what rooms need from what their links take."""
        if now < self._next_poll:
            return
        self._next_poll = now + 1.0
        viewers = list(viewers)
        rates = [one.bandwidth.bitrate for one in viewers if one.running]
        # And of rooms that watch through relays.
        rates += [one.wants.lowest for one in viewers if one.wants and one.wants.lowest is not None]
        lowest = min(rates, default=float("inf"))
        single = sum(
            layer.rate.rate(ALL_TEMPORAL, now)
            for layer in self._layers()
            if layer.is_video and self._is_derivable(layer) and layer.rate.is_active(now)
        )
        self._polls = self._polls + 1 if lowest < single * VIDEO_MARGIN else 0
        self.need(voice=lowest < THIN_BELOW, video=self._polls >= POLLS, now=now)

    def expect(self, bitrate: float, now: float) -> None:
        """A room is about to join whose link is taken for one of `bitrate`, bit/s."""
        if bitrate < THIN_BELOW:
            self.need(voice=True, video=False, now=now)

    def need(self, *, voice: bool, video: bool, now: float) -> None:
        """Which kinds of derived layers a room needs now. Call about once a second."""
        if voice:
            self._until["audio"] = now + KEEP_SECONDS
        if video:
            self._until["video"] = now + KEEP_SECONDS
        for layer in list(self._layers()):
            wanted = self._is_derivable(layer) and now < self._until[layer.track.kind]
            if wanted and layer not in self.sources:
                self._begin(layer)
            elif not wanted and layer in self.sources:
                self.end(layer, "no room needs it any more")

    def _is_derivable(self, layer: Layer) -> bool:
        track = layer.track
        if layer.origin is not None or layer.payload_type < 0 or layer.codec_name not in _FOLLOWED:
            return False
        return track.source == VOICE or (track.source in (CAMERA, SCREEN) and not track.rids)

    def _begin(self, layer: Layer) -> None:
        if self.worker is not None:
            self.sources[layer] = {}
            self.worker.begin(self, layer)

    def packet(self, layer: Layer, packet: Received) -> None:
        """A packet of a followed source."""
        assert self.worker is not None, "nothing is followed without"
        self.worker.packet(layer, packet)

    def end(self, layer: Layer, reason: str) -> None:
        """The source ends, or begins another codec; nothing if it is not followed."""
        derived = self.sources.pop(layer, None)
        if derived is None:
            return
        assert self.worker is not None, "nothing is followed without"
        self.worker.end(layer)
        self._drop(layer, derived, reason)

    def lost(self, layer: Layer) -> None:
        """The worker went away: its layers end; the source stays followed for the next one."""
        derived = self.sources.get(layer)
        if derived:
            self.sources[layer] = {}
            self._drop(layer, derived, "the worker went away")

    def _drop(self, layer: Layer, derived: dict[str, Layer], reason: str) -> None:
        for one in derived.values():
            self._end(one, reason)
            self._layers().remove(one)
        layer.index = 0

    def starve(self, layer: Layer, now: float) -> None:
        """The worker waits for a keyframe of the source."""
        if layer in self.sources:
            self._ask([layer], now)

    def request_keyframes(self, layers: Sequence[Layer]) -> None:
        """Ask for keyframes of derived layers."""
        for layer in layers:
            if self.worker is not None and layer.origin is not None:
                self.worker.request_keyframe(layer.origin, layer.rid)

    def receive(self, layer: Layer, rid: str, data: bytes, now: float) -> None:
        """An RTP packet that the worker derived from `layer`; what cannot be read is counted."""
        derived = self.sources.get(layer)
        if derived is None or rid not in RIDS:
            return
        voice = layer.track.kind == "audio"
        try:
            header = rtp.parse(data)
            start, end = header.payload_offset, header.payload_end
            parse = PAYLOAD_PARSERS["opus" if voice else "vp8"]
            info = parse(data, start, end, header.marker)
        except (rtp.RtpError, PayloadError):
            self.malformed += 1
            return
        one = derived.get(rid)
        if one is None:
            one = derived[rid] = self._new(layer, rid, header.ssrc, now)
        if all(group.legs.is_empty for group in one.groups.values()):
            # Followed until somebody sees it, as the origin's own.
            one.slot_offset = layer.slot_offset
        packet = Received(
            one.unwrapper.unwrap(header.sequence_number),
            data,
            one.payload_type,
            header.marker,
            header.timestamp,
            start,
            end,
            0,
            info,
            now,
        )
        self._take(one, packet, packet.sequence > one.highest, now)

    def _new(self, origin: Layer, rid: str, ssrc: int, now: float) -> Layer:
        track = origin.track
        layer = Layer(track, rid, 0, ssrc, origin.feed_track)
        layer.origin = origin
        layer.timeline = origin.timeline
        layer.slot_offset = origin.slot_offset
        layer.slot_offset_exact = True
        layer.began_at = layer.codec_began_at = now
        if layer.is_video:
            layer.payload_type, layer.codec_name = PAYLOAD_TYPE, VP8.name
        else:
            layer.payload_type = track.red.get(origin.payload_type, origin.payload_type)
        # The smallest is 0, the origin stands above them all.
        ladder = sorted(
            (*self.sources[origin].values(), layer), key=lambda one: RIDS.index(one.rid)
        )
        for index, one in enumerate((*ladder, origin)):
            one.index = index
        self._layers().append(layer)
        return layer
