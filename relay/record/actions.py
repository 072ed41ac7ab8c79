"""What the pure recorder asks the shell to do with files, in order. PURE.

A list of actions taken at once is one commit: the store carries all of it out, makes it durable,
and only then is anything acknowledged. Names are those of `classroom.archive.names`.
"""

from __future__ import annotations

from dataclasses import dataclass

from classroom.archive.contents import Header
from classroom.archive.events import Event
from classroom.archive.journal import Entry, Init, Segment


@dataclass(frozen=True, slots=True)
class WriteHeader:
    """A lesson begins: its directory and `lesson.json`."""

    header: Header


@dataclass(frozen=True, slots=True)
class WriteInit:
    """An initialisation file, written whole, then journaled."""

    init: Init
    data: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Bytes at the end of the segment that grows. name: of the segment, without ".part"."""

    rendition: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The growing segment is whole: rename, then journal."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class Log:
    """A line of the journal."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line of the event log."""

    event: Event


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything is closed: journal the end and write the manifest. at_ms: Unix milliseconds."""

    at_ms: int


Action = WriteHeader | WriteInit | Append | Close | Log | LogEvent | Finish


def size(action: Action) -> int:
    """About how many bytes an action holds in memory."""
    return len(action.data) + 200 if isinstance(action, Append | WriteInit) else 300
