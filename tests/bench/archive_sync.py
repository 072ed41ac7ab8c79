"""how busy a sync keeps a weak link, what an outage costs again, how it makes way for a lesson.

Lives here: the scenarios and their figures, with real relay processes at both ends of emulated
links. Must not live here: starting them (`archive_sync_rig`). Link shares count whole IP packets,
headers and TCP's repeats included, from the school's start until it has the lesson; the share that
recordings alone have stands beside.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from classroom.clock import monotonic
from tests.bench.archive_sync_rig import Rig, hold_room, until_settled
from tests.bench.figures import Figure
from tests.link import WeakLink, joined
from tests.link_model import outage
from tests.link_presets import Link, link
from tests.live.networks import ROOM

LESSON: Final = "toan-7"
SMALL: Final = {"voice": 32_000, "camera-q": 100_000}
# A tenth of what a lesson of 45 minutes has: 8 s of voice at 32, pictures at 100 and 600 kbit/s.
TENTH: Final = {"voice": 3_200, "camera-q": 10_000, "camera-f": 60_000}
BEATS: Final = 338  # of 8 s, in 45 minutes
CLEAN: Final = link("2 Mbit/s, 100 ms, clean", 2_000, 512, 0.1)
LOSSY: Final = link("1 Mbit/s, 600 ms, 3 %", 1_000, 256, 0.6, 0.03)
SCHOOL: Final = link("2 Mbit/s, 300 ms, 1 %", 2_000, 512, 0.3, 0.01)
_PATIENCE_S: Final = 300.0
_VOICE_PACKETS: Final = 1_000  # of 20 ms
_ROUND_TRIPS: Final = 4


def run(**options: Any) -> dict[str, Any]:
    """Every figure by name. seed: of the links."""
    return {figure.name: figure.value for figure in measure(**options)}


def measure(seed: int = 3) -> list[Figure]:
    """The figures with their bounds."""
    return asyncio.run(_measure(seed))


async def _measure(seed: int) -> list[Figure]:
    figures: list[Figure] = []
    for like, least, beats in ((CLEAN, 0.90, 100), (LOSSY, 0.75, 80)):
        busy, goodput, congestion = await busy_link(like, beats, seed)
        figures += [
            Figure(f"{like.words} ({congestion}): link busy", busy, least=least),
            Figure(f"{like.words} ({congestion}): recordings alone", goodput),
        ]
    again, same = await after_an_outage(seed)
    figures += [
        Figure("bytes fetched, of those not received whole, after an outage", again, most=1.15),
        Figure("archive as the root's, byte for byte", float(same), least=1.0),
    ]
    figures += await makes_way(seed)
    return figures


@asynccontextmanager
async def _rig(like: Link, seed: int) -> AsyncIterator[tuple[Rig, WeakLink]]:
    with tempfile.TemporaryDirectory() as folder:
        async with joined(like.queued("bytes"), seed) as weak:
            yield Rig(weak, Path(folder)), weak


async def busy_link(like: Link, beats: int, seed: int) -> tuple[float, float, str]:
    """Shares of the link that a sync fills, by packets and by recordings; TCP's control used."""
    async with _rig(like, seed) as (rig, weak):
        congestion = await rig.use("cubic")
        rig.lesson("parent", LESSON, beats=beats, sizes=SMALL)
        size = sum(map(len, rig.archive("parent", LESSON).values()))
        async with rig.parent(), rig.school() as school:
            before = await weak.report()
            took = await until_settled(school, LESSON, _PATIENCE_S)
            passed = (await weak.report()).since(before).down.counts.delivered_bytes
    link_bytes = like.down.rate / 8 * took
    return passed / link_bytes, size / link_bytes, congestion


