"""One child relay's conversation with us: its socket, what it has told, what it was told.

Lives here: carrying out what `classroom.signalling.Session` asks, remembering within bounds what
the child says, and saying what changed. Must not live here: other children, and who may sit down
(`children`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aiohttp import web

from classroom.clock import Clock, monotonic
from classroom.errors import Absent, Refused
from classroom.signalling import Close, HeardBelow, HeardRooms, Opened, Received, Send, Session
from classroom.tokens import Claims
from classroom.wire import (
    MAX_BYTES,
    LessonEnd,
    Message,
    RelayArchive,
    RelayBelow,
    RelayHello,
    RelayLesson,
    RelayLessons,
    RelayMaterials,
    RelayNode,
    RelayPath,
    RelayRevoked,
    RelayRooms,
    RoomRung,
    VoiceWish,
    encode,
)
from relay.web.conversation import Conversation
from relay.web.revoked import Revoked
from relay.web.timetable import Timetable

# Changes come in bursts; a child hears of them in one message.
_SETTLE_SECONDS: Final = 0.05
# Who takes longer for one message is gone in all but name.
_SEND_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 3.0
_MOST_LESSONS: Final = 500
# More than there are; sums of what children claim must still be numbers that can be told.
_MOST_ROOMS: Final = 100_000
# More than end while a link is down for a morning; each is told to the media process again.
_ENDED_TOLD: Final = 8
# 3 KB packed, of a weak link that has just come back; older ones come with the archives' offers.
_LISTS_TOLD: Final = 50

Admit = Callable[[Claims, "ChildLine"], None]


class Heard:
    """What a child has told on its present line. id: the subject of its token."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.url = ""
        self.proof = ""
        self.version = ""
        self.viewers_max = 0
        self.rooms = HeardRooms()
        self.below = HeardBelow()
        self.counts: dict[str, int] = {}
        self.holds: set[str] = set()

    def introduce(self, claims: Claims, hello: RelayHello) -> None:
        """Who it is: by its token, not by its own word, as far as the token says it."""
        self.id = claims.subject
        self.name = (claims.name or hello.relay)[:60]
        self.url, self.proof, self.version = hello.url.rstrip("/"), hello.proof, hello.version
        self.viewers_max = hello.viewers_max

    def node(self, parent: str) -> RelayNode:
        """The child in the tree."""
        return RelayNode(
            self.id, self.name, self.url, self.version, self.viewers_max, parent, self.proof
        )

    def named(self, lesson: str) -> dict[str, RoomRung]:
        """What its rooms receive; those without a school are its own school's."""
        return {
            key: room if room.school else replace(room, school=self.name)
            for key, room in self.rooms.rooms(lesson).items()
        }

    def receive(self, message: Message) -> str | None:
        """Take a message; the lesson whose rooms may be others now. ValueError: not for here."""
        match message:
            case RelayLesson(lesson=lesson, rooms=rooms):
                before, rooms = self.counts.get(lesson, 0), min(rooms, _MOST_ROOMS)
                if lesson in self.counts or len(self.counts) < _MOST_LESSONS:
                    self.counts[lesson] = rooms
                if not rooms:
                    self.counts.pop(lesson, None)
                return lesson if rooms != before else None
            case RelayRooms() | VoiceWish():
                self.rooms.receive(message)
                return None
            case RelayBelow():
                self.below.receive(message)
                return None
            case RelayArchive(lesson=lesson):
                if len(self.holds) < 20 * _MOST_LESSONS:
                    self.holds.add(lesson)
                return None
            case _:
                raise ValueError(message.kind)


