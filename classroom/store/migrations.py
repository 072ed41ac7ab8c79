"""Brings records that an earlier version wrote to the shape of `tables` and `finding`, by steps.

A step runs in the transaction that prepares the records, so that a power cut leaves the old shape
or the new one; SQL that SQLite and PostgreSQL share. What `searched` holds can be made again from
the lessons (`finding.fill`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, text, update

from classroom.store import finding, tables


def bring_up(connection: Connection, version: int) -> None:
    """From schema `version` to the present one; the caller holds the lock on the version's row."""
    for step in _STEPS[version - 1 :]:
        step(connection)
    connection.execute(update(tables.schema).values(version=tables.SCHEMA))


def _schools(connection: Connection) -> None:
    """2: lessons know the school that teaches."""
    connection.execute(text("ALTER TABLE lessons ADD COLUMN school VARCHAR(60)"))
    finding.searched.drop(connection)
    finding.searched.create(connection)


def _materials(connection: Connection) -> None:
    """3: files go along with lessons; their table was made with those that are missing."""
    connection.execute(text("ALTER TABLE lessons ADD COLUMN materials VARCHAR(64)"))


# The first leads from schema 1 to 2.
_STEPS: Final[tuple[Callable[[Connection], None], ...]] = (_schools, _materials)
assert len(_STEPS) == tables.SCHEMA - 1
