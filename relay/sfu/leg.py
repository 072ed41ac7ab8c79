"""One slot of one viewer: where its packets come from now, and the numbers it continues.

A leg is in at most one group. Its offsets turn the group's numbers into its own, so that what the
room receives is one unbroken stream (RFC 3550 §5.1: sequence, timestamp; RFC 7741, RFC 9628:
picture id) however often its source changes. It remembers which packets each stretch of its
sequence came from, so that a NACK finds them in the layer's cache. Pure; owned by its viewer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from relay.media.fec import FecEncoder, Protection
from relay.media.seqno import delta32
from relay.sfu.first_pictures import FirstPictures
from relay.sfu.packet import Outgoing, Received

if TYPE_CHECKING:
    from relay.sfu.group import Group
    from relay.sfu.layer import Layer
    from relay.sfu.negotiated import SlotSpec
    from relay.sfu.pacing import Pace

W = TypeVar("W")

# Stretches remembered for NACK: a leg changes its source about once per beat, and a repair is
# never asked for later than a few round trips.
_SPANS: Final = 8
# Nobody asks for a packet of a burst that was begun so long ago, seconds.
_BURST_KEPT: Final = 10.0
# First unwrapped number of a leg: one cycle up, so that no arithmetic reaches below zero.
FIRST_SEQUENCE: Final = 1 << 16


@dataclass(slots=True, eq=False)
class Span:
    """Leg numbers from `first` on came from `group`, with the offsets that were in force then.

    timestamp_offset: from the publisher's timestamps to the leg's, the layer's own included.
    burst: what was sent from the cached group of pictures, one number each; None when the
    packets came live.
    """

    first: int
    group: Group
    sequence_offset: int
    timestamp_offset: int
    picture_offset: int
    tl0_offset: int
    burst: list[Sent] | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet as it went to a leg: its number, timestamp and what its picture ids are moved by.

    burst: it came from the cached group of pictures. left_out: these viewers do not receive the
    packet; an empty one had its number.
    """

    packet: Received
    group: Group
    sequence: int
    timestamp: int
    picture_offset: int
    tl0_offset: int
    burst: bool = False
    left_out: bool = False


