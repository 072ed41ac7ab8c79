"""A school relay's replay side in this process, over real HTTP, with a short lesson in its archive.

Lives here: starting and stopping, the lesson. Must not live here: browsers, assertions. It is made
of the relay's own parts (library, archives, visitors, pages); what is left out needs teachers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from classroom.archive.canonical import digest
from classroom.archive.extras import Captions, Extras
from classroom.tokens import Right
from relay.cache.cache import Cache
from relay.settings import RelaySettings, ReplaySettings
from relay.web.access import HTTP, Access
from relay.web.archives import add_archive_routes
from relay.web.lessons import KnownLessons
from relay.web.library import Library
from relay.web.pages import add_page_routes
from relay.web.problems import boundary
from relay.web.replay import Replay
from tests.live.test_replay import LESSON, Part, write

SAID = "Chào các em"
_VTT = f"WEBVTT\n\n00:00.000 --> 00:05.000\n{SAID}\n\n00:05.000 --> 01:00.000\nHết bài.\n"


@dataclass(slots=True)
class Tablet:
    """Where the relay is; `stop` takes it off the network."""

    url: str
    runner: web.AppRunner

    async def stop(self) -> None:
        """No server listens any more."""
        await self.runner.cleanup()


def write_lesson(archives: Path, seconds: int = 8) -> None:
    """A finished lesson with captions: voice and camera, slides in the second half."""
    archives.mkdir(parents=True)
    parts: list[Part] = [
        ("voice", None, "opus", 0, seconds, 0, 0, 0),
        ("camera", "q", "vp9", 0.4, seconds, 0, 320, 192),
        ("screen", None, "vp9", seconds / 2, seconds // 2, 0, 320, 192),
    ]
    write(archives, parts)
    archive = archives / LESSON
    about = {"title": "Định luật Ôm", "teacher": "Cô Mai", "subject": "Vật lý", "grade": "9"}
    (archive / "about.json").write_text(json.dumps(about))
    (archive / "captions").mkdir()
    (archive / "captions" / "vi.vtt").write_text(_VTT)
    said = _VTT.encode()
    captions = (Captions("vi", "Tiếng Việt", len(said), digest(said)),)
    (archive / "extras.json").write_bytes(Extras(LESSON, "", captions).encode())


@asynccontextmanager
async def tablet_relay(folder: Path) -> AsyncIterator[Tablet]:
    """The relay over what is in `folder`/archives."""
    settings = RelaySettings(
        host="127.0.0.1",
        name="Trường Nà Hỳ",
        data=str(folder),
        replay=ReplaySettings(visitors="on", mdns=False),
    )
    access = Access("http://127.0.0.1:9", folder / "keys.json")
    lessons = KnownLessons(folder / "lessons.msgpack")
    cache = Cache(folder / "archives", folder / "cache.json", root=False)
    library = Library(access, lessons, folder / "archives")
    replay = Replay(settings, access, lessons, cache)
    app = web.Application(middlewares=[boundary, replay.middleware])
    library.add_routes(app)
    replay.add_routes(app)
    add_page_routes(app, "http://127.0.0.1:9")

    async def authorize(request: web.Request, lesson: str) -> None:
        await access.check(request, Right.REPLAY, lesson, query=True)

    add_archive_routes(app, cache, authorize)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession() as http:
        app[HTTP] = http
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        await replay.listen(runner, port, secure=False)
        running = asyncio.ensure_future(replay.run())
        try:
            yield Tablet(f"http://127.0.0.1:{port}", runner)
        finally:
            running.cancel()
            await asyncio.wait((running,))
            await runner.cleanup()
            library.close()
            cache.close()
