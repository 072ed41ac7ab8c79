"""A lesson of which nothing is here comes when a pupil opens it, if a source has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from relay.sync.allowance import Limits
from relay.sync.client import Rules
from relay.web.archives import add_archive_routes
from relay.web.problems import boundary
from tests.eventually import eventually
from tests.fakes.archives import make
from tests.fakes.offering_relay import Relay, School

CLOSED = Rules(Limits(spans=()))
"""No window is open: only what a pupil asks for comes."""


@asynccontextmanager
async def served(school: School) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """The school's recordings over HTTP, while it fetches."""

    async def authorize(request: web.Request, lesson: str) -> None:
        """Everybody may."""

    app = web.Application(middlewares=[boundary])
    asked = school.sync.ask_now, school.sync.is_offered
    add_archive_routes(app, school.cache, authorize, *asked)
    async with school.fetching(), TestClient(TestServer(app)) as client:
        yield client


async def get(client: TestClient[web.Request, web.Application], path: str) -> tuple[int, bytes]:
    async with client.get(f"/archives/{path}") as answer:
        return answer.status, await answer.read()


async def test_a_lesson_that_was_put_out_comes_when_it_is_opened(tmp_path: Path) -> None:
    made = make(beats=3)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    folder = tmp_path / "school"
    before = School(folder, [])
    before.cache.begin("toan-7", made.manifest)
    before.cache.make_room(10**18)
    before.cache.close()
    async with parent.running():
        school = School(folder, [parent.url], CLOSED)
        async with served(school) as client:
            await eventually(lambda: school.sync.is_offered("toan-7"))
            assert school.cache.was_evicted("toan-7")
            assert (await get(client, "toan-7/manifest.json")) == (200, made.manifest)
            assert not school.cache.was_evicted("toan-7")
            segment = await get(client, "toan-7/voice/1.m4s")
            assert segment == (200, made.part("voice", "1.m4s"))
            # Nobody has a lesson of this name, and the lesson has no such part.
            for path in ("van-8/master.m3u8", "van-8/voice/0.m4s", "toan-7/voice/9.m4s"):
                assert (await get(client, path))[0] == 404
        again = School(folder, [parent.url])
        async with again.fetching():
            await eventually(lambda: again.settled("toan-7"))


async def test_a_lesson_that_cannot_come_now_is_told_to_be_asked_for_again(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    make(beats=3).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url], Rules(Limits(spans=(), daily=1)))
        async with served(school) as client:
            await eventually(lambda: school.sync.is_offered("toan-7"))
            school.sync.allowance.spend(1, school.sync.time.moment())
            assert (await get(client, "toan-7/master.m3u8"))[0] == 503


async def test_a_lesson_that_was_put_out_comes_later_where_nobody_has_it_now(
    tmp_path: Path,
) -> None:
    made = make(beats=3)
    parent = Relay(tmp_path / "parent")
    made.write(parent.archives)
    school = School(tmp_path / "school", [])
    school.cache.begin("toan-7", made.manifest)
    school.cache.make_room(10**18)
    school.cache.close()
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with served(school) as client:
            await eventually(lambda: school.sync.is_offered("toan-7"))
            school.sync.plan.source_failed(parent.url, school.sync.time.moment().now)
            assert (await get(client, "toan-7/master.m3u8"))[0] == 503
            # The source is asked again, and what somebody asked for comes by itself.
            await eventually(lambda: school.settled("toan-7"))
