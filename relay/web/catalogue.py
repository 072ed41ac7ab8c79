"""The archives on disk as a library of thousands: kept in one SQLite file, found by words in it.

Here: keeping that file in step with the directories of archives a few at a time, searching it. Not
here: HTTP, lessons that run (`relay.web.library` puts both together), what a page is sent of an
archive (`relay.web.archived`). The file holds nothing that is not on disk elsewhere: one that is
torn or of another version is thrown away and made again. Every method blocks and is for one thread.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from classroom.clock import Clock, monotonic, wall
from classroom.library import Query, Rank, folded, indexed, stems
from classroom.wire import is_lesson_id
from relay.web.archived import read_archived, stamp_of

_log: Final = logging.getLogger("relay.service")

_VERSION: Final = 3
# Two tables, so that a search reads no more of a lesson than what it looks at.
_SCHEMA: Final = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE archives (
    id TEXT PRIMARY KEY, stamp TEXT NOT NULL, finished INTEGER NOT NULL, duration REAL,
    document TEXT
);
CREATE TABLE searched (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, rest TEXT NOT NULL, subject TEXT NOT NULL,
    grade TEXT NOT NULL, school TEXT NOT NULL, state TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX by_date ON searched (at DESC, id);
CREATE INDEX to_watch ON archives (id DESC) WHERE NOT finished;
"""
# A directory's date is as coarse as the kernel's tick, or two seconds on a FAT file system: what
# changed so lately may have changed again without another date.
_RACY_SECONDS: Final = 2.0
# Pause after listing the directory, in times of what that took.
_SEEN_AGAIN: Final = 20.0
# Archives that may change at any moment, as those that are being recorded: looked at each time.
_WATCHED: Final = 200
# By what a person may narrow the list.
LABELS: Final = ("subject", "grade", "school")
# What a person may choose from in a list; a school has some dozens.
_MOST_LABELS: Final = 300
# All others are looked at this rarely, and only while somebody asks. Seconds.
_SWEEP_SECONDS: Final = 600.0
_SWEPT_AT_ONCE: Final = 200


