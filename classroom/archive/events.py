"""The event log of a lesson, `events.jsonl`: what happened when, in media time. PURE.

Here: one event and its line form. Not here: which events there are: a reader skips kinds that it
does not know. The recorder writes "recording", "source" and "ended"; other parts add their own
(slides, questions). FORMAT.md, section "events.jsonl".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from classroom.archive import canonical
from classroom.archive.canonical import Members, malformed

KIND_PATTERN: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
MAX_LINE: Final = 16_384  # bytes; an event is a fact about the lesson, not a document


@dataclass(frozen=True, slots=True)
class Event:
    """at_ms: milliseconds of media time. body: JSON members, as its kind defines."""

    at_ms: int
    kind: str
    body: Mapping[str, object]

    def encode(self) -> bytes:
        return canonical.encode({"at_ms": self.at_ms, "kind": self.kind, "body": dict(self.body)})

    @classmethod
    def decode(cls, line: bytes) -> Event:
        """Raises Refused 400 `archive-malformed`."""
        if len(line) > MAX_LINE:
            raise malformed("event", f"an event of more than {MAX_LINE} bytes")
        members = Members.parse(line, "event")
        return cls(
            members.integer("at_ms"), members.text("kind", KIND_PATTERN), members.map("body")
        )
