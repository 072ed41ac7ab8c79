"""Sending one packet to one leg: what its receiver asks for again, and the frames of a burst.

Repairs come from the layer's cache, never from the publisher: as RTX where it was agreed
(RFC 4588), else as the packet itself under its own number. Each at most once per round trip, and
pictures only within a budget: the voice comes first. Not here: what was lost on the publisher's
side (publisher). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from relay.sfu.leg import Leg, Sent
from relay.sfu.packet import Outgoing, patch_picture
from relay.sfu.sink import FanOut
from relay.sfu.viewer import Viewer, W

V = TypeVar("V")

_REPAIRS_REMEMBERED: Final = 512


def repair(
    fan_out: FanOut[W], viewer: Viewer[W], leg: Leg[W], sequences: Sequence[int], now: float
) -> None:
    """Send again what the leg's receiver asks for, as far as its budget goes. Flush before."""
    recent = leg.recent_repairs
    rtt = max(viewer.rtt, viewer.repairs.round_trip)
    viewer.repairs.refill(viewer.bandwidth.bitrate, now)
    for sequence in sequences:
        if now - recent.get(sequence, -1e9) < rtt:
            continue
        sent = leg.find(sequence)
        if sent is None:
            continue
        size = len(sent.packet.data)
        if not viewer.repairs.take(size) and sent.group.layer.is_video:
            continue
        if len(recent) >= _REPAIRS_REMEMBERED:
            recent.clear()
        recent[sequence] = now
        leg.repaired += 1
        if sent.left_out:
            out = sent.group.padding(sent.packet, 0)
        elif sent.burst:
            out = sent.group.build(sent.packet, 0)
        else:
            out = sent.group.rebuild(sent.packet, 0)
        send_alone(fan_out, leg, sent, out, now, again=out.payload_size > 0)


def send_alone(
    fan_out: FanOut[V], leg: Leg[V], sent: Sent, out: Outgoing, now: float, *, again: bool = False
) -> None:
    """One packet to one leg; `again`: as RTX if the leg has it. Empty packets are never RTX."""
    packet = patched(out, sent)
    rtx = sent.group.profile.rtx
    if again and rtx is not None:
        start = len(packet) - out.payload_size
        packet[start:start] = packet[2:4]
        packet[1] = (packet[1] & 0x80) | rtx
        packet[2:4] = (leg.rtx_sequence & 0xFFFF).to_bytes(2, "big")
        packet[8:12] = leg.spec.rtx_ssrc.to_bytes(4, "big")
        leg.rtx_sequence += 1
    fan_out.send_rtp(leg.wire, packet, out.twcc_offset, now)


def patched(out: Outgoing, sent: Sent) -> bytearray:
    """`out` with the numbers that one leg gives it."""
    packet = bytearray(out.data)
    packet[2:4] = (sent.sequence & 0xFFFF).to_bytes(2, "big")
    packet[4:8] = sent.timestamp.to_bytes(4, "big")
    if out.picture_offset:
        patch_picture(packet, 0, out, sent.picture_offset, sent.tl0_offset)
    return packet
