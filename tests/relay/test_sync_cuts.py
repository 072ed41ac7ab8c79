"""Cuts of the power and of the link: what came is not asked for again.

Here: two instants between writes at which nothing is left to fetch, and requests that break off.
All other instants: `test_power_cut`, and `python -m tests.bench archive --scenario crash`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from classroom.archive import canonical
from relay.cache.cache import Cache
from relay.cache.settling import settle
from relay.sync.allowance import Limits
from relay.sync.carrying import carry
from relay.sync.client import Rules
from relay.sync.loads import Load, Piece
from tests.eventually import eventually
from tests.fakes.archives import make
from tests.fakes.offering_relay import Handler, Relay, School
from tests.relay.test_sync import read_archive


async def test_what_came_to_its_last_byte_before_a_cut_only_gets_its_place(tmp_path: Path) -> None:
    made = make(beats=2, sizes={"voice": 20_000})
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        school.cache.begin("toan-7", made.manifest)
        for part in school.cache.missing("toan-7"):
            school.cache.append(part, 0, made.files[f"{part.rendition}/{part.name}"])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            # The words beside it come last.
            await eventually(lambda: (school.archives / "toan-7" / "about.json").exists())
            assert school.sync.counts["rubbish"] == 0
    assert read_archive(school) == made.files
    assert not [path for path in parent.asked if path.endswith("/bytes")]


async def test_a_cut_before_a_whole_lesson_is_remembered_costs_nothing(tmp_path: Path) -> None:
    made = make(beats=2, sizes={"voice": 20_000})
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    async with parent.running():
        before = School(tmp_path / "school", [parent.url])
        manifest = before.cache.begin("toan-7", made.manifest)
        for part in before.cache.missing("toan-7"):
            before.cache.put(part, made.files[f"{part.rendition}/{part.name}"])
        before.cache.close()
        settle(before.archives / "toan-7", manifest, made.journal, made.events)
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.settled("toan-7"))
            # The words beside it come last.
            await eventually(lambda: (school.archives / "toan-7" / "about.json").exists())
    assert read_archive(school) == made.files
    assert not [path for path in parent.asked if path.endswith("/bytes")]


async def test_what_waits_for_the_rate_cap_is_on_the_disk_when_a_load_is_cut(
    tmp_path: Path,
) -> None:
    made = make(beats=1, sizes={"voice": 90_000})
    cache = Cache(tmp_path, tmp_path / "cache.json", root=False)
    cache.begin("toan-7", made.manifest)
    part = cache.missing("toan-7")[1]
    waits = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield made.part("voice", part.name)[:50_000]

    async def spend(size: int) -> None:
        waits.set()
        await asyncio.Event().wait()

    load = Load((Piece(part),))
    task = asyncio.ensure_future(carry(cache, load, body(), spend, lambda part, size: None))
    await waits.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert cache.part_size(part) == 50_000


async def test_what_came_of_a_part_that_a_pupil_waits_for_is_not_asked_for_again(
    tmp_path: Path,
) -> None:
    made = make(beats=2, sizes={"voice": 96_000})
    data = made.part("voice", "1.m4s")
    asked: list[int] = []

    async def broken(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        """Of four stretches the first one comes whole, and the second one breaks off."""
        if not request.path.startswith("/archives/"):
            return None
        first, end = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        asked.append(first)
        if len(asked) > 4 or not first:
            return None
        headers = {"ETag": f'"{canonical.digest(data)}"'}
        response = web.StreamResponse(status=206, headers=headers)
        response.content_length = end + 1 - first
        await response.prepare(request)
        await response.write(data[first : first + 9_000])
        await asyncio.sleep(0.2)
        assert request.transport is not None
        request.transport.close()
        return response

    parent = Relay(tmp_path / "parent", broken)
    made.write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url], Rules(Limits(spans=())))
        async with school.fetching():
            await eventually(lambda: school.sync.is_offered("toan-7"))
            assert not await school.sync.ask_now("toan-7", "voice", "1.m4s")
            assert len(asked) == 4
            await eventually(lambda: not school.sync.progress()["sources"][0]["again_in"])
            assert await school.sync.ask_now("toan-7", "voice", "1.m4s")
            opened = school.sync.queue.opened("toan-7")
    assert opened is not None
    assert opened.part("voice", "1.m4s") is None
    assert min(asked[4:]) == 24_001 + 9_000


async def test_a_list_that_is_coming_yields_to_a_lesson(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.sync.watching._LIST_SOON", 0.05)
    sent = 0

    async def long(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        """Pages without end, each of which takes a while."""
        nonlocal sent
        if request.path != "/api/offers":
            return None
        at = int((request.query.get("after") or "0").removeprefix("x."))
        gone = [{"lesson": f"bai-{at + number}", "gone": True} for number in range(100)]
        page = {"offers": gone, "cursor": f"x.{at + 100}", "more": True, "reset": not at}
        body = json.dumps(page).encode()
        response = web.StreamResponse()
        response.content_length = len(body)
        await response.prepare(request)
        for first in range(0, len(body), 500):
            with contextlib.suppress(ConnectionError):
                await response.write(body[first : first + 500])
                sent += 500
            await asyncio.sleep(0.005)
        return response

    parent = Relay(tmp_path / "parent", long)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url], Rules(Limits(daily=1_000_000)))
        async with school.fetching():
            await eventually(lambda: school.sync.counts["lists"] == 2)
            # Lists count in the day's budget as all else does.
            assert school.sync.progress()["budget_left"] < 1_000_000 - 2 * 3_000
            before = sent
            await eventually(lambda: sent > before + 1_000)
            school.live = True
            school.sync.lessons_changed()
            stopped, asked = sent, len(parent.asked)
            await asyncio.sleep(0.3)
            assert sent <= stopped + 1_000
            assert len(parent.asked) == asked
            assert school.sync.counts["rubbish"] == school.sync.counts["failures"] == 0
            school.live = False
            school.sync.lessons_changed()
            await eventually(lambda: sent > stopped + 10_000)


async def test_a_list_that_does_not_go_on_is_not_asked_for_again_at_once(tmp_path: Path) -> None:
    async def same(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if request.path != "/api/offers":
            return None
        gone = [{"lesson": "bai-1", "gone": True}]
        page = {"offers": gone, "cursor": "x.1", "more": True, "reset": False}
        return web.json_response(page)

    parent = Relay(tmp_path / "parent", same)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.sync.counts["lists"])
            await asyncio.sleep(0.3)
    assert parent.asked.count("/api/offers") == 2
