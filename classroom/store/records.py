"""The lasting records in SQL: lessons, their transitions, links handed out.

SQLite in the data directory by default, PostgreSQL by URL. A method returns when its change is on
disk, so an answer given to a teacher survives a power cut. Every move of a lesson goes through
`change`: read, decide, write and log in one transaction. A database that does not answer, or a
full disk, is Absent.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    and_,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    InvalidRequestError,
    NoSuchModuleError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from classroom.clock import monotonic
from classroom.errors import Misuse, Refused
from classroom.lessons import Lesson, unknown_lesson
from classroom.library import Listing
from classroom.store import finding, migrations, tables
from classroom.store.answering import answering
from classroom.store.materials import LessonMaterials
from classroom.store.school_relays import SchoolRelays
from classroom.tokens import Claims
from classroom.wire import LessonState

# How long a writer waits for another (the command line makes links while the server runs).
_BUSY_MS: Final = 10_000
_AGAIN_SECONDS: Final = 0.01
OPEN: Final = (LessonState.PLANNED, LessonState.LIVE)


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a lesson's history; `before` is None where it was planned."""

    lesson: str
    before: str | None
    after: str
    at: float
    by: str
    reason: str


class Records:
    """The records behind one database. Call `prepare` before all else and `close` at the end.

    url: an SQLAlchemy URL, or "" for SQLite in `data`. Raises Misuse for a URL that cannot be.
    """

    def __init__(self, url: str, data: Path) -> None:
        self._engine = _engine(url, data)
        # A transaction that will write says so when it begins, or SQLite could refuse it half-way.
        self._writing = self._engine.execution_options(writing=True)
        self.relays = SchoolRelays(self._engine, self._writing)
        """Those of schools."""
        self.materials = LessonMaterials(self._engine, self._writing)
        """Files that go along with lessons."""

    async def prepare(self) -> None:
        """Make the tables, or bring up to date those of an earlier version; Misuse if a newer
        version made them."""
        with answering(at_start=True):
            async with self._writing.begin() as connection:
                await connection.run_sync(tables.metadata.create_all)
                # Of two processes that begin at once, one waits here for the other's migration.
                standing = select(tables.schema.c.version).with_for_update()
                version = (await connection.execute(standing)).scalar()
                if version is None:
                    await connection.execute(insert(tables.schema), {"version": tables.SCHEMA})
                elif version < tables.SCHEMA:
                    await connection.run_sync(migrations.bring_up, version)
                if version is None or version <= tables.SCHEMA:
                    await connection.run_sync(finding.fill)
        if version is not None and version > tables.SCHEMA:
            raise Misuse(
                f"the records are of schema {version}, this version works with {tables.SCHEMA}; "
                "install the version that wrote them, or a newer one"
            )

    async def add_lesson(self, lesson: Lesson, *, by: str) -> None:
        """Keep a new lesson; Refused 409 lesson-exists if its id is taken."""
        try:
            with answering():
                async with self._writing.begin() as connection:
                    await connection.execute(insert(tables.lessons), tables.lesson_row(lesson))
                    await connection.execute(insert(finding.searched), finding.row(lesson))
                    await connection.execute(
                        insert(tables.transitions),
                        _transition(None, lesson, at=lesson.created_at, by=by, reason="planned"),
                    )
        except IntegrityError as error:
            raise Refused(
                409,
                "lesson-exists",
                f"There is already a lesson {lesson.id!r}.",
                fix="Choose another id, or leave it out.",
                field="id",
            ) from error

    async def lesson(self, lesson_id: str) -> Lesson:
        """The lesson; Refused 404 lesson-unknown."""
        with answering():
            async with self._engine.connect() as connection:
                query = select(tables.lessons).where(tables.lessons.c.id == lesson_id)
                row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise unknown_lesson(lesson_id)
        return tables.lesson_of(row)

    async def lessons(self, states: Collection[LessonState] | None = None) -> list[Lesson]:
        """All lessons, or those in `states`, oldest first."""
        if states is None:
            return await self._lessons(true())
        return await self._lessons(tables.lessons.c.state.in_([state.value for state in states]))

    async def _lessons(self, which: ColumnElement[bool]) -> list[Lesson]:
        table = tables.lessons
        query = select(table).where(which).order_by(table.c.created_at, table.c.id)
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).mappings().all()
        return [tables.lesson_of(row) for row in rows]

    async def find(self, asked: Listing, only: str | None) -> tuple[Sequence[RowMapping], int]:
        """The rows (`tables.lesson_of` reads them) of the part that is asked for of the lessons
        that match, and how many do. only: the one lesson that may be found, None for all."""
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(finding.page(asked, only))).mappings().all()
                total = asked.offset + len(rows)
                # The last page says it by itself.
                if len(rows) == asked.limit or (asked.offset and not rows):
                    total = (await connection.execute(finding.count(asked, only))).scalar_one()
        return rows, total

    async def recent(self, since: float) -> list[Lesson]:
        """Lessons planned or live, and those that ended after `since` (unix seconds)."""
        table = tables.lessons
        return await self._lessons(
            or_(table.c.state.in_([state.value for state in OPEN]), table.c.ended_at > since)
        )

    async def ended_on(self, relay: str) -> list[Lesson]:
        """Lessons that ended on `relay` and are not published yet."""
        table = tables.lessons
        return await self._lessons(
            and_(table.c.state == LessonState.ENDED.value, table.c.relay == relay)
        )

    async def counts(self) -> dict[LessonState, int]:
        """How many lessons there are in each state that has any."""
        state = tables.lessons.c.state
        query = select(state, func.count()).group_by(state)
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        return {LessonState(name): count for name, count in rows}

    async def change(
        self,
        lesson_id: str,
        move: Callable[[Lesson], Lesson],
        *,
        by: str,
        reason: str,
        now: float,
    ) -> tuple[Lesson, Lesson]:
        """Apply `move` to the lesson as it stands now; the lesson before and after.

        What `move` raises is passed on and nothing is written. by and reason go into the log if
        the state changed. Refused 404 lesson-unknown.
        """
        query = select(tables.lessons).where(tables.lessons.c.id == lesson_id).with_for_update()
        with answering():
            async with self._writing.begin() as connection:
                row = (await connection.execute(query)).mappings().first()
                if row is None:
                    raise unknown_lesson(lesson_id)
                before = tables.lesson_of(row)
                after = move(before)
                if after != before:
                    await connection.execute(
                        update(tables.lessons).where(tables.lessons.c.id == lesson_id),
                        tables.lesson_row(after),
                    )
                    kept = finding.searched
                    await connection.execute(
                        update(kept).where(kept.c.lesson == lesson_id), finding.row(after)
                    )
                if after.state is not before.state:
                    await connection.execute(
                        insert(tables.transitions),
                        _transition(before, after, at=now, by=by, reason=reason),
                    )
        return before, after

    async def remove(
        self, lesson_id: str, allow: Callable[[Lesson], None], *, by: str, now: float
    ) -> None:
        """Take the lesson out; its history stays, with this as its last line.

        What `allow` raises for the lesson as it stands now is passed on and nothing is written.
        Refused 404 lesson-unknown.
        """
        query = select(tables.lessons).where(tables.lessons.c.id == lesson_id).with_for_update()
        with answering():
            async with self._writing.begin() as connection:
                row = (await connection.execute(query)).mappings().first()
                if row is None:
                    raise unknown_lesson(lesson_id)
                lesson = tables.lesson_of(row)
                allow(lesson)
                for table, column in (
                    (tables.lessons, tables.lessons.c.id),
                    (finding.searched, finding.searched.c.lesson),
                    (tables.materials, tables.materials.c.lesson),
                ):
                    await connection.execute(delete(table).where(column == lesson_id))
                line = _transition(lesson, lesson, at=now, by=by, reason="removed")
                await connection.execute(insert(tables.transitions), line | {"after": "removed"})

    async def transitions(self, lesson_id: str) -> list[Transition]:
        """The history of a lesson, oldest first."""
        columns = [column for column in tables.transitions.c if column.name != "number"]
        query = (
            select(*columns)
            .where(tables.transitions.c.lesson == lesson_id)
            .order_by(tables.transitions.c.number)
        )
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).mappings().all()
        return [Transition(**row) for row in rows]

    async def add_link(self, claims: Claims, *, issued_by: str) -> None:
        """Note that a link with these claims was handed out."""
        row = {
            "token_id": claims.token_id,
            "subject": claims.subject,
            "name": claims.name,
            "role": claims.role.value,
            "lesson": claims.lesson,
            "issued_at": claims.issued_at,
            "expires_at": claims.expires_at,
            "issued_by": issued_by,
        }
        with answering():
            async with self._writing.begin() as connection:
                await connection.execute(insert(tables.links), row)

    async def links(self, lesson_id: str) -> list[dict[str, Any]]:
        """The links handed out for a lesson ("*" for those good for all), oldest first."""
        query = (
            select(tables.links)
            .where(tables.links.c.lesson == lesson_id)
            .order_by(tables.links.c.issued_at, tables.links.c.token_id)
        )
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).mappings().all()
        return [dict(row) for row in rows]

    async def check(self) -> None:
        """Return if the database answers; raises Absent."""
        with answering():
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _transition(
    before: Lesson | None, after: Lesson, *, at: float, by: str, reason: str
) -> dict[str, Any]:
    return {
        "lesson": after.id,
        "before": before.state.value if before else None,
        "after": after.state.value,
        "at": at,
        "by": by[:100],
        "reason": reason[:60],
    }


