"""The built pages of the web client: `/`, `/teach`, `/library`, `/room`, their icons, `/assets/*`.

Files come from the client's dist directory; a compressed sibling (.br, .gz) is sent where the
browser takes it. Names under assets/ carry a digest and may be kept for ever; pages are asked for
anew each time, so that an update reaches every school at its next load.

A room talks only to its relay, so `/room` leads there (the link in the fragment goes along, RFC
9110 10.2.2); while no relay is connected, a page says so and waits for one.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from classroom.errors import Absent, Refused
from classroom.web.context import Context, context_of
from classroom.wire import LessonState, is_lesson_id

_PAGES: Final = {
    "/": "index.html",
    "/teach": "teach.html",
    "/library": "library.html",
    "/favicon.svg": "favicon.svg",
    # The library's page names these wherever it is served; lessons are kept from a relay alone, so
    # there is no service worker here.
    "/app/library.webmanifest": "app/library.webmanifest",
    "/app/icon-192.png": "app/icon-192.png",
    "/app/icon-512.png": "app/icon-512.png",
    "/app/icon-512-maskable.png": "app/icon-512-maskable.png",
}
_NO_RELAY: Final = "norelay.html"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
# The page that waits looks again by itself; this is for everyone else.
_RETRY_S: Final = 5


async def page(request: web.Request) -> web.StreamResponse:
    """One of the pages; Absent with what to do if they were not built."""
    return _file(context_of(request), _PAGES[request.path])


async def without_slash(request: web.Request) -> web.StreamResponse:
    """`/teach/` as people type it: to `/teach`."""
    path = request.rel_url.raw_path.rstrip("/")
    query = f"?{request.rel_url.raw_query_string}" if request.query_string else ""
    return web.Response(status=302, headers={"Location": path + query})


async def room(request: web.Request) -> web.StreamResponse:
    """To the relay that serves the room's page: that of `?lesson=`, of a running lesson, or any."""
    context = context_of(request)
    url = await _relay_url(context, request.query.get("lesson", ""))
    if url is None:
        response = _file(context, _NO_RELAY, status=503)
        response.headers["Retry-After"] = str(_RETRY_S)
        return response
    # As it came, still encoded: a header can hold no line end.
    query = f"?{request.rel_url.raw_query_string}" if request.query_string else ""
    headers = {"Location": f"{url}/room{query}", "Cache-Control": "no-store"}
    return web.Response(status=302, headers=headers)


async def _relay_url(context: Context, lesson_id: str) -> str | None:
    """Where the room's page can be had, None while nowhere."""
    try:
        relays = await context.live.relays(context.wall())
        views = await context.desk.show_open()
    except Absent:
        return None
    alive = [relay.url for relay in relays]
    if is_lesson_id(lesson_id):
        views.sort(key=lambda view: view.lesson.id != lesson_id)
    for view in views:
        wanted = view.lesson.id == lesson_id or view.lesson.state is LessonState.LIVE
        if wanted and view.relay_url in alive:
            return view.relay_url
    return alive[0] if alive else None


def _file(context: Context, name: str, status: int = 200) -> web.StreamResponse:
    path = context.pages / name
    if not path.is_file():
        raise Absent(
            "The pages are not built on this server.",
            fix="Install the packaged version, or run `npm ci && npm run build` in client_web.",
            retry_after=60.0,
        )
    return web.FileResponse(path, status=status, headers={"Cache-Control": "no-cache"})


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
            field="path",
        )
    return web.FileResponse(path, headers={"Cache-Control": _FOR_EVER})


def routes() -> list[web.RouteDef]:
    """The routes of this module."""
    return [
        *(web.get(path, page) for path in _PAGES),
        web.get("/room", room),
        *(web.get(f"/{name}/", without_slash) for name in ("teach", "library", "room")),
        web.get("/assets/{path:.+}", asset),
    ]
