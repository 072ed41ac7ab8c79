"""A parent relay and a school's relay, as their real processes, at both ends of a weak link.

Here: starting and stopping both, lessons on the parent's disk, what the school's metrics and disk
say. Not here: what is measured (`archive_sync`). Needs the right to make network namespaces.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time

from classroom.clock import monotonic
from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Role, Signer, generate_key
from classroom.wire import LessonInfo, LessonState, Recording, RelayLessons, encode
from tests.fakes.archives import make
from tests.link import WeakLink
from tests.live.networks import SERVERS, Network

_PORT = 8471
PARENT = f"http://{SERVERS}:{_PORT}"
# What a 45-minute lesson of 8 s beats takes at voice 32, small picture 100 and large 600 kbit/s.
SEGMENTS: Mapping[str, int] = {"voice": 32_000, "camera-q": 100_000, "camera-f": 600_000}
_PATIENCE_S = 20.0
_CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"


@dataclass(slots=True)
class Running:
    """One relay. data: its directory. log: what it said."""

    data: Path
    log: Path
    process: asyncio.subprocess.Process

    def settled(self, lesson: str) -> bool:
        """Whether a school has the lesson as the root has it, by its own log."""
        text = self.log.read_text(errors="replace")
        return any(
            "sync-lesson-whole" in line and f'"{lesson}"' in line for line in text.splitlines()
        )

    def held(self, lesson: str) -> int:
        """Bytes of segments and the like that are on its disk."""
        root = self.data / "archives" / lesson
        return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    async def stop(self) -> None:
        """End it."""
        self.process.terminate()
        await self.process.wait()


class Rig:
    """Both ends, to be started one by one. folder: for their directories."""

    def __init__(self, weak: WeakLink, folder: Path) -> None:
        self._weak = weak
        self._folder = folder
        self._signer = Signer(generate_key())

    def lesson(
        self,
        where: str,
        lesson: str,
        *,
        beats: int,
        spoilt: Mapping[str, Collection[int]] | None = None,
        lost: Mapping[str, Collection[int]] | None = None,
        sizes: Mapping[str, int] = SEGMENTS,
        title: str = "",
    ) -> None:
        """Put a lesson on the disk of "parent" or "school"; the school's own recording of it has
        lost and spoilt segments, and is of another run."""
        made = make(
            lesson,
            beats=beats,
            sizes=sizes,
            spoilt=spoilt,
            lost=lost,
            feed="a1b2" if where == "parent" else "c3d4",
        )
        root = made.write(self._folder / where / "data" / "archives")
        if title:
            (root / "about.json").write_text(json.dumps({"title": title}))

    def archive(self, where: str, lesson: str) -> dict[str, bytes]:
        """The lesson's files on a disk, but for the words beside it."""
        root = self._folder / where / "data" / "archives" / lesson
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "about.json"
        }

    async def use(self, congestion: str) -> str:
        """Let both ends use this TCP congestion control, if this machine lets them; the one in use.
        "cubic" is what nearly every Linux has."""
        for network in (self._weak.servers, self._weak.room):
            with contextlib.suppress(RuntimeError):
                await network.run("sh", "-c", f"echo {congestion} > {_CONGESTION}")
        process = await asyncio.create_subprocess_exec(
            *self._weak.servers.enter, "cat", _CONGESTION, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return said.decode().strip()

    def knows_live(self, where: str, lesson: str) -> None:
        """A relay knows a lesson that runs."""
        info = LessonInfo(
            lesson, lesson, "Ms Lan", LessonState.LIVE, False, (), 0, Recording(), None
        )
        data = self._folder / where / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "lessons.msgpack").write_bytes(encode(RelayLessons((info,))))

    def room_token(self, lesson: str) -> str:
        """A room's token for a lesson."""
        now = int(time())
        rights = frozenset(DEFAULT_RIGHTS[Role.ROOM])
        claims = Claims("5a", "5A", Role.ROOM, lesson, rights, now - 60, now + 86_400, "5a")
        return self._signer.sign(claims)

    @contextlib.asynccontextmanager
    async def parent(self) -> AsyncIterator[Running]:
        """The parent relay, ready."""
        async with self._relay("parent", self._weak.servers, ()) as relay:
            yield relay

    @contextlib.asynccontextmanager
    async def school(self) -> AsyncIterator[Running]:
        """The school's relay, ready."""
        async with self._relay("school", self._weak.room, (f'parents = ["{PARENT}"]',)) as relay:
            yield relay

    @contextlib.asynccontextmanager
    async def _relay(
        self, name: str, network: Network, more: tuple[str, ...]
    ) -> AsyncIterator[Running]:
        folder = self._folder / name
        data = folder / "data"
        (data / "archives").mkdir(parents=True, exist_ok=True)
        (data / "keys.json").write_text(json.dumps(self._signer.jwks()))
        now = int(time())
        rights = frozenset(DEFAULT_RIGHTS[Role.RELAY])
        claims = Claims(name, name, Role.RELAY, ANY_LESSON, rights, now - 60, now + 86_400, name)
        lines = [
            *('host = "0.0.0.0"', f"port = {_PORT}", f'name = "{name}"', f'data = "{data}"'),
            *('central = "http://127.0.0.1:9"', f'token = "{self._signer.sign(claims)}"', *more),
            *("[media]", "udp_port = 8472", "tcp_port = -1"),
            *("[cache]", "free_floor_gb = 0.1", "[replay]", "mdns = false", "copies = false"),
        ]
        (folder / "relay.toml").write_text("\n".join(lines))
        with (folder / "relay.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *network.enter,
                *(sys.executable, "-m", "relay", "serve", "--json"),
                *("--config", str(folder / "relay.toml")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(os.environ),
                start_new_session=True,
            )
        running = Running(data, folder / "relay.log", process)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_PATIENCE_S):
                if not await process.stdout.readline():
                    raise RuntimeError(running.log.read_text(errors="replace"))
            yield running
        finally:
            if process.returncode is None:
                await running.stop()


async def until_settled(school: Running, lesson: str, patience: float) -> float:
    """Seconds until the school has the whole lesson; raises TimeoutError after `patience`."""
    began = monotonic()
    while monotonic() - began < patience:
        if school.settled(lesson):
            return monotonic() - began
        await asyncio.sleep(0.1)
    raise TimeoutError(school.log.read_text(errors="replace")[-2000:])


@contextlib.asynccontextmanager
async def hold_room(network: Network, token: str, lesson: str) -> AsyncIterator[None]:
    """A room on the school's LAN watches a lesson through the school's relay."""
    process = await asyncio.create_subprocess_exec(
        *network.enter,
        *(sys.executable, "-m", "tests.bench.archive_sync_room"),
        *(f"http://127.0.0.1:{_PORT}/whep/{lesson}", token),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            if await process.stdout.readline() != b"ready\n":
                raise RuntimeError("the room could not watch")
        yield
    finally:
        await process.communicate(b"")


async def get(network: Network, path: str, token: str) -> str:
    """What the relay of a network answers there."""
    program = (
        "import sys, urllib.request as r; "
        "q = r.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + sys.argv[2]}); "
        "sys.stdout.buffer.write(r.urlopen(q).read())"
    )
    process = await asyncio.create_subprocess_exec(
        *(*network.enter, sys.executable, "-c", program),
        *(f"http://127.0.0.1:{_PORT}{path}", token),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said.decode()
