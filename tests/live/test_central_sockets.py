"""The control plane's WebSockets on a real port: pages hear of lessons, relays are told and heard.

Bad conversations end with an `error` message and a close code, and touch nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from classroom import wire
from classroom.tokens import Role
from tests.fakes.redis_server import redis_server
from tests.live.central import Central, next_message, page, relay, running, with_storage


@pytest.fixture
async def central(tmp_path: Path) -> AsyncIterator[Central]:
    async with running(tmp_path / "data") as central:
        yield central


@pytest.fixture
def teacher(central: Central) -> str:
    return central.token(Role.TEACHER)


async def refused(socket: aiohttp.ClientWebSocketResponse, code: str) -> int | None:
    """The close code, after an `error` with `code`."""
    message = await next_message(socket)
    assert isinstance(message, wire.Error)
    assert message.code == code
    assert message.fix
    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    return socket.close_code


async def lesson_where(
    socket: aiohttp.ClientWebSocketResponse, key: str, value: object
) -> wire.LessonInfo:
    """The next `lesson` message that shows `value`."""
    while True:
        message = await next_message(socket)
        if isinstance(message, wire.LessonInfo) and getattr(message, key) == value:
            return message


async def test_a_teachers_page_follows_its_lessons(central: Central, teacher: str) -> None:
    first = await central.plan(teacher, "First")
    async with relay(central) as root, page(central, teacher) as socket:
        welcome = await next_message(socket)
        assert isinstance(welcome, wire.Welcome)
        assert (welcome.name, welcome.role, welcome.lesson) == ("Cô Hoa", "teacher", None)
        assert (await lesson_where(socket, "id", first)).title == "First"
        second = await central.plan(teacher, "Second")
        assert (await lesson_where(socket, "id", second)).state == "planned"
        await central.call("POST", f"/api/lessons/{second}/start", teacher)
        await lesson_where(socket, "state", wire.LessonState.LIVE)
        await root.report(second, publishing=True, rooms=2)
        live = await lesson_where(socket, "publishing", True)
        assert (live.id, live.rooms, live.sources) == (second, 2, (wire.Source.VOICE,))
        assert live.recording == wire.Recording(wire.RecordingState.RECORDING, "", 12.5)
        await socket.send_bytes(wire.encode(wire.Ping(7.5)))
        while not isinstance(pong := await next_message(socket), wire.Pong):
            pass
        assert pong.t == 7.5


async def test_a_teacher_sees_what_rooms_receive_and_a_room_does_not(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher, "Mine")
    full = wire.RoomRung("room-1", "Lớp 9A", wire.RungName.FULL, "choice", 1e9)
    weak = wire.RoomRung("room-1", "Lớp 9A", wire.RungName.STILLS, "link", 2e9)
    wish = wire.VoiceWish(lesson, 24_000, 60, True)

    async def rooms_told(socket: aiohttp.ClientWebSocketResponse) -> wire.Rooms:
        while not isinstance(message := await next_message(socket), wire.Rooms):
            assert not isinstance(message, wire.VoiceWish)
        return message

    room = central.token(Role.ROOM, lesson, name="Lớp 9A")
    async with relay(central) as root, page(central, teacher) as socket:
        await root.send(wire.RelayRooms(lesson, True, (full,), ()))
        assert await rooms_told(socket) == wire.Rooms(lesson, True, (full,), ())
        async with page(central, room) as other, page(central, teacher) as late:
            assert await rooms_told(late) == wire.Rooms(lesson, True, (full,), ())
            await root.send(wire.RelayRooms(lesson, False, (weak,), ()))
            await root.send(wish)
            for each in (socket, late):
                assert await rooms_told(each) == wire.Rooms(lesson, False, (weak,), ())
                while (heard := await next_message(each)) != wish:
                    assert not isinstance(heard, wire.Rooms)
            await other.send_bytes(wire.encode(wire.Ping(7.5)))
            while not isinstance(heard := await next_message(other), wire.Pong):
                assert isinstance(heard, wire.Welcome | wire.LessonInfo)
        await root.send(wire.RelayRooms("no-such-lesson", True, (full,), ()))
        await root.send(wire.RelayRooms(lesson, False, (), ("room-1",)))
        assert await rooms_told(socket) == wire.Rooms(lesson, False, (), ("room-1",))


async def test_what_a_relay_told_of_rooms_ends_with_its_connection(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher, "Mine")
    room = wire.RoomRung("room-1", "Lớp 9A", wire.RungName.FULL, "choice", 1e9)
    async with asyncio.timeout(10), page(central, teacher) as socket:

        async def rooms_told() -> wire.Rooms:
            while not isinstance(message := await next_message(socket), wire.Rooms):
                pass
            return message

        async with relay(central) as root:
            await root.send(wire.RelayRooms(lesson, True, (room,), ()))
            assert await rooms_told() == wire.Rooms(lesson, True, (room,), ())
            # It lost its rooms and its line; here the old line seems to hold.
            async with relay(central):
                assert await rooms_told() == wire.Rooms(lesson, False, (), ("room-1",))
                assert await central.desk.rooms() == {}


async def test_nothing_is_kept_of_rooms_that_leave_a_lesson_that_is_over(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher, "Mine")
    everyone = [
        wire.RoomRung(f"room-{number}", "Lớp 9A", wire.RungName.FULL, "choice", 1e9)
        for number in range(3)
    ]
    async with asyncio.timeout(10), relay(central) as root:

        async def tell(*gone: str) -> dict[str, int]:
            """Rooms by lesson, after these left."""
            await root.send(wire.RelayRooms(lesson, False, (), gone))
            await root.send(wire.RelayRooms("no-such-lesson", True, (), ()))
            await root.heard_of(wire.Error)
            known = await central.desk.rooms()
            return {name: len(reports[0].rooms) for name, reports in known.items()}

        await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
        await root.send(wire.RelayRooms(lesson, True, tuple(everyone), ()))
        assert await tell("room-0") == {lesson: 2}
        await central.call("POST", f"/api/lessons/{lesson}/end", teacher)
        assert await tell("room-1") == {}
        await root.send(wire.RelayArchive(lesson, 1.5, 1, ()))
        assert await tell("room-2") == {}
        shown = await central.call("GET", f"/api/lessons/{lesson}", teacher)
        assert shown.json["state"] == "published"


async def test_a_page_for_one_lesson_hears_of_no_other(central: Central, teacher: str) -> None:
    mine, other = await central.plan(teacher, "Mine"), await central.plan(teacher, "Other")
    room = central.token(Role.ROOM, mine, name="Lớp 9A")
    async with relay(central) as root, page(central, room) as socket:
        welcome = await next_message(socket)
        assert isinstance(welcome, wire.Welcome)
        assert welcome.lesson is not None
        assert welcome.lesson.id == mine
        for lesson in (other, mine):
            await root.report(lesson, publishing=True)
        heard = await next_message(socket)
        assert isinstance(heard, wire.LessonInfo)
        assert heard.id == mine


async def test_who_may_not_is_told_why(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    async with page(central, "") as socket:
        assert await refused(socket, "token-missing") == 4401
    async with page(central, central.token(Role.TEACHER, days=-1)) as socket:
        assert await refused(socket, "token-expired") == 4401
    async with page(central, central.token(Role.ROOM, "toan-8"), lesson) as socket:
        assert await refused(socket, "wrong-lesson") == 4403
    async with page(central, central.token(Role.ROOM, "toan-8")) as socket:
        assert await refused(socket, "lesson-unknown") == 4404
    async with central.socket("/api/relay", teacher) as socket:
        assert await refused(socket, "right-missing") == 4403


async def test_a_connection_ends_with_its_token(central: Central) -> None:
    soon = 2 / 86_400
    async with page(central, central.token(Role.TEACHER, days=soon)) as socket:
        assert isinstance(await next_message(socket), wire.Welcome)
        assert await refused(socket, "token-expired") == 4401
    async with central.socket("/api/relay", central.token(Role.RELAY, days=soon)) as socket:
        hello = wire.RelayHello("root", "http://root.example:8081", "0.1.0", 400)
        await socket.send_bytes(wire.encode(hello))
        assert isinstance(await next_message(socket), wire.RelayLessons)
        assert await refused(socket, "token-expired") == 4401


async def test_bad_conversations_end_and_the_others_go_on(central: Central, teacher: str) -> None:
    async with page(central, teacher) as good:
        await next_message(good)
        for frame in (b"", b"\xff" * 100, wire.encode(wire.Ping(1.5))):
            async with central.socket("/api/events", teacher) as bad:
                await bad.send_bytes(frame)
                code = "wire-unexpected" if frame[:1] == b"\x93" else "wire-malformed"
                assert await refused(bad, code) == 4400
        async with central.socket("/api/events", teacher) as bad:
            await bad.send_str("hello")
            assert await refused(bad, "wire-malformed") == 4400
        async with central.socket("/api/events", teacher) as bad:
            await bad.send_bytes(bytes(wire.MAX_BYTES + 1))
            assert (await bad.receive()).type is aiohttp.WSMsgType.CLOSE
            assert bad.close_code == 1009
        await good.send_bytes(wire.encode(wire.Ping(1.5)))
        assert isinstance(await next_message(good), wire.Pong)


async def test_a_flood_of_pings_is_answered_in_order(central: Central, teacher: str) -> None:
    async with page(central, teacher) as socket:
        await next_message(socket)
        for number in range(300):
            await socket.send_bytes(wire.encode(wire.Ping(number + 0.5)))
        for number in range(300):
            pong = await next_message(socket)
            assert isinstance(pong, wire.Pong)
            assert pong.t == number + 0.5


async def test_a_relay_is_told_its_lessons_live_ones_first(central: Central, teacher: str) -> None:
    late = await central.plan(teacher, "Late", planned_at=2e9)
    soon = await central.plan(teacher, "Soon", planned_at=1.9e9)
    async with relay(central) as root:
        assert [lesson.id for lesson in root.lessons.lessons] == [soon, late]
        await central.call("POST", f"/api/lessons/{late}/start", teacher)
        told = await root.heard_of(wire.RelayLessons)
        assert [lesson.id for lesson in told.lessons] == [late, soon]
        await root.report(late, publishing=True)
        await central.call("POST", f"/api/lessons/{late}/end", teacher)
        # The end and the shorter list come in either order.
        heard = [await root.heard(), await root.heard()]
        assert wire.LessonEnd(late) in heard
        (told,) = (message for message in heard if isinstance(message, wire.RelayLessons))
        assert [lesson.id for lesson in told.lessons] == [soon]


async def test_media_of_a_planned_lesson_makes_it_live(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    async with relay(central) as root, page(central, teacher, lesson) as socket:
        assert isinstance(await next_message(socket), wire.Welcome)
        await root.report(lesson, publishing=True)
        live = await lesson_where(socket, "publishing", True)
        assert live.state == "live"
        history = await central.history(lesson)
        assert history[-1] == ("live", "relay root", "media-arrived")


async def test_a_relay_that_publishes_what_is_over_is_told_again(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    async with relay(central) as root:
        await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
        await central.call("POST", f"/api/lessons/{lesson}/end", teacher)
        for _ in range(2):
            assert await root.heard_of(wire.LessonEnd) == wire.LessonEnd(lesson)
            await root.report(lesson, publishing=True)
    # It was away when the lesson ended, or had restarted: it hears of it when it connects.
    async with central.socket("/api/relay", central.token(Role.RELAY)) as socket:
        hello = wire.RelayHello("root", "http://root.example:8081", "0.1.0", 400)
        await socket.send_bytes(wire.encode(hello))
        message = await next_message(socket)
        if isinstance(message, wire.RelayLessons):  # its list may be quicker
            message = await next_message(socket)
        assert message == wire.LessonEnd(lesson)


async def test_a_relay_that_speaks_of_an_unknown_lesson_is_told(central: Central) -> None:
    async with relay(central) as root:
        await root.report("toan-8", publishing=True)
        assert (await root.heard_of(wire.Error)).code == "lesson-unknown"
        await root.send(wire.RelayArchive("toan-8", 1.5, 1, ()))
        assert (await root.heard_of(wire.Error)).code == "lesson-unknown"
        await root.send(wire.Ping(1.5))
        await root.report("toan-8", publishing=True)
        await root.heard_of(wire.Error)


async def test_the_newest_connection_of_a_relay_stands(central: Central, teacher: str) -> None:
    async with relay(central) as old, relay(central):
        assert (await old.heard_of(wire.Error)).code == "relay-replaced"
        with pytest.raises(ConnectionError):
            await old.heard()
        assert old.close_code == 4409
        listed = (await central.call("GET", "/api/relays", teacher)).json["relays"]
        assert [entry["name"] for entry in listed] == ["root"]


async def test_pages_and_relays_are_told_when_the_server_stops(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "data") as central,
        page(central, central.token(Role.TEACHER)) as socket,
        relay(central) as root,
    ):
        await next_message(socket)
        stopping = asyncio.create_task(central.stop())
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1001
        with pytest.raises(ConnectionError):
            await root.heard()
        assert root.close_code == 1001
        await stopping


async def test_two_control_planes_share_live_state_through_redis(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with redis_server() as url:
        settings = with_storage(data, redis_url=url)
        async with running(data, settings) as one, running(data, settings) as other:
            teacher = one.token(Role.TEACHER)
            lesson = await one.plan(teacher)
            async with relay(one) as root, page(other, teacher, lesson) as socket:
                await next_message(socket)
                answer = await other.call("POST", f"/api/lessons/{lesson}/start", teacher)
                assert answer.json["relay"] == "http://root.example:8081"
                told = await root.heard_of(wire.RelayLessons)
                assert told.lessons[0].state == "live"
                await root.report(lesson, publishing=True, rooms=5)
                assert (await lesson_where(socket, "publishing", True)).rooms == 5
                await other.call("POST", f"/api/lessons/{lesson}/end", teacher)
                assert await root.heard_of(wire.LessonEnd) == wire.LessonEnd(lesson)


async def test_a_redis_that_is_gone_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with redis_server() as url:
        central_running = running(data, with_storage(data, redis_url=url))
        central = await central_running.__aenter__()
        teacher = central.token(Role.TEACHER)
        lesson = await central.plan(teacher)
    health = await central.call("GET", "/healthz")
    assert (health.status, health.json["checks"]["live"]["ok"]) == (503, False)
    assert health.json["checks"]["records"]["ok"] is True
    answer = await central.call("GET", "/api/lessons", teacher)
    assert answer.status == 503
    assert "Redis" in answer.json["fix"]
    # What needs no live state is done, and answered so that nobody does it twice.
    second = await central.plan(teacher)
    assert (await central.call("GET", "/metrics")).status == 200
    await central_running.__aexit__(None, None, None)
    async with running(data) as again:
        for planned in (lesson, second):
            shown = await again.call("GET", f"/api/lessons/{planned}", teacher)
            assert shown.json["state"] == "planned"
