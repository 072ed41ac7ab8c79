"""`/archives/{lesson}/…`: recordings over HTTP, finished, still running or still being fetched.

Playlists and the manifest are made at each request; segments, initialisation files and the event
log are files, and no byte of a part leaves before it was verified (`relay.cache`). Names are looked
up, never joined as they come, so no address reaches outside an archive. Whole segments never
change: their ETag is their digest, and they may be kept for ever. A part that is not here yet is
asked for and waited for a little. Range requests (RFC 9110 14) are aiohttp's. Any origin may read:
tokens decide.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from classroom.archive.extras import Extras
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import (
    CAPTIONS,
    EVENTS,
    EXTRAS,
    MANIFEST,
    init_name,
    is_copy,
    is_rendition,
    is_voice,
    segment_name,
)
from classroom.clock import monotonic
from classroom.errors import Absent, Refused
from relay.cache.cache import Cache, Found
from relay.record import fill, hls, hls_master, tail
from relay.record.fill import parse_fill
from relay.record.hls_master import Wish
from relay.web.digest_file import DigestFile
from relay.web.extras import ExtrasReader, captions_text
from relay.web.tails import Tails, growing_file

Authorize = Callable[[web.Request, str], Awaitable[None]]

_PLAYLIST: Final = "application/vnd.apple.mpegurl"
_PLAYLISTS: Final = ".m3u8"
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Content-Range, Content-Length",
}
_FOREVER: Final = "private, max-age=31536000, immutable"
_FRESH: Final = "no-cache"
_JSON_LINES: Final = "application/jsonl"
_MISSING: Final = "recording-missing"
"""Of a lesson as well as of a part of it."""


_WAIT_SECONDS: Final = 8.0
"""How long a player waits for a part on its way: hls.js gives up on a silent answer after 10 s."""
_HOLE_SECONDS: Final = 4.0
"""How long a playlist waits to hear of what was missed; without it, it shows a hole there."""
_AGAIN_SECONDS: Final = 5.0
_BLOCK_SECONDS: Final = 4.0
"""How long a player's request for what is listed next is held; it asks again."""
_BLOCK_LOOK_SECONDS: Final = 0.2

OnMissing = Callable[[str, str, str], Awaitable[object]]
"""(lesson, rendition, name) of a part that somebody waits for; returns when it may be here."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class _Lacking:
    """A part that must be here before the request can be answered."""

    rendition: str
    name: str


class Archives:
    """What is recorded here, for reading. Its methods block."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.tails = Tails()
        self._extras = ExtrasReader()

    def has(self, lesson: str) -> bool:
        """Whether anything of the lesson is here."""
        try:
            self.cache.path(lesson)
        except Refused:
            return False
        return True

    def extras(self, lesson: str) -> Extras:
        """Captions and copies of the lesson. Raises Refused 404."""
        return self._extras.read(self.cache.path(lesson))

    def media(
        self,
        manifest: Manifest,
        name: str,
        token: str | None,
        growing: Mapping[str, float],
        *,
        inside: bool = False,
        parts: bool = False,
    ) -> str | None:
        """A media playlist. parts: with the newest segments in parts."""
        tails: list[tail.Tail] | None = None
        if parts and not manifest.finished and name in growing:
            tails = self._tails(manifest, name)
        return hls.media(manifest, name, token, growing=growing, inside=inside, tails=tails)

    def growing(self, lesson: str, rendition: str, name: str) -> Path | None:
        """The file of a segment that is being recorded now, None when it is not."""
        _, growing = self.cache.view(lesson)
        if rendition not in growing:
            return None
        return growing_file(self.cache.path(lesson), rendition, name)

    def _tails(self, manifest: Manifest, name: str) -> list[tail.Tail]:
        directory = self.cache.path(manifest.lesson)
        rendition = manifest.rendition(name)
        found: list[tail.Tail | None] = []
        for segment in rendition.segments[-1:] if rendition is not None else ():
            file = directory / name / segment_name(segment.beat, segment.part)
            found.append(self.tails.whole(file, segment.init, segment.take))
        found.append(self.tails.growing(directory, name))
        return [one for one in found if one is not None]

    def find(self, lesson: str, rendition: str, name: str, copies: Extras | None) -> Found | None:
        """A part of a rendition or, where `copies` are given, of a copy; None: no such part."""
        if copies is None:
            return self.cache.find(lesson, rendition, name)
        copy = copies.copy(rendition)
        digest = _digest(copy, name) if copy is not None else None
        if digest is None:
            return None
        return Found(self.cache.verified(lesson, rendition, name, digest), digest)


