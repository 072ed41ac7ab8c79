"""`/api/lessons/{lesson}/materials`: files that a teacher gives along with a lesson.

GET     …/materials             its list, byte for byte the lesson's `materials.json`
GET     …/materials/{digest}    a file, in parts if asked for
PUT     …/materials/{digest}    add a file, as it is, under `?name=`
DELETE  …/materials/{digest}    take one out of the list

Lives here: who may, what is read of a request and in which bounds. Not here: what a list may become
(`classroom.lessons.materials`), SQL and files (`classroom.store`), sweeping up files that no list
names (`materials_sweep`). What a body holds counts only when its SHA-256 is the address: it is sent
again after a broken connection without harm, and a file on the disk that was damaged is mended by
it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import ETag, web

from classroom.archive.materials import Material, Materials, check_name
from classroom.bodies import pieces
from classroom.errors import Absent, Refused, http_refusal
from classroom.lessons.materials import added, removed, unknown_material
from classroom.store import Upload, is_digest
from classroom.tokens import Right
from classroom.web.callers import caller, lesson_in, require_change, require_sight
from classroom.web.context import Context, context_of
from classroom.web.logs import event
from classroom.web.problems import code_of

# As a relay waits for its parent: ten round trips of the slowest link and a lost packet's repeats.
_STALL_S: Final = 20.0
_FOR_EVER: Final = "private, max-age=31536000, immutable"


def routes() -> list[web.RouteDef]:
    """The routes of this module."""
    one = "/api/lessons/{lesson}/materials/{digest}"
    return [
        web.get("/api/lessons/{lesson}/materials", show),
        web.get(one, get),
        web.put(one, put),
        web.delete(one, remove),
    ]


async def show(request: web.Request) -> web.Response:
    """GET …/materials: the list; 304 if unchanged."""
    context, claims = caller(request)
    require_sight(claims, Right.RELAY)
    return _listed(request, await context.records.materials.of(lesson_in(request, claims)))


async def get(request: web.Request) -> web.StreamResponse:
    """GET …/materials/{digest}: the file; 304, 206 and 416 as asked for."""
    context, claims = caller(request)
    require_sight(claims, Right.RELAY)
    known = await context.records.materials.of(lesson_in(request, claims))
    digest = request.match_info["digest"]
    found = known.find(digest)
    if found is None:
        raise unknown_material()
    headers = {"ETag": f'"{digest}"', "Cache-Control": _FOR_EVER}
    if _is_known(request, digest):
        return web.Response(status=304, headers=headers)
    if not await asyncio.to_thread(context.blobs.has, digest, found.bytes):
        event("material-missing", level=logging.ERROR, lesson=known.lesson, digest=digest)
        raise Absent(
            "This file is not on the server's disk.",
            fix="Send it again from the teacher's page; if that was done, ask your technician "
            "whether the directory of lesson materials is the right one.",
            retry_after=60.0,
        )
    manner = "attachment" if "download" in request.query else "inline"
    headers["Content-Type"] = found.media_type
    headers["Content-Disposition"] = f"{manner}; filename*=UTF-8''{quote(found.name, safe='')}"
    return _File(context.blobs.path(digest), digest, headers)


async def put(request: web.Request) -> web.Response:
    """PUT …/materials/{digest}: add a file; 201, or 200 if the list has it already."""
    context = context_of(request)
    try:
        before, after = await _put(request, context)
    except (Refused, Absent) as error:
        context.metrics.uploads.labels(code_of(error)).inc()
        raise
    is_new = before.find(request.match_info["digest"]) is None
    context.metrics.uploads.labels("kept" if is_new else "known").inc()
    return _listed(request, after, 201 if is_new else 200)


async def remove(request: web.Request) -> web.Response:
    """DELETE …/materials/{digest}: the list without the file, which is swept up days later."""
    context, claims = caller(request)
    lesson_id = lesson_in(request, claims)
    require_change(claims, await context.records.lesson(lesson_id))
    digest = request.match_info["digest"]
    _, after = await context.records.materials.change(
        lesson_id, lambda known: removed(known, digest), now=context.wall()
    )
    event("material-removed", lesson=lesson_id, digest=digest, by=claims.subject)
    await context.desk.changed(lesson_id)
    return _listed(request, after)


async def _put(request: web.Request, context: Context) -> tuple[Materials, Materials]:
    """Take a file in; the lesson's list before and after."""
    _, claims = caller(request)
    lesson_id = lesson_in(request, claims)
    require_change(claims, await context.records.lesson(lesson_id))
    digest = request.match_info["digest"]
    if not is_digest(digest):
        raise _other_bytes("The address does not end with a SHA-256 in small hexadecimal letters.")
    name = check_name(request.query.get("name", ""))
    settings = context.settings.materials
    most, most_together = settings.file_mb * 10**6, settings.lesson_mb * 10**6
    length = request.content_length
    if length == 0 or not request.body_exists:
        raise _empty()
    if length is not None and length > most:
        raise _too_large(settings.file_mb)
    # What the list refuses is said before minutes are spent on a weak link.
    known = await context.records.materials.of(lesson_id)
    added(known, Material(name, length or 1, digest), most_together)
    upload = await asyncio.to_thread(context.blobs.begin, length or most)
    try:
        await _receive(request, upload, settings.file_mb)
        if await asyncio.to_thread(upload.finish) != digest:
            raise _other_bytes("What arrived is not what the digest in the address says.")
        new = Material(name, upload.size, digest)
        before, after = await context.records.materials.change(
            lesson_id,
            lambda known: added(known, new, most_together),
            lambda: asyncio.to_thread(upload.place),
            now=context.wall(),
        )
    finally:
        await asyncio.to_thread(upload.discard)
    if after != before:
        event("material-added", lesson=lesson_id, digest=digest, bytes=new.bytes, by=claims.subject)
        await context.desk.changed(lesson_id)
    return before, after


