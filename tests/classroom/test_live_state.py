"""Live state: one set of stories, told to the in-process store and to Redis alike.

The Redis is a real redis-server. Dates are arguments, so nothing waits for a time to live.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from classroom.errors import Absent
from classroom.store import (
    EVERYTHING,
    BelowReport,
    LiveState,
    MemoryLiveState,
    RedisLiveState,
    RelayAlive,
    Report,
    RoomsReport,
)
from classroom.wire import (
    Recording,
    RecordingState,
    RelayNode,
    RoomRung,
    RungName,
    Source,
    VoiceWish,
)
from tests.fakes.redis_server import redis_server

TTL_S = 15.0
ROOT = RelayAlive("root", "http://relay:8081", "0.1.0", 400, since=1000.25, seen_at=1000.25)
REPORT = Report(
    lesson="toan-8",
    relay="root",
    publishing=True,
    sources=(Source.VOICE, Source.CAMERA),
    rooms=3,
    recording=Recording(RecordingState.RECORDING, "", 12.5),
    at=1001.0,
)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


class Stories:
    """What every implementation promises; `pair` is two views of one fresh state."""

    async def test_a_relay_is_alive_until_its_time_to_live_is_over(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        assert await one.relays(1000.0) == []
        await one.keep_relay(ROOT)
        assert await other.relays(1015.0) == [ROOT]
        assert await other.relays(1015.5) == []
        await one.keep_relay(replace(ROOT, seen_at=1014.0))
        assert len(await other.relays(1015.5)) == 1

    async def test_relays_come_by_name(self, pair: tuple[LiveState, LiveState]) -> None:
        one, other = pair
        await one.keep_relay(replace(ROOT, name="tra-leng"))
        await one.keep_relay(ROOT)
        assert [relay.name for relay in await other.relays(1001.0)] == ["root", "tra-leng"]

    async def test_the_newest_connection_of_a_relay_stands(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        newer = replace(ROOT, url="http://moved:8081", since=1005.0, seen_at=1005.0)
        await one.keep_relay(ROOT)
        await other.keep_relay(newer)
        # The old connection, found dead late, neither renews nor removes the new one.
        await one.keep_relay(replace(ROOT, seen_at=1006.0))
        await one.drop_relay("root", ROOT.since)
        assert await one.relays(1007.0) == [newer]
        await other.drop_relay("root", newer.since)
        assert await one.relays(1007.0) == []
        await one.drop_relay("root", 2000.0)

    async def test_reports_are_kept_by_lesson_and_relay(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        far = replace(REPORT, relay="tra-leng", publishing=False, rooms=1)
        physics = replace(REPORT, lesson="vat-ly-9")
        for report in (REPORT, far, physics):
            await one.keep_report(report)
        assert [(report.lesson, report.relay) for report in await other.reports()] == [
            ("toan-8", "root"),
            ("toan-8", "tra-leng"),
            ("vat-ly-9", "root"),
        ]
        assert await other.reports("toan-8") == [replace(REPORT, published_at=1001.0), far]
        await other.forget_lesson("toan-8")
        await other.forget_lesson("toan-8")
        assert [report.lesson for report in await one.reports()] == ["vat-ly-9"]

    async def test_what_rooms_receive_is_kept_by_lesson_and_relay(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        room = RoomRung("room-1", "Lớp 9A", RungName.STILLS, "link", 1000.25)
        told = RoomsReport("toan-8", "root", (room,), VoiceWish("toan-8", 24_000, 60, True))
        far = RoomsReport("toan-8", "tra-leng", ())
        physics = replace(told, lesson="vat-ly-9")
        for report in (replace(told, rooms=()), told, far, physics):
            await one.keep_rooms(report)
        assert await other.rooms() == [told, far, physics]
        assert await other.rooms("toan-8") == [told, far]
        await other.forget_lesson("toan-8")
        assert await one.rooms() == [physics]

    async def test_what_a_relay_told_of_those_below_it_is_kept(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        node = RelayNode("school-1", "Trà Leng", "http://s.example", "0.1.0", 40, "relay-1")
        await one.keep_below(BelowReport("root", (node,)))
        await one.keep_below(BelowReport("north", (node, replace(node, id="school-2"))))
        assert [report.relay for report in await other.below()] == ["north", "root"]
        assert (await other.below())[1].nodes == (node,)
        await other.keep_below(BelowReport("north", ()))
        assert [report.relay for report in await one.below()] == ["root"]

    async def test_what_a_relay_told_of_rooms_is_dropped_alone(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        odd = RoomsReport("toan-8", "north/root", ())
        told = RoomsReport("toan-8", "root", ())
        physics, van = replace(told, lesson="vat-ly-9"), replace(told, lesson="van-8")
        for report in (odd, told, physics, van):
            await one.keep_rooms(report)
        await one.keep_report(REPORT)
        assert await other.drop_rooms("root", "van-8") == ["van-8"]
        assert await one.drop_rooms("root", "van-8") == []
        assert await one.rooms() == [odd, told, physics]
        assert await other.drop_rooms("root") == ["toan-8", "vat-ly-9"]
        assert await one.rooms() == [odd]
        assert len(await one.reports()) == 1

    async def test_forgetting_a_lesson_leaves_one_with_a_longer_name(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, _ = pair
        await one.keep_report(replace(REPORT, lesson="toan-88"))
        await one.forget_lesson("toan-8")
        assert len(await one.reports("toan-88")) == 1

    async def test_when_media_last_arrived_is_remembered(
        self, pair: tuple[LiveState, LiveState]
    ) -> None:
        one, other = pair
        await one.keep_report(replace(REPORT, publishing=False, at=1000.0))
        assert (await other.reports("toan-8"))[0].published_at == 0.0
        await one.keep_report(REPORT)
        await one.keep_report(replace(REPORT, publishing=False, at=1900.0))
        (latest,) = await other.reports("toan-8")
        assert (latest.at, latest.published_at) == (1900.0, 1001.0)

    async def test_everyone_hears_of_changes(self, pair: tuple[LiveState, LiveState]) -> None:
        one, other = pair
        async with one.changes() as heard_here, other.changes() as heard_there:
            await one.announce("toan-8")
            await other.announce("relays")
            for heard in (heard_here, heard_there):
                assert [await anext(heard), await anext(heard)] == ["toan-8", "relays"]

    async def test_check(self, pair: tuple[LiveState, LiveState]) -> None:
        await pair[0].check()


class TestMemory(Stories):
    @pytest.fixture
    async def pair(self) -> AsyncIterator[tuple[LiveState, LiveState]]:
        state = MemoryLiveState(TTL_S)
        yield state, state
        await state.close()

    async def test_a_listener_that_falls_behind_is_told_to_look_at_everything(self) -> None:
        state = MemoryLiveState(TTL_S)
        async with state.changes() as heard:
            for number in range(1001):
                await state.announce(f"lesson-{number}")
            assert await anext(heard) == EVERYTHING


class TestRedis(Stories):
    @pytest.fixture
    async def pair(self, redis_url: str) -> AsyncIterator[tuple[LiveState, LiveState]]:
        prefix = f"test-{secrets.token_hex(4)}"
        one = RedisLiveState(redis_url, TTL_S, prefix)
        other = RedisLiveState(redis_url, TTL_S, prefix)
        yield one, other
        await one.close()
        await other.close()

    async def test_what_another_version_wrote_is_passed_over(self, redis_url: str) -> None:
        prefix = f"test-{secrets.token_hex(4)}"
        state = RedisLiveState(redis_url, TTL_S, prefix)
        await state.keep_relay(ROOT)
        await state._client.hset(f"{prefix}:relays", "new", '{"name": "new", "since": 1}')
        await state._client.hset(f"{prefix}:reports", "a/b", "not json")
        assert await state.relays(1001.0) == [ROOT]
        assert await state.reports() == []
        await state.close()

    async def test_a_redis_that_is_gone_is_absent_and_one_that_returns_is_heard_again(
        self,
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="redis-") as place:
            with redis_server(Path(place)) as url:
                state = RedisLiveState(url, TTL_S)
                changes = state.changes()
                heard = await changes.__aenter__()
                await state.announce("toan-8")
                assert await anext(heard) == "toan-8"
            with pytest.raises(Absent):
                await state.check()
            with pytest.raises(Absent):
                await state.relays(0.0)
            with redis_server(Path(place)):
                assert await anext(heard) == EVERYTHING
                await state.announce("vat-ly-9")
                assert await anext(heard) == "vat-ly-9"
                await changes.__aexit__(None, None, None)
                await state.close()
