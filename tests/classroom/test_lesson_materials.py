"""The lists of lessons' files in the records: changes side by side, removal, what may be swept up.

Against SQLite in a directory of its own. With CLASSROOM_TEST_DATABASE set to an empty PostgreSQL
database's URL, the same stories run there as well.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from classroom import lessons
from classroom.archive.materials import Material, Materials
from classroom.errors import Refused
from classroom.lessons import Archive, Lesson
from classroom.lessons.materials import added, digest_of, removed
from classroom.store import Records, tables
from classroom.wire import LessonState, ListChange

DATABASES = ["", *filter(None, [os.environ.get("CLASSROOM_TEST_DATABASE")])]
PLANNED = lessons.plan("vat-ly-9", "Định luật Ôm", teacher="Cô Hoa", owner="hoa", now=5.0)
OTHER = replace(PLANNED, id="toan-8")
SLIDES = Material("Định luật Ôm.pdf", 5_000_000_000, "a" * 64)
FILM = Material("Thí nghiệm.mp4", 7, "b" * 64)


@pytest.fixture(params=DATABASES)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    made = Records(request.param, tmp_path)
    await made.prepare()
    for lesson in (PLANNED, OTHER):
        await made.add_lesson(lesson, by="hoa")
    yield made
    if request.param:
        async with made._engine.begin() as connection:
            await connection.run_sync(tables.metadata.drop_all)
    await made.close()


async def add(
    records: Records, new: Material, lesson: str = "vat-ly-9", now: float = 6.0
) -> Materials:
    _, after = await records.materials.change(
        lesson, lambda known: added(known, new, 10**12), now=now
    )
    return after


async def test_a_list_comes_back_in_its_order_and_the_lesson_tells_its_digest(
    records: Records,
) -> None:
    assert await records.materials.of("vat-ly-9") == Materials("vat-ly-9", ())
    assert (await records.lesson("vat-ly-9")).materials is None
    # By digest and by name the second would come first.
    await add(records, FILM)
    after = await add(records, SLIDES)
    assert after == Materials("vat-ly-9", (FILM, SLIDES))
    assert await records.materials.of("vat-ly-9") == after
    assert await records.lesson("vat-ly-9") == replace(PLANNED, materials=digest_of(after))
    assert await records.materials.of("toan-8") == Materials("toan-8", ())


async def test_with_its_last_file_a_lesson_has_no_list(records: Records) -> None:
    await add(records, FILM)
    before, after = await records.materials.change(
        "vat-ly-9", lambda known: removed(known, FILM.digest), now=6.0
    )
    assert (before.materials, after.materials) == ((FILM,), ())
    assert await records.lesson("vat-ly-9") == PLANNED


async def test_changes_of_one_list_at_the_same_moment_are_all_kept(records: Records) -> None:
    files = [Material(f"{number}.pdf", 1, f"{number:064x}") for number in range(12)]
    await asyncio.gather(*(add(records, each) for each in files))
    known = await records.materials.of("vat-ly-9")
    assert set(known.materials) == set(files)
    assert (await records.lesson("vat-ly-9")).materials == digest_of(known)


async def test_a_lesson_that_moves_meanwhile_keeps_its_list_and_its_state(records: Records) -> None:
    def start(lesson: Lesson) -> Lesson:
        return lessons.start(
            lesson, relay="root", relay_url="http://r", by="hoa", publishing=False, now=9.0
        )

    await asyncio.gather(
        add(records, FILM),
        records.change("vat-ly-9", start, by="hoa", reason="started", now=9.0),
        add(records, SLIDES),
    )
    lesson = await records.lesson("vat-ly-9")
    assert lesson.state is LessonState.LIVE
    assert lesson.materials == digest_of(await records.materials.of("vat-ly-9"))


async def test_a_refused_change_changes_nothing_and_brings_no_file(records: Records) -> None:
    after = await add(records, FILM)
    placed = []

    async def place() -> None:
        placed.append(True)

    def never(known: Materials) -> Materials:
        return added(known, SLIDES, 1)

    with pytest.raises(Refused, match="MB together"):
        await records.materials.change("vat-ly-9", never, place, now=6.0)
    assert placed == []
    assert await records.materials.of("vat-ly-9") == after


async def test_a_file_that_did_not_come_to_its_place_is_not_named(records: Records) -> None:
    async def place() -> None:
        raise Refused(507, "disk-full", "There is no room.", fix="Free space.")

    with pytest.raises(Refused, match="no room"):
        await records.materials.change(
            "vat-ly-9", lambda known: added(known, FILM, 10**12), place, now=6.0
        )
    assert (await records.lesson("vat-ly-9")).materials is None
    assert (await records.materials.of("vat-ly-9")).materials == ()


async def test_a_lesson_that_is_not_there_has_no_list(records: Records) -> None:
    with pytest.raises(Refused) as caught:
        await records.materials.of("van-7")
    assert caught.value.code == "lesson-unknown"
    with pytest.raises(Refused) as caught:
        await add(records, FILM, "van-7")
    assert caught.value.code == "lesson-unknown"


async def test_with_a_lesson_its_list_goes_and_what_another_names_stays(records: Records) -> None:
    await add(records, FILM)
    await add(records, SLIDES)
    await add(records, FILM, "toan-8")
    assert await records.materials.totals() == (2, SLIDES.bytes + FILM.bytes)
    await records.remove("vat-ly-9", lessons.require_removable, by="hoa", now=9.0)
    assert await records.materials.totals() == (1, FILM.bytes)
    assert await records.materials.unnamed([SLIDES.digest, FILM.digest]) == {SLIDES.digest}
    # A lesson that is planned anew under the name begins without files.
    await records.add_lesson(PLANNED, by="hoa")
    assert (await records.materials.of("vat-ly-9")).materials == ()
    assert await records.materials.totals() == (1, FILM.bytes)


async def test_a_published_lesson_keeps_its_list(records: Records) -> None:
    after = await add(records, FILM)

    def publish(lesson: Lesson) -> Lesson:
        live = lessons.start(
            lesson, relay="root", relay_url="http://r", by="hoa", publishing=False, now=9.0
        )
        return lessons.publish(live, Archive(1.0, 1, ()), 10.0)

    await records.change("vat-ly-9", publish, by="hoa", reason="archived", now=10.0)
    assert await records.materials.of("vat-ly-9") == after
    assert (await records.lesson("vat-ly-9")).materials == digest_of(after)


async def test_no_file_comes_to_be_named_while_files_are_removed(records: Records) -> None:
    """Whichever begins first, the other waits: what is removed is named by no list afterwards."""
    there = {FILM.digest}

    async def remove(digests: set[str]) -> None:
        await asyncio.sleep(0.05)
        there.difference_update(digests)

    async def place() -> None:
        there.add(FILM.digest)
        await asyncio.sleep(0.05)

    def change(known: Materials) -> Materials:
        return added(known, FILM, 10**12)

    async def give() -> None:
        await records.materials.change("vat-ly-9", change, place, now=6.0)

    async def forget() -> None:
        await records.materials.forget([FILM.digest], remove)

    for first, second in ((give, forget), (forget, give)):
        begun = asyncio.create_task(first())
        await asyncio.sleep(0.02)
        await second()
        await begun
        assert (await records.materials.of("vat-ly-9")).find(FILM.digest)
        assert there == {FILM.digest}
        await records.materials.change(
            "vat-ly-9", lambda known: removed(known, FILM.digest), now=6.0
        )


async def test_totals_without_any(records: Records) -> None:
    assert await records.materials.totals() == (0, 0)


async def move(records: Records, lesson: str, state: LessonState) -> None:
    def to(known: Lesson) -> Lesson:
        live = lessons.start(
            known, relay="root", relay_url="http://r", by="hoa", publishing=False, now=9.0
        )
        return live if state is LessonState.LIVE else lessons.end(live, 10.0)

    await records.change(lesson, to, by="hoa", reason="test", now=9.0)


async def test_lists_that_changed_since_their_lesson_began_are_told_once_it_is_over(
    records: Records,
) -> None:
    before = await add(records, FILM)
    await add(records, SLIDES, "toan-8")
    await move(records, "vat-ly-9", LessonState.LIVE)
    await move(records, "toan-8", LessonState.ENDED)
    during = await add(records, SLIDES, now=20.0)
    assert during != before
    # One that runs is told with the lesson; the other has not changed since.
    assert await records.materials.changed_late(9) == ()
    await records.change(
        "vat-ly-9", lambda known: lessons.end(known, 21.0), by="hoa", reason="test", now=21.0
    )
    first = ListChange("vat-ly-9", digest_of(during), 20.0)
    assert await records.materials.changed_late(9) == (first,)
    # The clock was set back, and no files are left.
    await records.materials.change("toan-8", lambda known: removed(known, SLIDES.digest), now=3.0)
    second = (await records.materials.changed_late(9))[0]
    assert (second.lesson, second.materials) == ("toan-8", None)
    assert second.changed_at > first.changed_at
    assert await records.materials.changed_late(1) == (second,)
    await add(records, SLIDES, now=3.0)
    assert await records.materials.changed_late(9) == (second, first)
    await add(records, replace(FILM, name="Phim.mp4"), now=30.0)
    assert [one.lesson for one in await records.materials.changed_late(9)] == ["vat-ly-9", "toan-8"]


async def test_two_lists_that_change_at_once_do_not_wait_for_each_other_for_ever(
    records: Records,
) -> None:
    for lesson in ("vat-ly-9", "toan-8"):
        await move(records, lesson, LessonState.ENDED)
        await add(records, FILM, lesson)

    async def place() -> None:
        await asyncio.sleep(0.02)

    def give(known: Materials) -> Materials:
        return added(known, SLIDES, 10**12)

    def take_out(known: Materials) -> Materials:
        return removed(known, FILM.digest)

    await asyncio.gather(
        *(
            work
            for lesson in ("vat-ly-9", "toan-8")
            for work in (
                records.materials.change(lesson, give, place, now=9.0),
                records.materials.change(lesson, take_out, now=9.0),
            )
        )
    )
    told = await records.materials.changed_late(9)
    assert len({one.changed_at for one in told}) == 2
    assert {one.materials for one in told} == {
        digest_of(Materials(lesson, (SLIDES,))) for lesson in ("vat-ly-9", "toan-8")
    }
