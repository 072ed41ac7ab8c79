"""VP9 in RTP: the payload descriptor (RFC 9628 4.2) and a keyframe's uncompressed header.

Here: reading one packet's descriptor, scalability structure included, where its picture numbers
are, and what a container must be told of a keyframe (VP9 bitstream specification 6.2). Not here:
joining packets to frames, dropping layers. Stateless. Raises only PayloadError.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media.bits import BitReader
from relay.media.frame_info import PacketInfo, PayloadError, read_picture_id
from relay.media.rtp import Buffer

SYNC_CODE = 0x498342
COLOR_SPACE_RGB = 7
# P_DIFF may be given three times at most (RFC 9628 4.2).
MAX_REFERENCES = 3


def parse(data: Buffer, start: int, end: int, marker: bool) -> PacketInfo:
    """Read the descriptor at `start`; the payload ends before `end`. See PacketInfo."""
    return _read(data, start, end, marker)[0]


def frame_offset(data: Buffer, start: int, end: int) -> int:
    """Offset of the frame's own bytes, behind the descriptor."""
    return _read(data, start, end, False)[1]


def _read(data: Buffer, start: int, end: int, marker: bool) -> tuple[PacketInfo, int]:
    if start >= end:
        raise PayloadError("vp9: empty payload")
    first = data[start]
    position = start + 1
    info = PacketInfo(False, marker)
    if first & 0x80:
        position = read_picture_id(info, data, start, position, end)
    flexible = first & 0x10
    if first & 0x20:
        if position >= end:
            raise PayloadError("vp9: ends before the layer byte")
        layers = data[position]
        position += 1
        info.temporal_id = layers >> 5
        info.layer_sync = layers & 0x10 != 0
        info.spatial_id = layers >> 1 & 7
        if not flexible:
            if position >= end:
                raise PayloadError("vp9: ends before TL0PICIDX")
            info.tl0picidx = data[position]
            info.tl0picidx_offset = position - start
            position += 1
    if flexible and first & 0x40:
        for _ in range(MAX_REFERENCES):
            if position >= end:
                raise PayloadError("vp9: ends inside the references")
            more = data[position] & 1
            position += 1
            if not more:
                break
        else:
            raise PayloadError("vp9: more than three references")
    if first & 0x02:
        position = _skip_structure(data, position, end)
    if position >= end:
        raise PayloadError("vp9: nothing behind the descriptor")
    if first & 0x08 and info.spatial_id == 0:
        info.start_of_frame = True
        info.keyframe = not first & 0x40
    return info, position


def _skip_structure(data: Buffer, position: int, end: int) -> int:
    """Position behind the scalability structure."""
    if position >= end:
        raise PayloadError("vp9: ends before the scalability structure")
    head = data[position]
    position += 1
    if head & 0x10:
        position += 4 * ((head >> 5) + 1)
    if head & 0x08:
        if position >= end:
            raise PayloadError("vp9: ends before the picture group")
        pictures = data[position]
        position += 1
        for _ in range(pictures):
            if position >= end:
                raise PayloadError("vp9: ends inside the picture group")
            position += 1 + (data[position] >> 2 & 3)
    return position


@dataclass(frozen=True, slots=True)
class KeyframeHeader:
    """What a keyframe says of its stream."""

    profile: int
    bit_depth: int
    """8, 10 or 12."""
    color_space: int
    full_range: bool
    subsampling_x: int
    subsampling_y: int
    """1, 1 is 4:2:0."""
    width: int
    height: int


def parse_keyframe(frame: Buffer) -> KeyframeHeader:
    """Read a keyframe's uncompressed header; `frame` has no RTP descriptor in front. Raises
    PayloadError when it is not a keyframe."""
    bits = BitReader(frame[:32])
    if bits.read(2) != 2:
        raise PayloadError("vp9: frame marker missing")
    profile = bits.read(1) | bits.read(1) << 1
    if profile == 3 and bits.read(1):
        raise PayloadError("vp9: reserved profile")
    if bits.flag():
        raise PayloadError("vp9: shows an existing frame")
    if bits.flag():
        raise PayloadError("vp9: not a keyframe")
    bits.read(2)  # show_frame, error_resilient_mode
    if bits.read(24) != SYNC_CODE:
        raise PayloadError("vp9: sync code missing")
    bit_depth = (12 if bits.flag() else 10) if profile >= 2 else 8
    color_space = bits.read(3)
    subsampling_x = subsampling_y = 1
    if color_space != COLOR_SPACE_RGB:
        full_range = bits.flag()
        if profile & 1:
            subsampling_x = bits.read(1)
            subsampling_y = bits.read(1)
            bits.read(1)
    else:
        if not profile & 1:
            raise PayloadError("vp9: RGB needs profile 1 or 3")
        full_range = True
        subsampling_x = subsampling_y = 0
        bits.read(1)
    return KeyframeHeader(
        profile,
        bit_depth,
        color_space,
        full_range,
        subsampling_x,
        subsampling_y,
        bits.read(16) + 1,
        bits.read(16) + 1,
    )
