"""`GET /events`: the WebSocket of a room's or a library's page.

The page introduces itself, hears which lesson it should show and every change of it, and pings. A
room's page also hears what its room receives, and gets still pictures while that is no video. When
a lesson ends its page is told so, before it hears of the next one. A page that watches the
recording says so, and the media process sends it nothing live. A refusal is told over the
opened socket, because a browser hides the answer to a refused upgrade. The conversation's rules are
`classroom.signalling`'s; this is its socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSCloseCode, web

from classroom.clock import Clock, monotonic
from classroom.errors import Absent, Refused, websocket_refusal
from classroom.signalling.actions import Close, Opened, Received, Send
from classroom.signalling.session import Session
from classroom.tokens import Claims, Right
from classroom.wire import (
    MAX_BYTES,
    CatchUp,
    Hello,
    LessonInfo,
    Message,
    Page,
    Watching,
    Welcome,
    encode,
)
from relay.web.access import Access
from relay.web.conversation import Conversation
from relay.web.lessons import KnownLessons
from relay.web.rungs import RoomState, Rungs, as_message, is_news
from relay.web.still_sender import StillSender, queued
from relay.web.stills import Stills

_log: Final = logging.getLogger("relay.service")

# Two kilobytes on a weak link; more lessons than end while a room is cut off for a morning.
_ENDED_TOLD: Final = 8
# A page that does not answer a close within three bad round trips is gone.
_CLOSE_SECONDS: Final = 3.0

Behind = Callable[[CatchUp, str], Awaitable[None]]
"""behind(wish, subject): pass it on to the media process. Raises Refused or Absent."""


class Events:
    """Handler of `/events`; counts pages for the metrics."""

    def __init__(
        self,
        access: Access,
        lessons: KnownLessons,
        rungs: Rungs | None = None,
        stills: Stills | None = None,
        behind: Behind | None = None,
    ) -> None:
        """rungs: what rooms receive. stills: pictures for those without video. behind: of whoever
        watches the recording."""
        self._access = access
        self._lessons = lessons
        self._rungs = rungs or Rungs()
        self._stills = stills
        self._behind = behind
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
            page = _Page(
                who,
                self._lessons,
                self._rungs,
                self._stills,
                socket,
                request.transport,
                self._access.date,
            )
            page.behind = self._behind
            await page.run()
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
        rungs: Rungs,
        stills: Stills | None,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        date: Clock,
    ) -> None:
        """who: whose page it is, or why it may not be one. transport: what `socket` writes to.
        date: Unix seconds."""
        now = monotonic()
        self._date = date
        self._lessons = lessons
        self._rungs = rungs
        self._stills = stills
        self._sender: StillSender | None = None
        if stills is not None:
            self._sender = StillSender(stills, self._room, self._send, self._queued, self._ping)
        self.behind: Behind | None = None
        self._is_room = False
        self._told: RoomState | None = None
        self._watching: Watching | None = None
        self._socket = socket
        self._transport = transport
        self._session = Session(Hello, now, wall_offset=date() - now)
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
        self._conversation = Conversation(socket, self._session, date)

    async def run(self) -> None:
        """Until either side closes."""
        forgets: list[Callable[[], None]] = [
            self._lessons.observe(lambda _: self._changed.set()),
            self._lessons.late.observe(lambda _: self._changed.set()),
            self._rungs.observe(self._note_room),
        ]
        parts = [self._watch()]
        if self._stills is not None and self._sender is not None:
            wake = self._sender.wake
            forgets.append(self._stills.observe(lambda _: wake()))
            parts.append(self._sender.run())
        await self._conversation.run(self._carry_out, parts, forgets)

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
            self._tell_rung()
            await self._carry_out()

    def _note_room(self, state: RoomState) -> None:
        """A notice about some room; most are about others, also of those with the same link."""
        if self._claims is None or state.subject != self._claims.subject:
            return
        mine = self._watching
        if mine is None or mine.lesson != state.lesson or mine.session == state.session:
            self._changed.set()

    def _room(self) -> RoomState | None:
        """What this page's room receives of the lesson that it shows."""
        if not self._is_room or self._shown is None or self._claims is None:
            return None
        mine = self._watching
        session = mine.session if mine is not None and mine.lesson == self._shown.id else None
        return self._rungs.of(self._shown.id, self._claims.subject, session)

    def _tell_rung(self) -> None:
        state = self._room()
        if state is not None and is_news(self._told, state):
            self._session.send(as_message(state))
            self._told = state
        if self._sender is not None:
            self._sender.wake()

    async def _send(self, message: Message) -> None:
        # A page that goes just now is noticed by whoever reads from it.
        with contextlib.suppress(ConnectionError):
            await self._socket.send_bytes(encode(message))

    async def _ping(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.ping()

    def _queued(self) -> tuple[int, int]:
        """What waits in this page's socket; see `still_sender`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return 0, 0
        waiting = transport.get_write_buffer_size()
        unsent, unacknowledged = queued(transport.get_extra_info("socket").fileno())
        return unsent + waiting, unacknowledged + waiting

    def _lesson(self) -> LessonInfo | None:
        if self._wanted is not None:
            return self._lessons.info(self._wanted)
        assert self._claims is not None
        return self._lessons.current(self._claims.covers)

    async def _carry_out(self) -> None:
        for action in self._session.take_actions():
            match action:
                case Send(message):
                    await self._send(message)
                case Close():
                    self._conversation.end(action)
                case Received(Watching() as watching):
                    self._watching = watching
                    self._changed.set()
                case Received(CatchUp() as wish) if self.behind is not None:
                    assert self._claims is not None, "a session that was refused receives nothing"
                    try:
                        await self.behind(wish, self._claims.subject)
                    except (Refused, Absent) as error:
                        # Its session is gone or the media process is: the page says it again.
                        self._session.tell(error)
                    await self._carry_out()
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
        self._is_room = hello.page is Page.ROOM
        if self._is_room:
            self._rungs.name(claims.subject, claims.name)
        self._shown = self._lesson()
        self._session.send(Welcome(claims.name, claims.role.value, self._shown, self._date()))
        if self._wanted is None:
            # What the page showed may have ended while it was away.
            for info in self._lessons.over(claims.covers, _ENDED_TOLD):
                self._session.send(info)
        # What the room receives is told as a change is, after the welcome.
        self._changed.set()
