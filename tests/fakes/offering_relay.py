"""A relay's serving side of sync on a real port, and a school's sync beside it.

Lives here: the real routes over real archives, tokens, a school that fetches from them. Must not
live here: media, browsers, weak links (`tests.link`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

import aiohttp
from aiohttp import web

from classroom.clock import Clock, wall
from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Right, Role, Signer, generate_key
from classroom.wire import LessonInfo
from relay.cache.cache import Cache
from relay.cache.materials import MaterialStore
from relay.sync.client import Rules, Sync
from relay.sync.materials import MaterialSync
from relay.sync.materials_wanted import Wanted
from relay.sync.offers import Offers
from relay.web.access import HTTP, Access
from relay.web.archives import add_archive_routes
from relay.web.materials import MaterialRoutes
from relay.web.offers import OfferRoutes
from relay.web.problems import boundary

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Mischief = Callable[[web.Request, Handler], Awaitable[web.StreamResponse | None]]
"""Answers a request wrongly, or None to let it be answered rightly."""

SIGNER = Signer(generate_key())


def token(role: Role = Role.RELAY) -> str:
    """A token good for an hour."""
    now = int(time())
    rights = frozenset(DEFAULT_RIGHTS[role])
    return SIGNER.sign(Claims("school", "", role, ANY_LESSON, rights, now - 9, now + 3600, "t"))


class Relay:
    """A relay that has archives and materials. asked: paths that it was asked for, in order. told:
    digests of lists that it should have. waited: lessons and files that somebody waits for."""

    def __init__(
        self, folder: Path, mischief: Mischief | None = None, *, root: bool = True
    ) -> None:
        self.archives = folder / "archives"
        self.archives.mkdir(parents=True)
        self.cache = Cache(self.archives, folder / "cache.json", root=root)
        self.offers = Offers(self.archives, folder / "offers.sqlite", now=self._tick)
        self.asked: list[str] = []
        self.mischief = mischief
        self.url = ""
        self._ticks = 0.0
        (folder / "keys.json").write_text(json.dumps(SIGNER.jwks()))
        self._access = Access("http://127.0.0.1:9", folder / "keys.json")
        self.routes = OfferRoutes(self._access, self.archives, self.offers, self.cache)
        self.materials = MaterialStore(folder / "materials")
        self.materials.scan()
        self.told: dict[str, str] = {}
        self.waited: list[tuple[str, str]] = []
        self.material_routes = MaterialRoutes(
            self._access, self.materials, self.told.get, self._wait
        )

    def _wait(self, lesson: str, digest: str, seconds: float) -> None:
        self.waited.append((lesson, digest))

    def _tick(self) -> float:
        """Each look at the disk is a new one."""
        self._ticks += 3600.0
        return self._ticks

    def application(self) -> web.Application:
        """Its HTTP side."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.asked.append(request.path)
            if self.mischief is not None and "X-Through" not in request.headers:
                answer = await self.mischief(request, handler)
                if answer is not None:
                    return answer
            return await handler(request)

        app = web.Application(middlewares=[watch, boundary])

        async def authorize(request: web.Request, lesson: str) -> None:
            await self._access.check(request, Right.REPLAY, lesson, query=True)

        self.routes.add_routes(app)
        self.material_routes.add_routes(app)
        add_archive_routes(app, self.cache, authorize)

        async def background(app: web.Application) -> AsyncIterator[None]:
            async with aiohttp.ClientSession() as http:
                app[HTTP] = http
                await self._access.start(http)
                yield

        app.cleanup_ctx.append(background)
        return app

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        """On a port of this machine. A request whose client went away is answered to its end, as
        by a relay: one that is cancelled while it opens a file would leave it open."""
        runner = web.AppRunner(self.application(), shutdown_timeout=2.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


class School:
    """A relay that fetches. live: whether a lesson runs there."""

    def __init__(
        self,
        folder: Path,
        parents: Sequence[str],
        rules: Rules | None = None,
        *,
        quota_bytes: int = 0,
        materials_bytes: int = 0,
        date: Clock = wall,
    ) -> None:
        self.archives = folder / "archives"
        self.archives.mkdir(parents=True, exist_ok=True)
        self.live = False
        self.cache = Cache(
            self.archives, folder / "cache.json", root=False, quota_bytes=quota_bytes
        )
        self.sync = Sync(
            self.cache,
            self.archives,
            folder / "sync.sqlite",
            parents,
            rules or Rules(),
            token,
            lambda: self.live,
            date=date,
        )
        self.store = MaterialStore(folder / "materials", quota_bytes=materials_bytes)
        wanted = Wanted(
            self.store,
            self.archives,
            lambda: [held.lesson for held in self.cache.held()],
            lambda lesson: False,
        )
        self.sync.queue.observe(wanted.note)
        self.materials = self.sync.materials = MaterialSync(self.store, wanted, self.sync)

    def tell(self, *lessons: LessonInfo) -> None:
        """These lessons are to come, or run."""
        self.materials.wanted.tell(lessons)
        self.sync.wake()

    @asynccontextmanager
    async def fetching(self) -> AsyncIterator[School]:
        """While it fetches."""
        async with aiohttp.ClientSession() as http:
            task = asyncio.ensure_future(self.sync.run(http))
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait((task,))
                if not task.cancelled():
                    task.result()
                self.cache.close()

    def settled(self, lesson: str) -> bool:
        """Whether the lesson is here as its root has it."""
        held = self.cache.holding(lesson)
        return held is not None and held.settled
