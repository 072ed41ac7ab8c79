"""AV1 in RTP (AV1 RTP payload specification 4.3, 4.4) and the sequence header OBU (AV1 5.5).

Here: the aggregation header, where the OBU elements of a packet are, temporal and spatial ids, and
what a container must be told from a sequence header. Not here: the dependency descriptor (its own
module), joining packets to temporal units. Stateless. Raises only PayloadError.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media.bits import BitReader
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.rtp import Buffer

SEQUENCE_HEADER = 1
TEMPORAL_DELIMITER = 2
FRAME_HEADER = 3
TILE_GROUP = 4
METADATA = 5
FRAME = 6

# OBUs that may open a temporal unit; a tile group never does.
_OPENERS = frozenset((SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, METADATA, FRAME))


def parse(data: Buffer, start: int, end: int, marker: bool) -> PacketInfo:
    """Read the aggregation header and the OBU headers of one payload.

    The start of a frame is what can be told from one packet: it begins with a whole OBU which is
    no tile group. A dependency descriptor, where there is one, knows better.
    """
    info = PacketInfo(False, marker)
    found = elements(data, start, end)
    head = data[start]
    first = True
    for offset, length in found:
        if first and head & 0x80:
            first = False
            continue
        if length == 0:
            raise PayloadError("av1: empty element")
        obu = data[offset]
        if obu & 0x80:
            raise PayloadError("av1: forbidden bit set")
        kind = obu >> 3 & 0x0F
        if obu & 0x04:
            if length < 2:
                raise PayloadError("av1: ends before the layer byte")
            info.temporal_id = data[offset + 1] >> 5
            info.spatial_id = data[offset + 1] >> 3 & 3
        if first:
            first = False
            info.start_of_frame = kind in _OPENERS
        if kind == SEQUENCE_HEADER:
            info.keyframe = info.start_of_frame = True
    if head & 0x08:
        info.keyframe = info.start_of_frame = True
    return info


def elements(data: Buffer, start: int, end: int) -> list[tuple[int, int]]:
    """(offset, length) of the OBU elements of a payload. By the bits of its first byte, the first
    may go on from the packet before (0x80), and the last may go on in the next one (0x40)."""
    if end - start < 2:
        raise PayloadError("av1: payload too short")
    head = data[start]
    if head & 0x88 == 0x88:
        raise PayloadError("av1: a new sequence cannot begin with a continued element")
    count = head >> 4 & 3
    position = start + 1
    found: list[tuple[int, int]] = []
    while position < end:
        if count and len(found) == count - 1:
            length = end - position
        else:
            length, position = read_leb128(data, position, end)
            if position + length > end:
                raise PayloadError("av1: element does not fit")
        found.append((position, length))
        position += length
    if not found or (count and len(found) != count):
        raise PayloadError("av1: fewer elements than announced")
    return found


def read_leb128(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """A little-endian base-128 number at `position` and the position behind it (AV1 4.10.5)."""
    value = shift = 0
    while True:
        if position >= end or shift > 49:
            raise PayloadError("av1: bad variable-length number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def write_leb128(value: int) -> bytes:
    """The shortest form of a number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def obu_payload(obu: Buffer) -> tuple[int, int, int]:
    """(type, offset, end) of the payload of one OBU, whether or not it carries its own size."""
    if not obu:
        raise PayloadError("av1: empty OBU")
    head = obu[0]
    position = 2 if head & 0x04 else 1
    end = len(obu)
    if position > end:
        raise PayloadError("av1: ends before the layer byte")
    if head & 0x02:
        size, position = read_leb128(obu, position, end)
        if position + size > end:
            raise PayloadError("av1: OBU ends early")
        end = position + size
    return head >> 3 & 0x0F, position, end


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """What a sequence header says of its stream; level and tier are of operating point 0."""

    profile: int
    level: int
    """seq_level_idx: 8 is level 4.0, 31 is no limit."""
    tier: int
    bit_depth: int
    monochrome: bool
    subsampling_x: int
    subsampling_y: int
    chroma_position: int
    color_primaries: int
    transfer_characteristics: int
    matrix_coefficients: int
    full_range: bool
    max_width: int
    max_height: int
    initial_presentation_delay: int | None
    """Frames less one, or None when the stream does not say."""


