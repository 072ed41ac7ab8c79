"""One encoding of one source, as it arrives: its order, repair state, cache and timeline.

Everything that is kept once per layer, whatever the number of rooms, is here: packet cache, group
of pictures, loss tracking towards the publisher, rates. Who receives it is the router's business;
`groups` and `joiners` only hang here because the packet passes by. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from relay.media import rtp
from relay.media.layers import LayerRate
from relay.media.nack import NackTracker
from relay.media.reception import ReceptionStats
from relay.media.seqno import Unwrapper
from relay.media.timeline import TrackTimeline
from relay.sfu.group import Group, Profile
from relay.sfu.leg import Leg
from relay.sfu.negotiated import TrackSpec
from relay.sfu.packet import Received
from relay.sfu.pictures import GroupOfPictures

# Packets kept for repair: three round trips of 800 ms and a playout delay; bytes are bounded by
# the layer's own rate. The group of pictures refers to the same objects.
CACHE_SECONDS: Final = 4.0
CACHE_PACKETS: Final = 4096


class Layer:
    """track, rid: which encoding; "" for the only one. index: 0 is the smallest picture."""

    def __init__(self, track: TrackSpec, rid: str, index: int, ssrc: int, feed_track: int) -> None:
        self.track = track
        self.rid = rid
        self.index = index
        self.ssrc = ssrc
        self.feed_track = feed_track
        codec = next(iter(track.codecs.values()))
        self.payload_type = -1
        self.codec_name = codec.name
        self.is_video = track.kind == "video"
        self.timeline = TrackTimeline(codec.clock_rate)
        self.slot_offset = 0
        self.slot_offset_exact = False
        self.unwrapper = Unwrapper(16)
        self.nack = NackTracker()
        self.reception = ReceptionStats(ssrc, codec.clock_rate)
        self.rate = LayerRate()
        self.pictures = GroupOfPictures()
        self.groups: dict[tuple[int, Profile], Group] = {}
        self.joiners: list[Leg[Any]] = []
        self.abandoned = 0
        self.keyframe_asked_at = -1e9
        self.keyframes = 0
        self.last_frame_timestamp: int | None = None
        self.highest = -1
        self._cache: dict[int, Received] = {}
        self._order: deque[Received] = deque()

    def store(self, packet: Received) -> None:
        """Keep the packet for repairs and for newcomers."""
        self._cache[packet.sequence] = packet
        self._order.append(packet)
        oldest_allowed = packet.arrived - CACHE_SECONDS
        order = self._order
        while order and (order[0].arrived < oldest_allowed or len(order) > CACHE_PACKETS):
            self._cache.pop(order.popleft().sequence, None)

    def cached(self, sequence: int) -> Received | None:
        """The packet with this unwrapped number, if it is still kept."""
        return self._cache.get(sequence)

    def header_of(self, packet: Received) -> rtp.RtpHeader:
        """The packet's parsed header again (only extensions need it after the first look)."""
        return rtp.parse(packet.data)

    def group(self, max_temporal: int, profile: Profile) -> Group:
        """The group with these properties, made when it does not exist."""
        key = (max_temporal, profile)
        found = self.groups.get(key)
        if found is None:
            found = self.groups[key] = Group(self, max_temporal, profile)
        return found

    def lost_for_good(self) -> bool:
        """Whether repairs were given up since the last call."""
        before, self.abandoned = self.abandoned, self.nack.abandoned
        return self.abandoned > before
