"""What forwarding needs to know of one video packet, whatever its codec.

Here: the common result of the payload readers (vp8, vp9, h264, av1), the one error they raise, the
picture numbers that VP8 and VP9 have alike, and patching them in place at the offsets found (RFC
7741 4.2, RFC 9628 4.2). Not here: the rest of any codec. Offsets count from the first byte of the
RTP payload.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media.rtp import Buffer


class PayloadError(ValueError):
    """A payload that does not follow its format; the message says where it broke."""


@dataclass(slots=True)
class PacketInfo:
    """One packet of video. "Frame" means all spatial layers of one picture together."""

    start_of_frame: bool = False
    """First packet of a frame. H.264 may say so twice (parameter sets, then the first slice):
    there a frame begins at the first such packet of its timestamp."""
    end_of_frame: bool = False
    """Last packet of a frame: the marker bit in all our codecs."""
    keyframe: bool = False
    """This packet begins a keyframe; the later packets of a keyframe do not say so."""
    temporal_id: int = 0
    """0 is the base layer, and the answer when the codec does not say."""
    layer_sync: bool = False
    """A viewer may begin to receive this packet's temporal layer here."""
    discardable: bool = False
    """No other frame refers to this one."""
    picture_id: int | None = None
    picture_id_offset: int = -1
    """-1 when there is none."""
    picture_id_bits: int = 0
    """7 or 15; 0 when there is none."""
    tl0picidx: int | None = None
    tl0picidx_offset: int = -1
    """-1 when there is none."""
    spatial_id: int = 0


def read_picture_id(info: PacketInfo, data: Buffer, start: int, position: int, end: int) -> int:
    """Take the picture id at `position` into `info`; gives the position behind it. VP8 and VP9
    have it in the same form: 7 bits, or 15 when the first bit is set."""
    if position >= end:
        raise PayloadError("ends before the picture id")
    info.picture_id_offset = position - start
    value = data[position]
    position += 1
    if value < 0x80:
        info.picture_id = value
        info.picture_id_bits = 7
        return position
    if position >= end:
        raise PayloadError("ends inside the picture id")
    info.picture_id = (value & 0x7F) << 8 | data[position]
    info.picture_id_bits = 15
    return position + 1


def patch_picture_id(buffer: bytearray, payload_start: int, info: PacketInfo, value: int) -> None:
    """Write `value`, cut to the width found, over the picture id; nothing where there is none."""
    offset = info.picture_id_offset
    if offset < 0:
        return
    offset += payload_start
    if info.picture_id_bits == 15:
        buffer[offset] = 0x80 | value >> 8 & 0x7F
        buffer[offset + 1] = value & 0xFF
    else:
        buffer[offset] = value & 0x7F
