"""Live state in Redis, for several control-plane processes that serve the same lessons.

See `live` for the promises. Four hashes (relays and those below them by name, reports and rooms by
"lesson/relay") and one channel, all under a prefix. Age is judged from the dates inside, not by
Redis, so that both implementations answer alike; the machines' clocks should agree to a second or
two (NTP).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from classroom.errors import Absent, Refused
from classroom.store.live import (
    EVERYTHING,
    BelowReport,
    RelayAlive,
    Report,
    RoomsReport,
    brought_on,
)
from classroom.wire import to_map
from classroom.wire.fields import read

_T = TypeVar("_T", RelayAlive, Report, RoomsReport, BelowReport)
# A Redis on the same site answers in milliseconds; a page waits no longer than this for a dead one.
_TIMEOUT_S: Final = 3.0
_RETRY_S: Final = 1.0

# Sets a relay unless a newer connection of its name stands: KEYS hash, ARGV name, since, entry.
_KEEP_RELAY: Final = """
local standing = redis.call('HGET', KEYS[1], ARGV[1])
if standing and cjson.decode(standing)['since'] > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
# Removes a relay unless a newer connection of its name stands: KEYS hash, ARGV name, since.
_DROP_RELAY: Final = """
local standing = redis.call('HGET', KEYS[1], ARGV[1])
if standing and cjson.decode(standing)['since'] <= tonumber(ARGV[2]) then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
"""


class RedisLiveState:
    """LiveState in the Redis at `url` (redis://, rediss:// or unix://).

    ttl_s: seconds without a word after which a relay is gone. prefix: set apart from other users.
    """

    def __init__(self, url: str, ttl_s: float, prefix: str = "classroom") -> None:
        # One retry on a new connection carries a request over a Redis that was restarted.
        self._client = _client(url, retries=1)
        # But a listener must not be reconnected behind our back: it has missed something.
        self._listener = _client(url, retries=0)
        self._ttl_s = ttl_s
        self._relays = f"{prefix}:relays"
        self._reports = f"{prefix}:reports"
        self._rooms = f"{prefix}:rooms"
        self._below = f"{prefix}:below"
        self._channel = f"{prefix}:changes"

    async def keep_relay(self, relay: RelayAlive) -> None:
        with _reachable():
            await self._client.eval(
                _KEEP_RELAY, 1, self._relays, relay.name, repr(relay.since), _text(relay)
            )

    async def drop_relay(self, name: str, since: float) -> None:
        with _reachable():
            await self._client.eval(_DROP_RELAY, 1, self._relays, name, repr(since))

    async def relays(self, now: float) -> list[RelayAlive]:
        with _reachable():
            entries = await self._client.hgetall(self._relays)
        known = [_entry(RelayAlive, text) for _, text in sorted(entries.items())]
        return [relay for relay in known if relay and now - relay.seen_at < self._ttl_s]

    async def keep_report(self, report: Report) -> None:
        # Only the process that holds the relay's connection writes its reports: no race here.
        key = f"{report.lesson}/{report.relay}"
        with _reachable():
            before = await self._client.hget(self._reports, key)
            standing = _entry(Report, before) if before is not None else None
            await self._client.hset(self._reports, key, _text(brought_on(report, standing)))

    async def reports(self, lesson: str | None = None) -> list[Report]:
        with _reachable():
            entries = await self._client.hgetall(self._reports)
        known = [_entry(Report, text) for _, text in sorted(entries.items())]
        return [report for report in known if report and lesson in (None, report.lesson)]

    async def keep_rooms(self, report: RoomsReport) -> None:
        with _reachable():
            key = f"{report.lesson}/{report.relay}"
            await self._client.hset(self._rooms, key, _text(report))

    async def rooms(self, lesson: str | None = None) -> list[RoomsReport]:
        with _reachable():
            entries = await self._client.hgetall(self._rooms)
        known = [_entry(RoomsReport, text) for _, text in sorted(entries.items())]
        return [report for report in known if report and lesson in (None, report.lesson)]

    async def drop_rooms(self, relay: str, lesson: str | None = None) -> list[str]:
        with _reachable():
            parts = [key.partition("/") for key in await self._client.hkeys(self._rooms)]
            lessons = [id_ for id_, _, name in parts if name == relay and lesson in (None, id_)]
            if lessons:
                await self._client.hdel(self._rooms, *(f"{id_}/{relay}" for id_ in lessons))
        return sorted(lessons)

    async def keep_below(self, report: BelowReport) -> None:
        with _reachable():
            if report.nodes:
                await self._client.hset(self._below, report.relay, _text(report))
            else:
                await self._client.hdel(self._below, report.relay)

    async def below(self) -> list[BelowReport]:
        with _reachable():
            entries = await self._client.hgetall(self._below)
        known = [_entry(BelowReport, text) for _, text in sorted(entries.items())]
        return [report for report in known if report]

    async def forget_lesson(self, lesson: str) -> None:
        with _reachable():
            for table in (self._reports, self._rooms):
                keys = await self._client.hkeys(table)
                mine = [key for key in keys if key.startswith(f"{lesson}/")]
                if mine:
                    await self._client.hdel(table, *mine)

    async def announce(self, change: str) -> None:
        with _reachable():
            await self._client.publish(self._channel, change)

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncIterator[str]]:
        async with self._listener.pubsub(ignore_subscribe_messages=True) as pubsub:
            with _reachable():
                await pubsub.subscribe(self._channel)

            async def heard() -> AsyncIterator[str]:
                while True:
                    try:
                        message = await pubsub.get_message(timeout=_TIMEOUT_S)
                    except (RedisError, OSError):
                        await self._listen_again(pubsub)
                        # What was said meanwhile is lost, so look at all.
                        yield EVERYTHING
                        continue
                    if message is not None:
                        yield str(message["data"])

            yield heard()

    async def _listen_again(self, pubsub: Any) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await pubsub.subscribe(self._channel)
            except (RedisError, OSError):
                continue
            return

    async def check(self) -> None:
        with _reachable():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()
        await self._listener.aclose()


def _client(url: str, *, retries: int) -> Any:
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(ExponentialBackoff(), retries),
    )


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Absent(
            "The server that holds the live state (Redis) does not answer.",
            fix="Try again in a moment; if it stays so, ask your technician to look at Redis.",
        ) from error


def _text(entry: RelayAlive | Report | RoomsReport | BelowReport) -> str:
    return json.dumps(to_map(entry), separators=(",", ":"))


def _entry(cls: type[_T], text: str) -> _T | None:
    """The entry in `text`; None if another version wrote something that is not understood."""
    try:
        entry = read(cls, json.loads(text))
    except (Refused, ValueError):
        return None
    assert isinstance(entry, cls)
    return entry