class Catalogue:
    """Call `look` before `page`: it is quick unless much has changed."""

    def __init__(
        self, file: Path, archives: Path, clock: Clock = monotonic, now: Clock = wall
    ) -> None:
        """file: where the catalogue is kept. archives: directory of archives. clock: seconds that
        never jump. now: unix seconds."""
        self._file = file
        self._archives = archives
        self._clock = clock
        self._wall = now
        self._database: sqlite3.Connection | None = None
        self._pending: dict[str, None] = {}  # a set in order
        self._noted: set[str] = set()
        self._seen_at = -1
        self._see_at = 0.0
        self._swept: str | None = ""  # the id up to which this sweep came, None between sweeps
        self._sweep_at = 0.0

    def note(self, lesson: str) -> None:
        """The archive of `lesson` has changed; may be called from any thread."""
        self._noted.add(lesson)

    def look(self, seconds: float) -> bool:
        """Take in what has changed on disk, for about `seconds`; whether there is more to do."""
        until = self._clock() + seconds
        try:
            database = self._open()
            with database:
                self._see(database)
                while (busy := self._step(database)) and self._clock() < until:
                    pass
            return busy
        except sqlite3.OperationalError as error:
            # A full disk, most likely: what is known is still shown.
            _log.warning("catalogue-not-written", extra={"reason": str(error)})
            return False
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return True

    def page(
        self, query: Query, lesson: str | None, without: Iterable[str], limit: int, offset: int
    ) -> tuple[list[tuple[Rank, str]], int]:
        """Archives that `query` finds from the `offset`-th on, at most `limit`, each with its rank
        and its JSON object; and how many it finds in all.

        lesson: the only one that may be shown, None for all. without: ids that are left out.
        """
        where, values = _where(query, lesson, without)
        words = stems(query.words)
        in_title = " AND ".join("instr(title, ?)" for _ in words) or "1"
        # Where every row is looked at, in the order of the table; else along the index.
        source, order = ("searched NOT INDEXED", "place, ") if words else ("searched", "")
        found = self._rows(
            f"""SELECT found.place, found.at, found.id, document FROM (
                SELECT id, at, NOT ({in_title}) AS place FROM {source} WHERE {where}
                ORDER BY {order}at DESC, id LIMIT ? OFFSET ?
            ) AS found JOIN archives USING (id) ORDER BY place, found.at DESC, found.id""",
            [*words, *values, limit, offset],
        )
        total = offset + len(found)
        if len(found) == limit or (offset and not found):  # else this is the last page
            counted = self._rows(f"SELECT count(*) FROM {source} WHERE {where}", values)
            total = counted[0][0] if counted else 0
        return [((bool(place), -at, name), document) for place, at, name, document in found], total

    def labels(self, name: str) -> list[str]:
        """The values of one of `LABELS` that archives have, in order, each as it is written
        most lately; spellings that differ by marks or case are one. At most some hundreds."""
        if name not in LABELS:
            raise ValueError(f"{name} is no label")
        rows = self._rows(
            f"""SELECT json_extract(document, '$.{name}') FROM (
                SELECT id, max(at), {name} AS folded FROM searched WHERE {name} != ''
                GROUP BY {name} ORDER BY {name} LIMIT ?
            ) JOIN archives USING (id) ORDER BY folded""",
            [_MOST_LABELS],
        )
        return [str(label) for (label,) in rows if label]

    def durations(self, lessons: Iterable[str]) -> dict[str, float | None]:
        """The archives that are here of `lessons`, and how long each is, in seconds."""
        rows = self._rows(
            "SELECT id, duration FROM archives WHERE document IS NOT NULL AND id IN "
            "(SELECT value FROM json_each(?))",
            [json.dumps(list(lessons))],
        )
        return dict(rows)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    # In step with the disk

    def _see(self, database: sqlite3.Connection) -> None:
        """Note which archives came, went or may have changed since the last look."""
        while self._noted:
            self._pending[self._noted.pop()] = None
        began = self._clock()
        try:
            changed_at = self._archives.stat().st_mtime_ns
            if changed_at != self._seen_at and self._clock() >= self._see_at:
                names = {
                    entry.name
                    for entry in os.scandir(self._archives)
                    if is_lesson_id(entry.name) and entry.is_dir()
                }
                known = {name for (name,) in database.execute("SELECT id FROM archives")}
                self._pending.update(dict.fromkeys(names - known))
                for name in known - names:
                    _forget(database, name)
                racy = abs(self._wall() - changed_at / 1e9) < _RACY_SECONDS
                self._seen_at = -1 if racy else changed_at
                # Thousands of names take a while; while they come and go, not at each request.
                self._see_at = self._clock() + _SEEN_AGAIN * (self._clock() - began)
        except OSError as error:
            _log.warning("archives-unreadable", extra={"reason": str(error)})
        self._compare(
            database.execute(
                "SELECT id, stamp FROM archives WHERE NOT finished ORDER BY id DESC LIMIT ?",
                (_WATCHED,),
            ).fetchall()
        )
        if self._swept is None and self._clock() >= self._sweep_at:
            self._swept = ""

    def _compare(self, rows: list[tuple[str, str]]) -> None:
        for name, stamp in rows:
            if stamp_of(self._archives / name) != stamp:
                self._pending[name] = None

    def _step(self, database: sqlite3.Connection) -> bool:
        """One archive read, or a part of the sweep; False when nothing is left to do."""
        if self._pending:
            self._take_in(database, self._pending.popitem()[0])
        elif self._swept is not None:
            rows = database.execute(
                "SELECT id, stamp FROM archives WHERE id > ? ORDER BY id LIMIT ?",
                (self._swept, _SWEPT_AT_ONCE),
            ).fetchall()
            self._compare(rows)
            self._swept = rows[-1][0] if rows else None
            self._sweep_at = self._clock() + _SWEEP_SECONDS
        else:
            return False
        return True

    def _take_in(self, database: sqlite3.Connection, name: str) -> None:
        directory = self._archives / name
        stamp = stamp_of(directory)  # before the reading: what changes meanwhile is seen next time
        _forget(database, name)
        if not directory.is_dir():
            return
        read = read_archived(directory)
        if read is None:
            database.execute("INSERT INTO archives VALUES (?, ?, 0, NULL, NULL)", (name, stamp))
            return
        document = json.dumps(read.entry(), ensure_ascii=False)
        database.execute(
            "INSERT INTO archives VALUES (?, ?, ?, ?, ?)",
            (name, stamp, read.finished, read.duration, document),
        )
        kept = indexed(read)
        database.execute(
            "INSERT INTO searched VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                name,
                *(kept.title, kept.rest),
                *(kept.subject, kept.grade, kept.school),
                *(read.state, kept.at),
            ),
        )

    # The file

    def _rows(self, statement: str, values: list[object]) -> list[Any]:
        try:
            return self._open().execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            _log.warning("catalogue-not-read", extra={"reason": str(error)})
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
        return []

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            try:
                self._database = _prepared(str(self._file))
            except sqlite3.Error as error:
                self._discard(error)
                try:
                    self._database = _prepared(str(self._file))
                except sqlite3.Error as second:
                    # A disk that takes nothing: the library is read anew after each start.
                    _log.warning("catalogue-in-memory", extra={"reason": str(second)})
                    self._database = _prepared(":memory:")
        return self._database

    def _begin_anew(self, error: sqlite3.Error) -> None:
        self.close()
        self._discard(error)
        self._pending.clear()
        self._seen_at, self._swept = -1, ""

    def _discard(self, error: sqlite3.Error) -> None:
        _log.warning("catalogue-discarded", extra={"reason": str(error)})
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink()


def _forget(database: sqlite3.Connection, name: str) -> None:
    for table in ("archives", "searched"):
        database.execute(f"DELETE FROM {table} WHERE id = ?", (name,))


def _prepared(file: str) -> sqlite3.Connection:
    """Raises sqlite3.Error, DatabaseError also when the file is of another version."""
    database = sqlite3.connect(file, check_same_thread=False)
    try:
        # Without syncing, a power cut may cost the last changes, which the next look finds again.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        [(version,)] = database.execute("PRAGMA user_version")
        if version == 0:
            database.executescript(_SCHEMA)
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"of version {version}")
        database.execute("SELECT document FROM archives LIMIT 1")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _where(query: Query, lesson: str | None, without: Iterable[str]) -> tuple[str, list[object]]:
    conditions, values = ["1"], list[object]()
    for stem in stems(query.words):
        conditions.append("(instr(title, ?) OR instr(rest, ?))")
        values += [stem, stem]
    for name in LABELS:
        label = getattr(query, name)
        if label is not None:
            conditions.append(f"{name} = ?")
            values.append(folded(label))
    if query.states is not None:
        conditions.append("state IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(sorted(query.states)))
    if lesson is not None:
        conditions.append("id = ?")
        values.append(lesson)
    left_out = list(without)
    if left_out:
        conditions.append("id NOT IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(left_out))
    return " AND ".join(conditions), values
