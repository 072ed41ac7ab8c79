"""A relay's `/events` on a real port: what a room hears when lessons begin, end and follow each
other, and how a connection that may not be, or no longer, is closed.

The lessons are told as the control plane would tell them; there is no media here.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import av
import pytest
from aiohttp import web

from classroom import wire
from classroom.accounts import LinkOrder, claims_for
from classroom.errors import Refused
from classroom.tokens import Role, Signer, generate_key
from classroom.wire import LessonInfo, LessonState, Recording, Source
from relay.record.feed import Track
from relay.record.stills import Keyframes
from relay.record.stills_maker import StillsMaker
from relay.web.access import HTTP, Access
from relay.web.events import Events
from relay.web.lessons import KnownLessons
from relay.web.problems import boundary
from relay.web.rungs import Rungs
from relay.web.stills import Stills
from tests.fakes.rtp_media import lesson_records
from tests.relay.test_rungs import notice

PLANNED = LessonInfo(
    "toan-8", "Toán 8", "Cô Hoa", LessonState.PLANNED, False, (), 0, Recording(), None
)
LIVE = replace(PLANNED, state=LessonState.LIVE, started_at=1e9)
NEXT = replace(PLANNED, id="van-8", title="Văn 8", planned_at=2e9)
ON_AIR = {"lesson": "toan-8", "publishing": True, "sources": ["voice"], "rooms": 1}


@dataclass
class Relay:
    """The part of a relay that rooms listen to."""

    url: str
    lessons: KnownLessons
    signer: Signer
    http: aiohttp.ClientSession
    rungs: Rungs
    keyframes: Keyframes
    behind: list[tuple[str, str, str | None]]
    """What the media process was told: subject, session, reason."""

    def token(self, role: Role = Role.ROOM, lesson: str = "*", days: float = 1.0) -> str:
        order = LinkOrder(role, lesson, "Lớp 8A", days)
        return self.signer.sign(claims_for(order, token_id="t", now=time.time()))

    @asynccontextmanager
    async def page(
        self, token: str, lesson: str | None = None
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A room's page, its hello sent."""
        async with self.http.ws_connect(f"{self.url}/events", params={"token": token}) as socket:
            hello = wire.Hello(wire.Page.ROOM, "vi", lesson)
            await socket.send_bytes(wire.encode(hello))
            yield socket


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    signer = Signer(generate_key())
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(signer.jwks()))
    access = Access("http://127.0.0.1:9", keys)
    lessons = KnownLessons(tmp_path / "lessons.msgpack")
    app = web.Application(middlewares=[boundary])
    rungs, keyframes = Rungs(), Keyframes()
    stills = Stills(rungs, lessons, keyframes, StillsMaker(), 8.0)
    put_behind: list[tuple[str, str, str | None]] = []

    async def behind(wish: wire.CatchUp, subject: str) -> None:
        if wish.session == "gone":
            raise Refused(404, "session-gone", "This session does not exist.", fix="Make one.")
        put_behind.append((subject, wish.session, wish.reason))

    Events(access, lessons, rungs, stills, behind).add_routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    async with aiohttp.ClientSession() as http:
        app[HTTP] = http
        await access.start(http)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            making = asyncio.create_task(stills.run())
            yield Relay(url, lessons, signer, http, rungs, keyframes, put_behind)
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
            await runner.cleanup()


async def message(socket: aiohttp.ClientWebSocketResponse) -> wire.Message:
    frame = await socket.receive()
    assert frame.type is aiohttp.WSMsgType.BINARY, (frame, socket.close_code)
    return wire.decode(frame.data)


async def told(socket: aiohttp.ClientWebSocketResponse) -> LessonInfo:
    """The next `lesson`."""
    heard = await message(socket)
    assert isinstance(heard, LessonInfo)
    return heard


async def refused(socket: aiohttp.ClientWebSocketResponse, code: str) -> int | None:
    """The close code, after an `error` with `code`."""
    heard = await message(socket)
    assert isinstance(heard, wire.Error)
    assert heard.code == code
    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    return socket.close_code


async def test_a_page_hears_that_its_lesson_ended_and_then_of_the_next(relay: Relay) -> None:
    relay.lessons.told([LIVE, NEXT])
    relay.lessons.media(ON_AIR)
    general, single = relay.token(), relay.token(lesson="toan-8")
    async with relay.page(general) as every, relay.page(single, "toan-8") as one:
        for socket in (every, one):
            welcome = await message(socket)
            assert isinstance(welcome, wire.Welcome)
            assert welcome.lesson is not None
            assert (welcome.lesson.id, welcome.lesson.sources) == ("toan-8", (Source.VOICE,))
        relay.lessons.ended("toan-8")
        for socket in (every, one):
            last = await told(socket)
            assert (last.id, last.title, last.state) == ("toan-8", "Toán 8", LessonState.ENDED)
            assert (last.publishing, last.sources) == (False, ())
        assert (await told(every)).id == "van-8"
        # The media process speaks of it once more before it hears of the end, then the list comes.
        relay.lessons.media(ON_AIR)
        relay.lessons.told([NEXT])
        relay.lessons.told([replace(NEXT, title="Văn 8, bài 2")])
        assert (await told(every)).title == "Văn 8, bài 2"
        await one.send_bytes(wire.encode(wire.Ping(1.5)))
        assert isinstance(await message(one), wire.Pong)


