"""The pages that this relay serves on the LAN: room, library, teacher, and their assets.

Files come from the built web client; assets carry a digest in their names and may be cached for
ever, pages may not. A relay without built pages says so instead of showing nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from classroom.errors import Absent
from client_web import DIST

_PAGES: Final = {
    "/": "index.html",
    "/room": "room.html",
    "/library": "library.html",
    "/teach": "teach.html",
}


def add_page_routes(app: web.Application, dist: Path = DIST) -> None:
    """GET of the pages, of /assets/* and of /favicon.svg. Looks at `dist` once, now."""
    for path, name in _PAGES.items():
        app.router.add_get(path, _page(dist / name))
    app.router.add_get("/favicon.svg", _page(dist / "favicon.svg"))
    folder = dist / "assets"
    assets = {file.name: file for file in folder.iterdir()} if folder.is_dir() else {}

    async def asset(request: web.Request) -> web.StreamResponse:
        file = assets.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return web.FileResponse(
            file, headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )

    app.router.add_get("/assets/{name}", asset)


def _page(file: Path) -> Handler:
    built = file.is_file()

    async def page(request: web.Request) -> web.StreamResponse:
        if not built:
            raise Absent(
                "The pages are not built.",
                fix="Install the project with pip, which builds them, and start the relay again.",
                retry_after=60.0,
            )
        return web.FileResponse(file, headers={"Cache-Control": "no-cache"})

    return page
