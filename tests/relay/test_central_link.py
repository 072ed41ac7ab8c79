"""The line to the control plane: what must not be lost is told until it has surely arrived.

A real WebSocket to a small server that drops the line whenever the test says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from classroom.clock import monotonic, wall
from classroom.wire import LessonEnd, Message, Pong, RelayArchive, RelayHello, decode, encode
from relay.web.central import CentralLink
from relay.web.lessons import KnownLessons
from relay.web.upstream import Upstream

ARCHIVE = RelayArchive("physics", 60.0, 1_000, ("voice",))


@dataclass
class Central:
    """The control plane's end: every message, and the line to break."""

    url: str = ""
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    line: web.WebSocketResponse | None = None

    request: web.Request | None = None

    def cut(self) -> None:
        """Break the line without a word."""
        assert self.request is not None
        assert self.request.transport is not None
        self.request.transport.abort()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        self.request = request
        self.line = web.WebSocketResponse()
        await self.line.prepare(request)
        async for message in self.line:
            self.heard.put_nowait(decode(message.data))
        return self.line

    async def next(self, kind: type[Message]) -> Message:
        """The next message of this kind."""
        async with asyncio.timeout(5):
            while True:
                message = await self.heard.get()
                if isinstance(message, kind):
                    return message

    async def say(self, message: Message) -> None:
        assert self.line is not None
        await self.line.send_bytes(encode(message))


@dataclass
class Rig:
    central: Central
    link: CentralLink
    file: Path
    ended: list[str]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    central, ended = Central(), []
    app = web.Application()
    app.router.add_get("/api/relay", central.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async def end(lesson: str) -> None:
        ended.append(lesson)

    file = tmp_path / "unreported.json"
    link = CentralLink(
        Upstream([f"http://127.0.0.1:{runner.addresses[0][1]}"]),
        lambda: "token",
        lambda: RelayHello("root", "http://relay.example", "0.1.0", 10),
        KnownLessons(tmp_path / "lessons"),
        end,
        file,
    )
    async with aiohttp.ClientSession() as http:
        running = asyncio.create_task(link.run(http))
        try:
            yield Rig(central, link, file, ended)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await runner.cleanup()


async def test_an_archive_is_told_again_until_it_has_arrived(rig: Rig) -> None:
    await rig.central.next(RelayHello)
    rig.link.archive_finished(ARCHIVE)
    assert await rig.central.next(RelayArchive) == ARCHIVE
    rig.central.cut()
    await rig.central.next(RelayHello)
    assert await rig.central.next(RelayArchive) == ARCHIVE
    assert len(json.loads(rig.file.read_text())) == 1
    await rig.central.say(Pong(monotonic(), wall()))
    for _ in range(200):
        if not json.loads(rig.file.read_text()):
            break
        await asyncio.sleep(0.01)
    assert json.loads(rig.file.read_text()) == []


async def test_a_lesson_that_ends_is_ended_here(rig: Rig) -> None:
    await rig.central.next(RelayHello)
    await rig.central.say(LessonEnd("physics"))
    for _ in range(200):
        if rig.ended:
            break
        await asyncio.sleep(0.01)
    assert rig.ended == ["physics"]


async def test_rubbish_on_the_line_costs_the_line_and_not_the_link(rig: Rig) -> None:
    await rig.central.next(RelayHello)
    assert rig.central.line is not None
    await rig.central.line.send_bytes(b"\xc1rubbish")
    await rig.central.next(RelayHello)
