"""The two forms of a packet inside the SFU: as received from a publisher, as sent to a group.

One `Received` is made per packet that arrives, one `Outgoing` per packet and group of viewers;
nothing is made per viewer. Both refer to bytes and copy none. `patch_picture` is here because
whoever sends an `Outgoing` to one viewer must write the same numbers into it. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from relay.media.frame_info import PacketInfo

_unsigned16: Final = struct.Struct("!H").pack_into


@dataclass(slots=True, eq=False)
class Received:
    """A publisher's RTP packet after SRTP and RTX are undone.

    sequence: unwrapped sequence number of its layer (64 bits).
    data: the whole RTP packet; payload is data[payload_offset:payload_end].
    arrived: seconds on the relay's clock.
    """

    sequence: int
    data: bytes
    payload_type: int
    marker: bool
    timestamp: int
    payload_offset: int
    payload_end: int
    extension_offset: int
    info: PacketInfo
    arrived: float


@dataclass(slots=True, eq=False)
class Outgoing:
    """What every viewer of one group receives, but for the fields that `fan_out` patches.

    data: RTP packet with sequence number and transport-wide number still to be written.
    sequence: the group's sequence number (unwrapped); a leg adds its own offset.
    timestamp: RTP timestamp on the slot's timeline (32 bits); a leg adds its own offset.
    twcc_offset: where the transport-wide number stands, 0 for nowhere.
    picture_offset: where in `data` the picture id or frame number stands, 0 for none.
    picture: the picture id there; picture_bits: 7, 15 or 16.
    tl0_offset: where TL0PICIDX stands, 0 for none; tl0: its value.
    payload_size: bytes of payload at the end of `data`. temporal: its frame's temporal id.
    """

    data: bytes
    sequence: int
    timestamp: int
    twcc_offset: int = 0
    picture_offset: int = 0
    picture: int = 0
    picture_bits: int = 0
    tl0_offset: int = 0
    tl0: int = 0
    payload_size: int = 0
    temporal: int = 0


def patch_picture(
    buffer: bytearray | memoryview, start: int, packet: Outgoing, pictures: int, tl0_pictures: int
) -> None:
    """Write one viewer's picture id and TL0PICIDX into a copy of `packet.data`.

    The copy begins at `start` of `buffer`; `packet.picture_offset` is not 0. pictures,
    tl0_pictures: what the viewer adds to the packet's own numbers.
    """
    at = start + packet.picture_offset
    value = packet.picture + pictures
    if packet.picture_bits == 7:
        buffer[at] = value & 0x7F
    elif packet.picture_bits == 15:
        _unsigned16(buffer, at, 0x8000 | value & 0x7FFF)
    else:
        _unsigned16(buffer, at, value & 0xFFFF)
    if packet.tl0_offset:
        buffer[start + packet.tl0_offset] = packet.tl0 + tl0_pictures & 0xFF
