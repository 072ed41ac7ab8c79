"""`/api/lessons/{id}/materials…`: what teachers gave along with lessons, as far as it is here.

    GET /api/lessons/{id}/materials             materials.json; an empty list where there is none
    GET /api/lessons/{id}/materials/{digest}    one file of it, also in parts; ?download to save it

At the same addresses as at the control plane, for whoever may watch or replay the lesson here and
for relays. What is not here yet is asked for before all else, and answered 503 meanwhile. Files are
named by their digests, so browsers may keep them for ever; no byte leaves before it was verified
(`relay.cache.blobs`). Not here: bringing them (`relay.sync.materials`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from aiohttp import web

from classroom.archive import canonical
from classroom.archive.materials import Materials
from classroom.archive.names import is_lesson
from classroom.errors import Refused
from classroom.tokens import Claims, Right
from relay.cache.materials import MaterialStore
from relay.web.access import Access
from relay.web.digest_file import DigestFile
from relay.web.problems import answer_problem

ON_ITS_WAY: Final = "material-on-its-way"
_AGAIN_SECONDS: Final = "3"
_FOREVER: Final = "private, max-age=31536000, immutable"
# Of whoever may replay, visitors among them; who has a link for watching alone; relays.
_RIGHTS: Final = (Right.REPLAY, Right.WATCH, Right.RELAY)

WAITS: Final = "waits"
"""In the query of a relay below: for so many seconds yet somebody waits for it there. Else it takes
its turn here."""


class MaterialRoutes:
    """Handlers of these addresses."""

    def __init__(
        self,
        access: Access,
        store: MaterialStore,
        told: Callable[[str], str | None],
        ask: Callable[[str, str, float], None],
    ) -> None:
        """told(lesson): digest of the list that it has, "" for none, None where nothing is known;
        blocks. ask(lesson, digest, seconds): somebody waits for this file, "" for the list, for
        so long yet as far as is known."""
        self._access = access
        self._store = store
        self._told = told
        self._ask = ask
        self.sent = 0
        """Bytes of files that were given to relays, since this process began."""

    def add_routes(self, app: web.Application) -> None:
        """Both."""
        app.router.add_get("/api/lessons/{lesson}/materials", self._list)
        app.router.add_get("/api/lessons/{lesson}/materials/{digest}", self._file)

    async def _list(self, request: web.Request) -> web.Response:
        lesson, claims = await self._asked(request)
        told = await asyncio.to_thread(self._told, lesson)
        held = await asyncio.to_thread(self._store.held, lesson) if told != "" else None
        if told and (held is None or held.digest != told):
            self._want(request, claims, lesson, "")
        if held is None and told:
            return _on_its_way("The list of this lesson's materials is not here yet.")
        data = held.data if held is not None else Materials(lesson, ()).encode()
        tag = held.digest if held is not None else canonical.digest(data)
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if tag in {each.value for each in request.if_none_match or ()}:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, content_type="application/json", headers=headers)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        lesson, claims = await self._asked(request)
        digest = request.match_info["digest"]
        told = await asyncio.to_thread(self._told, lesson)
        held = await asyncio.to_thread(self._store.held, lesson) if told != "" else None
        material = held.materials.find(digest) if held is not None else None
        if material is None and told and (held is None or held.digest != told):
            # It may be in the list that is on its way.
            self._want(request, claims, lesson, "")
            return _on_its_way("The list of this lesson's materials is not here yet.")
        if material is None:
            raise Refused(
                404,
                "unknown-material",
                "This lesson has no such file.",
                fix="Look at the list of the lesson's materials again.",
                field="digest",
            )
        path = await asyncio.to_thread(self._store.find, digest)
        if path is None:
            self._want(request, claims, lesson, digest)
            return _on_its_way("This file is not here yet.")
        way = "attachment" if "download" in request.query else "inline"
        headers = {
            "Content-Type": material.media_type,
            "Content-Disposition": f"{way}; filename*=UTF-8''{quote(material.name, safe='')}",
            "Cache-Control": _FOREVER,
        }
        if digest in {each.value for each in request.if_none_match or ()}:
            return web.Response(status=304, headers=headers | {"ETag": f'"{digest}"'})
        return DigestFile(path, digest, headers)

    async def _asked(self, request: web.Request) -> tuple[str, Claims]:
        """The lesson, and who asks. Raises Refused 401, 403, 404."""
        lesson = request.match_info["lesson"]
        claims: Claims | None = None
        for right in _RIGHTS:
            try:
                claims = await self._access.check(request, right, lesson, query=True)
                break
            except Refused as error:
                if error.code != "right-missing" or right is _RIGHTS[-1]:
                    raise
        assert claims is not None
        if not is_lesson(lesson):
            raise Refused(
                404,
                "lesson-unknown",
                "There is no such lesson.",
                fix="Look at the list of lessons.",
                field="lesson",
            )
        return lesson, claims

    def _want(self, request: web.Request, claims: Claims, lesson: str, digest: str) -> None:
        # A relay below asks for what nobody needs yet as well, and takes its turn like ours.
        if Right.RELAY not in claims.rights:
            self._ask(lesson, digest, math.inf)
        elif WAITS in request.query:
            told = request.query[WAITS]
            # An older relay does not say for how long.
            seconds = float(told) if told.isascii() and told.isdecimal() else math.inf
            self._ask(lesson, digest, seconds)


def _on_its_way(detail: str) -> web.Response:
    refused = Refused(
        503, ON_ITS_WAY, detail, fix="Wait a little: it comes as soon as the link allows."
    )
    response = answer_problem(refused)
    response.headers["Retry-After"] = _AGAIN_SECONDS
    return response
