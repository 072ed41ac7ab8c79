"""One relay that is old and slow: what it takes of memory and processor, idle and at work.

All of the relay runs on one core: first with nobody there, then with 30 tablets that replay a
lesson at its own pace beside two rooms that watch a live one, which is recorded. Memory is
proportional set size (smaps_rollup: what processes share counts once), of the media and the service
process together; the node that starts them and the workers that it may start are told beside it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import aiohttp

from classroom.clock import monotonic
from tests.bench.figures import Figure
from tests.bench.lesson_beside import on_one_core, taught
from tests.bench.processes import cpu_seconds
from tests.bench.replayed import BEAT_SECONDS, Players
from tests.bench.school_relay import SchoolRelay, pss_mib

TABLETS: Final = 30
ROOMS: Final = 2
_BEATS: Final = 30
_SETTLE_SECONDS: Final = 8.0
_IDLE_SECONDS: Final = 20.0
_WORK_SECONDS: Final = 24.0  # three beats of each tablet
_MEMORY_MIB: Final = 150.0
_IDLE_SHARE: Final = 0.01
# A core of such a machine (Raspberry Pi 4) does about a fifth of what a server's core does, on
# which this is measured: more than this here would be more than it has.
_WORK_SHARE: Final = 0.2


def measure() -> list[Figure]:
    """Idle, then at work."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder) / "relay"))


async def _measure(data: Path) -> list[Figure]:
    async with on_one_core(data, _BEATS) as (relay, apart):
        await asyncio.sleep(_SETTLE_SECONDS)
        before, began = relay.cpu(), monotonic()
        await asyncio.sleep(_IDLE_SECONDS)
        share = (relay.cpu() - before) / (monotonic() - began)
        figures = [
            Figure("idle: media and service", _two(relay), "MiB", most=_MEMORY_MIB),
            Figure("idle: node", relay.memory_mib("serve"), "MiB"),
            Figure("idle: of one core, all three", share, most=_IDLE_SHARE),
        ]
        async with aiohttp.ClientSession() as http:
            return [*figures, *await _at_work(relay, http, apart)]


def _two(relay: SchoolRelay) -> float:
    return relay.memory_mib("media", "service")


async def _at_work(
    relay: SchoolRelay, http: aiohttp.ClientSession, apart: set[int]
) -> list[Figure]:
    async with taught(relay, http, ROOMS) as rooms:
        players = await Players.start(
            relay.url, relay.token(), TABLETS, _BEATS, float(BEAT_SECONDS), apart
        )
        try:
            await players.play(_SETTLE_SECONDS)
            missing = sum(room.missing() for room in rooms)
            before = {pid: cpu_seconds(pid) for pid in relay.all_pids()}
            began = monotonic()
            told = await players.play(_WORK_SECONDS)
            seconds = monotonic() - began
            after = {pid: cpu_seconds(pid) for pid in relay.all_pids()}
        finally:
            await players.stop()
        lost = sum(room.missing() for room in rooms) - missing
        memory, workers = _two(relay), sum(pss_mib(pid) for pid in relay.workers())
    share = sum(spent - before.get(pid, 0.0) for pid, spent in after.items()) / seconds
    wanted = TABLETS * 2 * _WORK_SECONDS / BEAT_SECONDS
    return [
        Figure("at work: media and service", memory, "MiB", most=_MEMORY_MIB),
        Figure("at work: workers beside them", workers, "MiB"),
        Figure("at work: of one core, all of it", share, most=_WORK_SHARE),
        Figure("segments that tablets had, of those due", told["requests"] / wanted, least=0.95),
        Figure("requests that failed", told["failed"], most=0),
        Figure("p99 until a segment is whole", told["p99"], "s", most=2.0),
        Figure("live packets lost", lost, most=0),
    ]
