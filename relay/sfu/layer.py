"""One encoding of one source, as it arrives: its order, repair state, cache and timeline.

Everything that is kept once per layer, whatever the number of rooms, is here: packet cache, group
of pictures, loss tracking towards the publisher, rates. Who receives it is the router's business;
`groups` and `joiners` only hang here because the packet passes by. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from relay.media import rtp
from relay.media.layers import LayerRate
from relay.media.nack import NackTracker
from relay.media.packet_cache import PacketCache
from relay.media.reception import ReceptionStats
from relay.media.seqno import Unwrapper, delta16
from relay.media.timeline import VOICE_STEP, TrackTimeline
from relay.sfu.group import Group, Profile
from relay.sfu.leg import Leg
from relay.sfu.negotiated import TrackSpec
from relay.sfu.packet import Received
from relay.sfu.pictures import GroupOfPictures

# A layer of which nothing came for so long had been switched off. As long as an ordinary beat.
RESTED: Final = 8.0
# Packets kept for repair: three round trips of 800 ms and a playout delay; bytes are bounded by
# the layer's own rate. The group of pictures refers to the same objects.
CACHE_SECONDS: Final = 4.0
CACHE_PACKETS: Final = 4096
# 4 s of 16 Mbit/s: nothing that a room could receive is ever thrown away for its size.
CACHE_BYTES: Final = 8 << 20
# Without repairs, a gap that stays open so long is a loss: longer than packets swap places.
REORDER_SECONDS: Final = 0.1
# A step of more numbers is no gap: nobody asks for so many again (RFC 3550 §A.1 has 3,000 ahead;
# repairs are recognised in the last 2,048).
FAR: Final = 2048


class Layer:
    """track, rid: which encoding; "" for the only one. index: 0 is the smallest picture.

    The index is the place among the RIDs of the offer, until the rates say otherwise.
    """

    def __init__(self, track: TrackSpec, rid: str, index: int, ssrc: int, feed_track: int) -> None:
        self.track = track
        self.rid = rid
        self.index = index
        self.ssrc = ssrc
        self.feed_track = feed_track
        self.origin: Layer | None = None
        """The layer that this one was derived from, see `derived`; None for the publisher's own."""
        self.number = feed_track
        """Unlike `feed_track`, the same for all of its codecs."""
        self.is_recorded = True
        """False for what an upstream relay derived."""
        self.began_at = -1e9
        self.codec_began_at = -1e9
        codec = next(iter(track.codecs.values()))
        self.payload_type = -1
        self.codec_name = codec.name
        self.is_video = track.kind == "video"
        self.timeline = TrackTimeline(codec.clock_rate, 0.0 if self.is_video else VOICE_STEP)
        self.slot_offset = 0
        self.slot_offset_exact = False
        self.unwrapper = Unwrapper(16)
        self.nack = NackTracker(reorder_wait=0.0 if track.nack else REORDER_SECONDS)
        self.reception = ReceptionStats(ssrc, codec.clock_rate)
        self.rate = LayerRate()
        self.pictures = GroupOfPictures()
        self.groups: dict[tuple[int, Profile], Group] = {}
        self.joiners: list[Leg[Any]] = []
        self.damaged = False
        """Something since the last keyframe is lost for good: the picture stays broken. Or nothing
        came for long, and a recording goes on with a keyframe alone."""
        self.keyframe_asked_at = -1e9
        self.starving_since: float | None = None
        """Since when somebody waits for a picture in vain, see `starving`."""
        self.keyframes = 0
        self.highest = -1
        self.last_frame: Received | None = None
        """First packet of the newest frame."""
        self.last_keyframe_timestamp: int | None = None
        self.stray: int | None = None
        """16-bit number that would follow one from far away: see `is_new_start`."""
        self._abandoned = 0
        self._cache: PacketCache[Received] = PacketCache(CACHE_PACKETS, CACHE_BYTES, CACHE_SECONDS)

    def store(self, packet: Received) -> None:
        """Keep the packet for repairs and for newcomers."""
        self._cache.put(packet.sequence, packet, len(packet.data), packet.arrived)

    def expire(self, now: float) -> None:
        """Let go of packets that are too old, once the layer has stopped."""
        self._cache.expire(now)

    def cached(self, sequence: int) -> Received | None:
        """The packet with this unwrapped number, if it is still kept."""
        return self._cache.get(sequence)

    def add_picture(self, packet: Received) -> bool:
        """Keep a packet in order for newcomers; whether one may begin with it."""
        info, frame = packet.info, self.last_frame
        starts = info.start_of_frame and (frame is None or packet.timestamp != frame.timestamp)
        if starts:
            # A camera that was off: a recording goes on with a keyframe (`relay.record.rendition`).
            self.damaged |= frame is not None and packet.arrived - frame.arrived > RESTED
            self.last_frame = packet
        if info.keyframe and packet.timestamp != self.last_keyframe_timestamp:
            # H.264 may open a keyframe with a delimiter: only the parameter sets behind it say
            # what kind of frame it is (RFC 6184 §5.6), and decoding may begin with them as well.
            self._begin_pictures(packet)
            return True
        self.pictures.add(packet)
        return starts

    def add_late_picture(self, packet: Received) -> None:
        """Keep a packet that others overtook; it may be the one that a keyframe begins with."""
        first, info = self.pictures.first, packet.info
        newer = first is None or packet.sequence > first.sequence
        if not (info.keyframe and newer and packet.timestamp != self.last_keyframe_timestamp):
            self.pictures.add(packet)
            return
        self._begin_pictures(packet)
        for sequence in range(packet.sequence + 1, self.highest + 1):
            later = self.cached(sequence)
            if later is not None:
                self.pictures.add(later)

    def _begin_pictures(self, packet: Received) -> None:
        self.last_keyframe_timestamp = packet.timestamp
        self.keyframes += 1
        self.damaged = False
        self.pictures.begin(packet)

    def is_far(self, sequence16: int) -> bool:
        """Whether a number is too far from the newest to be a gap or a late packet."""
        return self.highest >= 0 and not -FAR < delta16(sequence16, self.highest & 0xFFFF) < FAR

    def is_new_start(self, sequence16: int) -> bool:
        """Take note of a number that `is_far`; whether the sender counts from elsewhere now.

        Two in a row say so (RFC 3550 §A.1): an outage of minutes, or a sender that began again.
        """
        expected, self.stray = self.stray, (sequence16 + 1) & 0xFFFF
        return sequence16 == expected

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

    def forget(self, group: Group) -> None:
        """The group has no legs any more."""
        key = (group.max_temporal, group.profile)
        if self.groups.get(key) is group:
            del self.groups[key]

    def lost_for_good(self) -> bool:
        """Whether something of the current pictures was given up since the last call."""
        before, self._abandoned = self._abandoned, self.nack.abandoned
        if self._abandoned == before:
            return False
        first = self.pictures.first
        return first is None or self.nack.newest_abandoned > first.sequence
