"""CMAF boxes: an initialisation segment, and fragments of samples (ISO/IEC 23000-19). PURE.

Here: writing. Not here: sample entries (`sample_entries`), reading back (`cmaf_read`), files. One
track per file, its id 1. A fragment's bytes depend on its samples, its decode time and its number
in the segment, on nothing else: not on the clock, and not on what was recorded before.
There are no composition offsets, because real-time encoders send frames in the order they show.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.record.sample_entries import SampleEntry, box, full_box

TRACK_ID: Final = 1
_MATRIX: Final = struct.pack("!9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LANGUAGE: Final = 0x55C4  # "und"

# Sample flags (ISO/IEC 14496-12 8.8.3.1): depends on no other / on others and is no sync sample.
SYNC_FLAGS: Final = 0x02000000
DELTA_FLAGS: Final = 0x01010000

_DEFAULT_BASE_IS_MOOF: Final = 0x020000
_DEFAULT_DURATION: Final = 0x08
_DEFAULT_FLAGS: Final = 0x20
_RUN_OFFSET: Final = 0x001
_RUN_DURATION: Final = 0x100
_RUN_SIZE: Final = 0x200
_RUN_FLAGS: Final = 0x400

STYP: Final = box(b"styp", b"msdh", struct.pack("!I", 0), b"msdh", b"msix", b"cmfs")
"""Opens a segment, once."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame in a fragment. duration: ticks, at least 1. key: decodable by itself."""

    duration: int
    key: bool
    data: bytes


def init_segment(entry: SampleEntry, timescale: int) -> bytes:
    """`ftyp` and `moov` for a track of `entry`; timescale: ticks per second."""
    voice = entry.channels > 0
    volume = 0x0100 if voice else 0
    size = struct.pack("!II", entry.width << 16, entry.height << 16)
    track_header = full_box(
        b"tkhd",
        0,
        3,
        struct.pack("!III4xI8xHHH2x", 0, 0, TRACK_ID, 0, 0, 0, volume),
        _MATRIX,
        size,
    )
    handler = b"soun" if voice else b"vide"
    media_header = full_box(b"smhd", 0, 0, bytes(4)) if voice else full_box(b"vmhd", 0, 1, bytes(8))
    samples = box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack("!I", 1), entry.box),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    reference = full_box(b"dref", 0, 0, struct.pack("!I", 1), full_box(b"url ", 0, 1))
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack("!IIIIHH", 0, 0, timescale, 0, _LANGUAGE, 0)),
        full_box(b"hdlr", 0, 0, struct.pack("!4x4s12x", handler), b"classroom\0"),
        box(b"minf", media_header, box(b"dinf", reference), samples),
    )
    movie_header = full_box(
        b"mvhd",
        0,
        0,
        struct.pack("!IIIIIH10x", 0, 0, timescale, 0, 0x10000, 0x0100),
        _MATRIX,
        bytes(24),
        struct.pack("!I", TRACK_ID + 1),
    )
    defaults = full_box(b"trex", 0, 0, struct.pack("!IIIII", TRACK_ID, 1, 0, 0, 0))
    brands = b"cmf2isomiso6cmfc"
    return box(b"ftyp", b"cmf2", struct.pack("!I", 0), brands) + box(
        b"moov", movie_header, box(b"trak", track_header, media), box(b"mvex", defaults)
    )


def fragment(number: int, decode_time: int, samples: Sequence[Sample]) -> bytes:
    """`moof` and `mdat`. number: from 1 in each segment. decode_time: ticks of the first sample.

    Where all samples last equally long, and where all are sync samples, that is said once.
    """
    even = len({sample.duration for sample in samples}) == 1
    all_key = all(sample.key for sample in samples)
    track_flags = _DEFAULT_BASE_IS_MOOF
    defaults = b""
    run_flags = _RUN_OFFSET | _RUN_SIZE
    if even:
        track_flags |= _DEFAULT_DURATION
        defaults += struct.pack("!I", samples[0].duration)
    else:
        run_flags |= _RUN_DURATION
    if all_key:
        track_flags |= _DEFAULT_FLAGS
        defaults += struct.pack("!I", SYNC_FLAGS)
    else:
        run_flags |= _RUN_FLAGS
    entries = bytearray()
    for sample in samples:
        if not even:
            entries += struct.pack("!I", sample.duration)
        entries += struct.pack("!I", len(sample.data))
        if not all_key:
            entries += struct.pack("!I", SYNC_FLAGS if sample.key else DELTA_FLAGS)
    header = full_box(b"mfhd", 0, 0, struct.pack("!I", number))
    track = full_box(b"tfhd", 0, track_flags, struct.pack("!I", TRACK_ID), defaults)
    time = full_box(b"tfdt", 1, 0, struct.pack("!Q", decode_time))
    run_size = 12 + 8 + len(entries)
    moof_size = 8 + len(header) + 8 + len(track) + len(time) + run_size
    count = struct.pack("!II", len(samples), moof_size + 8)
    run = full_box(b"trun", 0, run_flags, count, bytes(entries))
    moof = box(b"moof", header, box(b"traf", track, time, run))
    return moof + box(b"mdat", *(sample.data for sample in samples))
