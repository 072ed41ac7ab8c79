"""What an archive holds, folded from its journal entry by entry. PURE.

Here: the state that a restart, a playlist and the manifest all begin from. Not here: files (they
may be ahead of the journal by one commit; the recorder's store settles that), the manifest's form.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from classroom.archive import canonical
from classroom.archive.canonical import Members
from classroom.archive.journal import (
    Anchor,
    Entry,
    Finished,
    Gap,
    Init,
    Mark,
    Note,
    Opened,
    Segment,
    Take,
    decode,
)
from classroom.archive.names import LESSON_PATTERN, timescale
from classroom.errors import Refused

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Header:
    """`lesson.json`, written once.

    epoch_ms: Unix milliseconds of media time 0. beat_ms: length of a beat.
    """

    lesson: str
    epoch_ms: int
    beat_ms: int

    def encode(self) -> bytes:
        return canonical.encode(
            {
                "format": FORMAT,
                "lesson": self.lesson,
                "epoch_ms": self.epoch_ms,
                "beat_ms": self.beat_ms,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Raises Refused 400 `archive-malformed`."""
        members = Members.parse(data, "lesson.json")
        members.integer("format", FORMAT, FORMAT)
        return cls(
            members.text("lesson", LESSON_PATTERN),
            members.integer("epoch_ms"),
            members.integer("beat_ms", 1),
        )


@dataclass(slots=True)
class Rendition:
    """One rendition so far. `opened`: the segment that grows now, or None; opened_at: how many
    seconds of the lesson were whole then."""

    name: str
    inits: list[Init] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    opened: Opened | None = None
    opened_at: float = 0.0

    @property
    def end(self) -> int:
        """Ticks at which the last whole segment ends; 0 before the first."""
        return self.segments[-1].start + self.segments[-1].duration if self.segments else 0

    @property
    def end_seconds(self) -> float:
        return self.end / timescale(self.name)


@dataclass(slots=True)
class Contents:
    """Everything the journal says."""

    renditions: dict[str, Rendition] = field(default_factory=dict)
    takes: list[Take] = field(default_factory=list)
    mark: Mark | None = None
    notes: list[Note] = field(default_factory=list)
    finished: bool = False

    def rendition(self, name: str) -> Rendition:
        found = self.renditions.get(name)
        if found is None:
            found = self.renditions[name] = Rendition(name)
        return found

    @property
    def seconds(self) -> float:
        """End of the latest whole segment of any rendition, in seconds of media time."""
        return max((r.end_seconds for r in self.renditions.values()), default=0.0)

    def apply(self, entry: Entry) -> None:
        """Take one entry in. A segment that is already known is ignored."""
        match entry:
            case Take():
                self.takes.append(entry)
            case Init():
                inits = self.rendition(entry.rendition).inits
                if all(known.number != entry.number for known in inits):
                    inits.append(entry)
            case Opened():
                rendition = self.rendition(entry.rendition)
                rendition.opened, rendition.opened_at = entry, self.seconds
                self.finished = False
            case Segment():
                rendition = self.rendition(entry.rendition)
                rendition.opened = None
                if not rendition.segments or entry.start >= rendition.end:
                    rendition.segments.append(entry)
            case Gap():
                self.rendition(entry.rendition).gaps.append(entry)
            case Mark():
                self.mark = entry
            case Note():
                self.notes.append(entry)
            case Finished():
                self.finished = True
            case Anchor():
                pass


class JournalReader:
    """Folds a journal's bytes as they come; remembers how many of them were whole lines.

    A line that is torn or damaged ends the reading for good: what follows it was never durable.
    """

    def __init__(self) -> None:
        self.contents = Contents()
        self.consumed = 0
        self.damaged = False
        self._rest = b""

    def receive(self, data: bytes) -> None:
        """Take in the bytes that follow those of the last call."""
        if self.damaged:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                entry = decode(line)
            except Refused:
                self.damaged = True
                return
            self.contents.apply(entry)
            self.consumed += len(line) + 1


def read_journal(data: bytes) -> JournalReader:
    reader = JournalReader()
    reader.receive(data)
    return reader
