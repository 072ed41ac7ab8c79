"""Segments that hold a place: a still picture, or silence, where a rendition has nothing. PURE.

Players stop at the first stretch that one of their tracks does not have, or skip it, and with it
what the other track has there: a teacher who switches the camera off would lose her voice. So such
stretches are filled when they are asked for: pictures with the key frame of the segment before
(or, at the beginning, after) for as long as needed, the voice with empty packets. Nothing of it is
stored, digested or copied; the manifest knows only what was recorded.
"""

from __future__ import annotations

import re
from typing import Final

from classroom.archive.journal import Segment
from classroom.archive.manifest import RenditionManifest
from relay.record import opus
from relay.record.cmaf import STYP, Sample, fragment
from relay.record.cmaf_read import scan

_NAME: Final = re.compile(r"fill-(0|[1-9][0-9]{0,12})-([1-9][0-9]{0,12})\.m4s")
MAX_SECONDS: Final = 120
"""A longer stretch is several segments; no address may ask for more work than that."""
_PACKET: Final = 960  # samples, 20 ms


def fill_name(start: int, end: int) -> str:
    """The name of the filling from `start` to `end`, in ticks."""
    return f"fill-{start}-{end}.m4s"


def parse_fill(name: str) -> tuple[int, int] | None:
    """(start, end) of a filling's name, or None if it is no such name."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def fits(rendition: RenditionManifest, start: int, end: int) -> bool:
    """Whether the rendition has nothing between `start` and `end`, and the stretch is sensible."""
    return 0 < end - start <= MAX_SECONDS * rendition.timescale and not any(
        segment.start < end and start < segment.start + segment.duration
        for segment in rendition.segments
    )


def model(rendition: RenditionManifest, start: int) -> Segment:
    """The segment whose first key frame (and initialisation file) stands in from `start` on."""
    before = [segment for segment in rendition.segments if segment.start <= start]
    return before[-1] if before else rendition.segments[0]


def fill(data: bytes, start: int, end: int, *, voice: bool) -> bytes | None:
    """The bytes of a filling. data: the model segment. None if that is no segment of ours."""
    samples = scan(data).samples
    if not samples:
        return None
    first = samples[0]
    if not voice:
        key = data[first.offset : first.offset + first.size]
        return STYP + fragment(1, start, [Sample(end - start, True, key)])
    toc = data[first.offset] & opus.STEREO_BIT | opus.MONO_20_MS
    count = max(1, round((end - start) / _PACKET))
    lengths = [_PACKET] * (count - 1) + [end - start - _PACKET * (count - 1)]
    return STYP + fragment(1, start, [Sample(n, True, opus.filler(toc)) for n in lengths])
