"""Archives as they are on disk now: read once, read on while they grow.

Here: header, journal, manifest and the source's manifest of a lesson, put together as a view, and
kept for the lessons that were asked for last. Not here: whether the parts are here and good
(`cache`). Safe beside the recorder that writes, and for several threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classroom.archive import manifest as manifests
from classroom.archive.contents import Header, JournalReader
from classroom.archive.journal import Finished, Opened, Segment, decode
from classroom.archive.manifest import MAX_BYTES, Manifest
from classroom.archive.names import HEADER, JOURNAL, MANIFEST, is_lesson
from classroom.errors import Refused
from relay.cache.files import Stamp, size_of, stamp_of
from relay.cache.merge import View, view

_log: Final = logging.getLogger("relay.cache")

SOURCE: Final = "upstream.json"
"""The manifest of the source, beside the recorder's own files, until everything of it is here."""
_VIEWS: Final = 24
"""Lessons whose views are kept: more than are watched at once at a school, at 1 MB each."""
_CHUNK: Final = 1024 * 1024
_TAIL: Final = 64 * 1024
"""Of a journal: the last segments close right before its end, some hundred lines of 300 bytes."""

_LATELY_SECONDS: Final = 3600.0
"""A lesson is recorded on after an outage of its teacher's, or of the link to its parent, or a long
break: until then its journal belongs to whoever records."""


@dataclass(slots=True)
class _Journal:
    """A journal as read so far; it is read on from where it ended."""

    reader: JournalReader
    inode: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    stamps: tuple[Stamp | None, ...]
    counted: tuple[object, ...]
    view: View


