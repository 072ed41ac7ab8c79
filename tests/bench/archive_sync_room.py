"""A room that watches a lesson until its standard input ends, in the network of the school.

`python -m tests.bench.archive_sync_room URL TOKEN` says "ready" when its session stands. Here: that
process. Not here: who starts it (`archive_sync_rig`).
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp

from tests.fakes.peer import LightViewer


async def main(url: str, token: str) -> None:
    async with aiohttp.ClientSession() as http:
        viewer = LightViewer(http, url, token)
        await viewer.connect()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await viewer.leave()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
