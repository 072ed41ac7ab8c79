"""Lessons that nobody teaches, on a machine whose clock is set while they run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from classroom.settings import Settings
from classroom.store import MemoryLiveState, Records, RelayAlive
from classroom.web.desk import Desk
from classroom.web.metrics import Metrics
from classroom.wire import LessonState, Recording, RelayLesson, Source

LESSON = "om-1"
SETTINGS = Settings().lessons


class Rig:
    """A desk with one live lesson. date, steady: seconds of either clock."""

    def __init__(self, records: Records, date: float) -> None:
        self.date, self.steady = date, 500.0
        self.records = records
        self.live = MemoryLiveState(SETTINGS.relay_lost_s)
        self.desk = Desk(
            records, self.live, SETTINGS, Metrics(), lambda: self.date, lambda: self.steady
        )

    def after(self, seconds: float) -> None:
        self.date += seconds
        self.steady += seconds

    @property
    def relay(self) -> RelayAlive:
        return RelayAlive("root", "http://r.example", "0", 10, self.date, self.date)

    async def begin(self) -> None:
        await self.desk.relay_here(self.relay)
        await self.desk.plan("Ôm", teacher="Mai", by="test", lesson_id=LESSON)
        await self.desk.start(LESSON, by="test")

    async def report(self, *, publishing: bool) -> None:
        sources = (Source.VOICE,) if publishing else ()
        message = RelayLesson(LESSON, publishing, sources, 3, Recording())
        await self.desk.reported(self.relay, message)

    async def state(self) -> LessonState:
        await self.desk.end_forsaken()
        return (await self.records.lesson(LESSON)).state


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    made = Records("", tmp_path)
    await made.prepare()
    yield made
    await made.close()


@pytest.mark.parametrize("set_by", [200e6, 3_600.0, -200e6])
@pytest.mark.parametrize("publishing", [True, False])
async def test_a_clock_that_is_set_ends_no_lesson(
    records: Records, set_by: float, publishing: bool
) -> None:
    rig = Rig(records, 1.8e9)
    await rig.begin()
    await rig.report(publishing=True)
    rig.after(20.0)
    await rig.report(publishing=publishing)
    assert await rig.state() is LessonState.LIVE
    rig.date += set_by
    assert await rig.state() is LessonState.LIVE
    rig.after(15.0)
    await rig.report(publishing=publishing)
    assert await rig.state() is LessonState.LIVE


@pytest.mark.parametrize("set_by", [0.0, 200e6, -200e6])
async def test_a_lesson_is_forsaken_by_the_new_clock_as_by_the_old(
    records: Records, set_by: float
) -> None:
    rig = Rig(records, 1.8e9)
    await rig.begin()
    await rig.report(publishing=True)
    rig.after(10.0)
    rig.date += set_by
    assert await rig.state() is LessonState.LIVE
    rig.after(SETTINGS.silent_end_s + 60.0)
    assert await rig.state() is LessonState.ENDED
