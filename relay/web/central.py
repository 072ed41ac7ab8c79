"""The relay's line to the control plane: a WebSocket that the relay opens and opens again.

Tells: who the relay is, how its lessons fare, what their rooms receive, which archives are
finished. Hears: which lessons
there are and which have ended. Everything that must not be lost while the line is down (an ended
lesson's archive) is told when it is up again. The conversation's rules are
`classroom.signalling.caller`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp

from classroom.clock import monotonic
from classroom.errors import Refused
from classroom.signalling.actions import Close, Received, Send
from classroom.signalling.caller import Caller, retry_delay
from classroom.wire import (
    Error,
    LessonEnd,
    Message,
    Pong,
    Recording,
    RelayArchive,
    RelayHello,
    RelayLesson,
    RelayLessons,
    RoomRung,
    Source,
    VoiceWish,
    decode,
    encode,
)
from relay.web.lessons import KnownLessons
from relay.web.rungs import Rungs, told

_log: Final = logging.getLogger("relay.service")

# PROTOCOL.md: a live lesson's state is told on change and at least so often.
REPEAT_SECONDS: Final = 5.0
# Changes come in bursts (a source, then its first room); one message carries them all.
_SETTLE_SECONDS: Final = 0.2
# A teacher need not see a rung that a room has left again within two seconds.
_ROOMS_SECONDS: Final = 2.0


class CentralLink:
    """Run `run` in a task for the life of the service."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        hello: RelayHello,
        lessons: KnownLessons,
        ended: Callable[[str], Awaitable[None]],
        unreported: Path,
        rungs: Rungs | None = None,
    ) -> None:
        """url: the control plane. token: the relay's token, read at each attempt.
        ended(lesson): finish the lesson here. unreported: file of archives still to be told.
        rungs: what rooms receive.
        """
        self._url = url.rstrip("/") + "/api/relay"
        self._token = token
        self._hello = hello
        self._lessons = lessons
        self._ended = ended
        self._file = unreported
        self._rungs = rungs or Rungs()
        self.wishes: dict[str, VoiceWish] = {}
        """What is asked of each lesson's voice."""
        self._archives: dict[str, RelayArchive] = {}
        # When each was sent on the present line, monotonic seconds.
        self._sent: dict[str, float] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self.connected = False
        self._load()

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Connect, talk, and connect again, until cancelled."""
        attempt = 0
        forget = self._lessons.observe(self._note)
        try:
            while True:
                reason = "closed"
                try:
                    async with http.ws_connect(self._url, params={"token": self._token()}) as ws:
                        _log.info("control-plane-reached")
                        attempt = 0
                        reason = await self._talk(ws)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    reason = str(error) or type(error).__name__
                finally:
                    self.connected = False
                if attempt == 0:
                    _log.warning("control-plane-lost", extra={"reason": reason})
                await asyncio.sleep(retry_delay(attempt, random.random()))
                attempt += 1
        finally:
            forget()

    def archive_finished(self, archive: RelayArchive) -> None:
        """An archive is complete: tell it, now or when the line is up."""
        self._archives[archive.lesson] = archive
        self._sent.pop(archive.lesson, None)
        self._store()
        self._wake.set()

    def _note(self, lesson: str) -> None:
        self._dirty.add(lesson)
        self._wake.set()

    async def _talk(self, ws: aiohttp.ClientWebSocketResponse) -> str:
        caller = Caller(self._hello, monotonic())
        self._sent.clear()
        self._dirty.update(info.id for info in self._lessons.all())
        await self._carry_out(caller, ws)
        self.connected = True
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(caller, ws))
            ticking = tasks.create_task(self._tick(caller, ws))
            rooms = tasks.create_task(self._tell_rooms(caller, ws))
            try:
                async for message in ws:
                    if message.type == aiohttp.WSMsgType.BINARY:
                        caller.receive_message(message.data, monotonic())
                        self._forget_arrived(message.data)
                        await self._carry_out(caller, ws)
            finally:
                telling.cancel()
                ticking.cancel()
                rooms.cancel()
        return f"close code {ws.close_code}"

    async def _tick(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        while (due := caller.get_timer()) is not None:
            await asyncio.sleep(max(0.0, due - monotonic()) + 0.01)
            caller.handle_timer(monotonic())
            await self._carry_out(caller, ws)

    async def _tell(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._wake.set()
        while True:
            try:
                async with asyncio.timeout(REPEAT_SECONDS):
                    await self._wake.wait()
                await asyncio.sleep(_SETTLE_SECONDS)
            except TimeoutError:
                self._dirty.update(info.id for info in self._lessons.all() if info.publishing)
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            for lesson in dirty:
                caller.send(self._report(lesson))
            for lesson, archive in self._archives.items():
                if lesson not in self._sent:
                    caller.send(archive)
                    self._sent[lesson] = monotonic()
            await self._carry_out(caller, ws)

    async def _tell_rooms(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        """What rooms receive, for as long as this line holds."""
        known: dict[str, dict[str, RoomRung]] = {}
        asked: dict[str, VoiceWish] = {}
        while True:
            for lesson in {*self._rungs.lessons(), *known}:
                now = self._rungs.rooms(lesson)
                for message in told(lesson, known.get(lesson), now):
                    caller.send(message)
                known[lesson] = now
            for lesson, wish in self.wishes.items():
                if asked.get(lesson) != wish:
                    caller.send(wish)
                    asked[lesson] = wish
            await self._carry_out(caller, ws)
            known = {lesson: rooms for lesson, rooms in known.items() if rooms}
            await asyncio.sleep(_ROOMS_SECONDS)

    def _forget_arrived(self, raw: bytes) -> None:
        """A pong answers a ping that was sent after an archive: that archive has arrived."""
        try:
            message = decode(raw)
        except Refused:
            return  # the caller has its own opinion of it
        if not isinstance(message, Pong):
            return
        arrived = [name for name, sent in self._sent.items() if sent <= message.t]
        for name in arrived:
            del self._sent[name]
            self._archives.pop(name, None)
        if arrived:
            self._store()

    def _report(self, lesson: str) -> RelayLesson:
        status = self._lessons.status(lesson)
        recording: Recording = self._lessons.recording_of(lesson)
        return RelayLesson(
            lesson,
            status["publishing"],
            tuple(Source(name) for name in status["sources"]),
            status["rooms"],
            recording,
        )

    async def _carry_out(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        for action in caller.take_actions():
            match action:
                case Send(message):
                    # A line that breaks just now is noticed by whoever reads from it.
                    with contextlib.suppress(ConnectionError):
                        await ws.send_bytes(encode(message))
                case Close(code, reason):
                    await ws.close(code=code, message=reason.encode()[:120])
                case Received(message):
                    await self._receive(message)
                case _:
                    continue

    async def _receive(self, message: Message) -> None:
        match message:
            case RelayLessons(lessons):
                for lesson in self._lessons.told(lessons):
                    await self._ended(lesson)
            case LessonEnd(lesson):
                self._lessons.ended(lesson)
                await self._ended(lesson)
            case Error(code, detail, fix):
                _log.warning("control-plane-refused", extra={"code": code, "reason": detail + fix})
            case _:
                return

    def _load(self) -> None:
        try:
            for entry in json.loads(self._file.read_text()):
                archive = RelayArchive(
                    entry["lesson"], entry["duration"], entry["bytes"], tuple(entry["renditions"])
                )
                self._archives[archive.lesson] = archive
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("unreported-archives-unusable", extra={"reason": str(error)})

    def _store(self) -> None:
        entries = [
            {
                "lesson": one.lesson,
                "duration": one.duration,
                "bytes": one.bytes,
                "renditions": list(one.renditions),
            }
            for one in self._archives.values()
        ]
        temporary = self._file.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(entries))
            os.replace(temporary, self._file)
        except OSError as error:
            _log.warning("unreported-archives-not-kept", extra={"reason": str(error)})
