"""A real browser with the page of the codec benchmark, and what can be asked of it.

Lives here: serving `codec_page.js` from this process, taking the pictures that it posts back, and
the processor time of the browser's whole tree of processes. Must not live here: what is measured.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiohttp import web
from playwright.async_api import Page, Playwright

from tests.bench import quality
from tests.bench.processes import tree_seconds
from tests.live.rig import chromium

_PAGE: Final = Path(__file__).with_name("codec_page.js")
_HTML: Final = "<!doctype html><title>codecs</title><script src='/page.js'></script>"
_MAX_POST: Final = 1 << 22  # bytes; a picture's brightness
_ARGUMENTS: Final = (
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)


@dataclass(slots=True)
class Browser:
    """One browser with the page of this benchmark, and the pictures it has posted by layer."""

    page: Page
    mark: str
    pictures: dict[str, list[quality.Luma]] = field(default_factory=dict)

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the page."""
        return await self.page.evaluate(f"(arguments) => {name}(...arguments)", list(arguments))

    def cpu_seconds(self) -> float:
        """Processor seconds so far of this browser's whole tree of processes."""
        return tree_seconds(self.mark)


@contextlib.asynccontextmanager
async def open_browser(
    playwright: Playwright, arguments: Iterable[str] = ()
) -> AsyncIterator[Browser]:
    """A Chromium of its own with the page open."""
    pictures: dict[str, list[quality.Luma]] = {}
    mark = f"--codec-bench={uuid.uuid4().hex}"
    async with (
        _serve(pictures) as address,
        chromium(playwright, arguments=(*_ARGUMENTS, *arguments, mark)) as opened,
    ):
        page = await opened.new_page()
        await page.goto(address)
        yield Browser(page, mark, pictures)


@contextlib.asynccontextmanager
async def _serve(pictures: dict[str, list[quality.Luma]]) -> AsyncIterator[str]:
    """The page's address; what it posts is kept in `pictures`."""

    async def take(request: web.Request) -> web.Response:
        width, stride = int(request.query["width"]), int(request.query["stride"])
        luma = np.frombuffer(await request.read(), np.uint8).reshape(-1, stride)[:, :width]
        pictures.setdefault(request.query["layer"], []).append(luma)
        return web.Response()

    async def html(_: web.Request) -> web.Response:
        return web.Response(text=_HTML, content_type="text/html")

    async def script(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE)

    app = web.Application(client_max_size=_MAX_POST)
    app.add_routes([web.get("/", html), web.get("/page.js", script)])
    app.add_routes([web.post("/pictures", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
