"""The manifest: what an archive consists of, with digests, in canonical JSON. PURE.

Here: making it from the contents, writing, strict reading. Not here: files; playlists. The same
object describes a lesson still running (`finished` false): then it is made in memory for playlists
and never stored. FORMAT.md, section "manifest.json".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from classroom.archive import canonical
from classroom.archive.canonical import Members, malformed
from classroom.archive.contents import FORMAT, Contents, Header
from classroom.archive.journal import Gap, Init, Segment, read_gap, read_init, read_segment
from classroom.archive.names import LESSON_PATTERN, RENDITION_PATTERN, timescale

MAX_RENDITIONS: Final = 32


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
                "renditions": [
                    {
                        "name": rendition.name,
                        "timescale": rendition.timescale,
                        "inits": [_strip(init) for init in rendition.inits],
                        "segments": [_strip(segment) for segment in rendition.segments],
                        "gaps": [_strip(gap) for gap in rendition.gaps],
                    }
                    for rendition in self.renditions
                ],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Raises Refused 400 `archive-malformed`; checks order, references and sums as well."""
        members = Members.parse(data, "manifest")
        members.integer("format", FORMAT, FORMAT)
        items = members.list("renditions")
        if len(items) > MAX_RENDITIONS:
            raise malformed("manifest.renditions", f"more than {MAX_RENDITIONS} renditions")
        manifest = cls(
            members.text("lesson", LESSON_PATTERN),
            members.integer("epoch_ms"),
            members.integer("beat_ms", 1),
            members.flag("finished"),
            tuple(_read_rendition(Members(item, "manifest.renditions")) for item in items),
        )
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
                tuple(rendition.inits),
                tuple(rendition.segments),
                tuple(rendition.gaps),
            )
            for name, rendition in sorted(contents.renditions.items())
            if rendition.segments
        ),
    )


def _strip(entry: Init | Segment | Gap) -> dict[str, object]:
    """An entry's members without the rendition's name, which stands one level up."""
    fields: dict[str, object] = asdict(entry)
    del fields["rendition"]
    return fields


def _read_rendition(members: Members) -> RenditionManifest:
    name = members.text("name", RENDITION_PATTERN)
    where = f"manifest.{name}"
    ticks = members.integer("timescale", timescale(name), timescale(name))
    inits = tuple(read_init(Members(item, where), name) for item in members.list("inits"))
    segments = tuple(read_segment(Members(item, where), name) for item in members.list("segments"))
    gaps = tuple(read_gap(Members(item, where), name) for item in members.list("gaps"))
    numbers = [init.number for init in inits]
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
        if (segment.beat, segment.part) in places:
            raise malformed(f"{where}.segments", "two segments have one name")
        places.add((segment.beat, segment.part))
        end = segment.start + segment.duration
    return RenditionManifest(name, ticks, inits, segments, gaps)
