"""How a leg gets onto a layer: at a keyframe, or at once from the cached group of pictures.

Also how it gets back what it lost: repairs by number, a fresh start from the cache. A leg waits in
its target's `joiners` and moves at the first frame that it can decode; until then it stays where
it is. A burst carries the base layer's frames since the keyframe with timestamps squeezed
together, so that the room decodes up to now at once instead of playing the past. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from relay.media import rtp
from relay.media.codec import can_forward
from relay.media.seqno import delta32
from relay.sfu.group import Group, Profile, passed_extensions
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg, Sent
from relay.sfu.packet import Outgoing, Received
from relay.sfu.sink import FanOut

W = TypeVar("W")

# Timestamp ticks (90 kHz) between the frames of a burst: 1 ms, enough to keep them apart.
_BURST_STEP: Final = 90
# A viewer that cries for pictures more often gets none the faster.
_RECOVER_INTERVAL: Final = 1.0
_REPAIRS_REMEMBERED: Final = 512


class Joining(Generic[W]):
    """Moves legs between groups for one router. flush: sends what was queued before a move."""

    def __init__(self, flush: Callable[[float], None], fan_out: FanOut[W]) -> None:
        self._flush = flush
        self._fan_out = fan_out
        self.joined: dict[Group, list[tuple[Leg[W], bool]]] = {}
        """Legs to join a group with the packet that is being forwarded now."""

    def want(self, leg: Leg[W], layer: Layer | None, temporal: int, now: float) -> None:
        """Send `layer` (up to temporal id `temporal`) to the leg as soon as it can be decoded."""
        if layer is None:
            if leg.target is not None or leg.group is not None:
                self._flush(now)
                self.detach(leg)
            return
        if leg.target is layer and leg.target_temporal == temporal:
            return
        self._stop_waiting(leg)
        leg.target, leg.target_temporal = layer, temporal
        group = leg.group
        if group is not None and group.layer is layer and group.max_temporal == temporal:
            return
        if profile_for(leg, layer) is None:
            leg.target = None
            return
        layer.joiners.append(leg)
        if group is None and layer.is_video and leg.burst_layer is not layer:
            self._burst(leg, layer, now)

    def detach(self, leg: Leg[W]) -> None:
        """The leg receives nothing and waits for nothing. Flush before."""
        self._stop_waiting(leg)
        leg.leave()
        leg.target = None
        leg.burst_layer = None

    def abandon(self, layer: Layer) -> None:
        """The layer ends: all its legs are free. Flush before."""
        for group in layer.groups.values():
            for leg in list(group.legs):
                self.detach(leg)
        for leg in list(layer.joiners):
            self.detach(leg)

    def _stop_waiting(self, leg: Leg[W]) -> None:
        if leg.target is not None and leg in leg.target.joiners:
            leg.target.joiners.remove(leg)

    def at_frame_start(self, layer: Layer, packet: Received, now: float) -> None:
        """`packet` begins a frame of `layer`: who waits and can decode it joins with it."""
        info = packet.info
        anyone = info.keyframe or not layer.is_video
        ready = [
            leg
            for leg in layer.joiners
            if anyone
            or (
                info.temporal_id == 0
                and (leg.burst_layer is layer or (leg.group and leg.group.layer is layer))
            )
        ]
        if not ready:
            return
        self._flush(now)
        for leg in ready:
            profile = profile_for(leg, layer)
            layer.joiners.remove(leg)
            if profile is None:
                continue
            continues = False
            if leg.group is not None and leg.group.layer is layer:
                continues = True
            elif leg.burst_layer is layer and not info.keyframe:
                continues = self._finish_burst(leg, layer, packet, now)
                if not continues:
                    leg.burst_layer = None
                    layer.joiners.append(leg)
                    continue
            elif leg.burst_layer is layer:
                continues = False
            leg.leave()
            leg.burst_layer = None
            group = layer.group(leg.target_temporal, profile)
            self.joined.setdefault(group, []).append((leg, continues))

    def _burst(self, leg: Leg[W], layer: Layer, now: float) -> bool:
        """Send the cached base frames; False when there is nothing decodable."""
        frames = layer.pictures.base_frames()
        profile = profile_for(leg, layer)
        if not frames or profile is None:
            return False
        group = layer.group(leg.target_temporal, profile)
        first = group.build(frames[0][0], 0)
        newest = frames[-1][0].timestamp + layer.slot_offset
        start = (newest - (len(frames) - 1) * _BURST_STEP) & 0xFFFFFFFF
        step = _BURST_STEP
        if leg.last_timestamp is not None and delta32(start, leg.last_timestamp) <= 0:
            start, step = (leg.last_timestamp + 1) & 0xFFFFFFFF, 1
        span = leg.begin_burst(group, first)
        for index, frame in enumerate(frames):
            timestamp = (start + index * step) & 0xFFFFFFFF
            for packet in frame:
                number = leg.add_burst(span, packet, timestamp)
                self._send(leg, group, Sent(packet, number, timestamp, span), now)
        leg.burst_layer = layer
        leg.burst_until = frames[-1][-1].sequence
        leg.burst_at = now
        return True

    def _finish_burst(self, leg: Leg[W], layer: Layer, packet: Received, now: float) -> bool:
        """Base frames completed between the burst and `packet`; False when one was lost."""
        span = leg.spans[-1] if leg.spans else None
        if span is None or span.burst is None or not layer.pictures.is_whole():
            return False
        for frame in layer.pictures.base_frames(after=leg.burst_until):
            if frame[0].sequence >= packet.sequence:
                break
            timestamp = (frame[0].timestamp + layer.slot_offset) & 0xFFFFFFFF
            if leg.last_timestamp is not None and delta32(timestamp, leg.last_timestamp) <= 0:
                timestamp = (leg.last_timestamp + 1) & 0xFFFFFFFF
            for one in frame:
                number = leg.add_burst(span, one, timestamp)
                self._send(leg, span.group, Sent(one, number, timestamp, span), now)
        return True

    def recover(self, leg: Leg[W], rtt: float, now: float) -> bool:
        """The room lost its picture: begin again from the cache. False: the cache cannot help."""
        layer = leg.target
        if layer is None:
            return False
        if now - leg.burst_at < max(_RECOVER_INTERVAL, 2 * rtt):
            return True
        if not layer.pictures.is_whole():
            return False
        self._flush(now)
        leg.leave()
        leg.burst_layer = None
        if leg not in layer.joiners:
            layer.joiners.append(leg)
        return self._burst(leg, layer, now)

    def repair(self, leg: Leg[W], sequences: Sequence[int], rtt: float, now: float) -> None:
        """Send again what the leg's receiver asks for, once per round trip each."""
        self._flush(now)
        recent = leg.recent_repairs
        for sequence in sequences:
            if now - recent.get(sequence, -1e9) < rtt:
                continue
            found = leg.find(sequence)
            if found is None:
                continue
            if len(recent) >= _REPAIRS_REMEMBERED:
                recent.clear()
            recent[sequence] = now
            leg.repaired += 1
            self._send(leg, found.span.group, found, now, repair=True)

    def _send(
        self, leg: Leg[W], group: Group, sent: Sent, now: float, *, repair: bool = False
    ) -> None:
        """One packet made for one leg, as itself or, for a repair, as RTX (RFC 4588)."""
        out = group.build(sent.packet, 0)
        packet = patched(out, sent)
        rtx = group.profile.rtx
        if repair and rtx is not None:
            start = len(out.data) - _payload_length(group, sent.packet)
            packet[start:start] = packet[2:4]
            packet[1] = (packet[1] & 0x80) | rtx
            packet[2:4] = (leg.rtx_sequence & 0xFFFF).to_bytes(2, "big")
            packet[8:12] = leg.spec.rtx_ssrc.to_bytes(4, "big")
            leg.rtx_sequence += 1
        self._fan_out.send_rtp(leg.wire, packet, out.twcc_offset, now)


