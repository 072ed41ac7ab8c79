"""What relays below this one ask of it by HTTP: keys, a first token for a code, a newer token.

Each request goes to whoever stands above this relay, so that any depth of tree enrols through its
nearest parent. Lives here: passing on, and bounding who may make us ask. Must not live here: the
line (`children`), and deciding about a code, which the control plane does.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from classroom.bodies import read_body
from classroom.clock import monotonic
from classroom.errors import Absent, Refused, require_body
from classroom.tokens import Right, Tries, source_of
from relay.web.access import HTTP, Access, bearer
from relay.web.enrolment import Enrolment, post
from relay.web.upstream import Upstream

_MOST_BYTES: Final = 1024
_TRIES: Final = 10
_WITHIN_S: Final = 600.0


class SchoolApi:
    """Handlers; `upstream` is asked."""

    def __init__(self, access: Access, upstream: Upstream, enrolment: Enrolment) -> None:
        self._access = access
        self._upstream = upstream
        self._enrolment = enrolment
        self._tries = Tries(_TRIES, _WITHIN_S)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/keys, POST /api/relays/enrol, POST /api/relays/renew."""
        app.router.add_get("/api/keys", self._keys)
        app.router.add_post("/api/relays/enrol", self._enrol)
        app.router.add_post("/api/relays/renew", self._renew)

    async def _keys(self, request: web.Request) -> web.Response:
        document = self._access.keys
        if document is None:
            raise Absent(
                "This relay does not have the central school's keys yet.",
                fix="Wait until it has reached the central school once.",
            )
        return web.json_response(document)

    async def _enrol(self, request: web.Request) -> web.Response:
        require_body(request.content_type, request.headers, "application/json")
        source = source_of(request.remote)
        self._tries.begin(source, monotonic())
        try:
            body = await read_body(request.content, _MOST_BYTES)
        except ValueError as error:
            raise Refused(
                413,
                "body-too-large",
                f"The body is larger than {_MOST_BYTES} bytes.",
                fix="Send the code, the name and the key alone.",
                field="body",
            ) from error
        token = self._enrolment.token
        headers = {"Content-Type": "application/json"}
        if token:
            # So that the control plane counts our schools apart from strangers.
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = await self._pass_on(request, "enrol", data=body, headers=headers)
        except Refused as error:
            if error.status == 401:
                raise Absent(
                    "The relay that was asked is not let in by its own parent.",
                    fix="Ask the central school to look at that relay's enrolment first.",
                ) from error
            raise
        self._tries.forgive(source)
        return answer

    async def _renew(self, request: web.Request) -> web.Response:
        await self._access.check(request, Right.RELAY, None)
        headers = {"Authorization": f"Bearer {bearer(request, query=False)}"}
        return await self._pass_on(request, "renew", headers=headers)

    async def _pass_on(self, request: web.Request, what: str, **options: object) -> web.Response:
        url = f"{self._upstream.url}/api/relays/{what}"
        answer = await post(request.app[HTTP], url, **options)
        return web.json_response(answer, headers={"Cache-Control": "no-store"})