async def _receive(request: web.Request, upload: Upload, most_mb: int) -> None:
    """Bring the body to the disk as it comes."""
    try:
        async for piece in pieces(request.content, most_mb * 10**6, _STALL_S):
            await asyncio.to_thread(upload.write, piece)
    except ValueError as error:
        raise _too_large(most_mb) from error
    except TimeoutError as error:
        raise http_refusal(408) from error
    # OSError: the connection. The disk's have other names by here.
    except (OSError, web.RequestPayloadError) as error:
        raise _other_bytes("The file did not arrive whole.") from error
    if not upload.size:
        raise _empty()


class _File(web.FileResponse):
    """A file whose ETag is its digest, so that every relay's copy has the same one."""

    def __init__(self, path: Path, digest: str, headers: dict[str, str]) -> None:
        super().__init__(path, headers=headers)
        self._digest = digest

    @property
    def etag(self) -> ETag | None:
        return ETag(value=self._digest)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        """aiohttp sets one from the file's date and size; ours stays."""
        self.headers["ETag"] = f'"{self._digest}"'


def _listed(request: web.Request, known: Materials, status: int = 200) -> web.Response:
    body = known.encode()
    digest = hashlib.sha256(body).hexdigest()
    headers = {"ETag": f'"{digest}"', "Cache-Control": "no-cache"}
    if request.method in ("GET", "HEAD") and _is_known(request, digest):
        return web.Response(status=304, headers=headers)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _is_known(request: web.Request, tag: str) -> bool:
    """Whether the caller has it already (RFC 9110 13.1.2)."""
    known = {each.value for each in request.if_none_match or ()}
    return tag in known or "*" in known


def _too_large(most_mb: int) -> Refused:
    return Refused(
        413,
        "material-too-large",
        f"The file is larger than {most_mb} MB.",
        fix="Make it smaller (fewer or smaller pictures, a shorter clip), or divide it.",
        field="body",
    )


def _empty() -> Refused:
    return Refused(
        400, "material-empty", "The file is empty.", fix="Choose another file.", field="body"
    )


def _other_bytes(detail: str) -> Refused:
    return Refused(400, "material-digest", detail, fix="Send the file again.", field="digest")
