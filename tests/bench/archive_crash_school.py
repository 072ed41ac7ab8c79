"""A school relay's recordings as a process of its own, to be killed: cache, sync, serving.

Here: the real parts on a real port, and an address that puts lessons out; `archive_crash` starts
and kills it. The real relay does the same inside its service process. Arguments: the directory, the
parent's address, a token, lessons that somebody asks for. The port is told on stdout.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

from classroom.clock import monotonic
from relay.cache.cache import Cache
from relay.sync.client import Rules, Sync
from relay.web.archives import add_archive_routes
from relay.web.problems import boundary

_HASTE = 1_000.0
"""A minute without pupils passes in 60 ms, so that there is always something to put out."""


async def main(folder: Path, parent: str, token: str, lessons: list[str]) -> None:
    """Run until killed."""
    archives = folder / "archives"
    cache = Cache(
        archives, folder / "cache.json", root=False, monotonic=lambda: monotonic() * _HASTE
    )
    state = folder / "sync.sqlite"
    sync = Sync(cache, archives, state, [parent], Rules(), lambda: token, lambda: False)

    async def authorize(request: web.Request, lesson: str) -> None:
        """Everybody may."""

    def ask() -> None:
        """What was put out for lack of space comes again only if somebody asks for it."""
        for name in lessons:
            cache.used(name)

    async def evict(request: web.Request) -> web.Response:
        """Put everything out that may go, and ask for it again."""
        freed = await asyncio.to_thread(cache.make_room, 10**15)
        ask()
        return web.Response(text=str(freed))

    async def tend() -> None:
        while True:
            await asyncio.to_thread(cache.tend)
            await asyncio.sleep(0.02)

    ask()
    app = web.Application(middlewares=[boundary])
    add_archive_routes(app, cache, authorize, sync.ask_now)
    app.router.add_post("/evict", evict)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        tasks.create_task(sync.run(http))
        tasks.create_task(tend())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
