"""`GET /events`: the WebSocket of a room's or a library's page.

The page introduces itself, hears which lesson it should show and every change of it, and pings.
The conversation's rules are `classroom.signalling`'s; this is its socket.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from classroom.clock import monotonic, wall
from classroom.errors import Absent, Refused
from classroom.signalling.actions import Close, Opened, Send
from classroom.signalling.session import Session
from classroom.tokens import Claims, Right
from classroom.wire import MAX_BYTES, Hello, LessonInfo, Welcome, encode
from relay.web.access import Access
from relay.web.lessons import KnownLessons

_log: Final = logging.getLogger("relay.service")


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
        claims = await self._access.check(request, Right.WATCH, None, query=True)
        socket = web.WebSocketResponse(max_msg_size=MAX_BYTES, autoping=True)
        await socket.prepare(request)
        self._sockets.add(socket)
        began = monotonic()
        page = _Page(claims, self._lessons, socket)
        try:
            await page.run()
        finally:
            self._sockets.discard(socket)
            _log.info(
                "page ends",
                extra={
                    "subject": claims.subject,
                    "duration_s": round(monotonic() - began, 1),
                    "code": socket.close_code,
                },
            )
        return socket


class _Page:
    """One page's conversation."""

    def __init__(
        self, claims: Claims, lessons: KnownLessons, socket: web.WebSocketResponse
    ) -> None:
        now = monotonic()
        self._claims = claims
        self._lessons = lessons
        self._socket = socket
        self._session = Session(Hello, now, wall_offset=wall() - now)
        self._wanted: str | None = None
        self._opened = False
        self._shown: LessonInfo | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until either side closes."""
        forget = self._lessons.observe(lambda _: self._changed.set())
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                ticking = tasks.create_task(self._tick())
                try:
                    async for message in self._socket:
                        if message.type == WSMsgType.BINARY:
                            self._session.receive_message(message.data, monotonic())
                        elif message.type == WSMsgType.TEXT:
                            self._session.receive_text()
                        await self._carry_out()
                finally:
                    watching.cancel()
                    ticking.cancel()
        finally:
            forget()

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
            lesson = self._lesson()
            if lesson is not None and lesson != self._shown:
                self._shown = lesson
                self._session.send(lesson)
                await self._carry_out()

    def _lesson(self) -> LessonInfo | None:
        if self._wanted is not None:
            return self._lessons.info(self._wanted)
        return self._lessons.current(self._claims.covers)

    async def _carry_out(self) -> None:
        for action in self._session.take_actions():
            match action:
                case Send(message):
                    if not self._socket.closed:
                        await self._socket.send_bytes(encode(message))
                case Close(code, reason):
                    await self._socket.close(code=code, message=reason.encode()[:120])
                case Opened(hello):
                    assert isinstance(hello, Hello)
                    self._open(hello)
                    await self._carry_out()
                case _:
                    continue

    def _open(self, hello: Hello) -> None:
        try:
            if hello.lesson is not None and not self._claims.covers(hello.lesson):
                raise Refused(
                    403,
                    "wrong-lesson",
                    "This link is for another lesson.",
                    fix="Open the link of this lesson.",
                )
        except (Refused, Absent) as error:
            self._session.refuse(error)
            return
        self._wanted = hello.lesson
        self._opened = True
        self._shown = self._lesson()
        self._session.send(Welcome(self._claims.name, self._claims.role.value, self._shown, wall()))
