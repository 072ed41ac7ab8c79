"""`python -m tests.bench join`: how long a viewer waits for a picture, and a crowd that comes back.

First viewers join a running lesson one by one: from the POST of the offer to the last packet of
the first keyframe. Then 200 viewers vanish and come back within one second, while others stay.
The publisher answers keyframe requests as a browser does; how many it was asked is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

import aiohttp

from classroom.clock import monotonic
from relay.media import h264, rtp
from tests.bench.arrivals import Arrivals
from tests.bench.stamped import StampedViewer
from tests.fakes.light_lesson import LightLesson
from tests.fakes.light_sdp import H264, OPUS, Media
from tests.fakes.peer import LightPublisher, LightViewer
from tests.live.rig import Demo, start_demo

# Joins begin at odd moments between two keyframes of the lesson, which are 4 s apart.
_PAUSE_SECONDS: Final = 0.37
_GIVE_UP_SECONDS: Final = 20.0


class DecodingViewer(LightViewer):
    """Knows when its first keyframe is complete."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        super().__init__(http, url, token, on_packet=self._decrypted)
        self.decodable = asyncio.Event()
        self._key_timestamp: int | None = None

    def sections(self) -> list[Media]:
        codecs = {"audio": (OPUS,), "video": (H264,)}
        return [Media(kind, "recvonly", codecs[kind]) for kind in self._kinds]

    def _decrypted(self, packet: bytes, now: float) -> None:
        if self.decodable.is_set():
            return
        header = rtp.parse(packet)
        if header.payload_type != H264:
            return
        start, end = header.payload_offset, header.payload_end
        if start < end and h264.parse(packet, start, end, header.marker).keyframe:
            self._key_timestamp = header.timestamp
        if header.marker and header.timestamp == self._key_timestamp:
            self.times["decodable"] = now
            self.decodable.set()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `join`."""
    parser.add_argument("--joins", type=int, default=30, help="viewers that join one by one")
    parser.add_argument("--crowd", type=int, default=200, help="viewers that come back at once")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    result = asyncio.run(measure(args.joins, args.crowd))
    if args.json:
        print(json.dumps(result))
        return 0
    print(
        f"join: median {result['join_median_ms']:.0f} ms, worst {result['join_worst_ms']:.0f} ms, "
        f"keyframes asked of the publisher: {result['join_keyframes_asked']}"
    )
    print(
        f"{result['crowd']} viewers back within 1 s: all watching after "
        f"{result['crowd_watching_s']:.2f} s; those that stayed lost "
        f"{result['stayed_lost']} of {result['stayed_packets']} packets"
    )
    return 0


async def measure(joins: int, crowd: int) -> dict[str, Any]:
    """Both parts on one relay."""
    with tempfile.TemporaryDirectory() as folder:
        demo = await start_demo(Path(folder) / "data")
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                publisher = LightPublisher(http, demo.whip, demo.tokens["teacher"])
                await publisher.connect()
                publishing = asyncio.ensure_future(LightLesson(publisher).run(3_600))
                try:
                    await asyncio.sleep(5.0)
                    result = await _joins(demo, http, publisher, joins)
                    return result | await _crowd(demo, http, crowd)
                finally:
                    publishing.cancel()
                    await publisher.vanish()
        finally:
            await demo.stop()


async def _joins(
    demo: Demo, http: aiohttp.ClientSession, publisher: LightPublisher, count: int
) -> dict[str, Any]:
    asked = publisher.keyframe_requests
    waited: list[float] = []
    for _ in range(count):
        viewer = DecodingViewer(http, demo.whep, demo.tokens["room"])
        await viewer.connect()
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await viewer.decodable.wait()
        waited.append(viewer.times["decodable"] - viewer.times["post"])
        await viewer.leave()
        await asyncio.sleep(_PAUSE_SECONDS)
    return {
        "joins": count,
        "join_median_ms": 1e3 * statistics.median(waited),
        "join_worst_ms": 1e3 * max(waited),
        "join_keyframes_asked": publisher.keyframe_requests - asked,
    }


async def _crowd(demo: Demo, http: aiohttp.ClientSession, count: int) -> dict[str, Any]:
    token = demo.tokens["room"]
    arrivals = Arrivals()
    stayed = [StampedViewer(arrivals, http, demo.whep, token) for _ in range(20)]
    leaving = [DecodingViewer(http, demo.whep, token) for _ in range(count)]
    for first in range(0, count, 20):
        await asyncio.gather(*(one.connect() for one in leaving[first : first + 20]))
    await asyncio.gather(*(one.connect() for one in stayed))
    await asyncio.sleep(2.0)
    before = sum(one.received() for one in stayed)
    missing = sum(one.missing() for one in stayed)
    await asyncio.gather(*(one.vanish() for one in leaving))
    back = [DecodingViewer(http, demo.whep, token) for _ in range(count)]
    began = monotonic()

    async def come_back(viewer: DecodingViewer, after: float) -> None:
        await asyncio.sleep(after)
        await viewer.connect()
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await viewer.decodable.wait()

    async with asyncio.TaskGroup() as tasks:
        for index, viewer in enumerate(back):
            tasks.create_task(come_back(viewer, index / count))
    watching = max(viewer.times["decodable"] for viewer in back) - began
    await asyncio.sleep(1.0)
    result = {
        "crowd": count,
        "crowd_watching_s": watching,
        "stayed_lost": sum(one.missing() for one in stayed) - missing,
        "stayed_packets": sum(one.received() for one in stayed) - before,
    }
    await asyncio.gather(*(one.vanish() for one in [*stayed, *back]))
    arrivals.close()
    return result
