"""`GET /events`: the WebSocket of a room's or a library's page.

The page introduces itself, hears which lesson it should show and every change of it, and pings.
When that lesson ends it is told so, before it hears of the next one. A refusal is told over the
opened socket, because a browser hides the answer to a refused upgrade. The conversation's rules are
`classroom.signalling`'s; this is its socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from classroom.clock import monotonic, wall
from classroom.errors import Absent, Refused, websocket_refusal
from classroom.signalling.actions import Close, Opened, Send
from classroom.signalling.session import Session
from classroom.tokens import Claims, Right
from classroom.wire import MAX_BYTES, Hello, LessonInfo, Welcome, encode
from relay.web.access import Access
from relay.web.lessons import KnownLessons

_log: Final = logging.getLogger("relay.service")

# Two kilobytes on a weak link; more lessons than end while a room is cut off for a morning.
_ENDED_TOLD: Final = 8
# A page that does not answer a close within three bad round trips is gone.
_CLOSE_SECONDS: Final = 3.0


class Events:
    """Handler of `/events`; counts pages for the metrics."""

    def __init__(self, access: Access, lessons: KnownLessons) -> None:
        self._access = access
        self._lessons = lessons
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def pages(self) -> int:
        """Pages connected now."""
        return len(self._sockets)

    def add_routes(self, app: web.Application) -> None:
        """GET /events."""
        app.router.add_get("/events", self._handle)
        app.on_shutdown.append(self._shutdown)

    async def _shutdown(self, app: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"server stops")

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=_CLOSE_SECONDS, max_msg_size=MAX_BYTES)
        if not socket.can_prepare(request):
            raise websocket_refusal(request.headers)
        who: Claims | Refused | Absent
        try:
            who = await self._claims(request)
        except (Refused, Absent) as error:
            who = error
        await socket.prepare(request)
        self._sockets.add(socket)
        began = monotonic()
        try:
            await _Page(who, self._lessons, socket).run()
        finally:
            self._sockets.discard(socket)
            _log.info(
                "page-left",
                extra={
                    "subject": who.subject if isinstance(who, Claims) else None,
                    "duration_s": round(monotonic() - began, 1),
                    "code": socket.close_code,
                },
            )
        return socket

    async def _claims(self, request: web.Request) -> Claims:
        """Whose page it is: one that may watch, or one that may look at recordings."""
        try:
            return await self._access.check(request, Right.WATCH, None, query=True)
        except Refused as error:
            if error.code != "right-missing":
                raise
        return await self._access.check(request, Right.REPLAY, None, query=True)


class _Page:
    """One page's conversation."""

    def __init__(
        self,
        who: Claims | Refused | Absent,
        lessons: KnownLessons,
        socket: web.WebSocketResponse,
    ) -> None:
        """who: whose page it is, or why it may not be one."""
        now = monotonic()
        self._lessons = lessons
        self._socket = socket
        self._session = Session(Hello, now, wall_offset=wall() - now)
        self._claims: Claims | None = None
        if isinstance(who, Claims):
            self._claims = who
            self._session.expire_at(who.expires_at)
        else:
            self._session.refuse(who)
        self._wanted: str | None = None
        self._opened = False
        self._shown: LessonInfo | None = None
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._closing: Close | None = None

    async def run(self) -> None:
        """Until either side closes."""
        forget = self._lessons.observe(lambda _: self._changed.set())
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(part) for part in (self._read(), self._watch(), self._tick())
                ]
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        finally:
            forget()
        # Only now, when nobody reads: closing under a reader cuts the line before the page's
        # answer, and the page could miss the code.
        if self._closing is not None:
            code, reason = self._closing.code, self._closing.reason
            await self._socket.close(code=code, message=reason.encode()[:120])

    async def _read(self) -> None:
        await self._carry_out()
        async for message in self._socket:
            if message.type == WSMsgType.BINARY:
                self._session.receive_message(message.data, monotonic())
            elif message.type == WSMsgType.TEXT:
                self._session.receive_text()
            await self._carry_out()
        self._over.set()

    async def _tick(self) -> None:
        while (due := self._session.get_timer()) is not None:
            await asyncio.sleep(max(0.0, due - monotonic()) + 0.01)
            self._session.handle_timer(monotonic())
            await self._carry_out()

    async def _watch(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._opened:
                continue
            shown, lesson = self._shown, self._lesson()
            if shown is not None and (lesson is None or lesson.id != shown.id):
                last = self._lessons.info(shown.id)
                if last is not None and last != shown:
                    self._session.send(last)
            if lesson is not None and lesson != shown:
                self._session.send(lesson)
            self._shown = lesson
            await self._carry_out()

    def _lesson(self) -> LessonInfo | None:
        if self._wanted is not None:
            return self._lessons.info(self._wanted)
        assert self._claims is not None
        return self._lessons.current(self._claims.covers)

    async def _carry_out(self) -> None:
        for action in self._session.take_actions():
            match action:
                case Send(message):
                    # A page that goes just now is noticed by whoever reads from it.
                    with contextlib.suppress(ConnectionError):
                        await self._socket.send_bytes(encode(message))
                case Close():
                    self._closing = action
                    self._over.set()
                case Opened(Hello() as hello):
                    self._open(hello)
                    await self._carry_out()
                case _:
                    continue

    def _open(self, hello: Hello) -> None:
        claims = self._claims
        assert claims is not None, "a session that was refused opens nothing"
        if hello.lesson is not None and not claims.covers(hello.lesson):
            self._session.refuse(
                Refused(
                    403,
                    "wrong-lesson",
                    "This link is for another lesson.",
                    fix="Open the link of this lesson.",
                    field="lesson",
                )
            )
            return
        self._wanted = hello.lesson
        self._opened = True
        self._shown = self._lesson()
        self._session.send(Welcome(claims.name, claims.role.value, self._shown, wall()))
        if self._wanted is None:
            # What the page showed may have ended while it was away.
            for info in self._lessons.over(claims.covers, _ENDED_TOLD):
                self._session.send(info)
