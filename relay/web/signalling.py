"""WHIP (RFC 9725) and WHEP over HTTP: checked here, answered by the media process.

POST   /whip/{lesson}, /whep/{lesson}             offer → 201, answer, Location, ETag
POST   /whep/-                                    the same for the lesson that a room should show
OPTIONS on these                                  what may be posted (RFC 9725 §4.1)
PATCH  /whip/{lesson}/{session}, /whep/…          trickle or ICE restart, If-Match
DELETE /whip/{lesson}/{session}, /whep/…          end the session

An offer may come packed (gzip), and answers are where the peer takes it: a page's offer of 20 kB
would be nearly a second of a weak link, and more than what TCP sends before it hears anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from classroom.errors import Refused, http_refusal, require_body
from classroom.tokens import Claims, Right
from classroom.wire import LessonState, is_lesson_id
from relay.ipc import RpcClient
from relay.web.access import Access
from relay.web.lessons import KnownLessons

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
MAX_BODY: Final = 64 * 1024
# In a lesson's place, and no lesson's id: whichever a room should show now. A page whose link names
# none would else have to hear of it by a connection of its own first, three round trips.
CURRENT: Final = "-"


class Signalling:
    """Handlers of both protocols; `add_routes` puts them into an application."""

    def __init__(
        self,
        access: Access,
        media: RpcClient,
        lessons: KnownLessons,
        ice_servers: Sequence[str] = (),
    ) -> None:
        """ice_servers: as the setting of this name has them."""
        self._links = [ice_link(server) for server in ice_servers]
        self._access = access
        self._media = media
        self._lessons = lessons

    def add_routes(self, app: web.Application) -> None:
        """The routes named in the module's docstring."""
        app.router.add_post("/whip/{lesson}", self._publish)
        app.router.add_post("/whep/{lesson}", self._watch)
        for path in ("/whip/{lesson}", "/whep/{lesson}"):
            app.router.add_options(path, _offers_taken)
        app.router.add_patch(r"/{protocol:whip|whep}/{lesson}/{session}", self._patch)
        app.router.add_delete(r"/{protocol:whip|whep}/{lesson}/{session}", self._delete)

    async def _publish(self, request: web.Request) -> web.Response:
        lesson = _lesson(request)
        claims = await self._access.check(request, Right.PUBLISH, lesson)
        self._refuse_ended(lesson, "Start a new lesson.")
        text = await offered_text(request)
        result = await self._media.call("publish", lesson=lesson, subject=claims.subject, text=text)
        return self._created("whip", lesson, result)

    async def _watch(self, request: web.Request) -> web.Response:
        if request.match_info["lesson"] == CURRENT:
            claims = await self._access.check(request, Right.WATCH, None)
            current = self._lessons.current(claims.covers)
            if current is None:
                raise Refused(
                    404,
                    "lesson-unknown",
                    "This relay knows no lesson that this link may watch.",
                    fix="Wait until one is planned or begins; the page goes on asking.",
                    field="lesson",
                )
            lesson = current.id
        else:
            lesson = _lesson(request)
            claims = await self._access.check(request, Right.WATCH, lesson)
        self._refuse_ended(lesson, "Look for its recording in the library.")
        if not self._lessons.is_known(lesson):
            raise Refused(
                404,
                "lesson-unknown",
                "This relay knows no such lesson.",
                fix="Check the link; if the lesson was planned just now, try again.",
                field="lesson",
            )
        text = await offered_text(request)
        result = await self._media.call("watch", lesson=lesson, subject=claims.subject, text=text)
        return self._created("whep", lesson, result)

    def _refuse_ended(self, lesson: str, fix: str) -> None:
        info = self._lessons.info(lesson)
        if info is not None and info.state in (LessonState.ENDED, LessonState.PUBLISHED):
            raise Refused(409, "lesson-ended", "This lesson has ended.", fix=fix, field="lesson")

    def _created(self, protocol: str, lesson: str, result: dict[str, Any]) -> web.Response:
        response = web.Response(
            status=201,
            text=result["answer"],
            content_type=SDP,
            headers={
                "Location": f"/{protocol}/{lesson}/{result['session']}",
                "ETag": result["etag"],
                "Accept-Patch": FRAGMENT,
            },
        )
        for link in self._links:
            response.headers.add("Link", link)
        response.enable_compression()
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        lesson, role, claims = await self._owner(request)
        text = await _body(request, FRAGMENT)
        result = await self._media.call(
            "patch",
            lesson=lesson,
            session=request.match_info["session"],
            role=role,
            subject=claims.subject,
            text=text,
            etag=request.headers.get("If-Match"),
        )
        if result["fragment"] is None:
            return web.Response(status=204, headers={"ETag": result["etag"]})
        return web.Response(
            status=200,
            text=result["fragment"],
            content_type=FRAGMENT,
            headers={"ETag": result["etag"]},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        lesson, role, claims = await self._owner(request)
        await self._media.call(
            "delete",
            lesson=lesson,
            session=request.match_info["session"],
            role=role,
            subject=claims.subject,
        )
        return web.Response(status=200)

    async def _owner(self, request: web.Request) -> tuple[str, str, Claims]:
        lesson = _lesson(request)
        publishes = request.match_info["protocol"] == "whip"
        right = Right.PUBLISH if publishes else Right.WATCH
        claims = await self._access.check(request, right, lesson)
        return lesson, "publisher" if publishes else "viewer", claims


def ice_link(server: str) -> str:
    """A Link header's value for one entry of `ice_servers` (RFC 9725 §4.6)."""
    url, *login = server.split(" ")
    link = f'<{url}>; rel="ice-server"'
    if login:
        username, credential = login
        link += f'; username="{username}"; credential="{credential}"; credential-type="password"'
    return link


async def _offers_taken(request: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Accept-Post": SDP})


def _lesson(request: web.Request) -> str:
    lesson = request.match_info["lesson"]
    if not is_lesson_id(lesson):
        raise Refused(
            404,
            "lesson-unknown",
            "This is no lesson's name.",
            fix="Use the address that the page or the administrator gave you.",
            field="lesson",
        )
    return lesson


async def offered_text(request: web.Request) -> str:
    """The SDP that was posted, packed or not. Raises Refused."""
    if request.headers.get("Content-Encoding", "").strip().lower() != "gzip":
        return await _body(request, SDP)
    require_body(request.content_type, {}, SDP)
    return _text(unpack(await request.read()))


async def _body(request: web.Request, content_type: str) -> str:
    require_body(request.content_type, request.headers, content_type)
    return _text(await request.read())


def pack(data: bytes) -> bytes:
    """As gzip, for `unpack`."""
    deflater = zlib.compressobj(wbits=31)
    return deflater.compress(data) + deflater.flush()


def unpack(data: bytes) -> bytes:
    """What gzip packed, up to MAX_BODY bytes; never more than that is made of any input.

    Raises Refused 400 for what is no gzip or is cut off, 413 for what would be larger.
    """
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, MAX_BODY + 1)
    except zlib.error:
        plain = b""
    if len(plain) > MAX_BODY:
        raise http_refusal(413, limit=MAX_BODY)
    if not inflater.eof:
        raise Refused(
            400,
            "sdp-malformed",
            "The body is not what its Content-Encoding says.",
            fix="Send it whole and packed with gzip, or as it is.",
            field="body",
        )
    return plain


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            400,
            "sdp-malformed",
            "The body is not UTF-8 text.",
            fix="Send the SDP as text.",
            field="body",
        ) from error
