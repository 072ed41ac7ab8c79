"""Records in SQL: lessons, their history, links; races, a full disk, two processes, the key file.

Against SQLite in a directory of its own. With CLASSROOM_TEST_DATABASE set to an empty PostgreSQL
database's URL, the same stories run there as well.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from classroom import lessons
from classroom.accounts import LinkOrder, claims_for
from classroom.errors import Absent, Misuse, Refused
from classroom.lessons import Archive, Lesson
from classroom.library import Listing, Query
from classroom.store import Records, load_or_create_key, tables
from classroom.tokens import Role, Signer
from classroom.wire import LessonState

DATABASES = ["", *filter(None, [os.environ.get("CLASSROOM_TEST_DATABASE")])]
PLANNED = lessons.plan(
    "vat-ly-9",
    "Định luật Ôm",
    teacher="Cô Hoa",
    owner="hoa",
    now=1_767_600_000.123,
    subject="Vật lý",
    grade="9",
    school="THCS Mường La",
    planned_at=1_767_603_600.5,
)
ARCHIVE = Archive(2700.25, 5_000_000_000, ("voice", "camera-q"))


def started(lesson: Lesson) -> Lesson:
    return lessons.start(
        lesson, relay="root", relay_url="http://r", by="hoa", publishing=False, now=10.0
    )


@pytest.fixture(params=DATABASES)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    made = Records(request.param, tmp_path)
    await made.prepare()
    yield made
    if request.param:
        async with made._engine.begin() as connection:
            await connection.run_sync(tables.metadata.drop_all)
    await made.close()


async def test_a_lesson_comes_back_as_it_was_kept(records: Records) -> None:
    await records.add_lesson(PLANNED, by="hoa")
    assert await records.lesson("vat-ly-9") == PLANNED
    full = lessons.publish(started(PLANNED), ARCHIVE, 20.0)
    _, after = await records.change(
        "vat-ly-9", lambda _: full, by="relay root", reason="archived", now=20.0
    )
    assert after == full
    assert await records.lesson("vat-ly-9") == full


async def test_a_lesson_that_is_not_there(records: Records) -> None:
    with pytest.raises(Refused) as caught:
        await records.lesson("toan-8")
    assert (caught.value.status, caught.value.code) == (404, "lesson-unknown")
    with pytest.raises(Refused):
        await records.change("toan-8", started, by="hoa", reason="started", now=1.0)


async def test_a_taken_id_is_refused(records: Records) -> None:
    await records.add_lesson(PLANNED, by="hoa")
    with pytest.raises(Refused) as caught:
        await records.add_lesson(replace(PLANNED, title="Another"), by="minh")
    assert (caught.value.status, caught.value.code) == (409, "lesson-exists")
    assert (await records.lesson("vat-ly-9")).title == PLANNED.title


async def test_lessons_by_state(records: Records) -> None:
    await records.add_lesson(replace(PLANNED, id="toan-8", created_at=5.0), by="hoa")
    await records.add_lesson(PLANNED, by="hoa")
    await records.change("vat-ly-9", started, by="hoa", reason="started", now=10.0)
    assert [lesson.id for lesson in await records.lessons()] == ["toan-8", "vat-ly-9"]
    live = await records.lessons([LessonState.LIVE, LessonState.ENDED])
    assert [lesson.id for lesson in live] == ["vat-ly-9"]


async def test_the_history_of_a_lesson(records: Records) -> None:
    await records.add_lesson(PLANNED, by="hoa")
    await records.change("vat-ly-9", started, by="hoa", reason="started", now=10.0)
    await records.change("vat-ly-9", started, by="hoa", reason="started", now=11.0)
    await records.change(
        "vat-ly-9", lambda lesson: lessons.end(lesson, 12.0), by="x" * 300, reason="idle", now=12.0
    )
    history = await records.transitions("vat-ly-9")
    assert [(line.before, line.after, line.by, line.reason) for line in history] == [
        (None, "planned", "hoa", "planned"),
        ("planned", "live", "hoa", "started"),
        ("live", "ended", "x" * 100, "idle"),
    ]
    assert history[1].at == 10.0


async def test_a_refused_move_changes_nothing(records: Records) -> None:
    await records.add_lesson(PLANNED, by="hoa")
    with pytest.raises(Refused):
        await records.change(
            "vat-ly-9", lambda lesson: lessons.end(lesson, 1.0), by="hoa", reason="ended", now=1.0
        )
    assert await records.lesson("vat-ly-9") == PLANNED
    assert len(await records.transitions("vat-ly-9")) == 1


async def test_moves_at_the_same_moment_come_one_after_the_other(records: Records) -> None:
    await records.add_lesson(PLANNED, by="hoa")

    def longer(lesson: Lesson) -> Lesson:
        return replace(lesson, title=lesson.title + "!")

    await asyncio.gather(
        *(
            records.change("vat-ly-9", longer, by="hoa", reason="renamed", now=1.0)
            for _ in range(10)
        )
    )
    assert (await records.lesson("vat-ly-9")).title == PLANNED.title + "!" * 10


async def test_links_are_noted_without_their_token(records: Records) -> None:
    claims = claims_for(LinkOrder(Role.ROOM, "vat-ly-9", "Lớp 9A", 30), token_id="abc", now=1e9)
    await records.add_link(claims, issued_by="hoa")
    (link,) = await records.links("vat-ly-9")
    assert (link["token_id"], link["role"], link["name"]) == ("abc", "room", "Lớp 9A")
    assert link["issued_by"] == "hoa"
    assert await records.links("*") == []


async def test_two_processes_share_the_records(tmp_path: Path) -> None:
    server, command_line = Records("", tmp_path), Records("", tmp_path)
    await asyncio.gather(server.prepare(), command_line.prepare())
    await server.add_lesson(PLANNED, by="hoa")
    assert await command_line.lesson("vat-ly-9") == PLANNED
    await asyncio.gather(
        *(
            records.add_link(
                claims_for(LinkOrder(Role.ROOM, "*", "", 1), token_id=f"{number}", now=1.0),
                issued_by="x",
            )
            for number, records in enumerate([server, command_line] * 8)
        )
    )
    assert len(await server.links("*")) == 16
    await server.close()
    await command_line.close()


async def test_a_new_database_that_another_process_writes_just_now_is_waited_for(
    tmp_path: Path,
) -> None:
    with sqlite3.connect(tmp_path / "classroom.sqlite3", isolation_level=None) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN IMMEDIATE")
        records = Records("", tmp_path)
        preparing = asyncio.create_task(records.prepare())
        await asyncio.wait([preparing], timeout=0.1)
        other.execute("COMMIT")
    other.close()
    await preparing
    await records.close()


async def test_every_commit_is_synced_to_disk(tmp_path: Path) -> None:
    records = Records("", tmp_path)
    async with records._engine.connect() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2
    await records.close()


async def test_a_full_disk_is_absent_and_what_was_kept_stays(tmp_path: Path) -> None:
    records = Records("", tmp_path)
    await records.prepare()
    await records.add_lesson(PLANNED, by="hoa")
    async with records._engine.connect() as connection:
        pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
        # SQLite's own limit answers as a full disk does.
        await connection.execute(text(f"PRAGMA max_page_count={pages}"))

    async def fill() -> None:
        for number in range(400):
            await records.add_lesson(replace(PLANNED, id=f"lesson-{number}"), by="hoa")

    with pytest.raises(Absent) as caught:
        await fill()
    assert "disk" in caught.value.fix
    assert await records.lesson("vat-ly-9") == PLANNED
    await records.close()


@pytest.mark.parametrize("version", [1, 2])
async def test_records_of_an_earlier_version_are_brought_up_to_date(
    records: Records, version: int
) -> None:
    await records.add_lesson(PLANNED, by="hoa")
    async with records._engine.begin() as connection:
        await connection.execute(text("DROP TABLE materials"))
        await connection.execute(text("ALTER TABLE lessons DROP COLUMN materials"))
        if version < 2:
            for table in ("lessons", "searched"):
                await connection.execute(text(f"ALTER TABLE {table} DROP COLUMN school"))
        await connection.execute(tables.schema.update().values(version=version))
    await records.prepare()
    kept = PLANNED if version > 1 else replace(PLANNED, school=None)
    assert await records.lesson("vat-ly-9") == kept
    assert (await records.materials.of("vat-ly-9")).materials == ()
    other = replace(PLANNED, id="vat-ly-10")
    await records.add_lesson(other, by="hoa")
    for query, expected in ((Query("luat"), 2), (Query(school="thcs muong la"), version)):
        assert (await records.find(Listing(query), None))[1] == expected
    # And once only: what has come up to date stays as it is.
    await records.prepare()
    assert await records.lesson("vat-ly-10") == other


async def test_records_of_a_newer_version_are_not_touched(tmp_path: Path) -> None:
    records = Records("", tmp_path)
    await records.prepare()
    async with records._engine.begin() as connection:
        await connection.execute(tables.schema.update().values(version=99))
    with pytest.raises(Misuse, match="schema 99"):
        await records.prepare()
    await records.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "oracle9://x", "sqlite://", "postgresql://u@db:54a32/x"]
)
def test_a_database_url_that_cannot_be(url: str, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="database_url"):
        Records(url, tmp_path)


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match="--data"):
        Records("", tmp_path / "file" / "data")
    with pytest.raises(Misuse, match="--data"):
        load_or_create_key(tmp_path / "file")


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_create_key(tmp_path), range(16)))
    assert len(keys) == 1
    Signer(keys.pop())
    path = tmp_path / "keys" / "ed25519.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
