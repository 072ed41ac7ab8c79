"""Live state within one process: the default, with nothing to install.

See `live` for the promises. Everything is in dictionaries; a subscriber that falls behind is told
EVERYTHING instead of growing a queue without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from classroom.store.live import (
    EVERYTHING,
    BelowReport,
    RelayAlive,
    Report,
    RoomsReport,
    brought_on,
)

_BEHIND: Final = 1000


class MemoryLiveState:
    """LiveState of one process. ttl_s: seconds without a word after which a relay is gone."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._relays: dict[str, RelayAlive] = {}
        self._reports: dict[tuple[str, str], Report] = {}
        self._rooms: dict[tuple[str, str], RoomsReport] = {}
        self._below: dict[str, BelowReport] = {}
        self._subscribers: set[asyncio.Queue[str]] = set()

    async def keep_relay(self, relay: RelayAlive) -> None:
        standing = self._relays.get(relay.name)
        if standing is None or standing.since <= relay.since:
            self._relays[relay.name] = relay

    async def drop_relay(self, name: str, since: float) -> None:
        standing = self._relays.get(name)
        if standing is not None and standing.since <= since:
            del self._relays[name]

    async def relays(self, now: float) -> list[RelayAlive]:
        alive = [relay for relay in self._relays.values() if now - relay.seen_at < self._ttl_s]
        return sorted(alive, key=lambda relay: relay.name)

    async def keep_report(self, report: Report) -> None:
        key = (report.lesson, report.relay)
        self._reports[key] = brought_on(report, self._reports.get(key))

    async def reports(self, lesson: str | None = None) -> list[Report]:
        return [
            report for (id_, _), report in sorted(self._reports.items()) if lesson in (None, id_)
        ]

    async def keep_rooms(self, report: RoomsReport) -> None:
        self._rooms[report.lesson, report.relay] = report

    async def rooms(self, lesson: str | None = None) -> list[RoomsReport]:
        known = sorted(self._rooms.items(), key=lambda item: item[0])
        return [report for (id_, _), report in known if lesson in (None, id_)]

    async def drop_rooms(self, relay: str, lesson: str | None = None) -> list[str]:
        keys = [key for key in self._rooms if key[1] == relay and lesson in (None, key[0])]
        for key in keys:
            del self._rooms[key]
        return sorted(id_ for id_, _ in keys)

    async def keep_below(self, report: BelowReport) -> None:
        if report.nodes:
            self._below[report.relay] = report
        else:
            self._below.pop(report.relay, None)

    async def below(self) -> list[BelowReport]:
        return [self._below[name] for name in sorted(self._below)]

    async def forget_lesson(self, lesson: str) -> None:
        for key in [key for key in self._reports if key[0] == lesson]:
            del self._reports[key]
        for key in [key for key in self._rooms if key[0] == lesson]:
            del self._rooms[key]

    async def announce(self, change: str) -> None:
        for queue in self._subscribers:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                change = EVERYTHING
            queue.put_nowait(change)

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncIterator[str]]:
        queue: asyncio.Queue[str] = asyncio.Queue(_BEHIND)
        self._subscribers.add(queue)

        async def heard() -> AsyncIterator[str]:
            while True:
                yield await queue.get()

        try:
            yield heard()
        finally:
            self._subscribers.discard(queue)

    async def check(self) -> None:
        return

    async def close(self) -> None:
        return
