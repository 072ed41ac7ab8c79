"""The built pages of the web client: `/`, `/teach`, `/room`, `/library`, `/assets/*`.

Files come from the client's dist directory; a compressed sibling (.br, .gz) is sent where the
browser takes it. Names under assets/ carry a digest and may be kept for ever; pages are asked for
anew each time, so that an update reaches every school at its next load.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from classroom.errors import Absent, Refused
from classroom.web.context import context_of

_PAGES: Final = {
    "/": "index.html",
    "/teach": "teach.html",
    "/room": "room.html",
    "/library": "library.html",
    "/favicon.svg": "favicon.svg",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


async def page(request: web.Request) -> web.StreamResponse:
    """One of the pages; Absent with what to do if they were not built."""
    path = context_of(request).pages / _PAGES[request.path]
    if not path.is_file():
        raise Absent(
            "The pages are not built on this server.",
            fix="Install the packaged version, or run `npm ci && npm run build` in client_web.",
            retry_after=60.0,
        )
    return web.FileResponse(path, headers={"Cache-Control": "no-cache"})


async def asset(request: web.Request) -> web.StreamResponse:
    """A file under assets/; Refused 404 for anything outside it."""
    root = (context_of(request).pages / "assets").resolve()
    try:
        path = (root / request.match_info["path"]).resolve()
        found = path.is_relative_to(root) and path.is_file()
    # A path with a NUL byte, or one too long for the file system.
    except (ValueError, OSError):
        found = False
    if not found:
        raise Refused(
            404,
            "asset-unknown",
            "There is no such file.",
            fix="Reload the page: it was updated meanwhile.",
        )
    return web.FileResponse(path, headers={"Cache-Control": _FOR_EVER})


def routes() -> list[web.RouteDef]:
    """The routes of this module."""
    return [*(web.get(path, page) for path in _PAGES), web.get("/assets/{path:.+}", asset)]
