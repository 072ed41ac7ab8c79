"""The pages that this relay serves on the LAN: room, library as an app of its own, their assets.

Files come from the built web client; assets carry a digest in their names and may be cached for
ever, pages may not. A relay without built pages says so instead of showing nothing. Lessons are
started at the control plane, so `/teach` leads there (the link in the fragment goes along).
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from classroom.errors import Absent, Refused
from client_web import DIST

_PAGES: Final = {
    "/": "index.html",
    "/room": "room.html",
    "/library": "library.html",
    "/status": "status.html",
    # Asked for anew each time, like the pages: the browser sees by it that there is a new build.
    "/sw.js": "sw.js",
    "/favicon.svg": "favicon.svg",
    "/app/library.webmanifest": "app/library.webmanifest",
    "/app/icon-192.png": "app/icon-192.png",
    "/app/icon-512.png": "app/icon-512.png",
    "/app/icon-512-maskable.png": "app/icon-512-maskable.png",
}


def add_page_routes(app: web.Application, central: str, dist: Path = DIST) -> None:
    """GET of the pages, their icons and /assets/*. Looks at `dist` once, now.

    central: base URL of the control plane, as this relay reaches it.
    """

    async def teach(request: web.Request) -> web.StreamResponse:
        url = teaching_url(central, request.url.host or "")
        headers = {"Location": url, "Cache-Control": "no-store"}
        return web.Response(status=302, headers=headers)

    async def without_slash(request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.rstrip("/")
        query = f"?{request.rel_url.raw_query_string}" if request.query_string else ""
        return web.Response(status=302, headers={"Location": path + query})

    app.router.add_get("/teach", teach)
    for name in ("teach", "room", "library", "status"):
        app.router.add_get(f"/{name}/", without_slash)
    for path, name in _PAGES.items():
        app.router.add_get(path, _page(dist / name))
    folder = dist / "assets"
    assets = {file.name: file for file in folder.iterdir()} if folder.is_dir() else {}

    async def asset(request: web.Request) -> web.StreamResponse:
        file = assets.get(request.match_info["name"])
        if file is None:
            raise Refused(
                404,
                "asset-unknown",
                "There is no such file.",
                fix="Reload the page: it was updated meanwhile.",
                field="path",
            )
        return web.FileResponse(
            file, headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )

    app.router.add_get("/assets/{name}", asset)


def teaching_url(central: str, host: str) -> str:
    """Where a browser that reached this relay under the name `host` finds the teaching page.

    A control plane on this very machine, which we call localhost, is where the browser found us.
    """
    parts = urlsplit(central)
    if _is_loopback(parts.hostname or "") and host and not _is_loopback(host):
        name = f"[{host}]" if ":" in host else host
        port = f":{parts.port}" if parts.port is not None else ""
        return f"{parts.scheme}://{name}{port}/teach"
    return f"{central.rstrip('/')}/teach"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
