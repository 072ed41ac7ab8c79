"""The two forms of a packet inside the SFU: as received from a publisher, as sent to a group.

One `Received` is made per packet that arrives, one `Outgoing` per packet and group of viewers;
nothing is made per viewer. Both refer to bytes and copy none. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media.frame_info import PacketInfo


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
