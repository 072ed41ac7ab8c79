"""The manifest: what an archive consists of, with digests, in canonical JSON. PURE.

Here: making it from the contents, writing, strict reading. Not here: files; playlists. The same
object describes a lesson still running (`finished` false): then it is made in memory for playlists
and never stored. FORMAT.md, section "manifest.json".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from classroom.archive import canonical
from classroom.archive.canonical import Members, malformed
from classroom.archive.contents import FORMAT, Contents, Header
from classroom.archive.journal import Gap, Init, Segment, read_gap, read_init, read_segment
from classroom.archive.names import (
    LESSON_PATTERN,
    RENDITION_PATTERN,
    parse_segment,
    segment_name,
    timescale,
)

# Bounds for what a stranger's manifest may claim. The longest lesson is a school day with breaks,
# the largest segment 30 s of 20 Mbit/s; everything here is several times that, and little enough
# that reading it, listing it and making its playlists stay cheap.
MAX_RENDITIONS: Final = 32
MAX_BYTES: Final = 16 * 2**20  # of the manifest itself
MAX_ITEMS: Final = 50_000  # segments or gaps of a rendition
MAX_INITS: Final = 1_000
MAX_INIT_BYTES: Final = 2**20
MAX_SEGMENT_BYTES: Final = 256 * 2**20
MAX_SECONDS: Final = 7 * 86_400
MAX_BEATS: Final = 50_000  # a playlist holds the place of each
MAX_EPOCH_MS: Final = 4_102_444_800_000  # the year 2100


@dataclass(frozen=True, slots=True)
class RenditionManifest:
    """One rendition, in order of time. timescale: ticks per second."""

    name: str
    timescale: int
    inits: tuple[Init, ...]
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(i.bytes for i in self.inits) + sum(s.bytes for s in self.segments)

    @property
    def end(self) -> int:
        """Ticks at which its last segment ends."""
        return self.segments[-1].start + self.segments[-1].duration if self.segments else 0

    def init(self, number: int) -> Init:
        return next(init for init in self.inits if init.number == number)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A lesson's archive. duration_ms: from its epoch to its last sample's end."""

    lesson: str
    epoch_ms: int
    beat_ms: int
    finished: bool
    renditions: tuple[RenditionManifest, ...]

    @property
    def duration_ms(self) -> int:
        return max((-(-r.end * 1000 // r.timescale) for r in self.renditions), default=0)

    @property
    def size(self) -> int:
        return sum(rendition.size for rendition in self.renditions)

    def rendition(self, name: str) -> RenditionManifest | None:
        return next((r for r in self.renditions if r.name == name), None)

    def encode(self) -> bytes:
        """Canonical JSON, a newline at the end."""
        return canonical.encode(
            {
                "format": FORMAT,
                "lesson": self.lesson,
                "epoch_ms": self.epoch_ms,
                "beat_ms": self.beat_ms,
                "duration_ms": self.duration_ms,
                "bytes": self.size,
                "finished": self.finished,
                "renditions": [write_rendition(rendition) for rendition in self.renditions],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Raises Refused 400 `archive-malformed`; checks order, references, sums and bounds too."""
        if len(data) > MAX_BYTES:
            raise malformed("manifest", f"a manifest of more than {MAX_BYTES >> 20} MiB")
        members = Members.parse(data, "manifest")
        members.integer("format", FORMAT, FORMAT)
        items = members.list("renditions")
        if len(items) > MAX_RENDITIONS:
            raise malformed("manifest.renditions", f"more than {MAX_RENDITIONS} renditions")
        manifest = cls(
            members.text("lesson", LESSON_PATTERN),
            members.integer("epoch_ms", 0, MAX_EPOCH_MS),
            members.integer("beat_ms", 1),
            members.flag("finished"),
            tuple(read_rendition(Members(item, "manifest.renditions")) for item in items),
        )
        if manifest.duration_ms > MAX_BEATS * manifest.beat_ms:
            raise malformed("manifest.beat_ms", "the beat is too short for such a long lesson")
        names = [rendition.name for rendition in manifest.renditions]
        if names != sorted(set(names)):
            raise malformed("manifest.renditions", "renditions are not in order, each once")
        for name, value in (("duration_ms", manifest.duration_ms), ("bytes", manifest.size)):
            if members.integer(name) != value:
                raise malformed(f"manifest.{name}", f"{name} does not agree with the segments")
        return manifest


def build(header: Header, contents: Contents) -> Manifest:
    """The manifest of what `contents` says is whole; renditions without a segment are left out."""
    return Manifest(
        header.lesson,
        header.epoch_ms,
        header.beat_ms,
        contents.finished,
        tuple(
            RenditionManifest(
                name,
                timescale(name),
                tuple(sorted(rendition.inits, key=lambda init: init.number)),
                tuple(rendition.segments),
                tuple(rendition.gaps),
            )
            for name, rendition in sorted(contents.renditions.items())
            if rendition.segments
        ),
    )


def write_rendition(rendition: RenditionManifest) -> dict[str, object]:
    """A rendition's members in canonical JSON."""
    return {
        "name": rendition.name,
        "timescale": rendition.timescale,
        "inits": [_strip(init) for init in rendition.inits],
        "segments": [_strip(segment) for segment in rendition.segments],
        "gaps": [_strip(gap) for gap in rendition.gaps],
    }


def _strip(entry: Init | Segment | Gap) -> dict[str, object]:
    """An entry's members without the rendition's name, which stands one level up."""
    fields: dict[str, object] = asdict(entry)
    del fields["rendition"]
    return fields


def read_rendition(
    members: Members, names: re.Pattern[str] = RENDITION_PATTERN, document: str = "manifest"
) -> RenditionManifest:
    """A rendition whose name is of the form `names`. Raises Refused 400 `archive-malformed`, with
    `document` in its field."""
    name = members.text("name", names)
    where = f"{document}.{name}"
    ticks = members.integer("timescale", timescale(name), timescale(name))
    inits = tuple(read_init(item, name) for item in _items(members, "inits", where, MAX_INITS))
    segments = tuple(
        read_segment(item, name) for item in _items(members, "segments", where, MAX_ITEMS)
    )
    gaps = tuple(read_gap(item, name) for item in _items(members, "gaps", where, MAX_ITEMS))
    numbers = [init.number for init in inits]
    if any(init.bytes > MAX_INIT_BYTES or init.number >= MAX_INITS for init in inits):
        raise malformed(f"{where}.inits", "an initialisation file is too large")
    if numbers != sorted(set(numbers)):
        raise malformed(f"{where}.inits", "initialisation files are not in order, each once")
    if not segments:
        raise malformed(f"{where}.segments", "a rendition has no segments")
    end = 0
    places: set[tuple[int, int]] = set()
    for segment in segments:
        if segment.start < end:
            raise malformed(f"{where}.segments", "segments overlap or are not in order")
        if segment.init not in numbers:
            raise malformed(f"{where}.segments", "a segment's initialisation file is not listed")
        if parse_segment(segment_name(segment.beat, segment.part)) is None:
            raise malformed(f"{where}.segments", "a segment's number is too large for a name")
        if (segment.beat, segment.part) in places:
            raise malformed(f"{where}.segments", "two segments have one name")
        places.add((segment.beat, segment.part))
        end = segment.start + segment.duration
    if end > MAX_SECONDS * ticks or max(s.bytes for s in segments) > MAX_SEGMENT_BYTES:
        raise malformed(f"{where}.segments", "the rendition is too long, or a segment too large")
    return RenditionManifest(name, ticks, inits, segments, gaps)


def _items(members: Members, name: str, where: str, most: int) -> Iterator[Members]:
    items = members.list(name)
    if len(items) > most:
        raise malformed(f"{where}.{name}", f"more than {most} {name}")
    return (Members(item, where) for item in items)
