"""Sending one packet to one leg: what its receiver asks for again, and the frames of a burst.

Repairs come from the layer's cache, never from the publisher: as RTX where it was agreed
(RFC 4588), else as the packet itself under its own number. Each at most once per round trip, only
while it can come in time, and within the viewer's budget: the voice comes first. Not here: the
budget itself (repair_budget), what was lost on the publisher's side (publisher). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from relay.sfu.leg import Leg, Sent
from relay.sfu.pacing import Waiting
from relay.sfu.packet import Outgoing
from relay.sfu.sink import FanOut
from relay.sfu.viewer import Viewer, W

V = TypeVar("V")

# Resends that one leg remembers; those within a round trip, at most.
_REMEMBERED: Final = 512


def repair(
    fan_out: FanOut[W], viewer: Viewer[W], leg: Leg[W], sequences: Sequence[int], now: float
) -> None:
    """Send again what the leg's receiver asks for, as far as its budget goes. Flush before."""
    if not leg.spec.nack:
        return
    budget = viewer.repairs
    budget.refill(viewer.bandwidth.bitrate, now)
    recent = leg.recent_repairs
    since = now - max(viewer.rtt, budget.round_trip)
    while recent and next(iter(recent.values())) <= since:
        del recent[next(iter(recent))]
    allowed = budget.may_ask(len(sequences))
    # What came late from the teacher may still wait behind others: it is on its way, and its
    # frame's timestamp is told when it leaves.
    unsent = leg.pace.unsent_numbers(leg) if leg.pace is not None else frozenset[int]()
    # The newest are the likeliest to come in time.
    for sequence in sequences[len(sequences) - allowed :]:
        if sequence in recent or len(recent) >= _REMEMBERED:
            budget.hasty += 1
            continue
        if sequence in unsent:
            continue
        sent = leg.find(sequence)
        if sent is None:
            continue
        packet = sent.packet
        voice = not sent.group.layer.is_video
        # Later frames do without those of upper temporal layers, sooner or later.
        strictly = voice or (packet.info.temporal_id > 0 and budget.delay is not None)
        if not budget.in_time(now - packet.arrived, strictly=strictly and not sent.burst):
            continue
        if sent.left_out:
            out = sent.group.padding(packet, 0)
        elif sent.burst:
            out = sent.group.build(packet, 0)
        else:
            out = sent.group.rebuild(packet, 0)
        if not budget.take(len(out.data), voice=voice):
            continue
        recent[sequence] = now
        leg.repaired += 1
        send_alone(fan_out, leg, sent, out, now, again=True)


def send_alone(
    fan_out: FanOut[V], leg: Leg[V], sent: Sent, out: Outgoing, now: float, *, again: bool = False
) -> None:
    """One packet to one leg; `again`: as RTX if the leg has it. Empty packets are never RTX."""
    rtx = sent.group.profile.rtx
    own: bool | None = None
    if again:
        own = True
    elif rtx is None:
        own = False
    waiting = Waiting(
        leg,
        out.data,
        out.twcc_offset,
        sent.sequence & 0xFFFF,
        sent.timestamp,
        out,
        sent.picture_offset,
        sent.tl0_offset,
        again=own,
    )
    again = again and out.payload_size > 0
    if again and rtx is not None:
        packet = waiting.written()
        start = len(packet) - out.payload_size
        packet[start:start] = packet[2:4]
        packet[1] = (packet[1] & 0x80) | rtx
        packet[2:4] = (leg.rtx_sequence & 0xFFFF).to_bytes(2, "big")
        packet[8:12] = leg.spec.rtx_ssrc.to_bytes(4, "big")
        leg.rtx_sequence += 1
        waiting = Waiting.whole(leg, packet, out.twcc_offset)
    if leg.pace is not None and leg.spec.kind == "video":
        leg.pace.send(waiting, now, again=again)
    else:
        fan_out.send_rtp(leg.wire, waiting.written(), out.twcc_offset, now, again=waiting.again)