@dataclass(slots=True, eq=False)
class Leg(Generic[W]):
    """wire: the viewer's transport as the fan-out wants it; the core never looks inside."""

    wire: W
    spec: SlotSpec
    sequence_offset: int = 0
    timestamp_offset: int = 0
    picture_offset: int = 0
    tl0_offset: int = 0
    group: Group | None = None
    # Unwrapped numbers: the next one free while in no group, the first one of this membership.
    next_sequence: int = FIRST_SEQUENCE
    joined_at: int = 0
    last_timestamp: int | None = None
    # How the viewer's link is kept from overflowing; None: everything goes at once.
    pace: Pace[W] | None = None
    # The layer and highest temporal id wanted; None when the slot is to be silent.
    target: Layer | None = None
    target_temporal: int = 7
    # Earlier frames that each packet of voice carries, 0 to 2, and the least delay of playing that
    # each picture tells, milliseconds, None for none; see `Joining.reprofile`.
    red_depth: int = 0
    playout: int | None = None
    # How its pictures are protected by repair packets, and what makes them; the encoder lives as
    # long as the leg, since its numbers must never begin anew under the same keys.
    protection: Protection | None = None
    encoder: FecEncoder | None = None
    # Whether the link is what keeps the slot silent.
    denied: bool = False
    # The layer to receive only the lowest temporal layer of, until the target begins.
    shedding: Layer | None = None
    # Whether the cached pictures are light enough for the leg's link.
    may_burst: bool = True
    # Until when pictures that come late are better than none; the beat's keyframe makes an end of
    # it, and of this.
    catches_up_until: float | None = None
    # A burst from the cache went out up to this sequence of `burst_layer`; live comes next.
    burst_layer: Layer | None = None
    burst_until: int = 0
    # When its pictures began last, or the whole burst had left.
    burst_at: float = -1e9
    # How its first pictures are told apart from those that are in time.
    first_pictures: FirstPictures | None = None
    recovered_at: float = -1e9
    # When its room began to ask for a picture that cannot be given from here.
    cried_at: float = -1e9
    last_picture: int | None = None
    last_tl0: int | None = None
    rtx_sequence: int = 0
    # Packets and payload bytes of earlier memberships and bursts.
    packets: int = 0
    octets: int = 0
    _packets_before: int = 0
    _octets_before: int = 0
    repaired: int = 0
    spans: deque[Span] = field(default_factory=lambda: deque(maxlen=_SPANS))
    recent_repairs: dict[int, float] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """Whether its packets go out one by one, through its pace."""
        return (
            self.pace is not None
            and self.spec.kind == "video"
            and (self.pace.is_busy or self.is_followed)
        )

    @property
    def is_followed(self) -> bool:
        """Whether something is to be done with each packet when it leaves, on any link."""
        return self.protection is not None or (
            self.first_pictures is not None and not self.first_pictures.is_over
        )

    @property
    def told_until(self) -> int | None:
        """The timestamp after which nothing may tell an earlier one: the last one's, or where the
        first pictures were moved to. None before the first."""
        told = self.first_pictures.told if self.first_pictures is not None else None
        last = self.last_timestamp
        return told if told is not None and last is not None and delta32(told, last) > 0 else last

    def leave(self) -> None:
        """Out of the group: remember what was sent last, so that the next source continues it."""
        group = self.group
        if group is None:
            return
        group.legs.drop(self)
        if group.legs.is_empty:
            group.layer.forget(group)
        self.group = None
        self.next_sequence = group.next_sequence + self.sequence_offset
        self.last_timestamp = (group.last_timestamp + self.timestamp_offset) & 0xFFFFFFFF
        if group.last_picture is not None:
            self.last_picture = group.last_picture + self.picture_offset
        if group.last_tl0 is not None:
            self.last_tl0 = group.last_tl0 + self.tl0_offset
        self.packets += group.packets - self._packets_before
        self.octets += group.octets - self._octets_before

    def join(self, group: Group, first: Outgoing, *, continues: bool) -> None:
        """Into `group`, beginning with `first`, which the group has counted already.

        continues: the same layer went on without a break (a temporal step, or a burst before),
        so timestamps and picture ids need no new offset (but VP8's, whose gaps each group closes
        in its own way).
        """
        self.sequence_offset = self.next_sequence - first.sequence
        if self.spec.exact:
            pass  # it receives one layer alone, whose numbers it may see as they are
        elif not continues:
            self.timestamp_offset = 0
            self._continue_pictures(first)
        elif first.picture_offset and self.last_picture is not None and group.closes_gaps(first):
            self.picture_offset = self.last_picture + 1 - first.picture
        told = self.told_until
        if told is not None and not self.spec.exact:
            ahead = delta32(first.timestamp + self.timestamp_offset, told)
            if ahead <= 0:
                self.timestamp_offset += 1 - ahead
        self.joined_at = self.next_sequence
        self._packets_before = group.packets - 1
        self._octets_before = group.octets - first.payload_size
        self.spans.append(
            Span(
                self.next_sequence,
                group,
                self.sequence_offset,
                group.lift + self.timestamp_offset,
                self.picture_offset,
                self.tl0_offset,
            )
        )
        self.group = group
        group.legs.add(self)

    def _continue_pictures(self, first: Outgoing) -> None:
        self.picture_offset = self.tl0_offset = 0
        if self.spec.exact:
            return
        if first.picture_offset and self.last_picture is not None:
            self.picture_offset = self.last_picture + 1 - first.picture
        if first.tl0_offset and self.last_tl0 is not None:
            self.tl0_offset = self.last_tl0 + 1 - first.tl0

    def begin_burst(self, group: Group, first: Outgoing) -> None:
        """Packets of the cache follow, each through `add_burst`; `first` is the first of them."""
        self.timestamp_offset = 0
        self._continue_pictures(first)
        self.spans.append(
            Span(self.next_sequence, group, 0, 0, self.picture_offset, self.tl0_offset, burst=[])
        )

    def add_burst(
        self, packet: Received, out: Outgoing, timestamp: int, *, starts_frame: bool
    ) -> Sent:
        """Give one packet of the burst that began last its numbers.

        out: the packet as the burst's group builds it. Frames are sent whole and in order, those
        of higher temporal layers left out.
        """
        span = self.spans[-1]
        assert span.burst is not None
        pictures = span.picture_offset
        if out.picture_offset and not self.spec.exact:
            if not span.group.closes_gaps(out) or self.last_picture is None:
                self.last_picture = out.picture + pictures
            elif starts_frame:
                self.last_picture += 1
            pictures = self.last_picture - out.picture
        if out.tl0_offset and not self.spec.exact:
            self.last_tl0 = out.tl0 + span.tl0_offset
        sent = Sent(
            packet, span.group, self.next_sequence, timestamp, pictures, span.tl0_offset, burst=True
        )
        span.burst.append(sent)
        self.next_sequence += 1
        self.last_timestamp = timestamp
        self.picture_offset = pictures
        self.packets += 1
        self.octets += out.payload_size
        return sent

    def expire(self, now: float) -> None:
        """Call now and then: forget what nobody asks for again."""
        if self.first_pictures is not None:
            self.first_pictures.expire(now)
        if now - max(self.burst_at, self.catches_up_until or 0.0) > _BURST_KEPT:
            for span in self.spans:
                # One that goes on counts its packets from its beginning.
                if span.burst and (self.burst_layer is None or span is not self.spans[-1]):
                    span.burst = []

    def counts(self) -> tuple[int, int]:
        """Packets and payload bytes sent so far, for sender reports."""
        if self.group is None:
            return self.packets, self.octets
        return (
            self.packets + self.group.packets - self._packets_before,
            self.octets + self.group.octets - self._octets_before,
        )

    def find(self, sequence16: int) -> Sent | None:
        """What was sent to this leg under a 16-bit number, if it is still cached."""
        sent = self._find(sequence16)
        if sent is None or sent.left_out or self.first_pictures is None:
            return sent  # an empty packet is sent as if it were the first time, and moved then
        return replace(sent, timestamp=self.first_pictures.find(sent.timestamp))

    def _find(self, sequence16: int) -> Sent | None:
        newest = (
            self.group.next_sequence + self.sequence_offset
            if self.group is not None
            else self.next_sequence
        )
        number = newest - ((newest - sequence16) & 0xFFFF)
        for span in reversed(self.spans):
            if number < span.first:
                continue
            if span.burst is not None:
                index = number - span.first
                return span.burst[index] if index < len(span.burst) else None
            found = span.group.find(number - span.sequence_offset)
            if found is None:
                return None
            packet, left_out = found
            return Sent(
                packet,
                span.group,
                number,
                (packet.timestamp + span.timestamp_offset) & 0xFFFFFFFF,
                span.picture_offset,
                span.tl0_offset,
                left_out=left_out,
            )
        return None