class Reader:
    """Views of the archives under one directory."""

    def __init__(
        self,
        archives: Path,
        damaged: Callable[[str, str], None] = lambda lesson, name: None,
        changed: Callable[[str], None] = lambda lesson: None,
    ) -> None:
        """damaged(lesson, name) is called when a file of an archive's top cannot be read; changed(
        lesson) when one was read for the first time or was written anew."""
        self._archives = archives
        self._top = str(archives)
        self._damaged = damaged
        self._changed = changed
        self._lock = threading.Lock()
        self._views: dict[str, _Kept] = {}
        self._journals: dict[str, _Journal] = {}

    def path(self, lesson: str) -> Path:
        """The lesson's directory, whether it is there or not. Raises Refused 404 for a name that
        is no lesson's."""
        if not is_lesson(lesson):
            raise absent()
        return self._archives / lesson

    def view(self, lesson: str) -> View:
        """What the lesson consists of now. Raises Refused 404 when nothing is known of it, and
        OSError."""
        if not is_lesson(lesson):
            raise absent()
        # Asked for at every request: texts, since a Path costs more than the call.
        top = f"{self._top}/{lesson}/"
        stamps = tuple(stamp_of(top + name) for name in (HEADER, JOURNAL, MANIFEST, SOURCE))
        with self._lock:
            kept = self._views.pop(lesson, None)
            if kept is None or kept.stamps != stamps:
                try:
                    kept = self._read(lesson, self._archives / lesson, stamps, kept)
                except FileNotFoundError:
                    raise absent() from None
                self._changed(lesson)
            self._views[lesson] = kept  # at the end: the first one is the one least read
            if len(self._views) > _VIEWS:
                self._forget(next(iter(self._views)))
            return kept.view

    def forget(self, lesson: str) -> None:
        """Its files are gone, or changed by us."""
        with self._lock:
            self._forget(lesson)

    def _forget(self, lesson: str) -> None:
        self._views.pop(lesson, None)
        self._journals.pop(lesson, None)

    def _read(
        self, lesson: str, path: Path, stamps: tuple[Stamp | None, ...], kept: _Kept | None
    ) -> _Kept:
        _, journal, manifest, source = stamps
        followed = self._manifest(lesson, path / SOURCE) if source is not None else None
        if journal is None:
            own = self._manifest(lesson, path / MANIFEST) if manifest is not None else None
            if own is None and followed is None:
                raise absent()
            return _Kept(stamps, (), view(followed or own, None))
        if lesson not in self._journals and manifest is not None:
            ended = self._ended(lesson, path, journal)
            if ended is not None:
                return _Kept(stamps, (), view(followed, ended))
        reader = self._journal(lesson, path / JOURNAL, journal)
        if reader.damaged and self._journals.pop(lesson, None) is not None:
            # A recorder that reopens cuts a torn line off, and writes on from there.
            reader = self._journal(lesson, path / JOURNAL, journal)
        contents = reader.contents
        open_since = {
            name: (r.opened.beat, r.opened_at)
            for name, r in contents.renditions.items()
            if r.opened is not None
        }
        counts = [
            (len(r.inits), len(r.segments), len(r.gaps)) for r in contents.renditions.values()
        ]
        counted = (stamps[0], manifest, source, *open_since.items(), *counts, contents.finished)
        if kept is not None and kept.counted == counted:
            return _Kept(stamps, counted, kept.view)  # only marks and notes came
        local = self._local(lesson, path, reader)
        if contents.finished:
            self._journals.pop(lesson, None)  # it is not read on; the view is enough
        beat = local.beat_ms / 1000
        growing = {name: max(one * beat, at) for name, (one, at) in open_since.items()}
        return _Kept(stamps, counted, view(followed, local, growing))

    def _ended(self, lesson: str, path: Path, journal: Stamp) -> Manifest | None:
        """The archive's own manifest, if the journal's end says that it is the last word: folding
        all of an hour's journal takes a small machine a second. None: fold it."""
        end = _end(path / JOURNAL, journal.size)
        if end is None:
            return None
        finished, closed = end
        own = self._manifest(lesson, path / MANIFEST) if finished and closed else None
        if own is None or not own.finished:
            return None
        known = {segment.digest for rendition in own.renditions for segment in rendition.segments}
        return own if all(segment.digest in known for segment in closed) else None

    def _local(self, lesson: str, path: Path, reader: JournalReader) -> Manifest:
        """What was recorded here, as the journal says; a damaged one counts less than the manifest
        that was made of it."""
        header: Header | None = None
        try:
            header = Header.decode((path / HEADER).read_bytes())
        except (Refused, FileNotFoundError):
            self._damaged(lesson, HEADER)
        if header is None or reader.damaged:
            if reader.damaged:
                self._damaged(lesson, JOURNAL)
            own = self._manifest(lesson, path / MANIFEST)
            if own is not None:
                return own
        if header is None:
            raise absent()
        return manifests.build(header, reader.contents)

    def _journal(self, lesson: str, path: Path, found: Stamp) -> JournalReader:
        known = self._journals.get(lesson)
        if known is None or known.inode != found.inode or found.size < known.offset:
            known = self._journals[lesson] = _Journal(JournalReader(), found.inode)
        with path.open("rb") as file:
            file.seek(known.offset)
            while known.offset < found.size:
                data = file.read(min(_CHUNK, found.size - known.offset))
                if not data:
                    break
                known.offset += len(data)
                known.reader.receive(data)
        return known.reader

    def _manifest(self, lesson: str, path: Path) -> Manifest | None:
        try:
            if size_of(path) > MAX_BYTES:
                raise _TOO_LARGE
            manifest = Manifest.decode(path.read_bytes())
            if manifest.lesson == lesson:
                return manifest
            reason = "it is of another lesson"
        except FileNotFoundError:
            return None
        except Refused as error:
            reason = error.detail
        _log.warning(
            "archive-file-damaged",
            extra={"lesson": lesson, "file": path.name, "reason": reason},
        )
        self._damaged(lesson, path.name)
        return None


def _end(path: Path, size: int) -> tuple[bool, list[Segment]] | None:
    """Whether the end of a journal of `size` bytes says that the lesson is over, and the segments
    that it speaks of; None when a line of it is damaged. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL))
        lines = file.read(_TAIL).splitlines(keepends=True)
    closed: list[Segment] = []
    finished = False
    for line in lines[1:]:
        try:
            entry = decode(line) if line.endswith(b"\n") else None
        except Refused:
            return None
        match entry:
            case Segment():
                closed.append(entry)
            case Finished():
                finished = True
            case Opened() | None:
                finished = False
    return finished, closed


def may_be_recording(path: Path, date: float) -> bool:
    """Whether the lesson in the directory `path` may be recorded by another process now: its
    journal has not said that it is over, and was written to lately. date: unix seconds. Raises
    OSError."""
    try:
        status = (path / JOURNAL).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    end = _end(path / JOURNAL, status.st_size)
    # Either way: a clock may have been set meanwhile, and what is recorded is written soon again.
    lately = abs(date - status.st_mtime) < _LATELY_SECONDS
    return lately and (end is None or not end[0])


_TOO_LARGE: Final = Refused(
    400, "archive-malformed", "The manifest is too large.", fix="Copy it again.", field="manifest"
)


def absent() -> Refused:
    """Nothing is here of a lesson."""
    return Refused(
        404,
        "recording-missing",
        "There is no recording of this lesson here.",
        fix="Look at the list of recordings; a lesson's first part appears after some seconds.",
        field="lesson",
    )
