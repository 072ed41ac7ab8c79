"""Which copies a lesson needs so that old devices play it, and cutting what is made of it. PURE.

Here: the choice of what is copied, fragments and manifest entries of a copy's segments. Not here:
decoding and encoding (`copies_worker`), files. Opus from fMP4 plays in Safari since 17 alone, VP9
and AV1 not in old Safari and not on every old PC; AAC-LC and H.264 play wherever HLS does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from classroom.archive.canonical import digest
from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import AAC_VOICE
from relay.record.cmaf import STYP, Sample, fragment
from relay.record.layers import fullest

MOST_LINES: Final = {"camera": 480, "screen": 720}
"""A face is small enough at 480 lines; words on a slide need 720."""
_H264: Final = "avc1"


@dataclass(frozen=True, slots=True)
class Copy:
    """name: of the copy. source: the rendition that it is made from. lines: at most so many."""

    name: str
    source: RenditionManifest
    lines: int


def needed(manifest: Manifest) -> list[Copy]:
    """The copies to make, the voice first."""
    found = []
    voice = manifest.rendition("voice")
    if voice is not None:
        found.append(Copy(AAC_VOICE, voice, 0))
    for source, lines in MOST_LINES.items():
        layers = [
            r for r in manifest.renditions if r.name == source or r.name.startswith(f"{source}-")
        ]
        if layers and not any(_is_h264(layer) for layer in layers):
            layers = fullest(layers)
            fitting = [layer for layer in layers if _height(layer) <= lines]
            best = max(fitting, key=_height) if fitting else min(layers, key=_height)
            found.append(Copy(f"h264-{source}", best, lines))
    return found


def _is_h264(rendition: RenditionManifest) -> bool:
    return all(init.codec.startswith(_H264) for init in rendition.inits)


def _height(rendition: RenditionManifest) -> int:
    return max(init.height for init in rendition.inits)


def scaled(width: int, height: int, lines: int) -> tuple[int, int]:
    """The size of a picture that has at most `lines` lines, both even as 4:2:0 needs it."""
    if height > lines:
        width, height = round(width * lines / height), lines
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded frame at its media time, in ticks."""

    start: int
    key: bool
    data: bytes


def segment_bytes(frames: Sequence[Frame], end: int, timescale: int) -> bytes:
    """A segment of frames that last until the next one, the last until `end`; its fragments are cut
    on whole seconds."""
    out = [STYP]
    fragments: list[list[Sample]] = []
    starts: list[int] = []
    following = [frame.start for frame in frames[1:]] + [end]
    for frame, until in zip(frames, following, strict=True):
        second = frame.start // timescale
        if not starts or starts[-1] // timescale != second:
            starts.append(frame.start)
            fragments.append([])
        fragments[-1].append(Sample(max(1, until - frame.start), frame.key, frame.data))
    for number, (start, samples) in enumerate(zip(starts, fragments, strict=True), 1):
        out.append(fragment(number, start, samples))
    return b"".join(out)


def segment_entry(
    name: str, of: Segment, init: int, frames: Sequence[Frame], end: int, data: bytes
) -> Segment:
    """What the extras say of a segment that was made of `of`."""
    start = frames[0].start
    return Segment(
        name,
        of.beat,
        of.part,
        init,
        of.take,
        start,
        end - start,
        len(frames),
        len(data),
        digest(data),
    )


def init_entry(
    name: str, number: int, entry: Init, codec: str, size: tuple[int, int], data: bytes
) -> Init:
    """What the extras say of an initialisation file. entry: that of what was copied."""
    channels = 1 if name == AAC_VOICE else 0
    source = entry.codec.partition(".")[0].lower()
    return Init(name, number, codec, *size, channels, len(data), digest(data), source)