class ChildLine:
    """One connection. `run` lives as long as it."""

    def __init__(
        self,
        timetable: Timetable,
        revoked: Revoked,
        path: Callable[[], RelayPath],
        changed: Callable[[str], None],
        hear: Callable[[str, Message], None],
        date: Clock,
    ) -> None:
        """path: the way down to us. changed(lesson): its rooms may be others. hear(id, message):
        what is of no use here. date: Unix seconds; the child believes it."""
        now = monotonic()
        self._timetable = timetable
        self._revoked = revoked
        self._path = path
        self._changed = changed
        self._hear = hear
        self._session = Session(RelayHello, now, wall_offset=date() - now)
        self._claims: Claims | None = None
        self._look = asyncio.Event()
        self._out = asyncio.Event()
        self._told_path: RelayPath | None = None
        self._told_revoked = RelayRevoked(())
        self._told: RelayLessons | None = None
        self._ended: set[str] = set()
        self._lists: dict[str, float] | None = None
        self.heard = Heard()
        self.socket = web.WebSocketResponse(timeout=_CLOSE_SECONDS, max_msg_size=MAX_BYTES)
        self._conversation = Conversation(self.socket, self._session, date)

    def look(self) -> None:
        """Something that it is told of may have changed."""
        self._look.set()

    def send(self, message: Message) -> None:
        """Say `message` now."""
        self._session.send(message)
        self._out.set()

    def refuse(self, error: Refused | Absent) -> None:
        """Say why, and close."""
        self._session.refuse(error)
        self._out.set()

    async def run(self, who: Claims | Refused | Absent, admit: Admit) -> None:
        """Until either side closes. who: whose line it is, or why it may not be one."""
        if isinstance(who, Claims):
            self._claims = who
            self._session.expire_at(who.expires_at)
        else:
            self._session.refuse(who)
        forgets = [
            self._timetable.observe(self.look),
            self._revoked.observe(self.look),
        ]
        parts = (self._watch(admit), self._send_out(admit))
        await self._conversation.run(lambda: self._carry_out(admit), parts, forgets)

    async def _send_out(self, admit: Admit) -> None:
        while True:
            await self._out.wait()
            self._out.clear()
            await self._carry_out(admit)

    async def _watch(self, admit: Admit) -> None:
        while True:
            await self._look.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._look.clear()
            if self.heard.id:
                self._tell()
                await self._carry_out(admit)

    def _tell(self) -> None:
        """What it has not been told yet."""
        assert self._claims is not None
        try:
            self._revoked.check(self._claims)
        except Refused as error:
            self._session.refuse(error)
            return
        path = self._path()
        if any(step.id == self.heard.id for step in path.path):
            self._session.refuse(
                Refused(
                    409,
                    "relay-loop",
                    "This relay has its own lessons from the one that called by now.",
                    fix="Give the relay that called another parent.",
                    field="parents",
                )
            )
            return
        came_in_reach = path.reached and (self._told_path is None or not self._told_path.reached)
        if path != self._told_path:
            self._session.send(path)
            self._told_path = path
        if self._revoked.message != self._told_revoked:
            self._told_revoked = self._revoked.message
            self._session.send(self._told_revoked)
        lessons = self._timetable.message
        # Once in reach the list is complete again, and what is missing from it has ended.
        if lessons != self._told or came_in_reach:
            self._told = lessons
            self._session.send(lessons)
            self._ended.difference_update(info.id for info in lessons.lessons)
        for lesson in self._timetable.ended(_ENDED_TOLD):
            if lesson not in self._ended:
                self._ended.add(lesson)
                self._session.send(LessonEnd(lesson))
        self._tell_lists()

    def _tell_lists(self) -> None:
        """What changed of materials of lessons that are over."""
        late = self._timetable.late_lists
        if self._lists is None:
            self._lists = {one.lesson: one.changed_at for one in late[_LISTS_TOLD:]}
        news = [one for one in late if self._lists.get(one.lesson) != one.changed_at]
        if news:
            self._lists.update((one.lesson, one.changed_at) for one in news)
            self._session.send(RelayMaterials(tuple(news)))

    async def _carry_out(self, admit: Admit) -> None:
        for action in self._session.take_actions():
            match action:
                case Send(message):
                    await self._write(message)
                case Close():
                    self._conversation.end(action)
                case Opened(RelayHello() as hello):
                    self._open(hello, admit)
                    await self._carry_out(admit)
                case Received(message):
                    self._receive(message)
                case _:
                    continue

    def _open(self, hello: RelayHello, admit: Admit) -> None:
        assert self._claims is not None, "a session that was refused opens nothing"
        try:
            self.heard.introduce(self._claims, hello)
            admit(self._claims, self)
        except Refused as error:
            self.heard = Heard()
            self._session.refuse(error)
            return
        self._tell()

    def _receive(self, message: Message) -> None:
        try:
            lesson = self.heard.receive(message)
        except ValueError:
            self._hear(self.heard.id, message)
            return
        if lesson is not None:
            self._changed(lesson)

    async def _write(self, message: Message) -> None:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self.socket.send_bytes(encode(message))
        except TimeoutError:
            self._conversation.end()
        except ConnectionError:
            return  # one that goes just now is noticed by whoever reads from it
