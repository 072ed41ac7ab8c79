"""Weak links that carry real packets, between network namespaces of this machine's kernel.

Lives here: starting and steering the process that is a link (`link_process`), addresses and
routes of both its ends, and the command for people. Must not live here: what a link does with
packets (`link_model`), which links there are (`link_presets`).

Tests: `async with joined(PRESETS["vsat"]) as weak:` gives two networks and the link between them;
`weak_link(servers, room, link, number=1)` joins a further room. By hand, as root:

    python -m tests.link --preset vsat -- chromium http://10.90.0.1:8440/

runs a command behind a satellite; it reaches this machine as 10.90.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests import link_arguments
from tests.link_model import Counts, Step
from tests.link_presets import PRESETS, SCENARIOS, Link
from tests.live.networks import SERVERS, Network, ip_program, network

ROOT: Final = Path(__file__).resolve().parent.parent
_PATIENCE_S: Final = 30.0  # for an answer of the process, on a busy machine


@dataclass(frozen=True, slots=True)
class Side:
    """One direction at a moment.

    late: tenths of a millisecond that packets were handed on after their time → packets.
    flows: what an outsider can tell apart ("rtp PT SSRC", "rtcp", "stun", "dtls", "tcp", …;
    "+padding" where the RTP header says so) → packets and bytes that arrived.
    """

    counts: Counts
    late: Counter[int]
    flows: dict[str, tuple[int, int]]

    def since(self, earlier: Side) -> Side:
        """What was added after `earlier`."""
        flows = {}
        for name, (packets, size) in self.flows.items():
            before = earlier.flows.get(name, (0, 0))
            flows[name] = (packets - before[0], size - before[1])
        counts = self.counts.since(earlier.counts)
        return Side(counts, self.late - earlier.late, flows)

    def lateness(self, share: float) -> float:
        """Seconds that `share` (0 to 1) of the packets were late at most."""
        left = share * self.late.total()
        for bucket in sorted(self.late):
            left -= self.late[bucket]
            if left <= 0:
                return bucket * 1e-4
        return 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """Both directions at `at` (s, `classroom.clock.monotonic`)."""

    at: float
    down: Side
    up: Side

    def since(self, earlier: Report) -> Report:
        """What was added after `earlier`."""
        return Report(self.at, self.down.since(earlier.down), self.up.since(earlier.up))


class WeakLink:
    """A link that runs. `down` is towards the room; servers are 10.90.0.1 for every room."""

    def __init__(
        self, servers: Network, room: Network, process: asyncio.subprocess.Process
    ) -> None:
        self.servers = servers
        self.room = room
        self.pid = process.pid
        self._process = process
        self._turn = asyncio.Lock()

    async def follow(self, down: Sequence[Step], up: Sequence[Step]) -> float:
        """From now on do as these scripts say; the time from which they count."""
        return float((await self._ask("follow", down=_told(down), up=_told(up)))["at"])

    async def become(self, link: Link) -> float:
        """Be another link from now on; the time from which its scripts count."""
        told = {"down": asdict(link.down), "up": asdict(link.up)}
        return float((await self._ask("become", **told))["at"])

    async def report(self) -> Report:
        """What has passed so far."""
        told = await self._ask("report")
        return Report(told["at"], _side(told["down"]), _side(told["up"]))

    async def _ask(self, what: str, **more: Any) -> dict[str, Any]:
        async with self._turn, asyncio.timeout(_PATIENCE_S):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")
            return await _answer(self._process)


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the link's process ended; what it said is above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _told(script: Sequence[Step]) -> list[dict[str, float]]:
    return [asdict(step) for step in script]


def _side(told: dict[str, Any]) -> Side:
    late, flows = _counted(told.pop("late")), told.pop("flows")
    told["waits"] = _counted(told["waits"])
    return Side(Counts(**told), late, {name: (one[0], one[1]) for name, one in flows.items()})


def _counted(told: dict[str, int]) -> Counter[int]:
    return Counter({int(bucket): count for bucket, count in told.items()})


@asynccontextmanager
async def joined(link: Link, seed: int = 0) -> AsyncIterator[WeakLink]:
    """Two new networks and `link` between them."""
    async with network() as servers, network(beside=servers) as room:
        for end in (servers, room):
            await end.run(ip_program(), "link", "set", "lo", "up")
        async with weak_link(servers, room, link, seed) as running:
            # A server looks up its own address on its default route.
            await servers.run(ip_program(), "route", "add", "default", "dev", "weak0")
            yield running


@asynccontextmanager
async def weak_link(
    servers: Network,
    room: Network,
    link: Link,
    seed: int = 0,
    number: int = 0,
    near: str = SERVERS,
) -> AsyncIterator[WeakLink]:
    """Join `room`, which has no network yet, to `servers`; it becomes 10.90.`number`.2.

    near: what servers are called over this link.
    """
    device = f"weak{number}"
    told = {
        "device": device,
        "room": room.holder,
        "seed": seed,
        "down": asdict(link.down),
        "up": asdict(link.up),
    }
    process = await asyncio.create_subprocess_exec(
        *servers.enter,
        *(sys.executable, "-m", "tests.link_process", json.dumps(told)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 24,  # a report has a number for each flow and each millisecond of waiting
        start_new_session=True,  # a Ctrl-C is the command's
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _answer(process)
        # Servers answer from the address that they were asked at, which is the same for all.
        far = f"10.90.{number}.2"
        for end, own, other in ((servers, near, far), (room, far, near)):
            ip = ip_program()
            await end.run(ip, "address", "add", own, "peer", other, "dev", device)
            await end.run(ip, "link", "set", device, "up")
        await room.run(ip_program(), "route", "add", "default", "via", near)
        yield WeakLink(servers, room, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def this_machine() -> Network:
    """The network that this process is in."""
    return Network((), os.getpid())


def main() -> int:
    """Run a command behind a weak link; its exit code."""
    args = _parse()
    if args.list:
        for name, link in (PRESETS | SCENARIOS).items():
            print(f"{name:14} {link.words}")
        return 0
    try:
        return asyncio.run(_run(link_arguments.chosen(args), args))
    except (RuntimeError, ValueError) as error:
        print(f"tests.link: {error}", file=sys.stderr)
        return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.link",
        description="Run COMMAND behind a weak link. It reaches the other side as 10.90.0.1: this "
        "machine, or with --far a network of its own. At the end the link's counters are printed.",
        epilog="Example, as root: python -m tests.link --preset vsat --fall 30:15:0 -- "
        "chromium http://10.90.0.1:8440/",
    )
    link_arguments.add_arguments(parser)
    parser.add_argument("--far", metavar="COMMAND", help="run this on the other side, in sh")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what runs behind the link")
    args = parser.parse_args()
    if not args.command and not args.list:
        parser.error("name a COMMAND after --")
    return args


async def _run(link: Link, args: argparse.Namespace) -> int:
    # A Ctrl-C is the command's; it does not inherit this, as it would SIG_IGN.
    signal.signal(signal.SIGINT, lambda *_: None)
    if args.far is not None:
        async with joined(link, args.seed) as weak:
            far = await _start(weak.servers, ["sh", "-c", args.far])
            try:
                return await _beside(weak, args.command)
            finally:
                if far.returncode is None:
                    far.terminate()
                await far.wait()
    if os.geteuid() != 0:
        raise RuntimeError("only root can put this machine at the end of a link; or give --far")
    async with network() as room:
        await room.run(ip_program(), "link", "set", "lo", "up")
        async with weak_link(this_machine(), room, link, args.seed) as weak:
            return await _beside(weak, args.command)


async def _beside(weak: WeakLink, command: list[str]) -> int:
    print(f"The other side is {SERVERS}; running {shlex.join(command)}", file=sys.stderr)
    process = await _start(weak.room, command)
    code = await process.wait()
    report = await weak.report()
    for name, side in (("down", report.down), ("up", report.up)):
        counts = side.counts
        print(
            f"{name}: {counts.delivered} of {counts.sent} packets ({counts.delivered_bytes} bytes) "
            f"arrived; {counts.full} found the queue full, {counts.lost} were lost by the air, "
            f"{counts.cut} by outages; waited {1e3 * counts.wait(0.5):.0f} ms at the median, "
            f"{1e3 * counts.wait(0.95):.0f} at the 95th percentile; "
            f"handed on {1e3 * side.lateness(0.99):.1f} ms late at the 99th",
            file=sys.stderr,
        )
    return code


async def _start(where: Network, command: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*where.enter, *command)


if __name__ == "__main__":
    sys.exit(main())
