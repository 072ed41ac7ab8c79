"""One lesson's archive on disk: carries out the recorder's actions, and recovers after a crash.

Here: files, in the order that makes them recoverable. Not here: what is written when (`lesson`),
retrying (`recorder`). Blocking; runs in a worker thread. The order within a commit: a segment's
journal line "open" before its first byte; a whole segment's rename before its line "segment"; all
media, then the events, before the line "mark". After an OSError the store is to be thrown away and
opened again.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Sequence
from pathlib import Path

from classroom.archive import canonical, journal, manifest
from classroom.archive.contents import Contents, Header, Rendition, read_journal
from classroom.archive.events import Event
from classroom.archive.journal import Entry, Finished, Opened, Segment
from classroom.archive.names import (
    EVENTS,
    GROWING,
    HEADER,
    JOURNAL,
    MANIFEST,
    init_name,
    is_lesson,
    is_rendition,
    segment_name,
)
from classroom.errors import Misuse, Refused
from relay.cache.files import make_directory, sync_directory, write_all, write_atomic
from relay.record.actions import (
    Action,
    Append,
    Close,
    Finish,
    Log,
    LogEvent,
    WriteHeader,
    WriteInit,
)
from relay.record.cmaf_read import scan
from relay.record.lesson import Stored


class LessonStore:
    """Opens (and recovers) on construction; `stored` is what was there, None for a new lesson."""

    def __init__(self, archives: Path, lesson: str, *, manifest: bool = True) -> None:
        """archives: directory of all lessons. manifest: whether one is written at the end; below
        another relay it comes from there. Raises OSError."""
        if not is_lesson(lesson):
            raise Misuse(f"{lesson!r} is not a lesson id, so it cannot name an archive")
        self.path = archives / lesson
        self._manifest = manifest
        self._descriptors: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._lines: list[Entry] = []
        self._events: list[Event] = []
        self._contents = Contents()
        self._header: Header | None = None
        self.stored = self._recover()

    def close(self) -> None:
        """Give the files back; everything committed is durable already."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def commit(self, actions: Sequence[Action]) -> None:
        """Carry out `actions` and make them durable. Raises OSError: then `close` and reopen."""
        for action in actions:
            match action:
                case WriteHeader(header):
                    make_directory(self.path)
                    write_atomic(self.path / HEADER, header.encode())
                    self._header = header
                case WriteInit(init, data):
                    make_directory(self.path / init.rendition)
                    write_atomic(self.path / init.rendition / init_name(init.number), data)
                    self._lines.append(init)
                case Append(rendition, name, data):
                    self._append(f"{rendition}/{name}{GROWING}", data)
                case Close(segment):
                    self._close_segment(segment)
                case Log(entry):
                    self._lines.append(entry)
                case LogEvent(event):
                    self._events.append(event)
                case Finish(at_ms):
                    self._lines.append(Finished(at_ms))
                    self._flush()
                    if self._manifest:
                        self.write_manifest()
        self._flush()

    def write_manifest(self) -> bytes:
        """Make the manifest of what is whole, and store it. Returns its bytes."""
        assert self._header is not None, "a lesson that has begun"
        data = manifest.build(self._header, self._contents).encode()
        write_atomic(self.path / MANIFEST, data)
        return data

    def _open(self, name: str) -> int:
        descriptor = self._descriptors.get(name)
        if descriptor is None:
            path = self.path / name
            fresh = not path.exists()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = self._descriptors[name] = os.open(path, flags, 0o644)
            if fresh:
                sync_directory(path.parent)
        return descriptor

    def _append(self, name: str, data: bytes) -> None:
        if name not in self._descriptors:
            self._write_lines()
        write_all(self._open(name), data)
        self._dirty.add(name)

    def _close_segment(self, segment: Segment) -> None:
        name = f"{segment.rendition}/{segment_name(segment.beat, segment.part)}"
        growing = name + GROWING
        os.fsync(self._open(growing))
        os.close(self._descriptors.pop(growing))
        self._dirty.discard(growing)
        os.replace(self.path / growing, self.path / name)
        sync_directory((self.path / name).parent)
        self._lines.append(segment)

    def _flush(self) -> None:
        """Media first, then what happened in it, then the journal that speaks of both."""
        for name in sorted(self._dirty):
            os.fsync(self._descriptors[name])
        self._dirty.clear()
        if self._events:
            descriptor = self._open(EVENTS)
            write_all(descriptor, b"".join(event.encode() for event in self._events))
            os.fsync(descriptor)
            self._events.clear()
        self._write_lines()

    def _write_lines(self) -> None:
        if not self._lines:
            return
        descriptor = self._open(JOURNAL)
        write_all(descriptor, b"".join(map(journal.encode, self._lines)))
        os.fsync(descriptor)
        for entry in self._lines:
            self._contents.apply(entry)
        self._lines.clear()

    def _recover(self) -> Stored | None:
        try:
            self._header = Header.decode((self.path / HEADER).read_bytes())
        except FileNotFoundError:
            return None
        self._contents = self._recover_journal()
        growing: dict[str, bytes] = {}
        for name, rendition in self._contents.renditions.items():
            if rendition.opened is not None:
                data = self._recover_segment(rendition, rendition.opened)
                if data is not None:
                    growing[name] = data
        events = self._recover_events()
        self._remove_strays()
        self._flush()
        # A copy: the recorder of the lesson lives in another thread and has its own.
        return Stored(self._header, copy.deepcopy(self._contents), growing, events)

    def _recover_journal(self) -> Contents:
        path = self.path / JOURNAL
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Contents()
        reader = read_journal(data)
        if reader.consumed < len(data):
            _truncate(path, reader.consumed)
        return reader.contents

    def _recover_events(self) -> list[Event]:
        path = self.path / EVENTS
        if not path.exists():
            return []
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            _truncate(path, whole)
        events: list[Event] = []
        for line in data[:whole].splitlines():
            # A damaged line costs at most that an event is told twice.
            with contextlib.suppress(Refused):
                events.append(Event.decode(line))
        return events

    def _recover_segment(self, rendition: Rendition, opened: Opened) -> bytes | None:
        """The whole fragments of a segment that was growing; None when it is whole, or empty."""
        path = self.path / rendition.name / segment_name(opened.beat, opened.part)
        growing = path.with_name(path.name + GROWING)
        if path.exists():
            data = path.read_bytes()
            found = scan(data)
            if found.size == len(data) and found.samples:
                self._lines.append(
                    Segment(
                        rendition.name,
                        opened.beat,
                        opened.part,
                        opened.init,
                        opened.take,
                        found.start,
                        found.end - found.start,
                        len(found.samples),
                        len(data),
                        canonical.digest(data),
                    )
                )
                return None
            path.rename(growing)
        if not growing.exists():
            rendition.opened = None
            return None
        data = growing.read_bytes()
        size = scan(data).size
        if size < len(data):
            _truncate(growing, size)
        if size == 0:
            growing.unlink()
            rendition.opened = None
            return None
        return data[:size]

    def _remove_strays(self) -> None:
        """Growing segments that the journal does not know, and halves of atomic writes."""
        for directory in [self.path, *self.path.iterdir()]:
            if directory != self.path and not is_rendition(directory.name):
                continue
            known = self._contents.renditions.get(directory.name)
            opened = known.opened if known is not None else None
            keep = segment_name(opened.beat, opened.part) + GROWING if opened else ""
            for path in directory.iterdir():
                stray = path.name.endswith(GROWING) and path.name != keep
                if stray or (path.name.startswith(".") and path.name.endswith(".tmp")):
                    path.unlink()


def _truncate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
