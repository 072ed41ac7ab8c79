"""A relay as it runs in a school, for benchmarks: real processes, a data directory made before.

Here: its start and end, tokens signed with a key of its own, its processes by name and what they
take of memory and processor. Not here: figures (`archive_*.py`), archives (`many_lessons`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Final

import aiohttp

from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Role, Signer, generate_key
from classroom.wire import LessonInfo, LessonState, Recording, RelayLessons, encode
from tests.bench.processes import cpu_seconds, find
from tests.live.rig import READY_S, RUN_VARIABLE, STOP_S, marked_processes

_KEY: Final = Signer(generate_key())
LESSON: Final = "running"
"""A lesson that may be taught there."""
NAMES: Final = ("serve", "media", "service")


@dataclass(slots=True)
class SchoolRelay:
    """A running relay; pids: its processes by the name of their command ("serve" is the node)."""

    url: str
    pids: dict[str, int]
    ready_seconds: float
    _process: asyncio.subprocess.Process
    _run: str

    def token(self, role: Role = Role.VIEWER, lesson: str = ANY_LESSON) -> str:
        """A token as the control plane would sign it."""
        now = int(time())
        rights = frozenset(DEFAULT_RIGHTS[role])
        return _KEY.sign(
            Claims("bench", "Bench", role, lesson, rights, now - 60, now + 7_200, uuid.uuid4().hex)
        )

    def memory_mib(self, *names: str) -> float:
        """Proportional set size (smaps_rollup): each page shared by processes counts once."""
        return sum(pss_mib(self.pids[name]) for name in names or NAMES)

    def cpu(self, *names: str) -> float:
        """Processor seconds so far."""
        return sum(cpu_seconds(self.pids[name]) for name in names or NAMES)

    def all_pids(self) -> list[int]:
        """The relay's processes with the workers that it started."""
        return list(marked_processes(self._run))

    def workers(self) -> list[int]:
        """Processes that encode or decode beside the service."""
        return [pid for pid in self.all_pids() if pid not in self.pids.values()]

    def client(self) -> aiohttp.ClientSession:
        """To ask it over HTTP with; for `async with`."""
        return aiohttp.ClientSession()

    def kill(self) -> None:
        """kill -9 all of it, as a power cut would."""
        for pid in self.all_pids():
            os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        async with asyncio.timeout(STOP_S):
            await self._process.wait()


def pss_mib(pid: int) -> float:
    """Proportional set size of a process in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _prepare(data: Path, lines: Collection[str]) -> Path:
    """The keys of its control plane and its list of lessons, as kept, and its settings."""
    data.mkdir(parents=True, exist_ok=True)
    live = LessonInfo(LESSON, LESSON, "", LessonState.LIVE, False, (), 0, Recording(), None)
    (data / "lessons.msgpack").write_bytes(encode(RelayLessons((live,))))
    (data / "keys.json").write_text(json.dumps(_KEY.jwks()))
    config = data.parent / f"{data.name}.toml"
    settings = ['host = "127.0.0.1"', "port = 0", f'data = "{data}"']
    settings += [*lines, "[media]", 'udp_host = "127.0.0.1"', "udp_port = 0"]
    settings.append("start_bitrate = 600000.0")
    config.write_text("\n".join(settings))
    return config


@contextlib.asynccontextmanager
async def school_relay(
    data: Path, *, lines: Collection[str] = (), cores: Collection[int] | None = None
) -> AsyncIterator[SchoolRelay]:
    """Start a relay on `data`. lines: more of its settings. cores: the processors it may use."""
    config = _prepare(data, lines)
    run = uuid.uuid4().hex
    before, began = os.sched_getaffinity(0), time()
    with (data.parent / f"{data.name}.log").open("ab") as errors:
        if cores is not None:
            os.sched_setaffinity(0, cores)  # inherited by all that it starts
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "relay", "serve", "--json", "--config", str(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=os.environ | {RUN_VARIABLE: run},
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, before)
    assert process.stdout is not None
    async with asyncio.timeout(READY_S):
        ready = json.loads(await process.stdout.readline())
    lines_of = marked_processes(run)
    pids = {name: find(lines_of, "relay", name) for name in NAMES}
    relay = SchoolRelay(ready["relay"], pids, time() - began, process, run)
    try:
        yield relay
    finally:
        await relay.stop()