def parse_sequence_header(obu: Buffer) -> SequenceHeader:
    """Read a whole sequence header OBU, its OBU header first."""
    kind, position, end = obu_payload(obu)
    if kind != SEQUENCE_HEADER:
        raise PayloadError("av1: not a sequence header")
    bits = BitReader(obu[position : min(end, position + 1024)])
    profile = bits.read(3)
    if profile > 2:
        raise PayloadError("av1: unknown profile")
    bits.read(1)  # still_picture
    reduced = bits.flag()
    level, tier, delay = (bits.read(5), 0, None) if reduced else _operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    _skip_tools(bits, reduced)
    return _with_colors(bits, profile, level, tier, delay, width, height)


def _operating_points(bits: BitReader) -> tuple[int, int, int | None]:
    """Level, tier and presentation delay of the first operating point; reads over the rest."""
    delay_bits = 0
    decoder_model = False
    if bits.flag():  # timing_info_present_flag
        bits.read(64)
        if bits.flag():  # equal_picture_interval
            bits.variable()
        decoder_model = bits.flag()
        if decoder_model:
            delay_bits = bits.read(5) + 1
            bits.read(42)
    delay_present = bits.flag()
    level = tier = 0
    delay: int | None = None
    for point in range(bits.read(5) + 1):
        bits.read(12)
        point_level = bits.read(5)
        point_tier = bits.read(1) if point_level > 7 else 0
        if decoder_model and bits.flag():
            bits.read(2 * delay_bits + 1)
        point_delay = bits.read(4) if delay_present and bits.flag() else None
        if point == 0:
            level, tier, delay = point_level, point_tier, point_delay
    return level, tier, delay


def _skip_tools(bits: BitReader, reduced: bool) -> None:
    if not reduced and bits.flag():  # frame_id_numbers_present_flag
        bits.read(7)
    bits.read(3)  # 128x128 superblocks, filter intra, intra edge filter
    if not reduced:
        bits.read(4)  # interintra, masked, warped, dual filter
        if bits.flag():  # enable_order_hint
            bits.read(2)
            order_hint = True
        else:
            order_hint = False
        screen_tools = 2 if bits.flag() else bits.read(1)
        if screen_tools and not bits.flag():
            bits.read(1)
        if order_hint:
            bits.read(3)
    bits.read(3)  # superres, cdef, restoration


def _with_colors(
    bits: BitReader, profile: int, level: int, tier: int, delay: int | None, width: int, height: int
) -> SequenceHeader:
    """color_config() (AV1 5.5.2), then everything put together."""
    bit_depth = 8
    if bits.flag():
        bit_depth = 12 if profile == 2 and bits.flag() else 10
    monochrome = bits.flag() if profile != 1 else False
    primaries = transfer = matrix = 2
    if bits.flag():
        primaries, transfer, matrix = bits.read(8), bits.read(8), bits.read(8)
    x = y = 1
    position = 0
    if monochrome:
        full_range = bits.flag()
    elif (primaries, transfer, matrix) == (1, 13, 0):  # sRGB
        full_range = True
        x = y = 0
    else:
        full_range = bits.flag()
        if profile == 1:
            x = y = 0
        elif profile == 2:
            x, y = 1, 0
            if bit_depth == 12:
                x = bits.read(1)
                y = bits.read(1) if x else 0
        if x and y:
            position = bits.read(2)
    return SequenceHeader(
        profile,
        level,
        tier,
        bit_depth,
        monochrome,
        x,
        y,
        position,
        primaries,
        transfer,
        matrix,
        full_range,
        width,
        height,
        delay,
    )
