"""200 clients that replay from one relay on one core, with a live lesson beside them.

The relay's processes share one processor; the players and the rooms' light peers have another. The
lesson is forwarded to two rooms alone first, then beside players that ask for the next segment as
soon as they have one. The delay of live packets is from the teacher's send to the kernel's time of
arrival at the room.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

import aiohttp

from tests.bench.figures import Figure
from tests.bench.lesson_beside import on_one_core, taught
from tests.bench.replayed import Players
from tests.bench.school_relay import SchoolRelay
from tests.bench.stamped import StampedViewer

CLIENTS: Final = 200
ROOMS: Final = 2
_BEATS: Final = 60
_SETTLE_SECONDS: Final = 6.0
_SECONDS: Final = 10.0
_LEAST_GBIT: Final = 1.0
_DELAY_MS: Final = 5.0


def measure() -> list[Figure]:
    """Throughput, and what the live lesson notices."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder) / "relay"))


async def _measure(data: Path) -> list[Figure]:
    async with on_one_core(data, _BEATS) as (relay, apart), aiohttp.ClientSession() as http:
        return await _beside_a_lesson(relay, http, apart)


async def _beside_a_lesson(
    relay: SchoolRelay, http: aiohttp.ClientSession, apart: set[int]
) -> list[Figure]:
    for table in StampedViewer.send_times.values():
        table.clear()
    async with taught(relay, http, ROOMS) as rooms:
        await asyncio.sleep(_SETTLE_SECONDS)
        alone = await _delays(asyncio.sleep(_SECONDS))
        missing = sum(room.missing() for room in rooms)
        players = await Players.start(relay.url, relay.token(), CLIENTS, _BEATS, 0.0, apart)
        try:
            await players.play(2.0)  # each file is verified once, connections are opened
            spent = relay.cpu("service"), relay.cpu("media")
            playing = asyncio.ensure_future(players.play(_SECONDS))
            beside = await _delays(playing)
            told = playing.result()
            spent = relay.cpu("service") - spent[0], relay.cpu("media") - spent[1]
        finally:
            await players.stop()
        lost = sum(room.missing() for room in rooms) - missing
    gbit = 8e-9 * told["bytes"] / _SECONDS
    return [
        Figure("replayed on loopback", gbit, "Gbit/s", least=_LEAST_GBIT),
        Figure("requests that failed", told["failed"], most=0),
        Figure("p99 until a segment is whole", told["p99"], "s"),
        Figure("service, µs for a request", 1e6 * spent[0] / told["requests"], "µs"),
        Figure("one core busy with service and media", sum(spent) / _SECONDS),
        Figure("live delay beside it, p99", 1e3 * beside, "ms", most=_DELAY_MS),
        Figure("live delay alone, p99", 1e3 * alone, "ms"),
        Figure("beside it, times alone", beside / alone),
        Figure("live packets lost", lost, most=0),
    ]


async def _delays(work: Awaitable[object]) -> float:
    """p99 of live packets' delays, in seconds, while `work` goes on."""
    del StampedViewer.delays[:]
    StampedViewer.measuring = True
    await work
    StampedViewer.measuring = False
    delays = sorted(StampedViewer.delays)
    return delays[int(0.99 * len(delays))]
