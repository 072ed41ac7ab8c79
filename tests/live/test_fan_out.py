"""Trains of datagrams on paths of the real kernel, such as do not take them too."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.live import networks

MTU = 1_000


async def _send(network: networks.Network, *sizes: int) -> Any:
    process = await asyncio.create_subprocess_exec(
        *network.enter,
        *(sys.executable, "-m", "tests.live.fan_out_process", *map(str, sizes)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(said)


async def test_packets_above_a_paths_mtu_arrive_and_trains_go_on() -> None:
    async with networks.island(MTU) as network:
        found = await _send(network, 500, MTU + 200, 600)
    assert found["received"] == {"500": [4, 4], "1200": [4, 4], "600": [4, 4]}
    counters = found["counters"]
    assert counters["apart"] == 2
    assert counters["failed"] == counters["dropped"] == 0
    # Trains to both in one call; refusals of two and their packets; again one call.
    assert counters["calls"] == 1 + 2 * (1 + 4) + 1
