"""Finding lessons in the records: the same, in the same order, as by looking at every lesson.

Against SQLite in a directory of its own. With CLASSROOM_TEST_DATABASE set to an empty PostgreSQL
database's URL, the same stories run there as well.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from classroom import lessons
from classroom.lessons import Lesson
from classroom.library import Listing, Query, search
from classroom.store import Records, finding, tables
from classroom.wire import LessonState

DATABASES = ["", *filter(None, [os.environ.get("CLASSROOM_TEST_DATABASE")])]
WORDS = ["Định", "luật", "Ôm", "Đường", "thẳng", "Thơ", "Vật", "lý", "Toán", "Ngữ", "văn", "Sử"]
STATES = [LessonState.PLANNED, LessonState.LIVE, LessonState.ENDED, LessonState.PUBLISHED]


def planned(lesson: str, title: str = "Định luật Ôm") -> Lesson:
    return lessons.plan(lesson, title, teacher="Cô Hoa", owner="hoa", now=5.0)


@pytest.fixture(params=DATABASES)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    made = Records(request.param, tmp_path)
    await made.prepare()
    yield made
    if request.param:
        async with made._engine.begin() as connection:
            await connection.run_sync(tables.metadata.drop_all)
    await made.close()


async def ids(records: Records, asked: Listing, only: str | None = None) -> list[str]:
    return [row["id"] for row in (await records.find(asked, only))[0]]


async def test_pages_of_a_search_hold_what_looking_at_every_lesson_finds(records: Records) -> None:
    seeded = random.Random(4)
    kept = []
    for number in range(50):
        lesson = lessons.plan(
            f"bai-{number}",
            " ".join(seeded.choices(WORDS, k=4)),
            teacher=seeded.choice(["Cô Hoa", "Thầy Toán", "Cô Mai"]),
            owner="hoa",
            now=1.0,
            subject=seeded.choice(["Vật lý", "Toán", None]),
            grade=seeded.choice(["9", "8", None]),
            school=seeded.choice(["Mường La", "Trà Leng", None]),
            planned_at=seeded.choice([None, float(seeded.randrange(20))]),
        )
        kept.append(replace(lesson, state=seeded.choice(STATES)))
        await records.add_lesson(kept[-1], by="hoa")
    for words in ("", "on", "duong thang", "TOÁN", "hoa 9", "bai 1", "zzz", "%", "_ -", "'"):
        for query in (
            Query(words),
            Query(words, "vat ly"),
            Query(words, states=frozenset({"live"})),
            Query(words, school="muong la"),
        ):
            expected = [one.id for one in search(kept, query)]
            assert await ids(records, Listing(query)) == expected
            pages = [
                await records.find(Listing(query, 7, start), None) for start in range(0, 50, 7)
            ]
            assert [row["id"] for rows, _ in pages for row in rows] == expected
            assert {total for _, total in pages} == {len(expected)}


async def test_a_lesson_is_found_as_it_is_now(records: Records) -> None:
    await records.add_lesson(planned("vat-ly"), by="hoa")
    await records.change(
        "vat-ly",
        lambda lesson: replace(lesson, title="Đoạn mạch", state=LessonState.LIVE),
        by="hoa",
        reason="changed",
        now=6.0,
    )
    assert await ids(records, Listing(Query("om"))) == []
    assert await ids(records, Listing(Query("doan", states=frozenset({"live"})))) == ["vat-ly"]
    await records.remove("vat-ly", lambda lesson: None, by="hoa", now=7.0)
    assert await records.find(Listing(Query()), None) == ([], 0)
    await records.add_lesson(planned("vat-ly"), by="hoa")


async def test_only_the_lesson_of_a_link_is_found(records: Records) -> None:
    for name in ("aaa", "bbb"):
        await records.add_lesson(planned(name), by="hoa")
    assert await ids(records, Listing(Query()), "bbb") == ["bbb"]
    assert await ids(records, Listing(Query("thang")), "bbb") == []


async def test_lessons_of_an_earlier_version_are_found_after_the_next_start(
    records: Records,
) -> None:
    await records.add_lesson(planned("new"), by="hoa")
    async with records._engine.begin() as connection:
        rows = [tables.lesson_row(planned(f"old-{number}")) for number in range(1_200)]
        await connection.execute(insert(tables.lessons), rows)
        gone = finding.row(planned("gone"))
        await connection.execute(insert(finding.searched), gone)
    await records.prepare()
    assert (await records.find(Listing(Query("luat"), 5), None))[1] == 1_201
    async with records._engine.begin() as connection:
        await connection.execute(delete(tables.lessons))
        await connection.execute(delete(finding.searched))


async def test_a_title_that_grows_when_it_is_folded_is_kept(records: Records) -> None:
    await records.add_lesson(planned("long", "ﷺ" * 200), by="hoa")
    assert await ids(records, Listing(Query("صلى"))) == ["long"]


async def test_recent_lessons_are_those_that_a_page_may_wait_for(records: Records) -> None:
    for name, state, ended_at, relay in (
        ("planned", LessonState.PLANNED, None, None),
        ("live", LessonState.LIVE, None, "root"),
        ("just-over", LessonState.ENDED, 100.0, "root"),
        ("just-shown", LessonState.PUBLISHED, 101.0, "root"),
        ("long-over", LessonState.ENDED, 9.0, "other"),
    ):
        lesson = replace(planned(name), state=state, ended_at=ended_at, relay=relay)
        await records.add_lesson(lesson, by="hoa")
    recent = {lesson.id for lesson in await records.recent(50.0)}
    assert recent == {"planned", "live", "just-over", "just-shown"}
    assert [lesson.id for lesson in await records.ended_on("root")] == ["just-over"]
