"""A visit second by second: what was put on the link, and what the room made of it. Pure.

Lives here: joining the link's reports with the rows of the room's page, and the lines printed for
who looks for a cause. Must not live here: figures of a whole visit (`weaklink_figures`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from tests.bench.weaklink_figures import Row, Window, by_kind, grown, rungs
from tests.link import Report

_KINDS: Final = ("voice", "video", "rtx", "fec", "padding", "tcp")


def timeline(
    rows: Sequence[Row],
    reports: Sequence[Report],
    known: dict[int, str],
    opened: float,
    clock: float,
) -> list[dict[str, Any]]:
    """One entry for each pair of reports.

    known: as `weaklink_figures.kinds` gives it. opened: page time. clock: what to add to the clock
    of the reports for page time.
    """
    found = []
    told = rungs(rows, opened)
    for before, after in pairwise(reports):
        window = Window(before.at + clock, after.at + clock)
        inside = window.of(rows)
        down = after.since(before).down
        rate = 8e-3 / window.seconds
        kinds = by_kind(down.flows, known)
        at = window.end - opened
        found.append(
            {
                "s": round(at, 1),
                "sent_kbit_s": down.counts.sent_bytes * rate,
                "queue_ms": 1e3 * down.counts.wait(0.95),
                "full": down.counts.full,
                "lost": down.counts.lost,
                "arrived_kbit_s": {kind: kinds.get(kind, 0) * rate for kind in _KINDS},
                "concealed_ms": grown(inside, "voice", "concealedSamples") / 48.0,
                "pictures": grown(inside, "camera", "framesDecoded"),
                "rung": next((name for since, name in reversed(told) if since <= at), ""),
            }
        )
    return found


def lines(found: Mapping[str, Any]) -> str:
    """The steps of joining, and a line for each second, of one visit's figures."""
    steps = (
        f"{name} {'never' if at is None else f'{at:.2f}'}"
        for name, at in found["join_steps"].items()
    )
    head = "    s  kbit/s  queue  full  lost  concealed  pictures  " + "  ".join(
        f"{kind:>5.5}" for kind in _KINDS
    )
    return "\n".join([", ".join(steps), f"{head}  rung", *map(_line, found["timeline"])])


def _line(entry: Mapping[str, Any]) -> str:
    arrived = "  ".join(f"{entry['arrived_kbit_s'][kind]:5.0f}" for kind in _KINDS)
    return (
        f"{entry['s']:5.1f}  {entry['sent_kbit_s']:6.0f}  {entry['queue_ms']:5.0f}  "
        f"{entry['full']:4}  {entry['lost']:4}  {entry['concealed_ms']:9.0f}  "
        f"{entry['pictures']:8.0f}  {arrived}  {entry['rung']}"
    )
