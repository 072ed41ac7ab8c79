"""Materials brought over HTTP from a relay that has them, by the sync that has the link."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from relay.cache.materials import MaterialStore
from relay.sync.allowance import Limits, spans_of
from relay.sync.client import Rules
from relay.sync.materials import MaterialSync
from relay.sync.materials_link import RootLink
from relay.sync.materials_wanted import Wanted
from relay.sync.turn import turn
from tests.eventually import eventually
from tests.fakes.archives import make
from tests.fakes.materials import KB, bring, coming, fill, sha, some_bytes, take
from tests.fakes.offering_relay import Handler, Relay, token
from tests.relay.materials import files, school_of, whole

HOUR = 3600.0


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "parent").running() as relay:
        yield relay


async def test_lists_and_files_of_lessons_to_come_are_here_soonest_first(
    tmp_path: Path, parent: Relay
) -> None:
    one, two, three = some_bytes(1), some_bytes(2, 700 * KB), some_bytes(3)
    later = fill(parent.materials, "ly-1", three, two)
    sooner = fill(parent.materials, "toan-1", one, two)
    school = school_of(tmp_path, parent)

    async def one_list_first(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Lists come side by side, too, and files of the first that is here would be asked for.
        if request.path == "/api/lessons/ly-1/materials":
            await eventually(lambda: school.store.held("toan-1"))
        return await handler(request)

    parent.mischief = one_list_first
    now = time.time()
    school.tell(coming("ly-1", later, now + 48 * HOUR), coming("toan-1", sooner, now + 24 * HOUR))
    async with school.fetching():
        await eventually(lambda: whole(school, "ly-1") and whole(school, "toan-1"))
        path = school.store.find(sha(two))
        assert path is not None
        assert path.read_bytes() == two
        await eventually(lambda: school.materials.wanted.progress()["whole"] == 2)
        progress = school.materials.wanted.progress()
        assert progress == dict.fromkeys(progress, 0) | {"lessons": 2, "whole": 2}
    asked = files(parent)
    # Two connections side by side: either may be there first.
    assert set(asked[:2]) == {sha(one), sha(two)}
    assert asked[-1] == sha(three)
    # Each byte crossed the link once.
    size = len(one) + len(two) + len(three)
    assert size < school.sync.counts["material_bytes"] < size + 2 * KB
    assert not school.sync.counts["bugs"]


async def test_a_new_list_brings_only_what_changed_and_none_removes_all(
    tmp_path: Path, parent: Relay
) -> None:
    one, two = some_bytes(1), some_bytes(2)
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", fill(parent.materials, "toan-1", one)))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
        parent.asked.clear()
        school.tell(coming("toan-1", fill(parent.materials, "toan-1", one, two)))
        await eventually(lambda: school.store.blobs.has(sha(two)))
        assert set(files(parent)) == {sha(two)}
        school.tell(coming("toan-1", None))
        await eventually(lambda: school.store.held("toan-1") is None)
        folder = tmp_path / "school" / "materials" / "files"
        await eventually(lambda: os.listdir(folder) == [])


async def test_what_the_parent_brings_itself_is_asked_for_again_soon(
    tmp_path: Path, parent: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.sync.materials._AGAIN_S", 0.3)
    data = some_bytes(1)
    digest = take(parent.materials, "toan-1", data)
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: len(files(parent)) >= 2)
        bring(parent.materials, data)
        await eventually(lambda: whole(school, "toan-1"))
        # It is neither away nor rubbish, and what is not waited for takes its turn there.
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
        assert parent.waited == []


async def test_who_waits_here_waits_there(tmp_path: Path, parent: Relay) -> None:
    digest = take(parent.materials, "toan-1", some_bytes(1))
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        school.materials.ask("toan-1", sha(some_bytes(1)))
        await eventually(lambda: parent.waited == [("toan-1", sha(some_bytes(1)))])


async def test_a_lesson_that_begins_has_the_link_at_once(tmp_path: Path, parent: Relay) -> None:
    data = some_bytes(1, 4000 * KB)
    digest = fill(parent.materials, "toan-1", data)
    limits = Limits(rate=200 * KB)
    school = school_of(tmp_path, parent, rules=Rules(limits))
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: school.sync.counts["material_bytes"] > 100 * KB)
        school.live = True
        school.sync.lessons_changed()
        await eventually(lambda: not school.materials.is_busy)
        assert school.sync.plan.standing(parent.url, time.monotonic()) == (0.0, 0, 0)
        before = school.sync.counts["material_bytes"]
        await asyncio.sleep(1.5)
        assert school.sync.counts["material_bytes"] == before
        # What came is on the disk, and is gone on with.
        have = school.store.blobs.have(sha(data))
        assert sum(end - first for first, end in have) >= before - 70 * KB
        school.live = False
        school.sync.lessons_changed()
        await eventually(lambda: school.sync.counts["material_bytes"] > before)
        assert school.sync.plan.standing(parent.url, time.monotonic())[1] == 0


async def test_windows_hold_but_for_what_is_needed_within_hours(
    tmp_path: Path, parent: Relay
) -> None:
    soon = fill(parent.materials, "toan-1", some_bytes(1))
    later = fill(parent.materials, "ly-1", some_bytes(2))
    date = 1_780_000_000.0
    day = time.localtime(date)
    shut = (day.tm_hour + 6) % 24
    windows = spans_of([f"{shut:02}:00-{(shut + 1) % 24:02}:00"])
    school = school_of(tmp_path, parent, rules=Rules(Limits(windows)), date=lambda: date)
    school.sync.time.told(date)
    parent.mischief = no_date
    school.tell(coming("toan-1", soon, date + 2 * HOUR), coming("ly-1", later, date + 9 * HOUR))
    async with school.fetching():
        await eventually(lambda: whole(school, "toan-1"))
        await asyncio.sleep(1.2)
        assert school.store.held("ly-1") is None
        # Unless somebody opens it now.
        school.materials.ask("ly-1", "")
        await eventually(lambda: school.store.held("ly-1") is not None)
        school.materials.ask("ly-1", sha(some_bytes(2)))
        await eventually(lambda: whole(school, "ly-1"))
        assert school.sync.refusal == "window"


async def no_date(request: web.Request, handler: Handler) -> web.StreamResponse | None:
    """A parent whose clock nobody hears of."""
    if request.path == "/api/offers/ping":
        return web.Response(status=204, headers={"Date": "never"})
    return None


async def test_coming_materials_come_before_recordings(tmp_path: Path, parent: Relay) -> None:
    make("van-1").write(parent.archives)
    digest = fill(parent.materials, "toan-1", some_bytes(1, 600 * KB))
    school = school_of(tmp_path, parent, rules=Rules(Limits(rate=400 * KB)))
    school.tell(coming("toan-1", digest))
    async with school.fetching():
        await eventually(lambda: school.settled("van-1"))
    paths = [p for p in parent.asked if "/bytes" in p or "/materials/" in p]
    assert "/materials/" in paths[0]
    last = max(place for place, path in enumerate(paths) if "/materials/" in path)
    assert not any("/bytes" in path for path in paths[:last])


async def test_materials_of_recordings_come_with_them(tmp_path: Path, parent: Relay) -> None:
    data = some_bytes(1)
    digest = fill(parent.materials, "van-1", data)
    make("van-1").write(parent.archives)
    about = f'{{"title": "Văn", "materials": "{digest}"}}'
    (parent.archives / "van-1" / "about.json").write_text(about)
    school = school_of(tmp_path, parent)
    async with school.fetching():
        await eventually(lambda: whole(school, "van-1"))
        await eventually(lambda: school.settled("van-1"))


async def test_the_root_brings_them_from_the_control_plane_and_lets_an_import_in(
    tmp_path: Path, parent: Relay
) -> None:
    one, two = some_bytes(1), some_bytes(2)
    store = MaterialStore(tmp_path / "root" / "materials")
    wanted = Wanted(store, tmp_path / "none", list, lambda lesson: False)
    link = RootLink(parent.url, tmp_path / "root", token)
    root = MaterialSync(store, wanted, link)
    wanted.tell([coming("toan-1", fill(parent.materials, "toan-1", one))])
    async with aiohttp.ClientSession() as http:
        task = asyncio.ensure_future(link.run(http, root))
        await eventually(lambda: store.find(sha(one)) is not None)

        def bring_in() -> None:
            with turn(tmp_path / "root"):
                other = MaterialStore(tmp_path / "root" / "materials")
                other.scan()
                fill(other, "ly-1", two)

        await asyncio.to_thread(bring_in)
        await eventually(lambda: store.lessons() == ["ly-1", "toan-1"])
        assert store.find(sha(two)) is not None
        task.cancel()
        await asyncio.wait((task,))
    assert not link.counts["bugs"]


async def test_a_clock_that_jumps_by_decades_stops_nothing(tmp_path: Path, parent: Relay) -> None:
    date = [0.0]
    one, two = some_bytes(1), some_bytes(2)
    school = school_of(tmp_path, parent, date=lambda: date[0])
    parent.mischief = no_date
    planned_at = 1_780_000_000.0
    async with school.fetching():
        told = coming("toan-1", fill(parent.materials, "toan-1", one), planned_at)
        school.tell(told)
        await eventually(lambda: whole(school, "toan-1"))
        date[0] = 4_000_000_000.0
        later = coming("ly-1", fill(parent.materials, "ly-1", two), planned_at)
        school.tell(told, later)
        await eventually(lambda: whole(school, "ly-1"))
        # What is here is still here: no date put it out.
        assert whole(school, "toan-1")


async def test_what_is_not_there_yet_is_not_asked_for_each_second(
    tmp_path: Path, parent: Relay
) -> None:
    school = school_of(tmp_path, parent)
    school.tell(coming("toan-1", take(parent.materials, "toan-1", some_bytes(1))))
    async with school.fetching():
        await eventually(lambda: len(files(parent)) == 1)
        await asyncio.sleep(2.2)
        assert len(files(parent)) == 1
