"""A small SQLite file of things that can be found out again: one that is broken is begun anew.

Here: opening, and what a torn file, a full disk or another version do. Not here: tables
(`offers`, `wishes`). A power cut may cost the last changes, never the file.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_log: Final = logging.getLogger("relay.sync")


class Database:
    """One connection; used by one thread at a time, whichever. Nothing raises for a broken file or
    disk: reading finds nothing then, and what was to be written is found out again later."""

    def __init__(self, file: Path, version: int, schema: str) -> None:
        """version: of `schema`; a file of another one is thrown away."""
        self._file = file
        self._version = version
        self._schema = schema
        self._connection: sqlite3.Connection | None = None

    def read(self, statement: str, *values: object) -> list[Any]:
        """The rows that it selects."""
        try:
            return self._open().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return []

    def write(self, *statements: tuple[str, Sequence[Sequence[object]]]) -> None:
        """Each statement with each of its rows of values, all of them or none."""
        try:
            connection = self._open()
            with connection:
                for statement, rows in statements:
                    connection.executemany(statement, rows)
        except sqlite3.Error as error:
            self._failed(error)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, error: sqlite3.Error) -> None:
        _log.warning("list-not-kept", extra={"file": self._file.name, "reason": str(error)})
        # OperationalError is the disk's or a lock's; any other one is the file's.
        if not isinstance(error, sqlite3.OperationalError):
            self.close()
            self._discard()

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = self._prepared(str(self._file))
            except sqlite3.Error as error:
                _log.warning("list-discarded", extra={"reason": str(error)})
                self._discard()
                try:
                    self._connection = self._prepared(str(self._file))
                except sqlite3.Error:
                    # A disk that takes nothing: kept until the process ends.
                    self._connection = self._prepared(":memory:")
        return self._connection

    def _prepared(self, file: str) -> sqlite3.Connection:
        connection = sqlite3.connect(file, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            [(version,)] = connection.execute("PRAGMA user_version")
            if version == 0:
                connection.executescript(self._schema)
                connection.execute(f"PRAGMA user_version = {self._version}")
            elif version != self._version:
                raise sqlite3.DatabaseError(f"of version {version}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection
