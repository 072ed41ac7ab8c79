"""`/archives/{lesson}/…`: recordings over HTTP, finished or still running.

Playlists and the manifest are made from the journal at each request; segments, initialisation
files and the event log are files. Names are recognised, never joined as they come, so no address
reaches outside an archive. Whole segments never change: their ETag is their digest, and they may
be kept for ever. Range requests (RFC 9110 14) are aiohttp's. Any origin may read: tokens decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ETag, web

from classroom.archive import manifest as manifests
from classroom.archive.contents import Header, JournalReader
from classroom.archive.manifest import Manifest
from classroom.archive.names import (
    EVENTS,
    HEADER,
    JOURNAL,
    MANIFEST,
    init_name,
    is_lesson,
    is_rendition,
    parse_init,
    parse_segment,
    segment_name,
)
from classroom.errors import Refused
from relay.record import fill, hls
from relay.record.fill import parse_fill

Authorize = Callable[[web.Request, str], Awaitable[None]]

_PLAYLIST: Final = "application/vnd.apple.mpegurl"
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Content-Range, Content-Length",
}
_FOREVER: Final = "private, max-age=31536000, immutable"
_FRESH: Final = "no-cache"
_JSON_LINES: Final = "application/jsonl"


@dataclass(slots=True)
class _Known:
    """An archive as read so far; its journal is read on from where it ended."""

    header: Header
    reader: JournalReader
    offset: int = 0
    identity: int = 0


class Archives:
    """What is recorded under one directory, for reading. Safe beside the recorder that writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, _Known] = {}
        self._finished: dict[str, tuple[int, Manifest]] = {}

    def path(self, lesson: str) -> Path:
        """The lesson's directory. Raises Refused 404."""
        if not is_lesson(lesson) or not (self._directory / lesson / HEADER).is_file():
            raise _absent("There is no recording of this lesson here.", "lesson")
        return self._directory / lesson

    def read(self, lesson: str) -> tuple[Manifest, set[str]]:
        """What is whole now, and the renditions with a growing segment. Blocking. Raises Refused
        404, and OSError."""
        path = self.path(lesson)
        journal = path / JOURNAL
        if not journal.exists() and (path / MANIFEST).exists():
            return self._read_manifest(lesson, path / MANIFEST), set()
        known = self._known.get(lesson)
        size, identity = 0, 0
        if journal.exists():
            status = journal.stat()
            size, identity = status.st_size, status.st_ino
        if known is None or known.identity != identity or size < known.offset:
            header = Header.decode((path / HEADER).read_bytes())
            known = self._known[lesson] = _Known(header, JournalReader(), identity=identity)
        if size > known.offset:
            with journal.open("rb") as file:
                file.seek(known.offset)
                data = file.read(size - known.offset)
            known.offset += len(data)
            known.reader.receive(data)
        contents = known.reader.contents
        growing = {name for name, r in contents.renditions.items() if r.opened is not None}
        return manifests.build(known.header, contents), growing

    def _read_manifest(self, lesson: str, path: Path) -> Manifest:
        """Of an archive that was copied here without its journal."""
        stamp = path.stat().st_mtime_ns
        kept = self._finished.get(lesson)
        if kept is None or kept[0] != stamp:
            kept = self._finished[lesson] = (stamp, Manifest.decode(path.read_bytes()))
        return kept[1]


def add_archive_routes(app: web.Application, archives_dir: Path, authorize: Authorize) -> Archives:
    """Serve the archives under `archives_dir`. authorize(request, lesson) raises Refused unless
    the request may replay the lesson."""
    archives = Archives(archives_dir)

    async def top(request: web.Request) -> web.StreamResponse:
        lesson, name = request.match_info["lesson"], request.match_info["name"]
        await authorize(request, lesson)
        return await asyncio.to_thread(_top, archives, lesson, name, request.query.get("token"))

    async def inner(request: web.Request) -> web.StreamResponse:
        lesson = request.match_info["lesson"]
        rendition, name = request.match_info["rendition"], request.match_info["name"]
        await authorize(request, lesson)
        token = request.query.get("token")
        answer = await asyncio.to_thread(_inner, archives, lesson, rendition, name, token)
        known = {each.value for each in request.if_none_match or ()}
        if isinstance(answer, _File) and answer.digest in known:
            headers = _CORS | {"Cache-Control": _FOREVER, "ETag": f'"{answer.digest}"'}
            return web.Response(status=304, headers=headers)
        return answer

    app.router.add_get("/archives/{lesson}/{name}", top)
    app.router.add_get("/archives/{lesson}/{rendition}/{name}", inner)
    return archives


def _top(archives: Archives, lesson: str, name: str, token: str | None) -> web.StreamResponse:
    path = archives.path(lesson)
    if name == EVENTS and (path / EVENTS).exists():
        headers = _CORS | {"Content-Type": _JSON_LINES, "Cache-Control": _FRESH}
        return web.FileResponse(path / EVENTS, headers=headers)
    manifest, growing = archives.read(lesson)
    if name == MANIFEST:
        return _answer(manifest.encode(), "application/json")
    text: str | None = None
    if name == "master.m3u8":
        text = hls.master(manifest, "camera", token)
    elif name == "screen.m3u8":
        text = hls.master(manifest, "screen", token)
    elif name.endswith(".m3u8"):
        text = hls.media(manifest, name.removesuffix(".m3u8"), token, growing=growing)
    if text is None:
        raise _absent("This recording has no such part, or none yet.", "name")
    return _answer(text.encode(), _PLAYLIST)


def _inner(
    archives: Archives, lesson: str, rendition: str, name: str, token: str | None
) -> web.StreamResponse:
    path = archives.path(lesson)
    if not is_rendition(rendition):
        raise _absent("This recording has no such rendition.", "rendition")
    manifest, growing = archives.read(lesson)
    if name == "index.m3u8":
        text = hls.media(manifest, rendition, token, growing=growing, inside=True)
        if text is None:
            raise _absent("This recording has no such part, or none yet.", "name")
        return _answer(text.encode(), _PLAYLIST)
    kind = "audio/mp4" if rendition == "voice" else "video/mp4"
    filling = parse_fill(name)
    if filling is not None:
        data = _fill(manifest, path, rendition, filling)
        if data is not None:
            headers = {"Content-Type": kind, "Cache-Control": _FOREVER}
            return web.Response(body=data, headers=_CORS | headers)
    digest = _digest(manifest, rendition, name)
    if digest is None or not (path / rendition / name).is_file():
        raise _absent("This recording has no such segment, or not yet.", "name")
    headers = _CORS | {"Content-Type": kind, "Cache-Control": _FOREVER}
    return _File(path / rendition / name, digest, headers)


def _fill(manifest: Manifest, path: Path, name: str, filling: tuple[int, int]) -> bytes | None:
    """A filling where a rendition has nothing; None where it has something, or is not there."""
    rendition = manifest.rendition(name)
    start, end = filling
    if rendition is None or not fill.fits(rendition, start, end):
        return None
    segment = fill.model(rendition, start)
    file = path / name / segment_name(segment.beat, segment.part)
    return fill.fill(file.read_bytes(), start, end, voice=name == "voice")


class _File(web.FileResponse):
    """A file whose ETag is its digest, so that every relay's copy has the same one."""

    def __init__(self, path: Path, digest: str, headers: dict[str, str]) -> None:
        super().__init__(path, headers=headers)
        self.digest = digest

    @property
    def etag(self) -> ETag | None:
        return ETag(value=self.digest)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        """aiohttp sets one from the file's date and size; ours stays."""
        self.headers["ETag"] = f'"{self.digest}"'


def _digest(manifest: Manifest, name: str, file: str) -> str | None:
    """The digest of a whole file of a rendition, None if it is no such file."""
    rendition = manifest.rendition(name)
    if rendition is None:
        return None
    number, place = parse_init(file), parse_segment(file)
    for init in rendition.inits if number is not None else ():
        if init_name(init.number) == file:
            return init.digest
    for segment in rendition.segments if place is not None else ():
        if segment_name(segment.beat, segment.part) == file:
            return segment.digest
    return None


def _answer(body: bytes, kind: str) -> web.Response:
    headers = _CORS | {"Cache-Control": _FRESH, "Content-Type": kind}
    return web.Response(body=body, headers=headers)


def _absent(detail: str, field: str) -> Refused:
    return Refused(
        404,
        "recording-missing",
        detail,
        fix="Look at the list of recordings; a lesson's first part appears after some seconds.",
        field=field,
    )
