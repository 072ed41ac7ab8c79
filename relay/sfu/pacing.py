"""One viewer's way out for what its link cannot take at once: a keyframe, a burst, a repair.

Small frames go with everybody's, in one batch; of a large one the rest waits here and leaves at
the rate of the link, so that a voice packet never stands behind a whole picture. While something
waits, the viewer's later pictures queue up behind it. The order and the clockwork are
`relay.media.pacer`'s. Pure; bytes, bit/s and seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from relay.media.pacer import IP_UDP, Kind, Pacer
from relay.sfu.packet import Outgoing, patch_picture

if TYPE_CHECKING:
    from relay.sfu.leg import Leg
    from relay.sfu.members import Members
    from relay.sfu.sink import FanOut

W = TypeVar("W")

_NUMBERS: Final = struct.Struct("!HI")  # sequence number and timestamp, from the third byte on


@dataclass(frozen=True, slots=True)
class Waiting(Generic[W]):
    """One packet, written only when it leaves: of the pictures that newcomers begin with, many
    wait for many, and what they share is held once.

    leg: None for padding. data: the packet but for what follows, and for its transport-wide number
    at `twcc_offset`. sequence16, timestamp: as the leg numbers it. out: where picture ids stand in
    it, None without; picture_offset, tl0_offset: what the leg adds to them. moved: its timestamp is
    the leg's first pictures' to tell. again: as in `FanOut.send_rtp`.
    """

    leg: Leg[W] | None
    data: bytes | bytearray
    twcc_offset: int
    sequence16: int
    timestamp: int
    out: Outgoing | None = None
    picture_offset: int = 0
    tl0_offset: int = 0
    moved: bool = False
    again: bool | None = None

    @classmethod
    def whole(cls, leg: Leg[W] | None, packet: bytearray, twcc_offset: int) -> Waiting[W]:
        """A packet made for one viewer alone, its numbers written."""
        sequence, timestamp = _NUMBERS.unpack_from(packet, 2)
        return cls(leg, packet, twcc_offset, sequence, timestamp)

    @property
    def picture(self) -> int | None:
        """Its picture id as the leg numbers it."""
        if self.out is None or not self.out.picture_offset:
            return None
        return self.out.picture + self.picture_offset

    @property
    def tl0(self) -> int | None:
        """TL0PICIDX likewise, of the lowest temporal layer, whose frames count it."""
        if self.out is None or not self.out.tl0_offset or self.out.temporal:
            return None
        return self.out.tl0 + self.tl0_offset

    def written(self) -> bytearray:
        """The packet, but for its transport-wide number."""
        packet = bytearray(self.data)
        _NUMBERS.pack_into(packet, 2, self.sequence16, self.timestamp)
        out = self.out
        if out is not None and out.picture_offset and (self.picture_offset or self.tl0_offset):
            patch_picture(packet, 0, out, self.picture_offset, self.tl0_offset)
        return packet


# What a link drains in so long may go at once: a voice packet waits no longer for it.
BURST_SECONDS: Final = 0.06
# No fewer bytes than one packet.
BURST_LEAST: Final = 1_300.0
# A link that takes so much is never filled by the pictures that a lesson has.
FAST: Final = 6_000_000.0
# The longest authentication tag, which the transport adds.
_TAG: Final = 16
# Pictures that would leave later than this are of no use: better begin anew with a smaller one.
STALE_SECONDS: Final = 2.5
# What waits so long is a keyframe, or too much.
LARGE_SECONDS: Final = 0.4
# Bytes that a frame may lack to be finished although it is of no use any more: what is cut costs
# the receiver a look at it, and more than that costs the link.
_FINISHED: Final = 3_000


class Pace(Generic[W]):
    """wire: the viewer's. wake: called when something begins to wait."""

    def __init__(self, wire: W, fan_out: FanOut[W], wake: Callable[[Pace[W]], None]) -> None:
        self.wire = wire
        self.burst = float("inf")
        """Bytes of a frame that may leave at once."""
        self.busy_at = -1e9
        """When pictures waited last for longer than frames usually do."""
        self.legs: list[Leg[W]] = []
        self._fan_out = fan_out
        self._wake = wake
        self._pictures = False
        """Whether more than padding waits."""
        self._bitrate = 0.0
        self._on_top = 0.0
        self._pacer: Pacer[Waiting[W]] = Pacer()

    @property
    def is_busy(self) -> bool:
        """Whether pictures wait."""
        return self._pacer.backlog > 0

    @property
    def delay(self) -> float:
        """Seconds until the last of what waits has left."""
        return self._pacer.delay

    def set_rate(self, bitrate: float, now: float) -> bool:
        """What the link takes for pictures, bit/s. Whether `burst` changed by much."""
        self._bitrate = bitrate
        self._pacer.set_rate(bitrate + self._on_top, now)
        burst = float("inf")
        if bitrate < FAST:
            burst = max(bitrate * BURST_SECONDS / 8, BURST_LEAST)
        if burst == self.burst or 0.8 < burst / self.burst < 1.25:
            return False
        self.burst = burst
        return True

    def set_probe(self, on_top: float, now: float) -> None:
        """So many bit/s leave beyond the rate until the next call: else padding proves nothing."""
        if on_top != self._on_top:
            self._on_top = on_top
            self._pacer.set_rate(self._bitrate + on_top, now)

    def push_run(self, run: Sequence[Outgoing], leg: Leg[W], now: float) -> None:
        """Packets of the leg's group, as the leg numbers them now."""
        own = None if leg.spec.has_rtx else False
        for out in run:
            timestamp = out.timestamp + leg.timestamp_offset & 0xFFFFFFFF
            self._push(
                Kind.PICTURE,
                Waiting(
                    leg,
                    out.data,
                    out.twcc_offset,
                    out.sequence + leg.sequence_offset & 0xFFFF,
                    timestamp,
                    out,
                    leg.picture_offset,
                    leg.tl0_offset,
                    self._is_first(leg, timestamp, len(out.data), now),
                    own,
                ),
            )

    def send(self, waiting: Waiting[W], now: float, *, again: bool) -> None:
        """One packet of a video leg, in its turn. again: it is a repair."""
        if self.burst == float("inf") and (waiting.leg is None or not waiting.leg.is_followed):
            self._leave(waiting, waiting.written(), now)
            return
        if (
            not again
            and waiting.leg is not None
            and self._is_first(waiting.leg, waiting.timestamp, len(waiting.data), now)
        ):
            # The whole frame is to be there when its first packet leaves.
            self._push(Kind.PICTURE, replace(waiting, moved=True))
            return
        self._push(Kind.PICTURE_REPAIR if again else Kind.PICTURE, waiting)
        self.handle_timer(now)

    def _is_first(self, leg: Leg[W], timestamp: int, size: int, now: float) -> bool:
        first = leg.first_pictures
        return first is not None and first.wait(timestamp, size + _TAG + IP_UDP, now)

    def _moved(self, waiting: Waiting[W], now: float) -> Waiting[W]:
        """Its first pictures tell when they leave."""
        if waiting.leg is None or waiting.leg.first_pictures is None:
            return waiting
        rate = self._bitrate + self._on_top
        moved = waiting.leg.first_pictures.leave(waiting.timestamp, rate, now)
        return replace(waiting, timestamp=moved)

    def pad(self, packet: bytearray, twcc_offset: int) -> None:
        """One packet that only shows whether the link takes more; waits for everything else."""
        self._push(Kind.PADDING, Waiting.whole(None, packet, twcc_offset))

    def _push(self, kind: Kind, waiting: Waiting[W]) -> None:
        if not self._pacer.backlog:
            self._wake(self)
        self._pictures |= kind is not Kind.PADDING
        self._pacer.push(kind, len(waiting.data) + _TAG, waiting)

    def forget(self, leg: Leg[W], *, finish: bool = True) -> list[Waiting[W]]:
        """Drop what waits for `leg`; returns those of its packets that never were sent.

        finish: a frame of which little is missing is sent to its end.
        """
        if not self._pacer.backlog:
            return []
        found = self._unsent(leg)
        kept = found[0].timestamp if found else None
        lacking = sum(len(item.data) for item in found if item.timestamp == kept)
        if lacking > _FINISHED or not finish:
            kept = None
        self._pacer.drop(lambda item: item.leg is leg and item.timestamp != kept)
        dropped = [item for item in found if item.timestamp != kept]
        if leg.first_pictures is not None:
            leg.first_pictures.give_up({item.timestamp for item in dropped})
        return dropped

    def _unsent(self, leg: Leg[W]) -> list[Waiting[W]]:
        """What waits for its first time. (A repair without RTX has the same SSRC.)"""
        ssrc = leg.spec.ssrc.to_bytes(4, "big")
        waiting = self._pacer.waiting(Kind.PICTURE)
        return [item for item in waiting if item.leg is leg and item.data[8:12] == ssrc]

    def unsent_numbers(self, leg: Leg[W]) -> set[int]:
        """The 16-bit numbers of the leg's packets that still wait for their first time."""
        if not self._pacer.backlog:
            return set()
        return {item.sequence16 for item in self._unsent(leg)}

    def clear(self) -> None:
        """Drop everything that waits: nothing may be sent any more."""
        self._pacer.clear()
        self._pictures = False

    def handle_timer(self, now: float) -> None:
        """Send what may leave now; who has caught up is served with everybody again."""
        if self._pictures and self._pacer.delay > LARGE_SECONDS:
            self.busy_at = now
        while leaving := self._pacer.pop(now):
            for waiting in leaving:
                leaves = self._moved(waiting, now) if waiting.moved else waiting
                packet = leaves.written()
                self._leave(leaves, packet, now)
                if leaves.leg is not None and leaves.leg.protection is not None:
                    self._protect(leaves.leg, packet, leaves.twcc_offset, now)
        if not self._pacer.backlog:
            self._pictures = False
            for leg in self.legs:
                if leg.first_pictures is not None:
                    leg.first_pictures.note_empty(now)
                if leg.group is not None:
                    leg.group.legs.reconsider(leg)

    def _leave(self, waiting: Waiting[W], packet: bytearray, now: float) -> None:
        self._fan_out.send_rtp(self.wire, packet, waiting.twcc_offset, now, again=waiting.again)

    def _protect(self, leg: Leg[W], sent: bytearray, twcc_offset: int, now: float) -> None:
        """Follow a picture's packet with the repair packets that are due."""
        encoder = leg.encoder
        if encoder is None or sent[8:12] != leg.spec.ssrc.to_bytes(4, "big"):
            return
        for packet in encoder.push(sent, twcc_offset, now):
            self._push(Kind.PICTURE_REPAIR, Waiting.whole(leg, packet, encoder.twcc_offset))

    def get_timer(self, now: float) -> float | None:
        """When `handle_timer` has something to do next, None while nothing waits."""
        return self._pacer.due(now)


def hold_back(legs: Members, size: int) -> None:
    """Members whose links do not take `size` bytes at once are served by their paces now."""
    legs.hold([leg for leg in legs if leg.pace is not None and leg.pace.burst < size])


def push_run(run: Sequence[Outgoing], legs: Sequence[Leg[Any]], now: float) -> None:
    """Every packet of `run` to each leg in its turn."""
    for leg in legs:
        if leg.pace is not None:
            leg.pace.push_run(run, leg, now)