def add_archive_routes(
    app: web.Application,
    cache: Cache,
    authorize: Authorize,
    on_missing: OnMissing | None = None,
    is_offered: Callable[[str], bool] = lambda lesson: False,
) -> Archives:
    """Serve what the cache holds. authorize(request, lesson) raises Refused unless the request may
    replay the lesson. on_missing: asks for a part that is not here; its errors mean not yet.
    is_offered(lesson): a source has it, so that one of which nothing is here may come."""
    archives = Archives(cache)

    async def comes(lesson: str) -> bool:
        """Whether it was the lesson that was missing, and not a part of it, and is here now. Raises
        Absent while it is on its way."""
        if on_missing is None or await asyncio.to_thread(archives.has, lesson):
            return False
        if not is_offered(lesson):
            return False
        # With its first part comes its manifest, and with that what to ask for next.
        await _wait(on_missing(lesson, "voice", init_name(0)), _WAIT_SECONDS)
        if not await asyncio.to_thread(archives.has, lesson):
            raise _not_yet()
        return True

    def once_here(handler: Handler) -> Handler:
        """The handler, tried again when the lesson came because somebody asked for it."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as error:
                if error.code != _MISSING or not await comes(request.match_info["lesson"]):
                    raise
            return await handler(request)

        return answer

    async def top(request: web.Request) -> web.StreamResponse:
        lesson, name = request.match_info["lesson"], request.match_info["name"]
        await authorize(request, lesson)
        token = request.query.get("token")
        wish = Wish.read(request.query.get("play"), request.query.get("only"))
        if on_missing is not None and name.endswith(_PLAYLISTS):
            hole = await asyncio.to_thread(cache.hole, lesson)
            if hole is not None:
                await _wait(on_missing(lesson, *hole), _HOLE_SECONDS)
        parts = tail.QUERY in request.query
        asked = archives, lesson, name, token, wish
        return await _until_listed(request, lambda: _top(*asked, parts=parts))

    async def inner(request: web.Request) -> web.StreamResponse:
        lesson = request.match_info["lesson"]
        rendition, name = request.match_info["rendition"], request.match_info["name"]
        await authorize(request, lesson)
        token = request.query.get("token")
        asked = archives, lesson, rendition, name, token
        if tail.QUERY in request.query:
            if name == "index.m3u8":
                return await _until_listed(request, lambda: _index(*asked))
            file = await asyncio.to_thread(archives.growing, lesson, rendition, name)
            if file is not None:
                kind = "audio/mp4" if is_voice(rendition) else "video/mp4"
                headers = _CORS | {"Cache-Control": "no-store", "Content-Type": kind}
                return web.FileResponse(file, headers=headers)
        answer = await asyncio.to_thread(_inner, *asked)
        if isinstance(answer, _Lacking):
            if on_missing is not None:
                arrival = on_missing(lesson, answer.rendition, answer.name)
                await _wait(arrival, _WAIT_SECONDS)
            answer = await asyncio.to_thread(_inner, *asked, last=True)
        if isinstance(answer, _Lacking):
            raise _not_yet()
        known = {each.value for each in request.if_none_match or ()}
        if isinstance(answer, DigestFile) and answer.digest in known:
            headers = _CORS | {"ETag": f'"{answer.digest}"'}
            headers["Cache-Control"] = answer.headers["Cache-Control"]
            return web.Response(status=304, headers=headers)
        return answer

    app.router.add_get("/archives/{lesson}/{name}", once_here(top))
    app.router.add_get("/archives/{lesson}/{rendition}/{name}", once_here(inner))
    return archives


async def _until_listed(
    request: web.Request, answer: Callable[[], web.StreamResponse]
) -> web.StreamResponse:
    """The playlist as soon as it has what the player waits for, or soon without it."""
    query = request.query
    waits = query.get("_HLS_msn", "")
    part = query.get("_HLS_part", "")
    end = monotonic() + _BLOCK_SECONDS
    while True:
        response = await asyncio.to_thread(answer)
        body = response.body if isinstance(response, web.Response) else None
        if not waits.isdecimal() or not isinstance(body, bytes) or b"#EXT-X-PART-INF" not in body:
            return response
        wanted = int(part) if part.isdecimal() else None
        if tail.is_listed(body.decode(), int(waits), wanted) or monotonic() > end:
            return response
        await asyncio.sleep(_BLOCK_LOOK_SECONDS)


async def _wait(arrival: Awaitable[object], seconds: float) -> None:
    """Wait for a part; whether it came is seen on the disk."""
    with contextlib.suppress(TimeoutError, Absent, Refused):
        async with asyncio.timeout(seconds):
            await arrival


def _top(
    archives: Archives,
    lesson: str,
    name: str,
    token: str | None,
    wish: Wish,
    *,
    parts: bool = False,
) -> web.StreamResponse:
    path = archives.cache.path(lesson)
    if name == EVENTS and (path / EVENTS).exists():
        headers = _CORS | {"Content-Type": _JSON_LINES, "Cache-Control": _FRESH}
        return web.FileResponse(path / EVENTS, headers=headers)
    if name == EXTRAS:
        with contextlib.suppress(FileNotFoundError):
            return _answer((path / EXTRAS).read_bytes(), "application/json")
    manifest, growing = archives.cache.view(lesson)
    if name == MANIFEST:
        return _answer(manifest.encode(), "application/json")
    text: str | None = None
    extras = archives.extras(lesson)
    if name in ("master.m3u8", "screen.m3u8"):
        source = "camera" if name == "master.m3u8" else "screen"
        text = hls_master.master(manifest, source, token, extras=extras, wish=wish)
    elif name.endswith(".m3u8"):
        whole = hls_master.with_copies(manifest, extras)
        text = archives.media(whole, name.removesuffix(".m3u8"), token, growing, parts=parts)
    if text is None:
        raise _absent("This recording has no such part, or none yet.", "name")
    return _answer(text.encode(), _PLAYLIST)


def _inner(
    archives: Archives,
    lesson: str,
    rendition: str,
    name: str,
    token: str | None,
    *,
    last: bool = False,
) -> web.StreamResponse | _Lacking:
    """last: nothing is waited for any more, so what stands in for a part is good enough."""
    if not is_rendition(rendition) and not is_copy(rendition) and rendition != CAPTIONS:
        raise _absent("This recording has no such rendition.", "rendition")
    manifest, growing = archives.cache.view(lesson)
    if rendition == CAPTIONS:
        return _captions(archives, manifest, name, token)
    copies = archives.extras(lesson) if is_copy(rendition) else None
    if copies is not None:
        manifest = hls_master.with_copies(manifest, copies)
    if name == "index.m3u8":
        text = hls.media(manifest, rendition, token, growing=growing, inside=True)
        if text is None:
            raise _absent("This recording has no such part, or none yet.", "name")
        return _answer(text.encode(), _PLAYLIST)
    headers = _CORS | {"Content-Type": "audio/mp4" if is_voice(rendition) else "video/mp4"}
    wanted, filling = name, parse_fill(name)
    if filling is not None:
        model = _model(manifest, rendition, filling)
        if model is None:
            raise _absent("This recording has no such segment, or not yet.", "name")
        wanted = model
    found = archives.find(lesson, rendition, wanted, copies)
    if found is None:
        raise _absent("This recording has no such segment, or not yet.", "name")
    path, digest = found.path, found.digest
    # A copy may be made again, under the same names.
    headers["Cache-Control"] = _FRESH if is_copy(rendition) else _FOREVER
    if path is None and last and found.stand_in is not None:
        (path, digest), headers["Cache-Control"] = found.stand_in, _FRESH
    if path is None:
        return _Lacking(rendition, wanted)
    if filling is None:
        return DigestFile(path, digest, headers)
    data = fill.fill(path.read_bytes(), *filling, name=rendition)
    if data is None:
        raise _absent("This recording has no such segment, or not yet.", "name")
    return web.Response(body=data, headers=headers)


def _index(
    archives: Archives, lesson: str, rendition: str, name: str, token: str | None
) -> web.StreamResponse:
    """The playlist of a rendition inside its directory, with parts."""
    manifest, growing = archives.cache.view(lesson)
    text = archives.media(manifest, rendition, token, growing, inside=True, parts=True)
    if text is None:
        raise _absent("This recording has no such part, or none yet.", "name")
    return _answer(text.encode(), _PLAYLIST)


def _captions(
    archives: Archives, manifest: Manifest, name: str, token: str | None
) -> web.StreamResponse | _Lacking:
    lesson = manifest.lesson
    found = captions_text(manifest, archives.extras(lesson), name, token)
    if found is None:
        raise _absent("This recording has no such captions.", "name")
    if found[0]:
        return _answer(found[0].encode(), _PLAYLIST)
    path = archives.cache.verified(lesson, CAPTIONS, name, found[1])
    if path is None:
        return _Lacking(CAPTIONS, name)
    headers = _CORS | {"Content-Type": "text/vtt; charset=utf-8", "Cache-Control": _FRESH}
    return DigestFile(path, found[1], headers)


def _model(manifest: Manifest, name: str, filling: tuple[int, int]) -> str | None:
    """The part that a filling is made of; None where the rendition has something, or is not there,
    and so has no such filling."""
    rendition = manifest.rendition(name)
    if rendition is None or not fill.fits(rendition, *filling):
        return None
    segment = fill.model(rendition, filling[0])
    return segment_name(segment.beat, segment.part)


def _digest(rendition: RenditionManifest, file: str) -> str | None:
    """The digest of a whole file of a copy, None if it is no such file."""
    for init in rendition.inits:
        if init_name(init.number) == file:
            return init.digest
    for segment in rendition.segments:
        if segment_name(segment.beat, segment.part) == file:
            return segment.digest
    return None


def _answer(body: bytes, kind: str) -> web.Response:
    headers = _CORS | {"Cache-Control": _FRESH, "Content-Type": kind}
    response = web.Response(body=body, headers=headers)
    # A room that watches a running lesson reads three lists every second, on whatever link it has;
    # and what a tablet keeps a lesson by is some 200 kB of digests.
    response.enable_compression()
    return response


def _not_yet() -> Absent:
    return Absent(
        "This part of the lesson is not here yet.",
        fix="Wait a little: it is fetched as soon as the link allows.",
        retry_after=_AGAIN_SECONDS,
    )


def _absent(detail: str, field: str) -> Refused:
    return Refused(
        404,
        _MISSING,
        detail,
        fix="Look at the list of recordings; a lesson's first part appears after some seconds.",
        field=field,
    )
