"""What this relay knows of its sources' lists, which lessons are meant for it, and what it spent.

Here: keeping all that over a restart, so that a list of 15,000 lessons crosses the weak link once.
Not here: what comes next (`plan`), the sources' own lists (`offers`). All methods block, shortly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from classroom.errors import Refused
from relay.sync.database import Database
from relay.sync.offer import Offer, read_offer
from relay.sync.sources import Changes

_SCHEMA: Final = """
CREATE TABLE cursors (source TEXT PRIMARY KEY, cursor TEXT NOT NULL);
CREATE TABLE offers (
    lesson TEXT NOT NULL, source TEXT NOT NULL, manifest TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (lesson, source)
) WITHOUT ROWID;
CREATE TABLE extras (lesson TEXT PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE meant (lesson TEXT PRIMARY KEY);
CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# Lessons meant for this school that are remembered by name; a school has a few a day.
_MEANT_KEPT: Final = 20_000


class Wishes:
    """One per service process."""

    def __init__(self, file: Path) -> None:
        self._database = Database(file, 1, _SCHEMA)
        self._had: dict[str, frozenset[str]] = {}

    def cursor(self, source: str) -> str:
        """Up to where the source's list is known, "" for not at all."""
        rows = self._database.read("SELECT cursor FROM cursors WHERE source = ?", source)
        return str(rows[0][0]) if rows else ""

    def take(self, source: str, changes: Changes) -> list[str]:
        """A page of the source's list came; the lessons that it says something new of."""
        self._had.pop(source, None)
        changed = {offer.lesson for offer in changes.offers} | set(changes.gone)
        statements: list[tuple[str, list[tuple[object, ...]]]] = []
        if changes.reset:
            changed.update(
                row[0]
                for row in self._database.read("SELECT lesson FROM offers WHERE source = ?", source)
            )
            statements.append(("DELETE FROM offers WHERE source = ?", [(source,)]))
        statements += [
            (
                "DELETE FROM offers WHERE lesson = ? AND source = ?",
                [(lesson, source) for lesson in changes.gone],
            ),
            (
                "INSERT OR REPLACE INTO offers VALUES (?, ?, ?, ?)",
                [(o.lesson, source, o.manifest, _text(o)) for o in changes.offers],
            ),
            ("INSERT OR REPLACE INTO cursors VALUES (?, ?)", [(source, changes.cursor)]),
        ]
        self._database.write(*statements)
        return sorted(changed)

    def keep_only(self, sources: Iterable[str]) -> None:
        """Forget the lists of all other sources."""
        known = list(sources)
        marks = ", ".join("?" for _ in known) or "''"
        self._database.write(
            (f"DELETE FROM offers WHERE source NOT IN ({marks})", [known]),
            (f"DELETE FROM cursors WHERE source NOT IN ({marks})", [known]),
        )

    def offer(self, lesson: str, order: Iterable[str]) -> Offer | None:
        """What the first of the sources `order` that has the lesson says of it."""
        rows = dict(
            self._database.read("SELECT source, document FROM offers WHERE lesson = ?", lesson)
        )
        for source in order:
            if source in rows:
                return _offer(rows[source])
        return None

    def sources(self, lesson: str, manifest: str) -> set[str]:
        """Those that have this very archive."""
        rows = self._database.read(
            "SELECT source FROM offers WHERE lesson = ? AND manifest = ?", lesson, manifest
        )
        return {row[0] for row in rows}

    def had(self, source: str) -> frozenset[str]:
        """Every lesson that the source has. From memory: asked for each lesson of a long queue."""
        found = self._had.get(source)
        if found is None:
            rows = self._database.read("SELECT lesson FROM offers WHERE source = ?", source)
            found = self._had[source] = frozenset(row[0] for row in rows)
        return found

    def lessons(self) -> Iterator[str]:
        """Every lesson that any source has."""
        for row in self._database.read("SELECT DISTINCT lesson FROM offers"):
            yield str(row[0])

    def extras(self, lesson: str) -> str:
        """SHA-256 of the extras.json whose files are all here, "" for none."""
        rows = self._database.read("SELECT digest FROM extras WHERE lesson = ?", lesson)
        return str(rows[0][0]) if rows else ""

    def have_extras(self, lesson: str, digest: str) -> None:
        """They are all here."""
        self._database.write(("INSERT OR REPLACE INTO extras VALUES (?, ?)", [(lesson, digest)]))

    def meant(self) -> set[str]:
        """Lessons that were ever meant for this school."""
        return {row[0] for row in self._database.read("SELECT lesson FROM meant")}

    def mean(self, lessons: Iterable[str]) -> None:
        """These are meant for this school, from now on."""
        self._database.write(
            ("INSERT OR IGNORE INTO meant VALUES (?)", [(lesson,) for lesson in lessons]),
            (
                "DELETE FROM meant WHERE rowid <= (SELECT max(rowid) FROM meant) - ?",
                [(_MEANT_KEPT,)],
            ),
        )

    def remember(self, name: str, value: int) -> None:
        """A number that is to outlive this process."""
        self._database.write(("INSERT OR REPLACE INTO kept VALUES (?, ?)", [(name, str(value))]))

    def recall(self, name: str) -> int:
        """The number, 0 for none."""
        rows = self._database.read("SELECT value FROM kept WHERE name = ?", name)
        return int(rows[0][0]) if rows and str(rows[0][0]).isdecimal() else 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _text(offer: Offer) -> str:
    return json.dumps(offer.as_json(), ensure_ascii=False, separators=(",", ":"))


def _offer(document: str) -> Offer | None:
    try:
        value: Any = json.loads(document)
        return read_offer(value)
    except (ValueError, Refused):
        return None
