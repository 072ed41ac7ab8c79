"""`python -m tests.bench weaklink`: what a room has of a lesson over weak links, in real browsers.

A Chromium teaches at 720p (three layers, speech), another is the room, behind an emulated link (see
`tests.link`) and once, for comparison, behind one without limits. Figures are the room's own
statistics from 10 s after its first voice packet on, medians of several rooms, each with another
seed; a queue that counts packets and one that counts bytes, and the worse of the two. What each
figure means stands in `weaklink_figures`. Needs the right to make network namespaces, and two
processors with little else to do: a visit in which the teacher's browser or the whole machine came
to a stand is made again; how many pictures the teacher's browser made a second, and what each
process took, is printed. All links with three runs and both queues take about an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.bench import weaklink_figures as figures
from tests.bench import weaklink_times as times
from tests.bench.weaklink_rig import open_classroom
from tests.bench.weaklink_table import markdown, medians, worse
from tests.bench.weaklink_timeline import lines, timeline
from tests.bench.weaklink_visit import SETTLED_S, Visit
from tests.link_presets import NO_LIMIT, QUEUES, SCENARIOS, Link

_KINDS: Final = ("voice", "video", "rtx", "fec", "padding", "rtcp", "tcp")
_LEAST_TEACHER_FPS: Final = 12.0
_MOST_LATE_MS: Final = 20.0
_MOST_TRIES: Final = 3  # of a visit that the machine disturbs
_WAITING: Final = "waiting"  # the scenario whose teacher begins when the room is there
# Their point is another moment.
_SHORT: Final = ("join", "waiting", "outage-15", "outage-60", "outage-600")
_LONG: Final = ("outage-600",)  # ten minutes a visit: by name alone
_SHORT_SECONDS: Final = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `weaklink`."""
    parser.add_argument(
        "--scenario",
        action="append",
        choices=SCENARIOS,
        help="a link by name; may be repeated; default: all that take no ten minutes each",
    )
    parser.add_argument("--runs", type=int, default=3, help="rooms; figures are medians over them")
    parser.add_argument("--queue", choices=[*QUEUES, "both"], default="both")
    parser.add_argument("--seconds", type=float, default=30.0, help="of lesson that count")
    parser.add_argument("--no-reference", action="store_true", help="leave the unlimited link out")
    parser.add_argument("--timeline", action="store_true", help="print each second of each visit")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    queues = QUEUES if args.queue == "both" else (args.queue,)
    names = args.scenario or [name for name in SCENARIOS if name not in _LONG]
    try:
        result = asyncio.run(measure(names, queues, Extent.of(args), not args.no_reference))
    except RuntimeError as error:
        print(f"weaklink: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result) if args.json else markdown(result))
    return 0


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured. seconds: of each visit; timeline: whether to print each second."""

    runs: int
    seconds: float
    timeline: bool

    @classmethod
    def of(cls, args: argparse.Namespace) -> Extent:
        """As the command line says."""
        return cls(args.runs, args.seconds, args.timeline)


async def measure(
    names: list[str], queues: tuple[str, ...], extent: Extent, reference: bool
) -> dict[str, Any]:
    """{"unlimited": figures, "scenarios": {name: {"words", "queues": {queue: figures}, "worse"}}}.

    A scenario's figures per queue hold its runs too, under "runs".
    """
    result: dict[str, Any] = {
        "runs": extent.runs,
        "seconds": extent.seconds,
        "processors": os.cpu_count(),
        "unlimited": {},
        "scenarios": {},
    }
    if reference:
        result["unlimited"] = await _several("unlimited", NO_LIMIT, extent)
    for name in names:
        scenario = SCENARIOS[name]
        of_queues = {
            queue: await _several(
                f"{name}, {queue}",
                scenario.queued(queue),
                replace(extent, seconds=_SHORT_SECONDS) if name in _SHORT else extent,
                waits=name == _WAITING,
            )
            for queue in queues
        }
        result["scenarios"][name] = {
            "words": scenario.words,
            "queues": of_queues,
            "worse": worse(list(of_queues.values())),
        }
    return result


async def _several(name: str, link: Link, extent: Extent, waits: bool = False) -> dict[str, Any]:
    """Medians of several rooms over one link, in a lesson of their own."""
    found: list[dict[str, Any]] = []
    tries = [1] * extent.runs
    # A teacher begins but once, so each room that waits has a lesson of its own.
    lessons = [[number] for number in range(extent.runs)] if waits else [list(range(extent.runs))]
    while lessons:
        with tempfile.TemporaryDirectory() as folder:
            async with open_classroom(Path(folder), begin=not waits) as classroom:
                again = []
                for number in lessons.pop(0):
                    visit = await classroom.visit(link, number, extent.seconds, waits)
                    one = of_visit(visit, link)
                    print(f"{name}: {_line(one)}", file=sys.stderr, flush=True)
                    if extent.timeline:
                        print(lines(one), file=sys.stderr, flush=True)
                    if disturbed(one) and tries[number] < _MOST_TRIES:
                        tries[number] += 1
                        again.append(number)
                    else:
                        found.append(one)
                if again:
                    lessons.append(again)
    without = [{key: one[key] for key in one if key != "timeline"} for one in found]
    return medians(without) | {"runs": found}


def of_visit(visit: Visit, link: Link) -> dict[str, Any]:
    """All figures of one visit."""
    window = figures.Window(visit.start, visit.end)
    rows = visit.rows
    found: dict[str, Any] = {
        **({} if visit.clicked else times.joined(rows, visit.opened)),
        **figures.voice(rows, window),
        **figures.picture(rows, window),
        "height_15s": figures.height_within(rows, (visit.joined or visit.opened) + 15.0),
        "join_steps": times.join_steps(rows, visit.opened, visit.steps),
        "rungs": figures.rungs(rows, visit.opened),
        "rung_shares": figures.rung_shares(rows, window),
        "sessions": visit.posts,
        "settled_after_s": SETTLED_S,
        "cpu": visit.cpu,
        "teacher_fps": visit.teacher_fps,
    }
    if visit.link is not None and visit.whole is not None:
        down, up = visit.link.down, visit.link.up
        rate = 8e-3 / window.seconds
        kinds = figures.by_kind(down.flows, figures.kinds(visit.sdp))
        found |= {
            "queue_p50_ms": 1e3 * down.counts.wait(0.5),
            "queue_p95_ms": 1e3 * down.counts.wait(0.95),
            "link_kbit_s": down.counts.delivered_bytes * rate,
            "sent_kbit_s": down.counts.sent_bytes * rate,
            "up_kbit_s": up.counts.delivered_bytes * rate,
            "queue_lost_pct": 100.0 * down.counts.full / max(1, down.counts.sent),
            "air_lost_pct": 100.0 * down.counts.lost / max(1, down.counts.sent),
            "link_late_p99_ms": 1e3 * down.lateness(0.99),
            "whole_queue_p95_ms": 1e3 * visit.whole.down.counts.wait(0.95),
            **{f"{kind}_kbit_s": kinds.get(kind, 0) * rate for kind in _KINDS},
        }
    found["timeline"] = timeline(
        rows, visit.reports, figures.kinds(visit.sdp), visit.opened, visit.clock
    )
    if visit.clicked is not None:
        found |= {
            f"{name}_{when}_s": None if at is None or since is None else at - since
            for name, at in times.first_media(rows).items()
            for when, since in (("after_click", visit.clicked), ("after_sent", visit.sent))
        }
    if visit.away is not None and visit.returned is not None:
        if all(step.rate for step in link.down.script):
            found["back_up_s"] = times.back_up(rows, visit.away, visit.returned)
        else:
            found |= times.resumed(rows, visit.away, visit.returned)
        found["script"] = [(step.at, step.rate) for step in link.down.script]
    return found


def disturbed(found: Mapping[str, Any]) -> str | None:
    """Why a visit says more of this machine than of the link, or None.

    The link's process goes before all others, so where it is late the whole machine stood still, as
    a virtual one does whose host has other things to do.
    """
    if min(found["teacher_fps"].values(), default=0.0) < _LEAST_TEACHER_FPS:
        return "the teacher's browser starved"
    if found.get("link_late_p99_ms", 0.0) > _MOST_LATE_MS:
        return "the machine stood still"
    return None


def _line(found: dict[str, Any]) -> str:
    """One run in a line, for who waits."""
    frames = found["teacher_fps"]
    moving = found["moving_fps"]
    parts = [
        f"voice concealed {found['concealed_pct']:.2f} %",
        f"{found['fps']:.1f} pictures/s of {min(frames.values(), default=0.0):.1f}",
        "stills" if moving is None else f"{moving:.1f} while they move",
        f"{found['height']:.0f} lines",
        f"{found.get('link_kbit_s', 0.0):.0f} kbit/s",
        f"queue {found.get('queue_p95_ms', 0.0):.0f} ms",
        "processor " + ", ".join(f"{name} {share:.0%}" for name, share in found["cpu"].items()),
    ]
    reason = disturbed(found)
    return "; ".join([*parts, f"DISTURBED: {reason}"] if reason else parts)
