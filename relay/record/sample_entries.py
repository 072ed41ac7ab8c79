"""Sample entries: what an initialisation segment says of a codec's configuration. PURE.

Here: `avc1` (ISO/IEC 14496-15), `vp09` (VP9 in ISO BMFF 1.0), `av01` (AV1 in ISO BMFF 1.2), `Opus`
(Opus in ISO BMFF 0.8.1), `mp4a` (ISO/IEC 14496-14), each with its RFC 6381 codec string. Not here:
the boxes around them (`cmaf`), reading bitstreams (relay.media).

H.264 is `avc1`, its parameter sets in the entry only: `avc3` (sets in the samples) is refused by
Apple's players over HLS and by some televisions, and a change of sets makes a new initialisation
segment anyway, which `avc1` requires and which a player needs in order to change resolution.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.media import av1, h264, vp9
from relay.media.frame_info import PayloadError
from relay.media.rtp import Buffer

# (level × 10, luma samples per second, luma samples per picture), VP9 levels of the WebM project.
_VP9_LEVELS: Final = (
    (10, 829_440, 36_864),
    (11, 2_764_800, 73_728),
    (20, 4_608_000, 122_880),
    (21, 9_216_000, 245_760),
    (30, 20_736_000, 552_960),
    (31, 36_864_000, 983_040),
    (40, 83_558_400, 2_228_224),
    (41, 160_432_128, 2_228_224),
    (50, 311_951_360, 8_912_896),
    (51, 588_251_136, 8_912_896),
    (52, 1_176_502_272, 8_912_896),
)
_ASSUMED_RATE: Final = 30  # frames/s; a camera's or a screen's, for the level only
# VP9 color_space to (primaries, transfer, matrix) of ISO/IEC 23001-8; 2 is "unspecified".
_VP9_COLORS: Final = {1: (6, 6, 6), 2: (1, 1, 1), 3: (6, 6, 6), 4: (7, 7, 7), 5: (9, 14, 9)}
_VP9_RGB: Final = (1, 13, 0)
_AAC_48_KHZ: Final = 3  # samplingFrequencyIndex
MAX_SIDE: Final = 16_384  # pixels; larger is no camera and no screen, and some fields hold 16 bits
MAX_SET: Final = 4_096  # bytes of a parameter set or sequence header; they have some dozens
_HIGH_PROFILES: Final = frozenset((100, 110, 122, 144, 244))


@dataclass(frozen=True, slots=True)
class SampleEntry:
    """box: the whole sample entry. codec: RFC 6381. width, height: pixels, 0 for voice.

    channels: of Opus, 0 for video. source: the codec's short name ("h264").
    """

    box: bytes
    codec: str
    width: int
    height: int
    channels: int
    source: str


def box(kind: bytes, *parts: bytes) -> bytes:
    """An ISO BMFF box: size, type, content."""
    body = b"".join(parts)
    return struct.pack("!I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack("!I", version << 24 | flags), *parts)


def h264_entry(sequence_sets: Sequence[bytes], picture_sets: Sequence[bytes]) -> SampleEntry:
    """From parameter sets without start codes, at least one of each. Raises PayloadError."""
    if any(len(nal) > MAX_SET for nal in (*sequence_sets, *picture_sets)):
        raise PayloadError("h264: a parameter set is too long")
    first = h264.parse_sps(sequence_sets[0])
    parts = [bytes((1, first.profile, first.constraints, first.level, 0xFF))]
    parts.append(bytes((0xE0 | len(sequence_sets),)))
    parts += [struct.pack("!H", len(nal)) + nal for nal in sequence_sets]
    parts.append(bytes((len(picture_sets),)))
    parts += [struct.pack("!H", len(nal)) + nal for nal in picture_sets]
    if first.profile in _HIGH_PROFILES:
        chroma = 0xFC | first.chroma_format
        luma, colour = 0xF8 | first.bit_depth_luma - 8, 0xF8 | first.bit_depth_chroma - 8
        parts.append(bytes((chroma, luma, colour, 0)))
    codec = f"avc1.{first.profile:02x}{first.constraints:02x}{first.level:02x}"
    entry = _visual(b"avc1", first.width, first.height, box(b"avcC", *parts))
    return SampleEntry(entry, codec, first.width, first.height, 0, "h264")


def vp9_entry(keyframe: Buffer) -> SampleEntry:
    """From a keyframe's first bytes. Raises PayloadError."""
    head = vp9.parse_keyframe(keyframe)
    size = head.width * head.height
    level = next(
        (
            level
            for level, rate, area in _VP9_LEVELS
            if size <= area and size * _ASSUMED_RATE <= rate
        ),
        62,
    )
    chroma = {(1, 1): 1, (1, 0): 2}.get((head.subsampling_x, head.subsampling_y), 3)
    if head.color_space == vp9.COLOR_SPACE_RGB:
        colors = _VP9_RGB
    else:
        colors = _VP9_COLORS.get(head.color_space, (2, 2, 2))
    config = full_box(
        b"vpcC",
        1,
        0,
        bytes((head.profile, level, head.bit_depth << 4 | chroma << 1 | head.full_range, *colors)),
        struct.pack("!H", 0),
    )
    codec = f"vp09.{head.profile:02d}.{level:02d}.{head.bit_depth:02d}"
    entry = _visual(b"vp09", head.width, head.height, config)
    return SampleEntry(entry, codec, head.width, head.height, 0, "vp9")