def _payload_length(group: Group, packet: Received) -> int:
    return packet.payload_end - group.payload_start(packet)


def patched(out: Outgoing, sent: Sent) -> bytearray:
    """`out` with the numbers that one leg gives it."""
    packet = bytearray(out.data)
    packet[2:4] = (sent.sequence & 0xFFFF).to_bytes(2, "big")
    packet[4:8] = sent.timestamp.to_bytes(4, "big")
    span = sent.span
    if out.picture_offset and span.picture_offset:
        picture = out.picture + span.picture_offset
        at = out.picture_offset
        if out.picture_bits == 7:
            packet[at] = picture & 0x7F
        elif out.picture_bits == 15:
            packet[at : at + 2] = (0x8000 | (picture & 0x7FFF)).to_bytes(2, "big")
        else:
            packet[at : at + 2] = (picture & 0xFFFF).to_bytes(2, "big")
    if out.tl0_offset and span.tl0_offset:
        packet[out.tl0_offset] = (out.tl0 + span.tl0_offset) & 0xFF
    return packet


def profile_for(leg: Leg[Any], layer: Layer) -> Profile | None:
    """How the leg's viewer takes the layer, or None when it cannot decode its codec."""
    source = layer.track.codecs.get(layer.payload_type)
    if source is None:
        source = next(iter(layer.track.codecs.values()))
    for entry in leg.spec.codecs:
        if can_forward(source, entry.codec):
            extensions = leg.spec.extensions
            red = entry.red
            if red is not None and entry.payload_type not in layer.track.codecs:
                # The numbers inside RED blocks are the publisher's; ours differ, so unwrap.
                red = None
            return Profile(
                entry.payload_type,
                leg.spec.ssrc,
                extensions.get(rtp.TRANSPORT_CC, 0),
                passed_extensions(layer.track.extensions, extensions) if layer.is_video else (),
                red,
                entry.rtx,
            )
    return None