async def test_a_lesson_that_leaves_the_list_has_ended_if_it_was_live(relay: Relay) -> None:
    relay.lessons.told([LIVE, NEXT])
    async with relay.page(relay.token()) as socket:
        await message(socket)
        relay.lessons.told([])
        last = await told(socket)
        assert (last.id, last.state) == ("toan-8", LessonState.ENDED)
        relay.lessons.told([NEXT])
        assert (await told(socket)).state is LessonState.PLANNED


async def test_a_page_that_was_away_is_told_what_ended(relay: Relay, tmp_path: Path) -> None:
    relay.lessons.told([LIVE, NEXT])
    relay.lessons.ended("toan-8")
    async with relay.page(relay.token()) as every:
        welcome = await message(every)
        assert isinstance(welcome, wire.Welcome)
        assert welcome.lesson is not None
        assert welcome.lesson.id == "van-8"
        assert (await told(every)).state is LessonState.ENDED
    # Also after the relay's service was started again.
    again = KnownLessons(tmp_path / "lessons.msgpack")
    ended = again.info("toan-8")
    assert ended is not None
    assert ended.state is LessonState.ENDED
    assert [info.id for info in again.all()] == ["van-8"]
    assert [info.id for info in again.over(lambda _: True, 8)] == ["toan-8"]
    # A lesson that the control plane lists again is not over after all.
    again.told([LIVE])
    assert again.over(lambda _: True, 8) == []


async def test_who_may_not_is_told_why_over_the_opened_socket(relay: Relay) -> None:
    async with relay.page("") as socket:
        assert await refused(socket, "token-missing") == 4401
    async with relay.page(relay.token(days=-1.0)) as socket:
        assert await refused(socket, "token-expired") == 4401
    async with relay.page(relay.token(lesson="toan-8"), "van-8") as socket:
        assert await refused(socket, "wrong-lesson") == 4403


async def test_a_connection_ends_with_its_token(relay: Relay) -> None:
    async with relay.page(relay.token(days=2 / 86_400)) as socket:
        assert isinstance(await message(socket), wire.Welcome)
        assert await refused(socket, "token-expired") == 4401


async def test_a_room_hears_what_it_receives_and_gets_still_pictures(relay: Relay) -> None:
    relay.lessons.told([LIVE])
    relay.lessons.media({**ON_AIR, "sources": ["voice", "camera"]})
    for record in lesson_records(2, codec="vp9", key_every=30, ended=False):
        relay.keyframes.receive(
            replace(record, lesson="toan-8") if isinstance(record, Track) else record
        )
    token, subject = relay.token(), "room-t"
    async with relay.page(token) as room:
        await message(room)
        relay.rungs.receive(notice("another-room", "voice"))
        relay.rungs.receive(notice(subject, "small", reason="loss"))
        small = await message(room)
        assert isinstance(small, wire.Rung)
        assert (small.rung, small.reason, small.playout_ms) == ("small", "loss", 1_400)
        relay.rungs.receive(notice(subject, "small", reason="loss", bitrate=1.0))
        relay.rungs.receive(notice(subject, "stills", stills_bitrate=400_000.0))
        stills = await message(room)
        assert isinstance(stills, wire.Rung)
        assert stills.rung == "stills"
        head = await message(room)
        assert isinstance(head, wire.Still)
        assert (head.lesson, head.source, head.width) == ("toan-8", Source.CAMERA, 160)
        data = b""
        for number in range(head.parts):
            part = await message(room)
            assert isinstance(part, wire.StillPart)
            assert (part.still, part.part) == (head.still, number)
            data += part.data
        assert len(data) == head.bytes
        with av.open(io.BytesIO(data), "r") as container:
            assert next(container.decode(video=0)).width == 160
    # A page that comes again is told at once where its room stands. Of several rooms with one link
    # each page hears of its own session, as soon as it has said which that is.
    relay.rungs.receive(notice(subject, "full", session="another"))
    async with relay.page(token) as room:
        assert isinstance(await message(room), wire.Welcome)
        latest = await message(room)
        assert isinstance(latest, wire.Rung)
        assert latest.rung == "full"
        await room.send_bytes(wire.encode(wire.Watching("toan-8", f"3f {subject}")))
        own = await message(room)
        assert isinstance(own, wire.Rung)
        assert own.rung == "stills"


async def test_a_page_that_watches_the_recording_has_its_live_media_held_back(
    relay: Relay,
) -> None:
    relay.lessons.told([LIVE])
    async with relay.page(relay.token()) as room:
        assert isinstance(await message(room), wire.Welcome)
        for session, reason in (("3f", "missed"), ("gone", "missed"), ("3f", None)):
            await room.send_bytes(wire.encode(wire.CatchUp("toan-8", session, reason)))
        refusal = await message(room)
        assert isinstance(refusal, wire.Error)
        assert refusal.code == "session-gone"
        # The conversation goes on.
        await room.send_bytes(wire.encode(wire.Ping(1.5)))
        assert isinstance(await message(room), wire.Pong)
    assert relay.behind == [("room-t", "3f", "missed"), ("room-t", "3f", None)]
