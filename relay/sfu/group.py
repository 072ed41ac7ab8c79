"""Viewers that receive the very same bytes of a layer, but for three numbers each.

A group is one layer, one highest temporal id and one profile (payload type, SSRC and header
extensions as negotiated). The packet is rebuilt once per group: extensions of the viewer's
numbering, sequence gaps of dropped temporal layers closed, timestamp on the slot's timeline. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from relay.media import red, rtp
from relay.media.frame_info import patch_picture_id
from relay.media.renumber import FrameRenumberer, Renumberer
from relay.media.seqno import Unwrapper
from relay.sfu.members import Members
from relay.sfu.packet import Outgoing, Received

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
    red: payload type of RED; None: the viewer takes none, so the primary block goes as Opus.
    rtx: payload type of repairs, None when they go out as the packet itself.
    """

    payload_type: int
    ssrc: int
    twcc: int = 0
    passed: tuple[tuple[int, int, bool], ...] = ()
    red: int | None = None
    rtx: int | None = None


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
    """legs: members, in no order. next_sequence: what the next packet in order will carry."""

    def __init__(self, layer: Layer, max_temporal: int, profile: Profile) -> None:
        self.layer = layer
        self.max_temporal = max_temporal
        self.profile = profile
        self.legs = Members()
        self.next_sequence = 0
        self.packets = 0
        self.octets = 0
        self.last_timestamp = 0
        self.last_picture: int | None = None
        self.last_tl0: int | None = None
        self._renumber = Renumberer()
        self._head = rtp.build_extension_block([(profile.twcc, b"\0\0")] if profile.twcc else [])
        # Only VP8's receivers take a gap in picture ids for a loss (RFC 7741 §4.2); VP9's and the
        # dependency descriptor's follow the references, and would take a closed gap for one.
        self._pictures: FrameRenumberer | None = None
        self._picture_numbers = Unwrapper(15)

    def forward(self, packet: Received) -> Outgoing | None:
        """The packet for this group's legs, or None when it is not for them.

        A late packet of a dropped temporal layer would leave a hole in the numbers already sent;
        it becomes an empty padding packet, so that nobody asks for it.
        """
        info = packet.info
        if info.temporal_id > self.max_temporal:
            if self.layer.codec_name == "vp8" and info.picture_id is not None:
                if self._pictures is None:
                    self._pictures = FrameRenumberer()
                    self._picture_numbers = Unwrapper(info.picture_id_bits)
                self._pictures.drop(self._picture_numbers.unwrap(info.picture_id))
            hole = self._renumber.drop(packet.sequence)
            return None if hole is None else self._padding(packet, hole)
        number = self._renumber.forward(packet.sequence)
        if number is None:
            return None
        if number >= self.next_sequence:
            self.next_sequence = number + 1
        out = self.build(packet, number)
        self.last_timestamp = out.timestamp
        if out.picture_offset:
            self.last_picture = out.picture
        if out.tl0_offset:
            self.last_tl0 = out.tl0
        self.packets += 1
        self.octets += packet.payload_end - packet.payload_offset
        return out

    def find(self, number: int) -> Received | None:
        """The cached packet behind one of this group's unwrapped numbers."""
        origin = self._renumber.origin(number)
        return None if origin is None else self.layer.cached(origin)

    def build(self, packet: Received, number: int) -> Outgoing:
        """The packet as this group's viewers see it, numbered `number`; counts nothing."""
        profile = self.profile
        data, info = packet.data, packet.info
        payload = data[self.payload_start(packet) : packet.payload_end]
        payload_type = profile.payload_type
        if profile.red is not None and packet.payload_type in self.layer.track.red:
            payload_type = profile.red
        block, head, descriptor_at = self._head, 1, 0
        if profile.passed and packet.extension_offset:
            block, head, descriptor_at = self._extension_block(packet)
        timestamp = (packet.timestamp + self.layer.slot_offset) & 0xFFFFFFFF
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
            timestamp,
            rtp.HEADER_SIZE + 4 + head if profile.twcc else 0,
        )
        start = rtp.HEADER_SIZE + len(block)
        if descriptor_at:
            out.picture_offset = descriptor_at + 1
            out.picture = int.from_bytes(out.data[descriptor_at + 1 : descriptor_at + 3], "big")
            out.picture_bits = 16
        elif info.picture_id is not None and info.picture_id_offset >= 0:
            self._place_picture(packet, out, start)
        return out

    def payload_start(self, packet: Received) -> int:
        """Where in `packet.data` begins what this group sends as payload."""
        start = packet.payload_offset
        if self.profile.red is None and packet.payload_type in self.layer.track.red:
            start = red.primary(packet.data, start, packet.payload_end)[1]
        return start

    def _extension_block(self, packet: Received) -> tuple[bytes, int, int]:
        """The block, the size of an element's head in it, and where the descriptor stands or 0."""
        profile, data = self.profile, packet.data
        items: list[tuple[int, bytes]] = [(profile.twcc, b"\0\0")] if profile.twcc else []
        descriptor: int | None = None
        header = self.layer.header_of(packet)
        for theirs, ours, is_descriptor in profile.passed:
            found = rtp.find_extension(data, header, theirs)
            if found is not None:
                if is_descriptor:
                    descriptor = len(items)
                items.append((ours, bytes(data[found[0] : found[0] + found[1]])))
        block = rtp.build_extension_block(items)
        head = 1 if block[:2] == b"\xbe\xde" else 2
        if descriptor is None:
            return block, head, 0
        before = sum(head + len(value) for _, value in items[:descriptor])
        return block, head, rtp.HEADER_SIZE + 4 + before + head

    def _place_picture(self, packet: Received, out: Outgoing, start: int) -> None:
        info = packet.info
        picture = info.picture_id
        assert picture is not None
        out.picture_offset = start + info.picture_id_offset
        out.picture_bits = info.picture_id_bits
        out.picture = picture
        if info.tl0picidx_offset >= 0 and info.tl0picidx is not None:
            out.tl0_offset = start + info.tl0picidx_offset
            out.tl0 = info.tl0picidx
        if self._pictures is None:
            return
        closed = self._pictures.forward(self._picture_numbers.unwrap(picture))
        if closed is None or closed & ((1 << info.picture_id_bits) - 1) == picture:
            return
        patched = bytearray(out.data)
        patch_picture_id(patched, start, info, closed)
        out.data = bytes(patched)
        out.picture = closed & ((1 << info.picture_id_bits) - 1)

    def _padding(self, packet: Received, number: int) -> Outgoing:
        block = self._head
        head = _FIXED.pack(
            0xB0 if block else 0xA0, self.profile.payload_type, 0, 0, self.profile.ssrc
        )
        timestamp = (packet.timestamp + self.layer.slot_offset) & 0xFFFFFFFF
        twcc_offset = rtp.HEADER_SIZE + 5 if self.profile.twcc else 0
        return Outgoing(head + block + b"\x01", number, timestamp, twcc_offset)
