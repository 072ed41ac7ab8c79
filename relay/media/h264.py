"""H.264 in RTP (RFC 6184): single NAL units, STAP-A and FU-A, as packetization modes 0 and 1 have.

Here: telling keyframes and frame starts from one packet, and reading what a container must be told
from a sequence parameter set (H.264 7.3.2.1.1). Not here: joining packets to frames. H.264 has no
picture numbers in RTP. Stateless. Raises only PayloadError.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media.bits import BitReader
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.rtp import Buffer

SLICE = 1
IDR = 5
SEI = 6
SPS = 7
PPS = 8
DELIMITER = 9
PREFIX = 14
STAP_A = 24
FU_A = 28

# Profiles whose parameter sets carry the chroma format and what follows it (H.264 7.3.2.1.1).
_CHROMA_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_OPENERS = frozenset((SEI, SPS, PPS, DELIMITER, PREFIX))


def parse(data: Buffer, start: int, end: int, marker: bool) -> PacketInfo:
    """Read one payload. A keyframe begins with a parameter set or an IDR slice (both are marked:
    see PacketInfo.start_of_frame)."""
    if start >= end:
        raise PayloadError("h264: empty payload")
    head = data[start]
    kind = head & 0x1F
    info = PacketInfo(False, marker)
    if 1 <= kind <= 23:
        info.discardable = head & 0x60 == 0 and kind == SLICE
        _note(info, data, kind, start + 1, end)
    elif kind == STAP_A:
        _read_aggregate(info, data, start + 1, end)
    elif kind == FU_A:
        if end - start < 3:
            raise PayloadError("h264: fragment too short")
        fragment = data[start + 1]
        if fragment & 0xC0 == 0xC0:
            raise PayloadError("h264: a fragment that both starts and ends")
        info.discardable = head & 0x60 == 0 and fragment & 0x1F == SLICE
        if fragment & 0x80:
            _note(info, data, fragment & 0x1F, start + 2, end)
    else:
        raise PayloadError("h264: packet type outside modes 0 and 1")
    return info


def _note(info: PacketInfo, data: Buffer, kind: int, position: int, end: int) -> None:
    """Take into `info` what a NAL unit says whose first byte after the header is at `position`."""
    if kind in (SLICE, IDR):
        # first_mb_in_slice is ue(v): zero is a single set bit.
        if position < end and data[position] & 0x80:
            info.start_of_frame = True
        if kind == IDR and info.start_of_frame:
            info.keyframe = True
    elif kind in _OPENERS:
        info.start_of_frame = True
        if kind == SPS:
            info.keyframe = True
        elif kind == PREFIX and end - position >= 3 and data[position] & 0x80:
            # nal_unit_header_svc_extension (H.264 G.7.3.1.1): temporal_id.
            info.temporal_id = data[position + 2] >> 5


def _read_aggregate(info: PacketInfo, data: Buffer, position: int, end: int) -> None:
    slices = references = 0
    for offset, length in _aggregate(data, position, end):
        head = data[offset]
        kind = head & 0x1F
        if kind in (SLICE, IDR):
            slices += 1
            references += head & 0x60 != 0
        _note(info, data, kind, offset + 1, offset + length)
    info.discardable = slices > 0 and references == 0


def _aggregate(data: Buffer, position: int, end: int) -> list[tuple[int, int]]:
    units = []
    while position < end:
        if position + 2 > end:
            raise PayloadError("h264: aggregate ends inside a length")
        length = data[position] << 8 | data[position + 1]
        position += 2
        if length == 0 or position + length > end:
            raise PayloadError("h264: aggregated unit does not fit")
        units.append((position, length))
        position += length
    if not units:
        raise PayloadError("h264: empty aggregate")
    return units


def nal_units(data: Buffer, start: int, end: int) -> list[tuple[int, int]]:
    """(offset, length) of the whole NAL units in a payload that is no fragment."""
    if start >= end:
        raise PayloadError("h264: empty payload")
    kind = data[start] & 0x1F
    if kind == STAP_A:
        return _aggregate(data, start + 1, end)
    if 1 <= kind <= 23:
        return [(start, end - start)]
    raise PayloadError("h264: no whole units in this packet")


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What a sequence parameter set says of its stream."""

    profile: int
    constraints: int
    """The byte of constraint flags between profile and level."""
    level: int
    """Level times ten."""
    width: int
    height: int
    """Pixels after cropping."""
    chroma_format: int
    """1 is 4:2:0."""
    bit_depth_luma: int
    bit_depth_chroma: int


def unescape(nal: Buffer) -> bytes:
    """A NAL unit without its emulation prevention bytes (H.264 7.4.1)."""
    raw = bytes(nal)
    if b"\x00\x00\x03" not in raw:
        return raw
    out = bytearray()
    position = 0
    while True:
        found = raw.find(b"\x00\x00\x03", position)
        if found < 0:
            return bytes(out + raw[position:])
        out += raw[position : found + 2]
        position = found + 3


def parse_sps(nal: Buffer) -> SequenceParameters:
    """Read a sequence parameter set, NAL header first, without a start code."""
    if len(nal) < 4 or nal[0] & 0x1F != SPS:
        raise PayloadError("h264: not a sequence parameter set")
    # Everything up to the cropping fits well within this, scaling lists included.
    bits = BitReader(unescape(nal[1:2048]))
    profile, constraints, level = bits.read(8), bits.read(8), bits.read(8)
    bits.unsigned_golomb()
    chroma_format = 1
    separate_planes = False
    depth_luma = depth_chroma = 8
    if profile in _CHROMA_PROFILES:
        chroma_format = bits.unsigned_golomb()
        if chroma_format > 3:
            raise PayloadError("h264: unknown chroma format")
        if chroma_format == 3:
            separate_planes = bits.flag()
        depth_luma = 8 + bits.unsigned_golomb()
        depth_chroma = 8 + bits.unsigned_golomb()
        bits.read(1)
        if bits.flag():
            for index in range(12 if chroma_format == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned_golomb()
    order_type = bits.unsigned_golomb()
    if order_type == 0:
        bits.unsigned_golomb()
    elif order_type == 1:
        bits.read(1)
        bits.signed_golomb()
        bits.signed_golomb()
        count = bits.unsigned_golomb()
        if count > 255:
            raise PayloadError("h264: picture order cycle too long")
        for _ in range(count):
            bits.signed_golomb()
    bits.unsigned_golomb()
    bits.read(1)
    width = 16 * (bits.unsigned_golomb() + 1)
    map_units = bits.unsigned_golomb() + 1
    frames_only = bits.read(1)
    height = 16 * map_units * (2 - frames_only)
    if not frames_only:
        bits.read(1)
    bits.read(1)
    if bits.flag():
        array_type = 0 if separate_planes else chroma_format
        unit_x = 2 if array_type in (1, 2) else 1
        unit_y = (2 if array_type == 1 else 1) * (2 - frames_only)
        width -= unit_x * (bits.unsigned_golomb() + bits.unsigned_golomb())
        height -= unit_y * (bits.unsigned_golomb() + bits.unsigned_golomb())
    if not (0 < width <= 65536 and 0 < height <= 65536):
        raise PayloadError("h264: impossible picture size")
    return SequenceParameters(
        profile, constraints, level, width, height, chroma_format, depth_luma, depth_chroma
    )


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) & 0xFF
        last = following or last
