"""`extras.json`: what was made of a finished lesson afterwards, captions and copies. PURE.

Here: its form, strict reading, the files that it names. Not here: making copies (relay.record),
playlists, WebVTT itself. The manifest never changes by it: a relay that holds the lesson and none
of this holds the whole lesson. FORMAT.md, section "extras.json".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from classroom.archive import canonical
from classroom.archive.canonical import Members, malformed
from classroom.archive.contents import FORMAT
from classroom.archive.manifest import RenditionManifest, read_rendition, write_rendition
from classroom.archive.names import (
    CAPTIONS,
    COPY_PATTERN,
    LANGUAGE_PATTERN,
    LESSON_PATTERN,
    captions_name,
    init_name,
    segment_name,
)

MAX_CAPTIONS: Final = 16
MAX_CAPTIONS_BYTES: Final = 4 * 2**20
"""A lesson of two hours has about 150 kB of captions."""
MAX_LABEL: Final = 60


@dataclass(frozen=True, slots=True)
class Captions:
    """A WebVTT file, its times in media time. language: BCP 47 in lower case. label: for people."""

    language: str
    label: str
    bytes: int
    digest: str


class ExtraFile(NamedTuple):
    """A file of the extras: its directory in the archive, its name there, its size and SHA-256."""

    directory: str
    name: str
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Extras:
    """manifest: digest of the manifest.json that the copies were made from, also where none were
    needed; "" when nobody has looked yet.

    A lesson that went on later has another manifest: then its copies are out of date, while its
    captions are still right as far as they go.
    """

    lesson: str
    manifest: str = ""
    captions: tuple[Captions, ...] = ()
    copies: tuple[RenditionManifest, ...] = ()

    def copy(self, name: str) -> RenditionManifest | None:
        return next((copy for copy in self.copies if copy.name == name), None)

    def of(self, manifest: str) -> Extras:
        """What of it belongs to a lesson whose manifest has this digest."""
        if self.manifest == manifest or not self.copies:
            return self
        return Extras(self.lesson, "", self.captions, ())

    def files(self) -> list[ExtraFile]:
        """Every file, in the order in which they are wanted: captions, the voice, pictures."""
        found = [
            ExtraFile(CAPTIONS, captions_name(one.language), one.bytes, one.digest)
            for one in self.captions
        ]
        for copy in self.copies:
            found += (
                ExtraFile(copy.name, init_name(i.number), i.bytes, i.digest) for i in copy.inits
            )
            found += (
                ExtraFile(copy.name, segment_name(s.beat, s.part), s.bytes, s.digest)
                for s in copy.segments
            )
        return found

    def encode(self) -> bytes:
        """Canonical JSON, a newline at the end."""
        return canonical.encode(
            {
                "format": FORMAT,
                "lesson": self.lesson,
                "manifest": self.manifest,
                "captions": [
                    {
                        "language": one.language,
                        "label": one.label,
                        "bytes": one.bytes,
                        "digest": one.digest,
                    }
                    for one in self.captions
                ],
                "copies": [write_rendition(copy) for copy in self.copies],
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Extras:
        """Raises Refused 400 `archive-malformed`."""
        members = Members.parse(data, "extras")
        members.integer("format", FORMAT, FORMAT)
        items = members.list("captions")
        if len(items) > MAX_CAPTIONS:
            raise malformed("extras.captions", f"more than {MAX_CAPTIONS} captions")
        captions = tuple(_read_captions(Members(item, "extras.captions")) for item in items)
        copies = tuple(
            read_rendition(Members(item, "extras.copies"), COPY_PATTERN, "extras")
            for item in members.list("copies")
        )
        for what, names in (
            ("captions", [one.language for one in captions]),
            ("copies", [copy.name for copy in copies]),
        ):
            if names != sorted(set(names)):
                raise malformed(f"extras.{what}", f"{what} are not in order, each once")
        manifest = members.digest("manifest") if copies or members.text("manifest") else ""
        return cls(members.text("lesson", LESSON_PATTERN), manifest, captions, copies)


def _read_captions(members: Members) -> Captions:
    label = members.text("label")
    # It goes into a quoted string of a playlist, which knows no escape (RFC 8216 4.2).
    if not 0 < len(label) <= MAX_LABEL or '"' in label or not label.isprintable():
        raise malformed("extras.captions.label", "a label is not a short line without quotes")
    return Captions(
        members.text("language", LANGUAGE_PATTERN),
        label,
        members.integer("bytes", 1, MAX_CAPTIONS_BYTES),
        members.digest("digest"),
    )
