"""`python -m tests.bench fanout`: what forwarding costs, against its floor, in one run.

A whole relay (both processes, recorder running) carries one lesson of 60 video packets/s of 1,000
bytes in bursts of four and 50 voice packets/s to N DTLS-SRTP viewers on loopback, first with
transport feedback, as a browser sends it, and once their links are known; then to as many that
come back to links that are remembered, and send none. The floor is sampled in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

import aiohttp

from classroom.clock import wall
from tests.bench.arrivals import Arrivals
from tests.bench.floor import Floor
from tests.bench.processes import (
    cpu_seconds,
    find,
    keep_apart,
    noisy_neighbours,
    resident_mib,
)
from tests.bench.stamped import StampedViewer
from tests.fakes.light_lesson import PACKETS_PER_FRAME, LightLesson
from tests.fakes.peer import LightPublisher
from tests.live.rig import Demo, start_demo

# Joining is another benchmark's business; here viewers come in groups that do not disturb.
_AT_ONCE: Final = 20
_SETTLE_SECONDS: Final = 2.0
# Every room begins with a thin voice; what is measured is a lesson that runs, not its beginning,
# and what was made for links that were not known yet goes on for half a minute.
_KNOWN_SECONDS: Final = 40.0
# Rooms that come back catch up with the cached pictures first, at the pace of their links.
_CAUGHT_UP_SECONDS: Final = 20.0
# The relay and its floor take turns of this length, so that both meet the same hour.
_TURN_SECONDS: Final = 1.0
# Between turns: what is under way arrives, and the lesson is in its rhythm again.
_BREATH_SECONDS: Final = 0.2
_EXTENSION_BYTES: Final = 8  # transport-wide number as one-byte extension, with its head
_SRTP_BYTES: Final = 12 + _EXTENSION_BYTES + 16
_VIDEO_BYTES: Final = 1_000 + _SRTP_BYTES
_VOICE_BYTES: Final = 60 + _SRTP_BYTES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fanout`."""
    parser.add_argument("--viewers", default="200", help="how many; several: 50,200,800")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument(
        "--busy", action="store_true", help="with neighbours that take the processors at times"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    results = [
        asyncio.run(measure(int(count), args.seconds, busy=args.busy))
        for count in args.viewers.split(",")
    ]
    if args.json:
        print(json.dumps(results[0] if len(results) == 1 else results))
        return 0
    for result in results:
        _print(result)
    return 0


async def measure(viewers: int, seconds: float, *, busy: bool = False) -> dict[str, Any]:
    """One relay, `viewers` viewers, both phases. busy: see `noisy_neighbours`."""
    shared = os.sched_getaffinity(0) if busy else set[int]()
    with tempfile.TemporaryDirectory() as folder:
        demo = await start_demo(Path(folder) / "data")
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                media = find(demo.processes(), "relay", "media")
                with keep_apart(media), noisy_neighbours(shared):
                    return await _measure(demo, http, viewers, seconds)
        finally:
            await demo.stop()


class StampedPublisher(LightPublisher):
    """Notes when each packet was sent."""

    def send(self, index: int, payload: bytes, timestamp: int, *, marker: bool) -> None:
        table = StampedViewer.send_times["voice" if index == 0 else "camera"]
        if timestamp not in table:
            table[timestamp] = []
            if len(table) > 2_000:
                del table[next(iter(table))]
        table[timestamp].append(wall())
        super().send(index, payload, timestamp, marker=marker)


async def _measure(
    demo: Demo, http: aiohttp.ClientSession, count: int, seconds: float
) -> dict[str, Any]:
    processes = demo.processes()
    media = find(processes, "relay", "media")
    relay = [media, find(processes, "relay", "service"), find(processes, "relay", "serve")]
    for table in StampedViewer.send_times.values():
        table.clear()
    publisher = StampedPublisher(http, demo.whip, demo.tokens["teacher"])
    await publisher.connect()
    lesson = LightLesson(publisher)
    publishing = asyncio.ensure_future(lesson.run(3_600))
    await asyncio.sleep(_SETTLE_SECONDS)
    base = resident_mib(media)
    arrivals = Arrivals()
    phases = {}
    try:
        viewers = await _join(demo, http, count, arrivals)
        await asyncio.sleep(_KNOWN_SECONDS)
        phases["with_feedback"] = await _phase(relay, lesson, viewers, arrivals, seconds)
        grown = resident_mib(media) - base
        missing = sum(viewer.missing() for viewer in viewers)
        await asyncio.gather(*(viewer.leave() for viewer in viewers))
        viewers = await _join(demo, http, count, arrivals, reports=False, feedback=False)
        await asyncio.sleep(_CAUGHT_UP_SECONDS)
        phases["without_feedback"] = await _phase(relay, lesson, viewers, arrivals, seconds)
        missing += sum(viewer.missing() for viewer in viewers)
        await asyncio.gather(*(viewer.leave() for viewer in viewers))
        return {
            "viewers": count,
            "seconds": seconds,
            "media_base_mib": base,
            "mib_per_viewer": grown / count,
            "lost": missing,
            **phases,
        }
    finally:
        publishing.cancel()
        await publisher.vanish()
        arrivals.close()


async def _join(
    demo: Demo, http: aiohttp.ClientSession, count: int, arrivals: Arrivals, **options: bool
) -> list[StampedViewer]:
    """options: LightViewer's."""
    token = demo.tokens["room"]
    viewers = [StampedViewer(arrivals, http, demo.whep, token, **options) for _ in range(count)]
    for first in range(0, count, _AT_ONCE):
        await asyncio.gather(*(one.connect() for one in viewers[first : first + _AT_ONCE]))
    return viewers


async def _phase(
    relay: list[int],
    lesson: LightLesson,
    viewers: list[StampedViewer],
    arrivals: Arrivals,
    seconds: float,
) -> dict[str, Any]:
    """`seconds` of the relay and as many of the floor, in turns."""
    del StampedViewer.delays[:]
    floor = Floor(len(viewers), arrivals)
    await floor.start(_VIDEO_BYTES, _VOICE_BYTES, PACKETS_PER_FRAME)
    os.sched_setaffinity(floor.pid, os.sched_getaffinity(relay[0]))
    missing = sum(viewer.missing() for viewer in viewers)
    forwarded, spent = 0, [0.0] * len(relay)
    for _ in range(max(1, round(seconds / _TURN_SECONDS))):
        StampedViewer.measuring = True
        packets = sum(viewer.received() for viewer in viewers)
        cpu = [cpu_seconds(pid) for pid in relay]
        await asyncio.sleep(_TURN_SECONDS)
        for index, pid in enumerate(relay):
            spent[index] += cpu_seconds(pid) - cpu[index]
        forwarded += sum(viewer.received() for viewer in viewers) - packets
        StampedViewer.measuring = False
        lesson.paused = True
        await asyncio.sleep(_BREATH_SECONDS)
        await floor.turn(_TURN_SECONDS)
        lesson.paused = False
        await asyncio.sleep(_BREATH_SECONDS)
    floor_us = floor.microseconds
    await floor.close()
    delays, floor_delays = sorted(StampedViewer.delays), sorted(floor.delays)
    return {
        "forwarded": forwarded,
        "lost": sum(viewer.missing() for viewer in viewers) - missing,
        "floor_us_per_packet": floor_us,
        "media_us_per_packet": 1e6 * spent[0] / forwarded,
        "relay_us_per_packet": 1e6 * sum(spent) / forwarded,
        "ratio": 1e6 * spent[0] / forwarded / floor_us,
        "delay_p50_ms": 1e3 * statistics.median(delays),
        "delay_p99_ms": 1e3 * delays[int(len(delays) * 0.99)],
        "floor_delay_p50_ms": 1e3 * statistics.median(floor_delays),
        "floor_delay_p99_ms": 1e3 * floor_delays[int(len(floor_delays) * 0.99)],
    }


def _print(result: dict[str, Any]) -> None:
    print(
        f"{result['viewers']} viewers: base {result['media_base_mib']:.0f} MiB, "
        f"{result['mib_per_viewer']:.3f} MiB per viewer, {result['lost']} packets lost"
    )
    for name in ("with_feedback", "without_feedback"):
        phase = result[name]
        figures = (
            f"floor {phase['floor_us_per_packet']:.2f} µs",
            f"media {phase['media_us_per_packet']:.2f} µs ({phase['ratio']:.2f} × floor)",
            f"relay {phase['relay_us_per_packet']:.2f} µs",
            f"delay p50 {phase['delay_p50_ms']:.2f} ms",
            f"p99 {phase['delay_p99_ms']:.2f} ms (floor {phase['floor_delay_p50_ms']:.2f} "
            f"and {phase['floor_delay_p99_ms']:.2f} ms)",
            f"lost {phase['lost']} of {phase['forwarded']}",
        )
        print(f"  {name.replace('_', ' ')}: {', '.join(figures)}")
