"""A school relay on one processor that has a recording, and a lesson with rooms beside its replay.

Here: beginning and ending of both, for benchmarks of replay. Not here: pupils (`replayed`),
figures (`archive_idle`, `archive_replay`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from classroom.tokens import Role
from tests.bench.arrivals import Arrivals
from tests.bench.fanout import StampedPublisher
from tests.bench.replayed import keep_lesson
from tests.bench.school_relay import LESSON, SchoolRelay, school_relay
from tests.bench.stamped import StampedViewer
from tests.fakes.light_lesson import LightLesson


@contextlib.asynccontextmanager
async def on_one_core(data: Path, beats: int) -> AsyncIterator[tuple[SchoolRelay, set[int]]]:
    """A relay on the first processor with a lesson of `beats`, and the processors left, on which
    this process runs."""
    keep_lesson(data / "archives", beats)
    first, *others = sorted(os.sched_getaffinity(0))
    apart = set(others) or {first}
    async with school_relay(data, cores={first}) as relay:
        os.sched_setaffinity(0, apart)
        yield relay, apart


@contextlib.asynccontextmanager
async def taught(
    relay: SchoolRelay, http: aiohttp.ClientSession, count: int
) -> AsyncIterator[list[StampedViewer]]:
    """While a lesson is taught there, to `count` rooms."""
    whip = f"{relay.url}/whip/{LESSON}"
    publisher = StampedPublisher(http, whip, relay.token(Role.TEACHER, LESSON))
    await publisher.connect()
    publishing = asyncio.ensure_future(LightLesson(publisher).run(3_600))
    arrivals = Arrivals()
    whep = f"{relay.url}/whep/{LESSON}"
    rooms = [
        StampedViewer(arrivals, http, whep, relay.token(Role.ROOM, LESSON)) for _ in range(count)
    ]
    try:
        for room in rooms:
            await room.connect()
        yield rooms
    finally:
        publishing.cancel()
        await asyncio.gather(*(room.leave() for room in rooms))
        await publisher.vanish()
        arrivals.close()
