"""The files that an archive consists of, as its manifest names them, one by one. PURE.

Here: the list of parts with sizes and digests, and where in the lesson each belongs. Not here:
which of them are held (`index`, `cache`), in what order they are fetched (`relay.sync.plan`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import init_name, segment_name


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an archive: an initialisation file or a segment of a rendition.

    bytes, digest: of the whole file, as the manifest tells them. start, end: seconds of media time;
    an initialisation file stands where the first segment that needs it begins, and has no length.
    """

    lesson: str
    rendition: str
    name: str
    bytes: int
    digest: str
    start: float
    end: float


def parts(manifest: Manifest) -> Iterator[Part]:
    """Every file of the archive but header, journal, events and manifest, rendition by rendition;
    within one in order of time, initialisation files before the segments that need them."""
    for rendition in manifest.renditions:
        yield from rendition_parts(manifest.lesson, rendition)


def rendition_parts(lesson: str, rendition: RenditionManifest) -> Iterator[Part]:
    """The parts of one rendition, in order of time."""
    name, ticks = rendition.name, rendition.timescale
    inits = {init.number: init for init in rendition.inits}
    for segment in rendition.segments:
        start, end = segment.start / ticks, (segment.start + segment.duration) / ticks
        init = inits.pop(segment.init, None)
        if init is not None:
            yield Part(lesson, name, init_name(init.number), init.bytes, init.digest, start, start)
        file = segment_name(segment.beat, segment.part)
        yield Part(lesson, name, file, segment.bytes, segment.digest, start, end)
    for init in inits.values():  # that no segment needs: it belongs to the archive all the same
        end = rendition.end / ticks
        yield Part(lesson, name, init_name(init.number), init.bytes, init.digest, end, end)
