"""Two rooms at a school behind two weak links: one copy on the wire, and what each relay delays.

Three relays in networks of their own, root, region and school, joined by two links of 300 kbit/s
and 300 ms that lose 3 %; real processes, real packets. A room at each relay notes when each packet
of the voice came: the slots' timeline is the same at all relays, so timestamps tell them apart. For
comparison a single room watches at the region over the same second link, without a relay there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from classroom.tokens import Role
from tests.bench.figures import Figure
from tests.link import WeakLink, weak_link
from tests.link_presets import Link, link
from tests.live.networks import SERVERS, Network, ip_program, network
from tests.live.relay_alone import LESSON, Relay, start_relay

LINK: Final = link("300 kbit/s, 300 ms, 3 %", 300, 300, 0.3, 0.03)
ROUND_TRIP_MS: Final = 300.0
DELAY_MOST_MS: Final = ROUND_TRIP_MS / 2 + 30.0
COPY_MOST: Final = 1.1
REGION: Final = "10.90.9.1"
_SETTLE_SECONDS: Final = 15.0
_SECONDS: Final = 30.0
_PATIENCE: Final = 60.0
ROOT: Final = Path(__file__).resolve().parent.parent.parent


@dataclass(slots=True)
class Peer:
    """A teacher or room that runs."""

    process: asyncio.subprocess.Process

    async def end(self) -> dict[str, Any]:
        """Let it stop; what a room noted."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        async with asyncio.timeout(_PATIENCE):
            said = await self.process.stdout.read()
            await self.process.wait()
        found: dict[str, Any] = json.loads(said or b"{}")
        return found


async def peer(
    stack: contextlib.AsyncExitStack, where: Network, role: str, url: str, token: str
) -> Peer:
    """A teacher or a room in a network, connected."""
    process = await asyncio.create_subprocess_exec(
        *where.enter,
        *(sys.executable, "-m", "tests.bench.archive_tree_peer", role, url, token),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 24,
    )

    async def stop() -> None:
        if process.returncode is None:
            process.kill()
            await process.wait()

    stack.push_async_callback(stop)
    assert process.stdout is not None
    async with asyncio.timeout(_PATIENCE):
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"a {role} could not begin")
    return Peer(process)


async def relay(
    stack: contextlib.AsyncExitStack,
    folder: Path,
    where: Network,
    parent: Relay | None,
    address: str,
) -> Relay:
    """A relay in a network, which others reach at `address`."""
    media: dict[str, Any] = {"announce": f'["{address}"]', "start_bitrate": 150_000.0}
    made = await start_relay(stack, folder, parent, media, enter=where.enter, host="0.0.0.0")
    made.url = f"http://{address}:{urlsplit(made.url).port}"
    return made


def room(of: Relay, subject: str) -> tuple[str, str]:
    """Where a room watches, and its token."""
    return f"{of.url}/whep/{LESSON}", of.token(Role.ROOM, subject)


async def run(kind: Link = LINK, seconds: float = _SECONDS) -> dict[str, float]:
    """Both parts. Milliseconds and bytes."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        enter = stack.enter_async_context
        top = await enter(network())
        region = await enter(network(beside=top))
        school = await enter(network(beside=top))
        for one in (top, region, school):
            await one.run(ip_program(), "link", "set", "lo", "up")
        await enter(weak_link(top, region, kind, seed=1))
        second = await enter(weak_link(region, school, kind, seed=2, number=9, near=REGION))
        await top.run(ip_program(), "route", "add", "default", "dev", "weak0")

        root = await relay(stack, folder / "root", top, None, SERVERS)
        middle = await relay(stack, folder / "region", region, root, REGION)
        teacher_url = f"{root.url}/whip/{LESSON}"
        await peer(stack, top, "teacher", teacher_url, root.token(Role.TEACHER, "ms-lan"))
        alone = await _single(stack, school, middle, second, seconds)
        leaf = await relay(stack, folder / "school", school, middle, "10.90.9.2")
        rooms = [
            await peer(stack, where, "room", *room(of, subject))
            for where, of, subject in (
                (top, root, "room-root"),
                (region, middle, "room-region"),
                (school, leaf, "room-1"),
                (school, leaf, "room-2"),
            )
        ]
        await asyncio.sleep(_SETTLE_SECONDS)
        before = await second.report()
        await asyncio.sleep(seconds)
        shared = (await second.report()).since(before).down.counts.sent_bytes
        told = [await one.end() for one in rooms]
        for of in (root, middle, leaf):
            if of.faults():
                raise RuntimeError(f"{of.log}: {of.faults()[0]}")
        at_root, at_region, *at_school = (
            {int(stamp): at for stamp, at in one["voice"].items()} for one in told
        )
        heard = min(len(one) for one in at_school)
        return {
            "copy": shared / alone,
            "region_ms": _delay(at_root, at_region),
            "school_ms": _delay(at_region, at_school[0]),
            "bytes": shared,
            "single_bytes": alone,
            "voice_missing": _missing(at_region, at_school[0]),
            "heard": heard,
            "pictures": min(one["pictures"] for one in told[2:]),
        }


async def _single(
    stack: contextlib.AsyncExitStack,
    school: Network,
    middle: Relay,
    second: WeakLink,
    seconds: float,
) -> float:
    """Bytes that one room without a relay takes over the second link."""
    only = await peer(stack, school, "room", *room(middle, "room-alone"))
    await asyncio.sleep(_SETTLE_SECONDS)
    before = await second.report()
    await asyncio.sleep(seconds)
    size = (await second.report()).since(before).down.counts.sent_bytes
    await only.end()
    return float(size)


def _delay(above: dict[int, float], below: dict[int, float]) -> float:
    """The median of what a packet of voice needs from one relay's room to the other's, ms."""
    return 1e3 * statistics.median(
        at - above[stamp] for stamp, at in below.items() if stamp in above
    )


def _missing(above: dict[int, float], below: dict[int, float]) -> float:
    """The share of voice packets that never came, of those between the first and the last."""
    first, last = min(below.values()) + 1.0, max(below.values()) - 2.0
    expected = [stamp for stamp, at in above.items() if first <= at <= last]
    return sum(stamp not in below for stamp in expected) / max(1, len(expected))


def measure() -> list[Figure]:
    """The figures with their bounds."""
    found = asyncio.run(run())
    return [
        Figure("bytes on the wire, of one room's", found["copy"], most=COPY_MOST),
        Figure("voice, delay of the region's relay", found["region_ms"], "ms", DELAY_MOST_MS),
        Figure("voice, delay of the school's relay", found["school_ms"], "ms", DELAY_MOST_MS),
        Figure("voice missing at the school", found["voice_missing"], most=0.01),
        Figure("packets of pictures at the school", found["pictures"], least=1),
    ]
