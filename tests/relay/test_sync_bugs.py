"""A bug that an archive or list meets in the sync ends the work that met it, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.cache.cache import Cache
from relay.cache.parts import Part
from relay.sync.carrying import carry as right
from relay.sync.loads import Load
from relay.sync.sources import Source
from tests.eventually import eventually
from tests.fakes.archives import make
from tests.fakes.offering_relay import Relay, School

# What a sync begins with.
SIDE_BY_SIDE = 2


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == event]


async def test_other_lessons_come_and_the_one_that_met_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def carry(cache: Cache, load: Load, *more: Any) -> None:
        if load.lesson == "toan-7":
            raise ZeroDivisionError
        await right(cache, load, *more)

    monkeypatch.setattr("relay.sync.client.carry", carry)
    parent = Relay(tmp_path / "parent")
    for name in ("toan-7", "van-8"):
        make(name, beats=3).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("van-8") and not school.sync.is_busy_far)
    assert not school.settled("toan-7")
    records = logged(caplog, "sync-bug")
    # The requests for it that ran side by side have met it, and none after them.
    assert 1 <= len(records) == school.sync.counts["bugs"] <= SIDE_BY_SIDE
    for record in records:
        assert record.exc_info is not None
        assert record.__dict__["lesson"] == "toan-7"
        assert record.__dict__["source"] == school.sync.sources[0].name
    # Its request was cut between two files: whoever sends has met no error of its own.
    assert not logged(caplog, "request-failed")


async def test_a_list_that_met_it_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("relay.sync.watching._LIST_SECONDS", 0.05)
    right: Callable[..., Awaitable[Any]] = Source.changes
    asked = 0

    async def changes(source: Source, cursor: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ZeroDivisionError
        return await right(source, cursor)

    monkeypatch.setattr(Source, "changes", changes)
    parent = Relay(tmp_path / "parent")
    make(beats=3).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
    assert len(logged(caplog, "sync-bug")) == school.sync.counts["bugs"] == 1


async def test_a_ping_that_met_it_ends_nothing_and_is_not_sent_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def ping(source: Source) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Source, "ping", ping)
    monkeypatch.setattr("relay.sync.watching._PING_SECONDS", 0.01)
    parent = Relay(tmp_path / "parent")
    make(beats=3).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
    assert len(logged(caplog, "sync-bug")) == school.sync.counts["bugs"] == 1


async def test_a_pupil_who_met_it_is_told_that_the_part_did_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def carry_part(cache: Cache, part: Part, *more: Any) -> None:
        raise ZeroDivisionError

    parent = Relay(tmp_path / "parent")
    made = make(beats=3)
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            (school.archives / "toan-7" / "voice" / "1.m4s").unlink()
            monkeypatch.setattr("relay.sync.asking.carry_part", carry_part)
            assert not await school.sync.ask_now("toan-7", "voice", "1.m4s", 5.0)
    assert len(logged(caplog, "sync-bug")) == school.sync.counts["bugs"] == 1
