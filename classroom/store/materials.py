"""The lists of files that go along with lessons, in SQL.

A change of a list and of the digest that its lesson is told with is one transaction, under the
lesson's row, so that of two changes at once none is lost. A file comes to its place within the
transaction that names it, and files are removed within one that no file can come between: the
version's row is the lock of both, so that it holds for every process that shares the records. The
files themselves: `blobs`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from classroom.archive.materials import Material, Materials
from classroom.lessons import unknown_lesson
from classroom.lessons.materials import digest_of
from classroom.store import tables
from classroom.store.answering import answering
from classroom.wire import LessonState, ListChange

# Each is a parameter of a statement; databases take some thousands.
AT_ONCE: Final = 500


class LessonMaterials:
    """Part of `Records`, which makes the tables. `writing` begins transactions that will write."""

    def __init__(self, engine: AsyncEngine, writing: AsyncEngine) -> None:
        self._engine = engine
        self._writing = writing

    async def of(self, lesson_id: str) -> Materials:
        """The lesson's list; Refused 404 lesson-unknown."""
        with answering():
            async with self._engine.connect() as connection:
                return await _list(connection, lesson_id, locked=False)

    async def change(
        self,
        lesson_id: str,
        move: Callable[[Materials], Materials],
        place: Callable[[], Awaitable[None]] | None = None,
        *,
        now: float,
    ) -> tuple[Materials, Materials]:
        """Apply `move` to the list as it stands now; the list before and after.

        now: unix seconds. place: brings the file that the list will name to its place; whatever it
        or `move` raises (no OSError) is passed on and nothing is written. Refused 404
        lesson-unknown.
        """
        with answering():
            async with self._writing.begin() as connection:
                await _lock_files(connection)
                before = await _list(connection, lesson_id, locked=True)
                after = move(before)
                if place is not None:
                    await place()
                if after != before:
                    await _write(connection, after, now)
        return before, after

    async def changed_late(self, most: int) -> tuple[ListChange, ...]:
        """The last `most` lists that changed after their lesson began, of lessons that are over;
        newest first."""
        lesson, late = tables.lessons, tables.late_lists
        over = [LessonState.ENDED.value, LessonState.PUBLISHED.value]
        query = (
            select(lesson.c.id, lesson.c.materials, late.c.changed_at)
            .join(late, late.c.lesson == lesson.c.id)
            .where(lesson.c.state.in_(over))
            .order_by(late.c.changed_at.desc())
            .limit(most)
        )
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        return tuple(ListChange(name, digest, at) for name, digest, at in rows)

    async def unnamed(self, digests: Collection[str]) -> set[str]:
        """Those of at most `AT_ONCE` digests that no list names."""
        with answering():
            async with self._engine.connect() as connection:
                return await _unnamed(connection, digests)

    async def forget(
        self, digests: Collection[str], remove: Callable[[set[str]], Awaitable[None]]
    ) -> None:
        """Let `remove` (which raises no OSError) remove the files of those of at most `AT_ONCE`
        digests that no list names; none comes to be named before it is done."""
        with answering():
            async with self._writing.begin() as connection:
                await _lock_files(connection)
                await remove(await _unnamed(connection, digests))

    async def totals(self) -> tuple[int, int]:
        """How many files the lists name, and their bytes; one in several lists counts once."""
        table = tables.materials
        files = select(table.c.digest, func.max(table.c.bytes).label("bytes"))
        each = files.group_by(table.c.digest).subquery()
        query = select(func.count(), func.coalesce(func.sum(each.c.bytes), 0)).select_from(each)
        with answering():
            async with self._engine.connect() as connection:
                count, size = (await connection.execute(query)).one()
        return int(count), int(size)


async def _lock_files(connection: AsyncConnection) -> None:
    await connection.execute(select(tables.schema.c.version).with_for_update())


async def _list(connection: AsyncConnection, lesson_id: str, *, locked: bool) -> Materials:
    lesson = select(tables.lessons.c.id).where(tables.lessons.c.id == lesson_id)
    if locked:
        lesson = lesson.with_for_update()
    if (await connection.execute(lesson)).first() is None:
        raise unknown_lesson(lesson_id)
    table = tables.materials
    query = (
        select(table.c.name, table.c.bytes, table.c.digest)
        .where(table.c.lesson == lesson_id)
        .order_by(table.c.place)
    )
    rows = (await connection.execute(query)).all()
    return Materials(lesson_id, tuple(Material(name, size, digest) for name, size, digest in rows))


async def _write(connection: AsyncConnection, after: Materials, now: float) -> None:
    table, lesson = tables.materials, tables.lessons
    await _note_late(connection, after.lesson, now)
    await connection.execute(delete(table).where(table.c.lesson == after.lesson))
    rows = [
        {
            "lesson": after.lesson,
            "digest": one.digest,
            "place": place,
            "name": one.name,
            "bytes": one.bytes,
        }
        for place, one in enumerate(after.materials)
    ]
    if rows:
        await connection.execute(insert(table), rows)
    told = update(lesson).where(lesson.c.id == after.lesson)
    await connection.execute(told.values(materials=digest_of(after)))


async def _note_late(connection: AsyncConnection, lesson_id: str, now: float) -> None:
    """The list changes; nothing is noted of a lesson to come, of which relays hear as it is."""
    lesson, late = tables.lessons, tables.late_lists
    state = select(lesson.c.state).where(lesson.c.id == lesson_id)
    if (await connection.execute(state)).scalar_one() == LessonState.PLANNED.value:
        return
    # A clock may be set back; the lock on all files lets no other list change now.
    latest = (await connection.execute(select(func.max(late.c.changed_at)))).scalar() or 0.0
    await connection.execute(delete(late).where(late.c.lesson == lesson_id))
    row = {"lesson": lesson_id, "changed_at": max(now, latest + 0.001)}
    await connection.execute(insert(late), row)


async def _unnamed(connection: AsyncConnection, digests: Collection[str]) -> set[str]:
    digest = tables.materials.c.digest
    named = select(digest).where(digest.in_(list(digests))).distinct()
    return set(digests) - set((await connection.execute(named)).scalars())
