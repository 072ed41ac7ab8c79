"""What this relay has to give to relays below it and beside it: its whole archives, in the order in
which they came or changed.

Here: the list, so that a relay that knows it up to some change is told only what came later; kept
on disk, because reading 15,000 manifests takes minutes. Not here: who may ask (`relay.web.offers`),
what is told of one archive (`offer`). All methods block; one thread at a time.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from classroom.archive.names import is_lesson
from classroom.clock import Clock, monotonic
from relay.sync.database import Database
from relay.sync.offer import offer_of

_log: Final = logging.getLogger("relay.sync")

_SCHEMA: Final = """
CREATE TABLE series (name TEXT NOT NULL);
CREATE TABLE offers (
    lesson TEXT PRIMARY KEY, number INTEGER NOT NULL, stamp INTEGER NOT NULL,
    manifest TEXT NOT NULL, document TEXT NOT NULL
);
CREATE INDEX by_number ON offers (number);
"""
# Looking at 15,000 directories takes tens of milliseconds, and many relays ask at once.
_LOOK_SECONDS: Final = 10.0
# Archives read in one look: a second or two. Who asks for the list is told that there is more.
_READ_AT_ONCE: Final = 100
MOST: Final = 500
"""Lessons in one page of the list."""


@dataclass(frozen=True, slots=True)
class Page:
    """What changed after some cursor. cursor: for next time. more: ask again at once. reset: this
    is the beginning of everything: forget what was told before."""

    documents: list[str]
    cursor: str
    more: bool
    reset: bool

    def encode(self) -> bytes:
        """The answer to a request for the list."""
        head = json.dumps({"cursor": self.cursor, "more": self.more, "reset": self.reset})
        return f'{head[:-1]}, "offers": [{",".join(self.documents)}]}}'.encode()


class Offers:
    """The list of what is under one directory of archives."""

    def __init__(
        self,
        archives: Path,
        kept: Path,
        is_offered: Callable[[str], bool] = lambda lesson: True,
        now: Clock = monotonic,
    ) -> None:
        """kept: file for the list. is_offered(lesson): whether what is here of it is whole and as
        its root has it."""
        self._archives = archives
        self._database = Database(kept, 1, _SCHEMA)
        self._is_offered = is_offered
        self._now = now
        self._looked_at: float | None = None

    def manifest(self, lesson: str) -> str:
        """SHA-256 of the manifest of a whole archive, "" while there is none."""
        rows = self._database.read("SELECT manifest FROM offers WHERE lesson = ?", lesson)
        return str(rows[0][0]) if rows else ""

    def page(self, after: str, most: int = MOST) -> Page:
        """What came, changed and went after the cursor `after` ("" for everything)."""
        self.look()
        mine = self._series()
        series, _, text = after.partition(".")
        known = series == mine and text.isascii() and text.isdecimal() and len(text) < 16
        number = int(text) if known else 0
        rows = self._database.read(
            "SELECT number, document FROM offers WHERE number > ? AND (? OR manifest != '') "
            "ORDER BY number LIMIT ?",
            *(number, number > 0, most + 1),
        )
        more = len(rows) > most or self._looked_at is None
        rows = rows[:most]
        last = rows[-1][0] if rows else number
        return Page([row[1] for row in rows], f"{mine}.{last}", more, number == 0)

    def look(self) -> None:
        """See what changed on disk, at most every ten seconds."""
        now = self._now()
        if self._looked_at is not None and now - self._looked_at < _LOOK_SECONDS:
            return
        try:
            entries = [entry for entry in os.scandir(self._archives) if is_lesson(entry.name)]
        except OSError as error:
            _log.warning("archives-unreadable", extra={"reason": str(error)})
            return
        rows = self._database.read("SELECT lesson, stamp, manifest, document FROM offers")
        seen = {lesson: (stamp, manifest, document) for lesson, stamp, manifest, document in rows}
        found: set[str] = set()
        reading = 0
        for entry in entries:
            name = entry.name
            if reading >= _READ_AT_ONCE:
                self._looked_at = None
                return
            if not self._is_offered(name):
                continue
            try:
                # Every whole file that comes into the directory or goes changes its date.
                stamp = entry.stat().st_mtime_ns
            except OSError:
                continue
            before = seen.get(name)
            if before is not None and before[0] == stamp and before[1]:
                found.add(name)
                continue
            offer = offer_of(Path(entry.path))
            if offer is None:
                continue
            reading += 1
            found.add(name)
            document = _text(offer.as_json())
            if before is None or before[2] != document:
                self._put(name, stamp, offer.manifest, document)
            else:
                self._database.write(
                    ("UPDATE offers SET stamp = ? WHERE lesson = ?", [(stamp, name)])
                )
        for name, (_, manifest, _) in seen.items():
            if manifest and name not in found:
                self._put(name, 0, "", _text({"lesson": name, "gone": True}))
        self._looked_at = self._now()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _put(self, lesson: str, stamp: int, manifest: str, document: str) -> None:
        statement = (
            "INSERT OR REPLACE INTO offers SELECT ?, 1 + coalesce(max(number), 0), ?, ?, ? "
            "FROM offers"
        )
        self._database.write((statement, [(lesson, stamp, manifest, document)]))

    def _series(self) -> str:
        """Numbers count from anew when the file is lost; who knew the old ones is told all."""
        rows = self._database.read("SELECT name FROM series")
        if not rows:
            name = secrets.token_hex(4)
            self._database.write(("INSERT INTO series VALUES (?)", [(name,)]))
            return name
        return str(rows[0][0])


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
