"""`/api/offers…`: what this relay has to give to relays below it and beside it.

    GET /api/offers?after=CURSOR           the list of whole archives, or what changed in it
    GET /api/offers/{lesson}/{name}        manifest.json, journal.jsonl, events.jsonl, extras.json
    GET /api/offers/{lesson}/{rendition}/bytes?of=0-99,300-399&manifest=DIGEST
                                           bytes of several parts of a rendition, one after the
                                           other
    GET /api/offers/ping                   204: how far away this relay is, and what time it has

Here: HTTP. Not here: the list (`relay.sync.offers`), which bytes are which part's
(`relay.sync.loads`). For holders of the right `relay`. Every file is verified before it is sent;
one that is missing or rotten ends the answer before it, so it may be shorter than what was asked
for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from classroom.archive.canonical import digest
from classroom.archive.manifest import Manifest
from classroom.archive.names import EVENTS, EXTRAS, HEADER, JOURNAL, MANIFEST, is_lesson
from classroom.errors import Absent, Refused
from classroom.tokens import Right
from relay.cache.cache import Cache
from relay.cache.parts import Part, rendition_parts
from relay.sync import loads
from relay.sync.offers import MOST, Offers
from relay.web.access import Access

_TOPS: Final = (MANIFEST, JOURNAL, EVENTS, HEADER, EXTRAS)
# Manifests as read, by digest: a relay below asks for one lesson many times before the next.
_KEPT: Final = 8
_PACKED_BYTES: Final = 1024
_PACKED_ASIDE_BYTES: Final = 32 * 1024


class OfferRoutes:
    """Handlers of these addresses."""

    def __init__(self, access: Access, archives: Path, offers: Offers, cache: Cache) -> None:
        self._access = access
        self._archives = archives
        self._offers = offers
        self._cache = cache
        self._lists = ThreadPoolExecutor(1, "offers")
        self._parts: OrderedDict[tuple[str, str], dict[str, list[Part]]] = OrderedDict()
        self.sent = 0
        """Bytes of recordings given to other relays, since this process began."""

    def add_routes(self, app: web.Application) -> None:
        """All of them."""
        app.router.add_get("/api/offers", self._list)
        app.router.add_get("/api/offers/ping", self._ping)
        app.router.add_get("/api/offers/{lesson}/{name}", self._top)
        app.router.add_get("/api/offers/{lesson}/{rendition}/bytes", self._bytes)
        app.on_cleanup.append(self._close)

    async def _close(self, app: web.Application) -> None:
        self._lists.submit(self._offers.close)
        await asyncio.to_thread(self._lists.shutdown)

    async def _ping(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        await self._access.check(request, Right.RELAY, None)
        after = request.query.get("after", "")[:64]
        loop = asyncio.get_running_loop()
        page = await loop.run_in_executor(self._lists, self._offers.page, after, MOST)
        return _packed(await asyncio.to_thread(page.encode), "application/json")

    async def _top(self, request: web.Request) -> web.Response:
        lesson, name = request.match_info["lesson"], request.match_info["name"]
        await self._access.check(request, Right.RELAY, lesson if is_lesson(lesson) else None)
        if name not in _TOPS or not is_lesson(lesson):
            raise _absent("There is no such file of a recording.", "name")
        if name == MANIFEST and not await self._digest(lesson):
            # Of a lesson that runs, or is not whole here: what there is of it now.
            manifest, _ = await asyncio.to_thread(self._cache.view, lesson)
            data = await asyncio.to_thread(manifest.encode)
        else:
            try:
                data = await asyncio.to_thread((self._archives / lesson / name).read_bytes)
            except OSError as error:
                raise _absent("This recording has no such file here.", "name") from error
        wanted = request.query.get("digest")
        if wanted is not None and wanted != await asyncio.to_thread(digest, data):
            raise _differs("digest")
        return _packed(data, "application/octet-stream")

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        lesson, rendition = request.match_info["lesson"], request.match_info["rendition"]
        await self._access.check(request, Right.RELAY, lesson if is_lesson(lesson) else None)
        manifest = await self._manifest(lesson)
        if request.query.get("manifest") != manifest:
            raise _differs("manifest")
        parts = (await asyncio.to_thread(self._layout, lesson, manifest)).get(rendition)
        if parts is None:
            raise _absent("This recording has no such rendition.", "rendition")
        size = sum(part.bytes for part in parts)
        wanted = loads.read_stretches(request.query.get("of", ""), size)
        found = await asyncio.to_thread(self._found, loads.files(parts, wanted))
        if not found:
            raise _absent("These parts of the recording are not here.", "of")
        return await self._send(request, found)

    async def _send(
        self, request: web.Request, found: list[tuple[Path, int, int]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = "application/octet-stream"
        response.content_length = sum(size for *_, size in found)
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        for path, first, size in found:
            # On the loop: in a thread, a request cut short meanwhile would leave it open. It was
            # just verified, so the system knows where it is.
            with _opened(path) as file:
                transport = request.transport
                if transport is None or transport.is_closing():
                    raise ConnectionResetError("the relay that asked has gone")
                sent = await loop.sendfile(transport, file, first, size)
                self.sent += sent
                if sent != size:
                    raise ConnectionResetError(f"{path.name} became shorter")
        await response.write_eof()
        return response

    async def _manifest(self, lesson: str) -> str:
        """The digest of the manifest of a lesson that is offered. Raises Refused 404."""
        digest = await self._digest(lesson)
        if not digest:
            raise _absent("There is no whole recording of this lesson here.", "lesson")
        return digest

    async def _digest(self, lesson: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lists, self._offers.manifest, lesson)

    def _layout(self, lesson: str, digest: str) -> dict[str, list[Part]]:
        """The parts of each rendition. Blocks."""
        known = self._parts.get((lesson, digest))
        if known is None:
            manifest = Manifest.decode((self._archives / lesson / MANIFEST).read_bytes())
            known = {r.name: list(rendition_parts(lesson, r)) for r in manifest.renditions}
            self._parts[lesson, digest] = known
            if len(self._parts) > _KEPT:
                self._parts.popitem(last=False)
        return known

    def _found(self, files: list[tuple[Part, int, int]]) -> list[tuple[Path, int, int]]:
        """The files up to the first that is not here as it should be. Blocks."""
        found = []
        for part, first, size in files:
            try:
                path = self._cache.open_verified(part.lesson, part.rendition, part.name)
            except Absent:
                path = None
            if path is None:
                break
            found.append((path, first, size))
        return found


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _packed(body: bytes, kind: str) -> web.Response:
    response = web.Response(body=body, content_type=kind, zlib_executor_size=_PACKED_ASIDE_BYTES)
    if len(body) > _PACKED_BYTES:
        response.enable_compression()
    response.headers["Cache-Control"] = "no-store"
    return response


def _differs(field: str) -> Refused:
    return Refused(
        412,
        "manifest-differs",
        "This recording is another one here, or has changed.",
        fix="Ask for the list of recordings again, and for this one by its digest.",
        field=field,
    )


def _absent(detail: str, field: str) -> Refused:
    return Refused(
        404,
        "recording-missing",
        detail,
        fix="Look at the list of recordings that this relay offers.",
        field=field,
    )
