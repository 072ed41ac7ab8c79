"""Archives made for a test: right in every name, size and digest, with noise instead of media.

Lives here: making a root's archive and a school's own recording of the same lesson, writing them.
Must not live here: media that plays (`rtp_media`), reading archives.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from classroom.archive import canonical, journal, manifest
from classroom.archive.contents import Header, read_journal
from classroom.archive.events import Event
from classroom.archive.journal import Entry, Finished, Gap, Init, Note, Opened, Segment, Take
from classroom.archive.manifest import Manifest
from classroom.archive.names import EVENTS, HEADER, JOURNAL, MANIFEST, init_name, segment_name
from classroom.archive.names import timescale as ticks_of

LESSON = "toan-7"
EPOCH_MS = 1_760_000_000_000
BEAT_MS = 8_000
SIZES: Mapping[str, int] = {"voice": 300, "camera-q": 900, "camera-f": 4_000}
"""Bytes of a segment, by rendition."""


@dataclass(slots=True)
class Made:
    """An archive in memory. files: by path inside the archive, header and the like too."""

    lesson: str
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def manifest(self) -> bytes:
        return self.files[MANIFEST]

    @property
    def decoded(self) -> Manifest:
        return Manifest.decode(self.manifest)

    @property
    def journal(self) -> bytes:
        return self.files[JOURNAL]

    @property
    def events(self) -> bytes:
        return self.files[EVENTS]

    def part(self, rendition: str, name: str) -> bytes:
        """The bytes of one part."""
        return self.files[f"{rendition}/{name}"]

    def write(self, archives: Path, *, without: Collection[str] = ()) -> Path:
        """Put it into the directory of all archives; returns its own."""
        root = archives / self.lesson
        for name, data in self.files.items():
            if name not in without:
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return root


def make(
    lesson: str = LESSON,
    *,
    beats: int = 4,
    seed: int = 1,
    lost: Mapping[str, Collection[int]] | None = None,
    spoilt: Mapping[str, Collection[int]] | None = None,
    finished: bool = True,
    feed: str = "a1b2",
    sizes: Mapping[str, int] = SIZES,
    epoch_ms: int = EPOCH_MS,
) -> Made:
    """A lesson of `beats` segments in each rendition.

    The same seed gives the same media. lost: beats of a rendition that are not there. spoilt: beats
    of which one frame was lost, so that the bytes differ. feed: name of the publisher's run, which
    differs between relays. finished: false for one that still runs.
    """
    made = Made(lesson)
    lost, spoilt = lost or {}, spoilt or {}
    lines: list[Entry] = [Take(0, feed, 0, 0)]
    for name, size in sizes.items():
        ticks = ticks_of(name)
        noise = random.Random(f"{lesson} {seed} {name}")
        data = noise.randbytes(60)
        made.files[f"{name}/{init_name(0)}"] = data
        codec, source = ("opus", "opus") if name == "voice" else ("avc1.42e01f", "h264")
        width, height = (0, 0) if name == "voice" else (640, 360)
        channels = 1 if name == "voice" else 0
        digest = canonical.digest(data)
        init = Init(name, 0, codec, width, height, channels, len(data), digest, source)
        lines.append(init)
        beat_ticks = BEAT_MS * ticks // 1000
        for beat in range(beats):
            data = noise.randbytes(size + beat)
            start = beat * beat_ticks
            if beat in lost.get(name, ()):
                lines.append(Gap(name, start, start + beat_ticks, "away"))
                continue
            frames = 100
            if beat in spoilt.get(name, ()):
                data, frames = data[:-7], 99
            lines.append(Opened(name, beat, 0, 0, 0))
            digest = canonical.digest(data)
            made.files[f"{name}/{segment_name(beat, 0)}"] = data
            lines.append(Segment(name, beat, 0, 0, 0, start, beat_ticks, frames, len(data), digest))
    lines.append(Note(epoch_ms, f"recorded by {feed}"))
    events = [Event(0, "recording", {}), Event(10, "source", {"source": "camera", "on": True})]
    if finished:
        lines.append(Finished(epoch_ms + beats * BEAT_MS))
        events.append(Event(beats * BEAT_MS, "ended", {"feed": feed}))
    header = Header(lesson, epoch_ms, BEAT_MS)
    made.files[HEADER] = header.encode()
    made.files[JOURNAL] = b"".join(map(journal.encode, lines))
    made.files[EVENTS] = b"".join(event.encode() for event in events)
    contents = read_journal(made.journal).contents
    made.files[MANIFEST] = manifest.build(header, contents).encode()
    return made


def read(root: Path) -> dict[str, bytes]:
    """Every file below an archive's directory."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
