"""Files that no list names: removed days later, and not where the records may be the wrong ones."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from classroom import lessons
from classroom.archive.materials import Material
from classroom.lessons.materials import added, removed
from classroom.store import Blobs, Records
from classroom.web.materials_sweep import FEW, MOST_SPARED_S, SPARED_S, Sweeper

HOUR = 3_600.0
DAY = 24 * HOUR
# Files are given now, by the disk's clock; all that is looked at is later.
BEGUN = 4e9


@dataclass
class Server:
    """A directory of files, and records that name them or have lost them."""

    folder: Path
    records: Records
    blobs: Blobs
    now: float = BEGUN

    def __post_init__(self) -> None:
        self.sweeper = Sweeper(self.blobs, self.records.materials, lambda: self.now)

    async def give(self, *names: str) -> None:
        for name in names:
            upload = self.blobs.begin(100)
            upload.write(name.encode())
            new = Material(f"{name}.pdf", upload.size, upload.finish())
            upload.place()
            os.utime(self.blobs.path(new.digest), (self.now, self.now))
            await self.records.materials.change(
                self.lesson(name), partial(added, new=new, most_bytes=10**9), now=self.now
            )

    async def take_out(self, *names: str) -> None:
        for name in names:
            await self.records.materials.change(
                self.lesson(name), partial(removed, digest=digest(name)), now=self.now
            )

    def lesson(self, name: str) -> str:
        return f"lesson-{name[0]}"

    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "materials").iterdir())

    async def sweep_after(self, seconds: float) -> None:
        self.now += seconds
        await self.sweeper.sweep()

    async def with_records(self, folder: Path) -> Server:
        """The same directory of files, beside other records."""
        return Server(self.folder, await begun(folder), self.blobs, self.now)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def digests(*names: str) -> list[str]:
    return sorted(map(digest, names))


async def begun(folder: Path) -> Records:
    records = Records("", folder)
    await records.prepare()
    return records


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path, await begun(tmp_path / "records"), Blobs(tmp_path / "materials"))
    for letter in "abcd":
        lesson = lessons.plan(f"lesson-{letter}", letter, teacher="Cô Hoa", owner="hoa", now=5.0)
        await made.records.add_lesson(lesson, by="hoa")
    yield made
    await made.records.close()


async def test_what_was_taken_out_stays_for_days_and_no_longer(server: Server) -> None:
    await server.give("a", "b")
    await server.sweep_after(300 * DAY)
    await server.take_out("b")
    # It is old; that nobody names it is not.
    await server.sweep_after(HOUR)
    await server.sweep_after(SPARED_S - HOUR)
    assert digest("b") in server.kept()
    await server.sweep_after(2 * HOUR)
    await server.sweep_after(HOUR)
    assert server.kept() == digests("a")


async def test_days_are_counted_over_restarts_and_from_anew_when_it_was_named_again(
    server: Server,
) -> None:
    await server.give("a", "b")
    await server.take_out("b")
    await server.sweep_after(HOUR)
    server.sweeper = Sweeper(server.blobs, server.records.materials, lambda: server.now)
    await server.sweep_after(SPARED_S - HOUR)
    await server.give("b")
    await server.sweep_after(HOUR)
    assert server.kept() == digests("a", "b")
    await server.take_out("b")
    await server.sweep_after(HOUR)
    await server.sweep_after(SPARED_S - HOUR)
    assert digest("b") in server.kept()
    await server.sweep_after(2 * HOUR)
    assert digest("b") not in server.kept()


async def test_empty_records_remove_nothing_ever_and_say_so(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "classroom")
    await server.give("a", "b")
    lost = await server.with_records(tmp_path / "wrong")
    for _ in range(3):
        await lost.sweep_after(MOST_SPARED_S)
    await lost.records.close()
    assert set(digests("a", "b")) < set(server.kept())
    told = [one for one in caplog.records if one.message == "materials-not-swept"]
    # Once, not hourly.
    assert [one.levelname for one in told] == ["ERROR"]
    # The copy is put back: as if nothing had been.
    server.now = lost.now
    await server.sweep_after(HOUR)
    await server.sweep_after(HOUR)
    assert server.kept() == digests("a", "b")


async def test_records_that_name_few_of_many_files_keep_them_over_the_holidays(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{letter}{number}" for letter in "abc" for number in range(10)]
    await server.give(*names)
    old = await server.with_records(tmp_path / "old")
    lesson = lessons.plan("lesson-d", "d", teacher="Cô Hoa", owner="hoa", now=5.0)
    await old.records.add_lesson(lesson, by="hoa")
    await old.give("d")
    await old.sweep_after(HOUR)
    await old.sweep_after(MOST_SPARED_S - HOUR)
    assert set(digests("d", *names)) < set(old.kept())
    assert [one.message for one in caplog.records] == ["materials-not-swept"]
    # They were not the wrong ones after all.
    await old.sweep_after(2 * HOUR)
    await old.sweep_after(HOUR)
    assert old.kept() == digests("d")
    await old.records.close()


@pytest.mark.parametrize(("gone", "stay"), [(FEW - 1, 1), (FEW + 1, FEW + 2)])
async def test_ordinary_clearing_out_is_no_loss_of_records(
    server: Server, caplog: pytest.LogCaptureFixture, gone: int, stay: int
) -> None:
    going = [f"{'ab'[number // 20]}{number}" for number in range(gone)]
    staying = [f"{'cd'[number // 20]}{number}" for number in range(stay)]
    await server.give(*going, *staying)
    await server.take_out(*going)
    await server.sweep_after(HOUR)
    await server.sweep_after(SPARED_S + HOUR)
    await server.sweep_after(HOUR)
    assert server.kept() == digests(*staying)
    assert not [one for one in caplog.records if one.message == "materials-not-swept"]
