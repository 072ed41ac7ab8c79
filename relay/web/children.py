"""`GET /api/relay`: relays below this one, and what they tell of their rooms and relays.

To a child we are what the control plane is to the root relay: it hears which lessons there are and
which have ended, what is revoked, and the way up. Lives here: who may sit down, and what all
of them together have told (`below.Below`). Must not live here: one child's socket (`child_line`),
deciding about lessons, which is done above us.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import WSCloseCode, web

from classroom.clock import monotonic
from classroom.errors import Absent, Refused, websocket_refusal
from classroom.signalling import poorest
from classroom.tokens import Claims, Right
from classroom.wire import (
    MAX_PATH,
    Message,
    RelayNode,
    RelayPath,
    RelayStep,
    RoomRung,
    VoiceWish,
    to_map,
)
from relay.web.access import Access
from relay.web.child_line import ChildLine, Heard
from relay.web.lessons import KnownLessons
from relay.web.revoked import Revoked
from relay.web.timetable import Timetable
from relay.web.upstream import Upstream

_log: Final = logging.getLogger("relay.service")

Hear = Callable[[str, Message], None]
"""A child's id, and a message of it that is of no use here."""


class Children:
    """Handler of `/api/relay`; a `Below` for the line upwards."""

    def __init__(
        self,
        access: Access,
        lessons: KnownLessons,
        upstream: Upstream,
        revoked: Revoked,
        own: Callable[[], RelayStep],
    ) -> None:
        """own: id and name of this relay."""
        self._access = access
        self._timetable = Timetable(lessons, access.date)
        self._upstream = upstream
        self._revoked = revoked
        self._own = own
        self._lines: dict[str, ChildLine] = {}
        self._observers: set[Callable[[str], None]] = set()
        self.on_message: list[Hear] = []
        """Called with each message of a child that is of no use here."""

    def add_routes(self, app: web.Application) -> None:
        """GET /api/relay and /api/relays/path."""
        app.router.add_get("/api/relay", self._handle)
        app.router.add_get("/api/relays/path", self._path)
        app.on_shutdown.append(self._shutdown)

    @property
    def path(self) -> RelayPath:
        """What children are told: the way from the root down to us."""
        way = (*self._upstream.path, self._own())[-MAX_PATH:]
        # The way is told before the list. Until that is here as well ours may be an old one, and
        # a child must not take what it lacks for ended.
        return RelayPath(way, self._upstream.reached and self._upstream.connected)

    @property
    def connected(self) -> dict[str, str]:
        """Children that are here: id → name."""
        return {child: line.heard.name for child, line in self._lines.items()}

    def send(self, child: str, message: Message) -> bool:
        """Say `message` to a child now; False if it is not here."""
        line = self._lines.get(child)
        if line is not None:
            line.send(message)
        return line is not None

    # Below

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def lessons(self) -> set[str]:
        return {name for heard in self._heard() for name in heard.rooms.lessons()}

    def rooms(self, lesson: str) -> Mapping[str, RoomRung]:
        found: dict[str, RoomRung] = {}
        for heard in self._heard():
            found.update(heard.named(lesson))
        return found

    def count(self, lesson: str) -> int:
        return sum(heard.counts.get(lesson, 0) for heard in self._heard())

    def nodes(self) -> dict[str, RelayNode]:
        found: dict[str, RelayNode] = {}
        for heard in self._heard():
            found |= heard.below.nodes
        # Last, since of these we know by their tokens who they are.
        for heard in self._heard():
            found[heard.id] = heard.node(self._own().id)
        return found

    def wish(self, lesson: str) -> VoiceWish | None:
        """How the relays below want the voice, the poorest of them."""
        wish: VoiceWish | None = None
        for heard in self._heard():
            wish = poorest(wish, heard.rooms.wish(lesson))
        return wish

    def wishes(self, lesson: str) -> list[tuple[VoiceWish | None, int]]:
        """How each child wants the voice, and for how many rooms."""
        return [
            (heard.rooms.wish(lesson), heard.counts.get(lesson, 0))
            for heard in self._heard()
            if heard.counts.get(lesson, 0)
        ]

    def holders(self, lesson: str) -> list[str]:
        """Names of children that hold the lesson's finished archive, as far as they told it."""
        return sorted(heard.name for heard in self._heard() if lesson in heard.holds)

    def _heard(self) -> list[Heard]:
        return [line.heard for line in self._lines.values()]

    # The sockets

    async def _shutdown(self, app: web.Application) -> None:
        for line in list(self._lines.values()):
            await line.socket.close(code=WSCloseCode.GOING_AWAY, message=b"relay stops")

    async def _path(self, request: web.Request) -> web.Response:
        """What a child asks that looks for a better parent."""
        await self._access.check(request, Right.RELAY, None)
        return web.json_response(to_map(self.path), headers={"Cache-Control": "no-store"})

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        line = ChildLine(
            self._timetable,
            self._revoked,
            lambda: self.path,
            self._changed,
            self._hear,
            self._access.date,
        )
        if not line.socket.can_prepare(request):
            raise websocket_refusal(request.headers)
        who: Claims | Refused | Absent
        try:
            who = await self._access.check(request, Right.RELAY, None, query=True)
        except (Refused, Absent) as error:
            who = error
        await line.socket.prepare(request)
        began = monotonic()
        forget = self._upstream.observe(line.look)
        try:
            await line.run(who, self._admit)
        finally:
            forget()
            self._leave(line)
            if line.heard.id:
                facts = {"relay": line.heard.id, "school": line.heard.name}
                seconds = round(monotonic() - began, 1)
                code = line.socket.close_code
                _log.info("child-left", extra=facts | {"duration_s": seconds, "code": code})
        return line.socket

    def _admit(self, claims: Claims, line: ChildLine) -> None:
        """Let a child sit down that introduced itself; Refused 409, 403."""
        way = self.path.path
        if any(step.id == claims.subject for step in way):
            raise Refused(
                409,
                "relay-loop",
                "This relay has its own lessons from the one that calls, so it cannot be its "
                "parent.",
                fix="Give the relay that calls another parent, one nearer to the central school.",
                field="parents",
            )
        if len(way) >= MAX_PATH:
            raise Refused(
                409,
                "relay-too-deep",
                f"There are {MAX_PATH} relays above one another here already.",
                fix="Give the relay that calls a parent nearer to the central school.",
                field="parents",
            )
        older = self._lines.get(claims.subject)
        self._lines[claims.subject] = line
        if older is not None:
            older.refuse(
                Refused(
                    409,
                    "relay-replaced",
                    "Another relay connected with this one's token.",
                    fix="Give each relay a code of its own.",
                )
            )
        facts = {"relay": claims.subject, "school": line.heard.name, "url": line.heard.url}
        _log.info("child-joined", extra=facts)

    def _leave(self, line: ChildLine) -> None:
        if self._lines.get(line.heard.id) is line:
            del self._lines[line.heard.id]
            for lesson in {*line.heard.counts, *line.heard.rooms.lessons()}:
                self._changed(lesson)

    def _changed(self, lesson: str) -> None:
        for observer in list(self._observers):
            observer(lesson)

    def _hear(self, child: str, message: Message) -> None:
        for hear in list(self.on_message):
            hear(child, message)
