"""Lessons as files over HTTP: made once, resumed, bounded, never of an archive in part."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from classroom.errors import Refused
from relay.cache.cache import Cache
from relay.web.archives import Archives
from relay.web.files import Files
from relay.web.problems import boundary
from tests.relay.test_hls import GOLDEN

LESSON = "toan-7-golden"


class Rig:
    def __init__(self, folder: Path, client: TestClient[web.Request, web.Application]) -> None:
        self.folder = folder
        self.client = client

    async def state(self, lesson: str = LESSON, **query: str) -> dict[str, Any]:
        async with self.client.get(f"/archives/{lesson}/file.json", params=query) as answer:
            document: dict[str, Any] = await answer.json()
            return document

    async def made(self, lesson: str = LESSON, **query: str) -> dict[str, Any]:
        """What became of it at last."""
        async with asyncio.timeout(30):
            while True:
                found = await self.state(lesson, **query)
                if found["state"] not in ("waiting", "making"):
                    return found
                await asyncio.sleep(0.02)

    def kept(self) -> list[str]:
        return sorted(path.name.rpartition("-")[0] for path in (self.folder / "files").iterdir())


@asynccontextmanager
async def rig(folder: Path, *, most_bytes: int = 10**9, floor_bytes: int = 0) -> AsyncIterator[Rig]:
    archives = folder / "archives"
    if not archives.exists():
        shutil.copytree(GOLDEN, archives / LESSON)
    cache = Cache(archives, folder / "cache.json", root=True)
    files = Files(
        folder / "files",
        archives=Archives(cache),
        title=lambda lesson: 'Định luật "Ôm" / 9',
        most_bytes=most_bytes,
        floor_bytes=floor_bytes,
    )

    async def authorize(request: web.Request, lesson: str) -> None:
        if "stranger" in request.query:
            raise Refused(403, "right-missing", "No.", fix="Ask.")

    app = web.Application(middlewares=[boundary])
    files.add_routes(app, authorize)
    running = asyncio.ensure_future(files.run())
    async with TestClient(TestServer(app)) as client:
        yield Rig(folder, client)
    running.cancel()
    await asyncio.wait((running,))
    assert files.process is None
    cache.close()


async def test_a_file_is_made_once_and_given_under_its_title(tmp_path: Path) -> None:
    async with rig(tmp_path) as relay:
        first = await relay.state(picture="camera")
        assert first["state"] in ("waiting", "making")
        assert first["bytes"] > 10_000
        async with relay.client.get(f"/archives/{LESSON}/file.mp4?picture=camera") as early:
            assert (early.status, "Retry-After" in early.headers) in ((503, True), (200, False))
        made = await relay.made(picture="camera")
        assert (made["state"], made["name"]) == ("ready", "Định luật Ôm 9.mp4")
        async with relay.client.get(f"/archives/{LESSON}/file.mp4?picture=camera") as answer:
            data = await answer.read()
            tag = answer.headers["ETag"]
            said = answer.headers["Content-Disposition"]
        assert said.startswith("attachment; filename=\"dinh-luat-om-9.mp4\"; filename*=UTF-8''")
        assert len(data) == made["bytes"]
        with av.open(io.BytesIO(data)) as container:
            assert len(container.streams) == 2
        # A download that broke off goes on.
        rest = {"Range": f"bytes={len(data) - 9}-", "If-Range": tag}
        async with relay.client.get(
            f"/archives/{LESSON}/file.mp4?picture=camera", headers=rest
        ) as answer:
            assert (answer.status, await answer.read()) == (206, data[-9:])
        assert relay.kept() == [LESSON]
    async with rig(tmp_path) as relay:  # after a restart it is still there
        assert (await relay.state(picture="camera"))["state"] == "ready"


async def test_who_may_not_replay_gets_no_file_and_bad_questions_are_refused(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as relay:
        for query, status in (("stranger=1", 403), ("picture=both", 400), ("picture=screen", 404)):
            for name in ("file.json", "file.mp4"):
                async with relay.client.get(f"/archives/{LESSON}/{name}?{query}") as answer:
                    assert answer.status == status
        async with relay.client.get("/archives/van-8/file.json") as answer:
            assert answer.status == 404
        assert relay.kept() == []


async def test_an_archive_that_is_not_whole_gives_no_file_until_it_is(tmp_path: Path) -> None:
    async with rig(tmp_path) as relay:
        segment = tmp_path / "archives" / LESSON / "voice" / "2.m4s"
        whole = segment.read_bytes()
        segment.unlink()
        assert (await relay.made(picture="none"))["state"] == "incomplete"
        assert relay.kept() == []
        segment.write_bytes(whole)
        assert (await relay.made(picture="none"))["state"] == "ready"


async def test_the_file_wanted_longest_ago_makes_room(tmp_path: Path) -> None:
    async with rig(tmp_path) as relay:
        one, two = await relay.made(picture="camera"), await relay.made(picture="none")
        most = one["bytes"] + round(two["bytes"] * 1.2)
    async with rig(tmp_path, most_bytes=most) as relay:
        again = tmp_path / "archives" / "again"
        shutil.copytree(GOLDEN, again)
        for name in ("manifest.json", "lesson.json"):
            text = (again / name).read_text().replace(LESSON, "again")
            (again / name).write_text(text)
        async with relay.client.get(f"/archives/{LESSON}/file.mp4?picture=camera") as answer:
            assert answer.status == 200
        made = await relay.made("again", picture="none")
        assert made["state"] == "ready"
        assert (await relay.state(picture="camera"))["state"] == "ready"
        assert len(relay.kept()) == 2


async def test_a_full_disk_and_what_a_power_cut_left_are_told_and_removed(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "x-0.part").write_bytes(b"half")
    async with rig(tmp_path, floor_bytes=2**62) as relay:
        assert (await relay.made(picture="none"))["state"] == "full"
        assert relay.kept() == []


async def test_a_folder_that_cannot_be_made_costs_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("not a folder")
    async with rig(tmp_path) as relay:
        assert (await relay.made(picture="camera"))["state"] == "failed"
        (tmp_path / "files").unlink()
        assert (await relay.made(picture="camera"))["state"] == "ready"
