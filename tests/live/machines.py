"""The machines of a central school and its satellite schools, as processes that can be killed.

Lives here: starting `classroom-relay serve` as a technician does, power cuts, and asking what
answers. Must not live here: what is expected of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.live import central
from tests.live.rig import READY_S, RUN_VARIABLE, STOP_S, marked_processes


@contextlib.asynccontextmanager
async def started(folder: Path, *words: str) -> AsyncIterator[tuple[str, str]]:
    """`classroom-relay serve …`: its address, and the mark of its processes.

    folder: the machine's disk, which outlives a power cut.
    """
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    run = uuid.uuid4().hex
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "serve", "--json", "--host", "127.0.0.1"),
            *("--port", "0", "--udp-port", "0", "--data", str(folder / "data"), *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=os.environ | {RUN_VARIABLE: run},
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        assert line, (folder / "log").read_text()
        yield json.loads(line)["relay"], run
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_S):
            await process.wait()
        kill(run)


def kill(run: str) -> None:
    """A power cut for all processes of one machine."""
    for pid in marked_processes(run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def asked(http: aiohttp.ClientSession, url: str, token: str, **options: Any) -> Any:
    """The JSON that is answered; `options` are those of a POST."""
    headers = {"Authorization": f"Bearer {token}"}
    method = "POST" if options else "GET"
    async with http.request(method, url, headers=headers, **options) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def known(http: aiohttp.ClientSession, url: str, teacher: str) -> list[dict[str, str]]:
    """The relays below the root relay, once there are any."""
    async with asyncio.timeout(15):
        while True:
            found = await asked(http, f"{url}/api/relays", teacher)
            if found["below"]:
                below: list[dict[str, str]] = found["below"]
                return below
            await asyncio.sleep(0.05)


async def end(control: central.Process) -> None:
    """Stop the control plane, if nobody killed it."""
    if control.process.returncode is None:
        await control.end(signal.SIGTERM)