async def after_an_outage(seed: int) -> tuple[float, bool]:
    """A school recorded a lesson, but 6 minutes while its link was down, and lost a frame in 4 % of
    the other segments. In the night the link goes away once more, for 10 s.

    Bytes that crossed the link for each byte of the segments that it had not whole; and whether its
    archive is then the root's.
    """
    down = range(150, 195)
    spoilt = {name: range(at, BEATS, 25) for at, name in enumerate(TENTH)}
    async with _rig(SCHOOL, seed) as (rig, weak):
        await rig.use("cubic")
        rig.lesson("parent", LESSON, beats=BEATS, sizes=TENTH)
        lost = dict.fromkeys(TENTH, down)
        rig.lesson("school", LESSON, beats=BEATS, sizes=TENTH, lost=lost, spoilt=spoilt)
        root, own = rig.archive("parent", LESSON), rig.archive("school", LESSON)
        missing = sum(
            len(data)
            for name, data in root.items()
            if name.endswith(".m4s") and own.get(name) != data
        )
        async with rig.parent(), rig.school() as school:
            before = await weak.report()
            away = outage(8.0, 10.0, SCHOOL.down.rate)
            await weak.follow(away, outage(8.0, 10.0, SCHOOL.up.rate))
            await until_settled(school, LESSON, _PATIENCE_S)
            passed = (await weak.report()).since(before).down.counts.delivered_bytes
        return passed / missing, rig.archive("school", LESSON) == root


async def makes_way(seed: int) -> list[Figure]:
    """A room of the school opens a lesson that runs, in the middle of a sync."""
    async with _rig(CLEAN, seed) as (rig, weak):
        await rig.use("cubic")
        rig.lesson("parent", LESSON, beats=400, sizes=SMALL)
        rig.knows_live("school", "van-8")
        async with rig.parent(), rig.school():
            await _until_full(weak)
            async with hold_room(weak.room, rig.room_token("van-8"), "van-8"):
                began = monotonic()
                voice = asyncio.ensure_future(_voice(weak))
                quiet = await _until_quiet(weak)
                after = await weak.report()
                await asyncio.sleep(5.0)
                more = (await weak.report()).since(after).down.flows.get("tcp", (0, 0))[1]
                concealed = await voice
            resumed = monotonic()
            await _until_full(weak)
            resumed = monotonic() - resumed
    round_trip = CLEAN.down.delay + CLEAN.up.delay
    return [
        # What stood in the queue when it stopped has to go through it first: half a second at most.
        Figure("a lesson begins: link silent after", quiet - began, "s", most=round_trip + 0.55),
        Figure("its voice: packets that a player would conceal", 100 * concealed, "%", most=0.2),
        Figure("bytes/s of TCP while it runs", more / 5.0, "bytes/s", most=1_000.0),
        Figure("it is over: link full again after", resumed, "s", most=30.0),
    ]


async def _voice(weak: WeakLink) -> float:
    """The share of a voice's packets that are lost or come too late to be played. It begins when a
    lesson's does at the earliest, after ICE and DTLS, and whoever plays it waits 150 ms."""
    listener = await asyncio.create_subprocess_exec(
        *(*weak.room.enter, sys.executable, "-m", "tests.live.link_peer", "receive"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert listener.stdout is not None
    await listener.stdout.readline()
    await asyncio.sleep(_ROUND_TRIPS * (CLEAN.down.delay + CLEAN.up.delay))
    plan = json.dumps([(_VOICE_PACKETS, 0.02, 100)])
    sender = await asyncio.create_subprocess_exec(
        *(*weak.servers.enter, sys.executable, "-m", "tests.live.link_peer", "send", ROOM, plan),
        stdin=asyncio.subprocess.PIPE,
    )
    await sender.communicate()
    await asyncio.sleep(1.0)
    said, _ = await listener.communicate(b"")
    late = CLEAN.down.delay + 0.15
    played: int = sum(at - sent_at <= late for _, sent_at, at, _ in json.loads(said))
    return 1.0 - played / _VOICE_PACKETS


async def _until_full(weak: WeakLink) -> None:
    """Until half of the link is in use over a second."""
    for _ in range(60):
        before = await weak.report()
        await asyncio.sleep(1.0)
        passed = (await weak.report()).since(before)
        if passed.down.counts.delivered_bytes > CLEAN.down.rate / 16:
            return
    raise TimeoutError("the sync did not begin")


async def _until_quiet(weak: WeakLink) -> float:
    """The time at which recordings stopped: from then on, a second passed with next to nothing."""
    last, before = monotonic(), await weak.report()
    while monotonic() - last < 1.0:
        await asyncio.sleep(0.02)
        now = await weak.report()
        # Acknowledgements and resets are 40 bytes or so; segments fill packets.
        if now.since(before).down.flows.get("tcp", (0, 0))[1] > 1_200:
            last = now.at
        before = now
    return last
