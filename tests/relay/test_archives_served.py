"""Recordings over HTTP where some of them is missing, rotten, or on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from classroom.archive.names import MANIFEST
from classroom.errors import Absent
from relay.cache.cache import Cache
from relay.web import archives
from relay.web.archives import add_archive_routes
from relay.web.problems import boundary
from tests.fakes.archives import LESSON, Made, make

Client = TestClient[web.Request, web.Application]


class School:
    """A relay that holds some of a lesson, and what its source would send."""

    def __init__(self, directory: Path) -> None:
        self.archives = directory / "archives"
        self.archives.mkdir()
        self.cache = Cache(self.archives, directory / "cache.json", root=False)
        self.source: Made | None = None
        self.asked: list[str] = []

    async def missing(self, lesson: str, rendition: str, name: str) -> None:
        """What a player waits for comes at once, from a source that is there."""
        self.asked.append(f"{rendition}/{name}")
        if self.source is None:
            raise Absent("The parent is away.", fix="Wait.")
        for part in self.cache.missing(lesson):
            if (part.rendition, part.name) == (rendition, name):
                data = self.source.part(rendition, name)
                await asyncio.to_thread(self.cache.put, part, data)


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path)


@pytest.fixture
async def http(school: School) -> AsyncIterator[Client]:
    async def authorize(request: web.Request, lesson: str) -> None:
        """Everybody may."""

    app = web.Application(middlewares=[boundary])

    async def missing(lesson: str, rendition: str, name: str) -> None:
        await school.missing(lesson, rendition, name)

    add_archive_routes(app, school.cache, authorize, missing)
    async with TestClient(TestServer(app)) as client:
        yield client


async def get(http: Client, name: str, **headers: str) -> tuple[int, bytes, Any]:
    async with http.get(f"/archives/{LESSON}/{name}", headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_a_lesson_is_listed_whole_while_it_is_fetched(school: School, http: Client) -> None:
    source = make()
    school.cache.begin(LESSON, source.manifest)
    status, playlist, _ = await get(http, "camera-q.m3u8")
    assert status == 200
    assert playlist.count(b".m4s") == 4
    assert b"#EXT-X-ENDLIST" in playlist
    assert (await get(http, "manifest.json"))[1] == source.manifest


async def test_a_part_that_is_asked_for_comes_at_once(school: School, http: Client) -> None:
    source = school.source = make()
    school.cache.begin(LESSON, source.manifest)
    status, data, headers = await get(http, "camera-q/2.m4s")
    assert (status, data) == (200, source.part("camera-q", "2.m4s"))
    assert "immutable" in headers["Cache-Control"]
    assert (await get(http, "camera-q/2.m4s", Range="bytes=3-5"))[:2] == (206, data[3:6])
    assert (await get(http, "camera-q/2.m4s", **{"If-None-Match": headers["ETag"]}))[0] == 304
    assert school.asked == ["camera-q/2.m4s"]


async def test_a_part_that_cannot_come_is_told_with_a_time_to_ask_again(
    school: School, http: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    school.cache.begin(LESSON, make().manifest)
    status, data, headers = await get(http, "voice/0.m4s")
    assert status == 503
    assert int(headers["Retry-After"]) >= 1
    assert headers["Content-Type"].startswith("application/problem+json")
    assert b"not here yet" in data

    async def forever(lesson: str, rendition: str, name: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(archives, "_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(school, "missing", forever)
    assert (await get(http, "voice/0.m4s"))[0] == 503


async def test_what_the_lesson_does_not_have_is_not_waited_for(
    school: School, http: Client
) -> None:
    school.cache.begin(LESSON, make().manifest)
    for name in ("voice/9.m4s", "camera-x/0.m4s", "voice/init-7.mp4", "voice/fill-0-96000.m4s"):
        assert (await get(http, name))[0] == 404, name
    assert school.asked == []


async def test_what_was_recorded_stands_in_while_the_parent_is_away(
    school: School, http: Client
) -> None:
    own, source = make(feed="ours", spoilt={"camera-q": [1]}), make()
    own.write(school.archives)
    school.cache.begin(LESSON, source.manifest)
    status, data, headers = await get(http, "camera-q/1.m4s")
    assert (status, data) == (200, own.part("camera-q", "1.m4s"))
    assert headers["Cache-Control"] == "no-cache"
    school.source = source
    status, data, again = await get(http, "camera-q/1.m4s")
    assert (status, data) == (200, source.part("camera-q", "1.m4s"))
    assert again["ETag"] != headers["ETag"]


async def test_nothing_rotten_leaves_and_it_is_fetched_alone(school: School, http: Client) -> None:
    source = make()
    source.write(school.archives)
    cache = school.cache
    cache.begin(LESSON, source.manifest)
    cache.finish(LESSON, source.journal, source.events)
    rotten = bytearray(source.part("camera-f", "1.m4s"))
    rotten[1000] ^= 1
    (school.archives / LESSON / "camera-f" / "1.m4s").write_bytes(rotten)
    assert (await get(http, "camera-f/1.m4s"))[0] == 503
    school.source = source
    assert (await get(http, "camera-f/1.m4s"))[:2] == (200, source.part("camera-f", "1.m4s"))
    assert set(school.asked) == {"camera-f/1.m4s"}


async def test_a_damaged_manifest_costs_no_crash(school: School, http: Client) -> None:
    school.cache.begin(LESSON, make().manifest)
    (school.archives / LESSON / MANIFEST).write_bytes(b"{" * 50_000)
    assert (await get(http, "camera-q.m3u8"))[0] == 404
    school.cache.begin(LESSON, make().manifest)
    assert (await get(http, "camera-q.m3u8"))[0] == 200


async def test_what_was_missed_of_a_running_lesson_is_asked_for_and_listed(
    school: School, http: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link was down for two beats: the relay above tells what was taught meanwhile."""
    lost = {name: [1, 2] for name in ("voice", "camera-q", "camera-f")}
    own = make(beats=5, feed="ours", lost=lost, finished=False)
    own.write(school.archives, without=[MANIFEST])
    source = make(beats=4, finished=False)
    bring = school.missing

    async def tell(lesson: str, rendition: str, name: str) -> None:
        if school.source is not None:
            school.cache.begin(lesson, school.source.manifest)
        await bring(lesson, rendition, name)

    monkeypatch.setattr(school, "missing", tell)
    assert b"camera-q/1.m4s" not in (await get(http, "camera-q.m3u8"))[1]
    school.source = source
    playlist = (await get(http, "camera-q.m3u8"))[1]
    assert [f"camera-q/{beat}.m4s".encode() in playlist for beat in range(5)] == [True] * 5
    assert b"fill" not in playlist
    assert b"ENDLIST" not in playlist
    assert school.asked == ["voice/1.m4s", "voice/1.m4s"]
    # It is told once; parts come as they are played.
    assert (await get(http, "camera-q.m3u8"))[0] == 200
    assert (await get(http, "camera-q/2.m4s"))[1] == source.part("camera-q", "2.m4s")
    assert school.asked[2:] == ["camera-q/2.m4s"]


async def test_a_time_in_which_nobody_taught_is_asked_for_once(
    school: School, http: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {name: [1, 2] for name in ("voice", "camera-q", "camera-f")}
    make(beats=5, feed="ours", lost=lost, finished=False).write(school.archives, without=[MANIFEST])

    async def tell(lesson: str, rendition: str, name: str) -> None:
        school.asked.append(f"{rendition}/{name}")
        school.cache.begin(lesson, make(beats=4, lost=lost, finished=False).manifest)

    monkeypatch.setattr(school, "missing", tell)
    for _ in range(3):
        assert b"fill" in (await get(http, "voice.m3u8"))[1]
    assert school.asked == ["voice/1.m4s"]


async def test_a_part_is_hashed_once_however_often_it_is_asked_for(
    school: School, http: Client
) -> None:
    make().write(school.archives)
    for _ in range(20):
        assert (await get(http, "voice/1.m4s"))[0] == 200
    assert school.cache.counters()["verified"] == 1
