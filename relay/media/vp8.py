"""VP8 in RTP: the payload descriptor (RFC 7741 4.2).

Here: reading one packet's descriptor and where its picture numbers are. Not here: joining packets
to frames (relay.record), renumbering (renumber). Stateless. Raises only PayloadError.
"""

from __future__ import annotations

from relay.media.frame_info import PacketInfo, PayloadError, read_picture_id
from relay.media.rtp import Buffer


def parse(data: Buffer, start: int, end: int, marker: bool) -> PacketInfo:
    """Read the descriptor at `start`; the payload ends before `end`. See PacketInfo."""
    return _read(data, start, end, marker)[0]


def frame_offset(data: Buffer, start: int, end: int) -> int:
    """Offset of the frame's own bytes, behind the descriptor."""
    return _read(data, start, end, False)[1]


def _read(data: Buffer, start: int, end: int, marker: bool) -> tuple[PacketInfo, int]:
    if start >= end:
        raise PayloadError("vp8: empty payload")
    first = data[start]
    position = start + 1
    info = PacketInfo(first & 0x17 == 0x10, marker)  # S set, partition index (3 bits) zero
    info.discardable = first & 0x20 != 0
    if first & 0x80:
        if position >= end:
            raise PayloadError("vp8: ends before the extension bits")
        bits = data[position]
        position += 1
        if bits & 0x80:
            position = read_picture_id(info, data, start, position, end)
        if bits & 0x40:
            if position >= end:
                raise PayloadError("vp8: ends before TL0PICIDX")
            info.tl0picidx = data[position]
            info.tl0picidx_offset = position - start
            position += 1
        if bits & 0x30:
            if position >= end:
                raise PayloadError("vp8: ends before the layer byte")
            if bits & 0x20:
                info.temporal_id = data[position] >> 6
                info.layer_sync = data[position] & 0x20 != 0
            position += 1
    if position >= end:
        raise PayloadError("vp8: nothing behind the descriptor")
    # The P bit of the frame's own first byte is 0 in a keyframe.
    if info.start_of_frame and not data[position] & 1:
        info.keyframe = True
    return info, position