def _engine(url: str, data: Path) -> AsyncEngine:
    if not url:
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misuse(
                f"cannot use the data directory {data}: {error.strerror}; choose one with --data"
            ) from error
        url = f"sqlite+aiosqlite:///{data / 'classroom.sqlite3'}"
    # The driver is ours to choose; the operator names the database.
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    try:
        engine = create_async_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, InvalidRequestError, NoSuchModuleError, ValueError) as error:
        raise Misuse(f"database_url cannot be used: {error}") from error
    except ModuleNotFoundError as error:
        raise Misuse(
            f"database_url needs the module {error.name!r}; for PostgreSQL install "
            "classroom-without-walls[postgresql]"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes too late for reads; ours comes in `_begin_sqlite`.
    connection.isolation_level = None
    cursor = connection.cursor()
    # First, for the next statement has to wait for whoever writes just now.
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    # WAL lets the command line read and write beside the server; FULL syncs it at every commit,
    # which NORMAL does not: a power cut would lose the last transactions.
    _turn_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _turn_to_wal(cursor: Any) -> None:
    # Of two that turn a new database at once SQLite refuses one without waiting, for each holds
    # what the other needs. Once it is turned, it stays so.
    give_up = monotonic() + _BUSY_MS / 1_000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > give_up:
                raise
            await_only(asyncio.sleep(_AGAIN_SECONDS))


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
