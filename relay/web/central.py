"""The relay's line upwards: a WebSocket that it opens, and opens again, to whoever is above it.

That is the control plane at the root, else the parent that counts (`upstream`). Tells: who the
relay is, how its lessons fare, what rooms here and below receive, which archives are finished.
Hears: which lessons there are and which have ended, what is revoked, the way to the control plane.
The conversation's rules are `classroom.signalling.caller`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from classroom.clock import monotonic
from classroom.errors import Misuse, Refused
from classroom.signalling.actions import Close, Received, Send
from classroom.signalling.caller import Caller, retry_delay
from classroom.wire import (
    MAX_BYTES,
    Error,
    LessonEnd,
    Message,
    Pong,
    RelayArchive,
    RelayHello,
    RelayLessons,
    RelayMaterials,
    RelayPath,
    RelayRevoked,
    VoiceWish,
    decode,
    encode,
)
from relay.web.below import Below, Nobody
from relay.web.lessons import KnownLessons
from relay.web.revoked import Revoked
from relay.web.rungs import Rungs
from relay.web.server_date import ServerDate
from relay.web.told_up import ToldUp, report
from relay.web.unreported import Unreported
from relay.web.upstream import Upstream

_log: Final = logging.getLogger("relay.service")

# PROTOCOL.md: a live lesson's state is told on change and at least so often.
REPEAT_SECONDS: Final = 5.0
# Changes come in bursts (a source, then its first room); one message carries them all.
_SETTLE_SECONDS: Final = 0.2
# A teacher need not see a rung that a room has left again within two seconds.
_ROOMS_SECONDS: Final = 2.0
# One that answers and tells no lessons is no parent; a weak link needs a few seconds for the list.
_LIST_SECONDS: Final = 20.0
# PROTOCOL.md: who was refused for good comes back no sooner.
_REFUSED_SECONDS: Final = 30.0
_NEXT_SECONDS: Final = 0.5
# RFC 7692: 200 lessons to come are 46 KB, seconds of a weak link, or 2.3 KB packed. With a small
# window a parent of hundreds spends 150 KiB on each of them.
_WINDOW_BITS: Final = 12
_FOR_GOOD: Final = ("relay-revoked", "relay-not-root", "relay-replaced", "right-missing")


class CentralLink:
    """Run `run` in a task for the life of the service."""

    def __init__(
        self,
        upstream: Upstream,
        token: Callable[[], str],
        hello: Callable[[], RelayHello],
        lessons: KnownLessons,
        ended: Callable[[str], Awaitable[None]],
        unreported: Path,
        rungs: Rungs | None = None,
        *,
        below: Below | None = None,
        revoked: Revoked | None = None,
        date: ServerDate | None = None,
        prove: Callable[[str], str] = lambda url: "",
        is_root: bool = True,
    ) -> None:
        """upstream: whom to call. token, hello: asked at each attempt. ended(lesson): finish the
        lesson here. unreported: file of archives still to be told. rungs: what rooms receive.
        below: relays below. revoked, date: told what is heard. prove(url): that this address is
        our own word. is_root: the control plane is called, not a parent.
        """
        self._upstream = upstream
        self._token = token
        self._hello = hello
        self._lessons = lessons
        self._ended = ended
        self._unreported = Unreported(unreported)
        self._rungs = rungs or Rungs()
        self._below = below or Nobody()
        self._revoked = revoked
        self._date = date
        self._prove = prove
        self._is_root = is_root
        self.wishes: dict[str, VoiceWish] = {}
        """What is asked of each lesson's voice."""
        self.on_message: list[Callable[[Message], None]] = []
        """Called with each message of the parent that is of no use here."""
        self.problem = ""
        """Why the line does not stand, in a sentence; empty while it does."""
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._out = asyncio.Event()
        self._caller: Caller | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._refused = ""
        self._moving = False
        self._again = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the line stands and its other end has told which lessons there are."""
        return self._upstream.connected

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Connect, talk, and connect again, until cancelled."""
        forgets = [self._lessons.observe(self._note), self._below.observe(self._note)]
        try:
            while True:
                self._again.clear()
                if not self._is_root and not self._token():
                    self.problem = "This relay is not enrolled."
                    await self._again.wait()
                    continue
                stood = await self._once(http)
                if self._moving:
                    self._moving = False
                    continue
                pause = retry_delay(0, random.random())
                # One that restarts is back in a moment; the next one is asked after that.
                if not stood or self._refused:
                    self._upstream.failed()
                    pause = self._pause()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._again.wait()
        finally:
            for forget in forgets:
                forget()

    def archive_finished(self, archive: RelayArchive) -> None:
        """An archive is complete: tell it, now or when the line is up."""
        self._unreported.add(archive)
        self._wake.set()

    def send(self, message: Message) -> bool:
        """Say `message` now; False while there is no line, and then it is not said."""
        if self._caller is None or not self._upstream.connected:
            return False
        self._caller.send(message)
        self._out.set()
        return True

    def try_again(self) -> None:
        """There is a reason to: a new token."""
        self._again.set()

    async def move(self, url: str) -> None:
        """Call `url`, another of the parents, from now on."""
        self._upstream.use(url)
        self._moving = True
        if self._socket is not None:
            await self._socket.close()

    def _pause(self) -> float:
        if self._refused in _FOR_GOOD or self._refused.startswith("token-"):
            return _REFUSED_SECONDS * random.uniform(1.0, 1.3)
        rounds = self._upstream.rounds
        if rounds == 0:
            return _NEXT_SECONDS * random.uniform(0.4, 1.4)
        return retry_delay(rounds - 1, random.random())

    def _note(self, lesson: str) -> None:
        self._dirty.add(lesson)
        self._wake.set()

    async def _once(self, http: aiohttp.ClientSession) -> bool:
        """One connection, from opening to end; whether it stood."""
        reason, stood = "closed", False
        self._refused = ""
        url = self._upstream.url
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with http.ws_connect(
                f"{url}/api/relay",
                headers=headers,
                max_msg_size=MAX_BYTES,
                compress=_WINDOW_BITS,
            ) as ws:
                self._socket = ws
                reason = await self._talk(ws)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        finally:
            stood = self._upstream.connected
            self._caller = self._socket = None
            self._upstream.closed()
        if stood:
            _log.warning("control-plane-lost", extra={"url": url, "reason": reason})
        if not self._refused:
            self.problem = f"{url}: {reason}"
        return stood

    async def _talk(self, ws: aiohttp.ClientWebSocketResponse) -> str:
        hello = _reachable(self._hello(), ws)
        hello = replace(hello, proof=self._prove(hello.url.rstrip("/")))
        caller = self._caller = Caller(hello, monotonic())
        self._unreported.begin_line()
        self._dirty.update(info.id for info in self._lessons.all())
        self._dirty.update(self._below.lessons())
        await self._carry_out(caller, ws)
        async with asyncio.TaskGroup() as tasks:
            parts = [
                tasks.create_task(part)
                for part in (
                    self._tell(caller, ws),
                    self._tick(caller, ws),
                    self._tell_rooms(caller, ws),
                    self._send_out(caller, ws),
                    self._expect(ws),
                )
            ]
            try:
                async for message in ws:
                    if message.type == aiohttp.WSMsgType.BINARY:
                        caller.receive_message(message.data, monotonic())
                        self._take_pong(message.data, caller)
                        await self._carry_out(caller, ws)
            finally:
                for part in parts:
                    part.cancel()
        return f"close code {ws.close_code}"

    async def _expect(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Leave one that does not behave as a parent."""
        await asyncio.sleep(_LIST_SECONDS)
        if not self._upstream.connected:
            _log.warning("parent-tells-nothing", extra={"url": self._upstream.url})
            await ws.close(code=4408, message=b"no list of lessons")

    async def _tick(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        while (due := caller.get_timer()) is not None:
            await asyncio.sleep(max(0.0, due - monotonic()) + 0.01)
            caller.handle_timer(monotonic())
            await self._carry_out(caller, ws)

    async def _send_out(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self._out.wait()
            self._out.clear()
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
                caller.send(report(lesson, self._lessons, self._below))
            for archive in self._unreported.due(monotonic()):
                caller.send(archive)
            await self._carry_out(caller, ws)

    async def _tell_rooms(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        """What rooms receive and which relays are below, for as long as this line holds."""
        told = ToldUp(self._rungs, self._below)
        while True:
            for message in told.due(self.wishes):
                caller.send(message)
            await self._carry_out(caller, ws)
            await asyncio.sleep(_ROOMS_SECONDS)

    def _take_pong(self, raw: bytes, caller: Caller) -> None:
        """A pong answers a ping that was sent after an archive: that archive has arrived."""
        try:
            message = decode(raw)
        except Refused:
            return  # the caller has its own opinion of it
        if isinstance(message, Pong):
            self._unreported.arrived(message.t)
            if self._date is not None and caller.wall_offset is not None:
                self._date.told(caller.wall_offset)

    async def _carry_out(self, caller: Caller, ws: aiohttp.ClientWebSocketResponse) -> None:
        for action in caller.take_actions():
            match action:
                case Send(message):
                    try:
                        await ws.send_bytes(encode(message))
                    except ConnectionError:
                        pass  # a line that breaks just now is noticed by whoever reads from it
                    except Misuse as error:
                        # What others told is in it, or a bug: it costs this message, not the line.
                        reason = str(error)
                        _log.error("not-told", extra={"kind": message.kind, "reason": reason})
                case Close(code, reason):
                    await ws.close(code=code, message=reason.encode()[:120])
                case Received(message):
                    await self._receive(message, ws)
                case _:
                    continue

    async def _receive(self, message: Message, ws: aiohttp.ClientWebSocketResponse) -> None:
        match message:
            case RelayLessons():
                await self._take_list(message)
            case LessonEnd(lesson):
                self._lessons.ended(lesson)
                await self._ended(lesson)
            case RelayMaterials(lists):
                self._lessons.late.take(lists)
            case RelayPath(path, reached):
                if self._upstream.is_loop(path):
                    self._tell_refusal("relay-loop", "This parent has its lessons from here.", "")
                    await ws.close(code=4409, message=b"relay-loop")
                    return
                self._upstream.told(path, reached)
            case RelayRevoked():
                if self._revoked is not None:
                    self._revoked.told(message)
            case Error(code, detail, fix):
                self._tell_refusal(code, detail, fix)
            case _:
                for hear in list(self.on_message):
                    hear(message)

    async def _take_list(self, message: RelayLessons) -> None:
        lessons = message.lessons
        if self._is_root:
            self._upstream.told((), True)
        elif not self._upstream.reached:
            # A parent that is cut off itself may have missed lessons; it ends none by its silence.
            names = {info.id for info in lessons}
            lessons += tuple(info for info in self._lessons.standing() if info.id not in names)
        for lesson in self._lessons.told(lessons):
            await self._ended(lesson)
        if not self._upstream.connected:
            _log.info("control-plane-reached", extra={"url": self._upstream.url})
            self.problem = ""
            self._upstream.opened()

    def _tell_refusal(self, code: str, detail: str, fix: str) -> None:
        self._refused = self._upstream.refusal = code
        self.problem = f"{detail} {fix}".strip()
        facts = {"url": self._upstream.url, "code": code, "reason": self.problem}
        _log.warning("control-plane-refused", extra=facts)


def _reachable(hello: RelayHello, ws: aiohttp.ClientWebSocketResponse) -> RelayHello:
    """`hello` with an address that others reach: what this machine is called towards its parent,
    where nothing better is known than that it is this machine."""
    parts = urlsplit(hello.url)
    here = ws.get_extra_info("sockname")
    if parts.hostname not in ("127.0.0.1", "::1", "localhost") or not here:
        return hello
    host = f"[{here[0]}]" if ":" in here[0] else here[0]
    return replace(hello, url=f"{parts.scheme}://{host}:{parts.port}")