def av1_entry(sequence_header: bytes) -> SampleEntry:
    """From a sequence header OBU that carries its size. Raises PayloadError."""
    if len(sequence_header) > MAX_SET:
        raise PayloadError("av1: the sequence header is too long")
    head = av1.parse_sequence_header(sequence_header)
    flags = (
        head.tier << 7
        | (head.bit_depth > 8) << 6
        | (head.bit_depth == 12) << 5
        | head.monochrome << 4
        | head.subsampling_x << 3
        | head.subsampling_y << 2
        | head.chroma_position
    )
    delay = head.initial_presentation_delay
    presentation = 0 if delay is None else 0x10 | delay
    config = bytes((0x81, head.profile << 5 | head.level, flags, presentation)) + sequence_header
    tier = "H" if head.tier else "M"
    codec = f"av01.{head.profile}.{head.level:02d}{tier}.{head.bit_depth:02d}"
    entry = _visual(b"av01", head.max_width, head.max_height, box(b"av1C", config))
    return SampleEntry(entry, codec, head.max_width, head.max_height, 0, "av1")


def opus_entry(channels: int) -> SampleEntry:
    """Opus of one or two channels. PreSkip is 0: a stream copied from RTP has no priming to cut,
    and a cut would move the voice against the pictures."""
    config = box(b"dOps", struct.pack("!BBHIhB", 0, channels, 0, 48_000, 0, 0))
    audio = struct.pack("!6xH8xHH4xI", 1, channels, 16, 48_000 << 16)
    return SampleEntry(box(b"Opus", audio, config), "opus", 0, 0, channels, "opus")


def aac_entry() -> SampleEntry:
    """AAC-LC of one channel at 48 kHz (AudioSpecificConfig of ISO/IEC 14496-3 1.6.2.1)."""
    config = struct.pack("!H", 2 << 11 | _AAC_48_KHZ << 7 | 1 << 3)
    specific = _descriptor(0x05, config)
    # Audio (stream type 5) of MPEG-4 (0x40); a buffer and rates that say nothing.
    decoder = _descriptor(0x04, struct.pack("!BBxHII", 0x40, 5 << 2 | 1, 0, 0, 0) + specific)
    stream = _descriptor(0x03, struct.pack("!HB", 0, 0) + decoder + _descriptor(0x06, b"\x02"))
    audio = struct.pack("!6xH8xHH4xI", 1, 1, 16, 48_000 << 16)
    entry = box(b"mp4a", audio, full_box(b"esds", 0, 0, stream))
    return SampleEntry(entry, "mp4a.40.2", 0, 0, 1, "aac")


def _descriptor(tag: int, body: bytes) -> bytes:
    """A descriptor of ISO/IEC 14496-1 8.3.3; bodies here are shorter than 128 bytes."""
    return bytes((tag, len(body))) + body


def _visual(kind: bytes, width: int, height: int, config: bytes) -> bytes:
    """VisualSampleEntry (ISO/IEC 14496-12 12.1.3): 72 dpi, one frame per sample, 24 bit depth.

    Raises PayloadError for a picture larger than MAX_SIDE.
    """
    if max(width, height) > MAX_SIDE:
        raise PayloadError("the picture is too large")
    fields = struct.pack(
        "!6xH16xHHII4xH32sHh", 1, width, height, 72 << 16, 72 << 16, 1, b"", 0x18, -1
    )
    return box(kind, fields, config)
