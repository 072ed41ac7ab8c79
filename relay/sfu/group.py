"""Viewers that receive the very same bytes of a layer, but for three numbers each.

A group is one layer, one highest temporal id and one profile (payload type, SSRC and header
extensions as negotiated). The packet is rebuilt once per group: extensions of the viewer's
numbering, sequence gaps of dropped temporal layers closed, timestamp on the slot's timeline. A
group lives while it has legs; whoever still wants a repair from it holds it by its span. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from relay.media import playout, rtp
from relay.media.frame_info import patch_picture_id
from relay.media.renumber import FrameRenumberer, Renumberer
from relay.media.seqno import Unwrapper, delta32
from relay.sfu.members import Members
from relay.sfu.packet import Outgoing, Received
from relay.sfu.redundancy import Redundancy, frame_of

if TYPE_CHECKING:
    from relay.sfu.layer import Layer

_FIXED: Final = struct.Struct("!BBHII")
# Extensions that pass through unchanged when both sides have them.
_PASSED: Final = (rtp.DEPENDENCY_DESCRIPTOR, rtp.VIDEO_ORIENTATION)
# Temporal id that keeps everything.
ALL_TEMPORAL: Final = 7


@dataclass(frozen=True, slots=True)
class Profile:
    """How a layer's packets look to some viewers.

    payload_type, ssrc: as the slot has them. twcc: identifier of the transport-wide number, 0
    for none. passed: (publisher's identifier, viewer's identifier, is dependency descriptor).
    red: payload type of RED, None when the viewer takes none. red_depth: how many earlier frames
    each packet of voice carries, 0 to 2; with 0 it goes as plain Opus, whatever the publisher
    sent. rtx: payload type of repairs, None when they go out as the packet itself. playout:
    identifier of the playout delay, and the least delay in milliseconds that it tells; None for
    no such word. exact: timestamps as the publisher wrote them, for another relay.
    """

    payload_type: int
    ssrc: int
    twcc: int = 0
    passed: tuple[tuple[int, int, bool], ...] = ()
    red: int | None = None
    rtx: int | None = None
    red_depth: int = 0
    playout: tuple[int, int] | None = None
    exact: bool = False


def passed_extensions(
    theirs: Mapping[str, int], ours: Mapping[str, int]
) -> tuple[tuple[int, int, bool], ...]:
    """Extensions to copy from a publisher (`theirs`: URI → identifier) to a viewer (`ours`)."""
    return tuple(
        (theirs[uri], ours[uri], uri == rtp.DEPENDENCY_DESCRIPTOR)
        for uri in _PASSED
        if uri in theirs and uri in ours
    )


class Group:
    """legs: members, in no order.

    last_timestamp, last_picture, last_tl0: of the newest packet that was forwarded.
    """

    def __init__(self, layer: Layer, max_temporal: int, profile: Profile) -> None:
        self.layer = layer
        self.max_temporal = max_temporal
        self.profile = profile
        self.legs = Members()
        self.packets = 0
        self.octets = 0
        self.last_timestamp = 0
        self._frame_timestamp = -1
        self._frame_bytes = 0
        self.last_picture: int | None = None
        self.last_tl0: int | None = None
        self._renumber = Renumberer()
        self._fixed: list[tuple[int, bytes]] = []
        if profile.twcc:
            self._fixed.append((profile.twcc, b"\0\0"))
        if profile.playout is not None:
            self._fixed.append((profile.playout[0], playout.pack(profile.playout[1])))
        self._head = rtp.build_extension_block(self._fixed)
        self._head_size = 1 if self._head[:2] == b"\xbe\xde" else 2
        # Only VP8's receivers take a gap in picture ids for a loss (RFC 7741 §4.2); VP9's and the
        # dependency descriptor's follow the references, and would take a closed gap for one.
        self._closes = layer.codec_name == "vp8"
        self._pictures: FrameRenumberer | None = None
        self._picture_numbers = Unwrapper(15)
        self._redundancy: Redundancy | None = None
        if profile.red is not None and profile.red_depth:
            self._redundancy = Redundancy(layer, profile.payload_type, profile.red_depth)

    @property
    def next_sequence(self) -> int:
        """What the next packet in order will carry; numbers of missing ones are kept for them."""
        return self._renumber.next_out

    @property
    def lift(self) -> int:
        """From the publisher's timestamps to these viewers'."""
        return 0 if self.profile.exact else self.layer.slot_offset

    def closes_gaps(self, out: Outgoing) -> bool:
        """Whether the picture ids that viewers of `out` see must rise by one each frame."""
        return self._closes and out.picture_bits != 16

    def forward(self, packet: Received) -> Outgoing | None:
        """The packet for this group's legs, or None when it is not for them.

        A late packet of a dropped temporal layer would leave a hole in the numbers already sent;
        it becomes an empty padding packet, so that nobody asks for it.
        """
        info = packet.info
        if info.temporal_id > self.max_temporal:
            if self._closes and info.picture_id is not None:
                if self._pictures is None:
                    self._pictures = FrameRenumberer()
                    self._picture_numbers = Unwrapper(info.picture_id_bits)
                self._pictures.drop(self._picture_numbers.unwrap(info.picture_id))
            hole = self._renumber.drop(packet.sequence)
            return None if hole is None else self.padding(packet, hole)
        newest = packet.sequence > self._renumber.highest_in
        number = self._renumber.forward(packet.sequence)
        if number is None:
            return None
        closed: int | None = None
        if self._pictures is not None and info.picture_id is not None:
            closed = self._pictures.forward(self._picture_numbers.unwrap(info.picture_id))
        out = self.build(packet, number, closed)
        # What overtook a late packet may have been for others alone.
        if newest or self.last_timestamp is None or delta32(out.timestamp, self.last_timestamp) > 0:
            self.last_timestamp = out.timestamp
            if out.picture_offset:
                self.last_picture = out.picture
            if out.tl0_offset:
                self.last_tl0 = out.tl0
        self.packets += 1
        self.octets += out.payload_size
        return out

    def frame_so_far(self, run: Sequence[Outgoing]) -> int:
        """Bytes of the frame that `run` ends in, with what went before of it."""
        for out in run:
            if out.timestamp != self._frame_timestamp:
                self._frame_timestamp = out.timestamp
                self._frame_bytes = 0
            self._frame_bytes += len(out.data)
        return self._frame_bytes

    def find(self, number: int) -> tuple[Received, bool] | None:
        """The cached packet behind one of this group's unwrapped numbers.

        Also whether it was left out: then its number went to a padding packet.
        """
        origin, left_out = self._renumber.origin(number), False
        if origin is None:
            origin, left_out = self._renumber.hole(number), True
        if origin is None:
            return None
        packet = self.layer.cached(origin)
        if packet is None:
            return None
        # One that came after the last leg had left was never dropped here, but would have been.
        return packet, left_out or packet.info.temporal_id > self.max_temporal

    def rebuild(self, packet: Received, number: int) -> Outgoing:
        """The packet as `forward` made it, for sending it again."""
        closed: int | None = None
        if self._pictures is not None and packet.info.picture_id is not None:
            closed = self._pictures.find(self._picture_numbers.peek(packet.info.picture_id))
        return self.build(packet, number, closed)

    def build(self, packet: Received, number: int, closed: int | None = None) -> Outgoing:
        """The packet as this group's viewers see it, numbered `number`; counts nothing.

        closed: what its picture id becomes once the gaps of dropped frames are closed, None for
        what it is.
        """
        profile, info = self.profile, packet.info
        payload = packet.data[packet.payload_offset : packet.payload_end]
        payload_type = profile.payload_type
        if self._redundancy is not None:
            if payload and profile.red is not None:
                payload_type = profile.red
                payload = self._redundancy.payload(packet)
        elif packet.payload_type in self.layer.track.red:
            payload = frame_of(self.layer, packet)
        block, head, descriptor_at = self._head, self._head_size, 0
        if profile.passed and packet.extension_offset:
            block, head, descriptor_at = self._extension_block(packet)
        out = Outgoing(
            _FIXED.pack(
                0x90 if block else 0x80,
                payload_type | (0x80 if packet.marker else 0),
                0,
                0,
                profile.ssrc,
            )
            + block
            + payload,
            number,
            (packet.timestamp + self.lift) & 0xFFFFFFFF,
            rtp.HEADER_SIZE + 4 + head if profile.twcc else 0,
            payload_size=len(payload),
            temporal=info.temporal_id,
        )
        if descriptor_at:
            out.picture_offset = descriptor_at + 1
            out.picture = int.from_bytes(out.data[descriptor_at + 1 : descriptor_at + 3], "big")
            out.picture_bits = 16
        elif info.picture_id is not None:
            self._place_picture(packet, out, rtp.HEADER_SIZE + len(block), closed)
        return out

    def padding(self, packet: Received, number: int) -> Outgoing:
        """An empty packet in the place of `packet`, which these viewers do not receive."""
        block = self._head
        head = _FIXED.pack(
            0xB0 if block else 0xA0, self.profile.payload_type, 0, 0, self.profile.ssrc
        )
        timestamp = (packet.timestamp + self.lift) & 0xFFFFFFFF
        twcc_offset = rtp.HEADER_SIZE + 4 + self._head_size if self.profile.twcc else 0
        return Outgoing(head + block + b"\x01", number, timestamp, twcc_offset)

    def _extension_block(self, packet: Received) -> tuple[bytes, int, int]:
        """The block, the size of an element's head in it, and where the descriptor stands or 0."""
        profile, data = self.profile, packet.data
        items = list(self._fixed)
        descriptor: int | None = None
        header = self.layer.header_of(packet)
        for theirs, ours, is_descriptor in profile.passed:
            found = rtp.find_extension(data, header, theirs)
            if found is not None:
                if is_descriptor and found[1] >= 3:
                    descriptor = len(items)
                items.append((ours, bytes(data[found[0] : found[0] + found[1]])))
        block = rtp.build_extension_block(items)
        head = 1 if block[:2] == b"\xbe\xde" else 2
        if descriptor is None:
            return block, head, 0
        before = sum(head + len(value) for _, value in items[:descriptor])
        return block, head, rtp.HEADER_SIZE + 4 + before + head

    def _place_picture(
        self, packet: Received, out: Outgoing, start: int, closed: int | None
    ) -> None:
        info = packet.info
        picture = info.picture_id
        assert picture is not None
        out.picture_offset = start + info.picture_id_offset
        out.picture_bits = info.picture_id_bits
        out.picture = picture
        if info.tl0picidx is not None:
            out.tl0_offset = start + info.tl0picidx_offset
            out.tl0 = info.tl0picidx
        if closed is None:
            return
        closed &= (1 << info.picture_id_bits) - 1
        if closed == picture:
            return
        patched = bytearray(out.data)
        patch_picture_id(patched, start, info, closed)
        out.data = bytes(patched)
        out.picture = closed
