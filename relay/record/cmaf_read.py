"""Reading back the segments that `cmaf` writes, whole or torn. PURE.

Here: walking a segment's boxes with strict bounds, and finding how much of a growing segment is
whole after a power cut. Not here: MP4 in general: only our own form is understood, and anything
else counts as torn. Raises nothing: what cannot be read is where the scan ends.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from relay.record.cmaf import STYP, SYNC_FLAGS

MAX_SAMPLES: Final = (
    100_000  # in one fragment of at most a second or so; more is no segment of ours
)


@dataclass(frozen=True, slots=True)
class StoredSample:
    """start, duration: ticks. offset, size: of its data in the file."""

    start: int
    duration: int
    key: bool
    offset: int
    size: int


@dataclass(slots=True)
class Scan:
    """What is whole. size: bytes up to the end of the last whole fragment (0 without any)."""

    size: int = 0
    fragments: int = 0
    samples: list[StoredSample] = field(default_factory=list)
    cuts: list[tuple[int, int]] = field(default_factory=list)
    """After each fragment: samples, and bytes, up to there."""

    @property
    def start(self) -> int:
        return self.samples[0].start

    @property
    def end(self) -> int:
        """Ticks at which the last sample ends."""
        return self.samples[-1].start + self.samples[-1].duration


def scan(data: bytes) -> Scan:
    """Read whole fragments from the beginning of a segment until the first that is not."""
    result = Scan()
    if not data.startswith(STYP):
        return result
    at = len(STYP)
    while True:
        moof = _box(data, at, len(data), b"moof")
        if moof is None:
            return result
        mdat = _box(data, moof[1], len(data), b"mdat")
        if mdat is None:
            return result
        samples = _read_moof(data, moof, mdat, result.fragments + 1)
        if not samples or (result.samples and samples[0].start < result.end):
            return result
        result.fragments += 1
        result.samples += samples
        result.size = at = mdat[1]
        result.cuts.append((len(result.samples), at))


def _box(data: bytes, at: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """(start of content, end) of the box of `kind` at `at`, if it is there and whole."""
    if at + 8 > end:
        return None
    size, found = struct.unpack_from("!I4s", data, at)
    if found != kind or size < 8 or at + size > end:
        return None
    return at + 8, at + size


def _read_moof(
    data: bytes, moof: tuple[int, int], mdat: tuple[int, int], number: int
) -> list[StoredSample]:
    header = _box(data, moof[0], moof[1], b"mfhd")
    if header is None or header[1] - header[0] != 8:
        return []
    if struct.unpack_from("!I", data, header[0] + 4)[0] != number:
        return []
    traf = _box(data, header[1], moof[1], b"traf")
    if traf is None or traf[1] != moof[1]:
        return []
    track = _box(data, traf[0], traf[1], b"tfhd")
    if track is None:
        return []
    time = _box(data, track[1], traf[1], b"tfdt")
    if time is None or time[1] - time[0] != 12:
        return []
    run = _box(data, time[1], traf[1], b"trun")
    if run is None or run[1] != traf[1]:
        return []
    try:
        start = struct.unpack_from("!Q", data, time[0] + 4)[0]
        return _read_run(data, moof[0] - 8, track, start, run, mdat)
    except struct.error:
        return []


def _read_run(
    data: bytes,
    base: int,
    track: tuple[int, int],
    start: int,
    run: tuple[int, int],
    mdat: tuple[int, int],
) -> list[StoredSample]:
    flags = struct.unpack_from("!I", data, track[0])[0]
    at = track[0] + 8
    duration = sample_flags = 0
    if flags & 0x08:
        duration = struct.unpack_from("!I", data, at)[0]
        at += 4
    if flags & 0x20:
        sample_flags = struct.unpack_from("!I", data, at)[0]
    flags, count, offset = struct.unpack_from("!III", data, run[0])
    at = run[0] + 12
    width = 4 + 4 * bool(flags & 0x100) + 4 * bool(flags & 0x400)
    if not 0 < count <= MAX_SAMPLES or run[1] - at != width * count or start > 2**53:
        return []
    if base + offset != mdat[0]:
        return []
    place = mdat[0]
    samples: list[StoredSample] = []
    for _ in range(count):
        if flags & 0x100:
            duration = struct.unpack_from("!I", data, at)[0]
            at += 4
        size = struct.unpack_from("!I", data, at)[0]
        at += 4
        if flags & 0x400:
            sample_flags = struct.unpack_from("!I", data, at)[0]
            at += 4
        if duration == 0:
            return []
        samples.append(StoredSample(start, duration, sample_flags == SYNC_FLAGS, place, size))
        start += duration
        place += size
    return samples if place == mdat[1] else []
