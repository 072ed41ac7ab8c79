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
from classroom.archive.names import AAC_VOICE, is_voice
from relay.record import opus
from relay.record.cmaf import STYP, Sample, fragment
from relay.record.cmaf_read import scan
from relay.record.layers import is_layer

_NAME: Final = re.compile(r"fill-(0|[1-9][0-9]{0,12})-([1-9][0-9]{0,12})\.m4s")
MAX_SECONDS: Final = 120
"""A longer stretch is several segments; no address may ask for more work than that."""
_PACKET: Final = 960  # samples, 20 ms
_AAC_FRAME: Final = 1_024  # samples (ISO/IEC 14496-3)
_AAC_SILENCE: Final = bytes.fromhex("00c800802380")
"""A raw_data_block of AAC-LC: one channel without a single coefficient, and the end."""


def fill_name(start: int, end: int) -> str:
    """The name of the filling from `start` to `end`, in ticks."""
    return f"fill-{start}-{end}.m4s"


def parse_fill(name: str) -> tuple[int, int] | None:
    """(start, end) of a filling's name, or None if it is no such name."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def fits(rendition: RenditionManifest, start: int, end: int) -> bool:
    """Whether the stretch is sensible, and the rendition has nothing in it; of two layers that take
    turns in a playlist, one may have something there that is not shown."""
    return 0 < end - start <= MAX_SECONDS * rendition.timescale and (
        is_layer(rendition.name)
        or not any(
            segment.start < end and start < segment.start + segment.duration
            for segment in rendition.segments
        )
    )


def model(rendition: RenditionManifest, start: int) -> Segment:
    """The segment whose first key frame (and initialisation file) stands in from `start` on."""
    before = [segment for segment in rendition.segments if segment.start <= start]
    return before[-1] if before else rendition.segments[0]


def fill(data: bytes, start: int, end: int, *, name: str) -> bytes | None:
    """The bytes of a filling of rendition or copy `name`. data: the model segment. None if that is
    no segment of ours."""
    samples = scan(data).samples
    if not samples:
        return None
    first = samples[0]
    if not is_voice(name):
        key = data[first.offset : first.offset + first.size]
        return STYP + fragment(1, start, [Sample(end - start, True, key)])
    if name == AAC_VOICE:
        return _silence(start, end, _AAC_FRAME, _AAC_SILENCE)
    toc = data[first.offset] & opus.STEREO_BIT | opus.MONO_20_MS
    return _silence(start, end, _PACKET, opus.filler(toc))


def _silence(start: int, end: int, length: int, frame: bytes) -> bytes:
    """`frame`, which lasts `length`, as often as fits best; the last one fills the rest."""
    count = max(1, round((end - start) / length))
    lengths = [length] * (count - 1) + [end - start - length * (count - 1)]
    return STYP + fragment(1, start, [Sample(n, True, frame) for n in lengths])
