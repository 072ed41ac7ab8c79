"""Who is told that somebody waits for a file, and for how long: nobody waits for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from relay.cache.materials import MaterialStore
from relay.sync.client import Rules
from relay.sync.materials_wanted import Wanted
from tests.eventually import eventually
from tests.fakes.materials import coming, sha, some_bytes, take
from tests.fakes.offering_relay import Handler, Relay
from tests.relay.materials import files, school_of

DATA = some_bytes(1)
ASKED = ("toan-1", sha(DATA))


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "parent").running() as relay:
        yield relay


async def test_a_sibling_is_not_told_that_somebody_waits(tmp_path: Path, parent: Relay) -> None:
    digest = take(parent.materials, "toan-1", DATA)
    async with Relay(tmp_path / "sibling").running() as sibling:
        take(sibling.materials, "toan-1", DATA)
        school = school_of(tmp_path, parent, rules=Rules(siblings=(sibling.url,)))
        take(school.store, "toan-1", DATA)
        school.tell(coming("toan-1", digest))
        async with school.fetching():
            school.materials.ask(*ASKED)
            await eventually(lambda: parent.waited == [ASKED])
            # It was asked first: what it has need not cross the weak link.
            assert files(sibling)
            assert sibling.waited == []


async def test_a_parent_is_told_for_how_long_and_always_less_than_is_left(
    tmp_path: Path, parent: Relay
) -> None:
    told: list[int] = []

    async def listen(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if "waits" in request.query:
            told.append(int(request.query["waits"]))
        return None

    parent.mischief = listen
    digest = take(parent.materials, "toan-1", DATA)
    school = school_of(tmp_path, parent)
    take(school.store, "toan-1", DATA)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        # So far a relay below was from giving up when it asked.
        school.materials.ask(*ASKED, 20.0)
        await eventually(lambda: bool(told))
        assert 0 < told[0] <= 15
        school.materials.ask(*ASKED)
        await eventually(lambda: told[-1] > 15)
        assert told[-1] <= 55


def test_who_asks_with_little_time_left_neither_adds_to_it_nor_takes_from_it(
    tmp_path: Path,
) -> None:
    wanted = Wanted(MaterialStore(tmp_path), tmp_path, list, lambda lesson: False)
    wanted.ask(*ASKED, 0.0)
    assert wanted.waits(*ASKED, 0.0) == 60.0
    wanted.ask(*ASKED, 30.0, 25.0)
    assert wanted.waits(*ASKED, 30.0) == 30.0
    wanted.ask(*ASKED, 50.0, 9e9)
    assert wanted.waits(*ASKED, 50.0) == 60.0
    assert list(wanted.asked(109.0)) == [ASKED]
    assert not wanted.asked(110.0)
    assert wanted.waits(*ASKED, 110.0) <= 0.0
