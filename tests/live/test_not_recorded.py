"""A relay whose recorder hears nothing says so to the pages, and takes it back by itself.

Here: the whole system, with the way between its two processes taken away while the service process
comes back. Failing disks are in `test_recorder_disk`.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from relay.ipc import FEED_SOCKET
from tests.live.rig import Demo, start_demo


def run_directory(demo: Demo) -> Path:
    """Where the processes of the demo's relay meet, as the command line of one says."""
    for line in demo.processes().values():
        words = line.split(" ")
        if "--run-directory" in words:
            return Path(words[words.index("--run-directory") + 1])
    raise AssertionError("no process of the relay is there")


async def recording(demo: Demo, http: aiohttp.ClientSession) -> dict[str, object]:
    """The recording of the demo's lesson, as its relay tells it now; empty while it is away."""
    headers = {"Authorization": f"Bearer {demo.tokens['teacher']}"}
    with contextlib.suppress(aiohttp.ClientError):
        async with http.get(f"{demo.relay}/api/lessons", headers=headers) as answer:
            if answer.status == 200:
                for lesson in (await answer.json())["lessons"]:
                    if lesson["id"] == demo.lesson:
                        found: dict[str, object] = lesson["recording"]
                        return found
    return {}


async def until(demo: Demo, http: aiohttp.ClientSession, state: str, detail: str) -> None:
    seen: dict[str, object] = {}
    try:
        async with asyncio.timeout(30):
            while (seen.get("state"), seen.get("detail")) != (state, detail):
                await asyncio.sleep(0.2)
                seen = await recording(demo, http)
    except TimeoutError:
        raise AssertionError(f"the recording never came to {state}; it is {seen}") from None


async def test_a_lesson_that_does_not_reach_the_recorder_is_told(tmp_path: Path) -> None:
    demo = await start_demo(tmp_path / "data", host=True)
    try:
        async with aiohttp.ClientSession() as http:
            await until(demo, http, "recording", "")
            way = run_directory(demo) / FEED_SOCKET
            away = way.with_suffix(".away")
            way.rename(away)
            demo.kill("-m relay service")
            await until(demo, http, "failing", "not-recorded")
            away.rename(way)
            await until(demo, http, "recording", "")
    finally:
        await demo.stop()
