"""Medians of what runs of a scenario gave, the worse of two queues, and a table in Markdown. Pure.

Lives here: which figure is worse when it is larger, and how figures are written. Must not live
here: measuring (`weaklink_rig`) and definitions (`weaklink_figures`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

Figures = Mapping[str, Any]

# The figures of which a smaller one is worse.
MORE_IS_BETTER: Final = ("fps", "moving_fps", "height", "height_15s", "same_session")
# The figures that are compared between queues; all others come from the queue with the worse voice.
JUDGED: Final = (
    "concealed_pct",
    "concealed_audible_pct",
    "voice_gap_s",
    "fps",
    "moving_fps",
    "height",
    "height_15s",
    "freeze_pct",
    "picture_gap_s",
    "join_voice_s",
    "join_picture_s",
    "join_moving_s",
    "queue_p95_ms",
    "sent_kbit_s",
    "still_age_s",
    "voice_back_s",
    "voice_steady_s",
    "picture_back_s",
    "back_up_s",
    "same_session",
    "voice_after_click_s",
    "picture_after_click_s",
    "moving_after_click_s",
    "voice_after_sent_s",
    "picture_after_sent_s",
    "moving_after_sent_s",
)
# None says of these that there was nothing to judge; of all others, that it never happened.
MAY_BE_ABSENT: Final = ("moving_fps", "freeze_pct", "still_age_s")
# Left empty, and printed all the same: it is measured by another command.
ELSEWHERE: Final = {"rooms-200": "200 rooms, half of them poor, for 10 minutes (virtual time)"}


def medians(runs: Sequence[Figures]) -> dict[str, Any]:
    """Of each figure the median, with "never" (None) behind every number; words of the last run."""
    found: dict[str, Any] = {}
    for name in {name: None for run in runs for name in run}:
        values = [run.get(name) for run in runs]
        if name in MAY_BE_ABSENT:
            values = [value for value in values if value is not None] or [None]
        numbers = [
            math.inf if value is None else float(value)
            for value in values
            if value is None or isinstance(value, int | float)
        ]
        if len(numbers) < len(values):
            found[name] = values[-1]
            continue
        if name in MORE_IS_BETTER:
            numbers = [-1.0 if math.isinf(number) else number for number in numbers]
        middle = statistics.median(numbers)
        found[name] = None if math.isinf(middle) or middle < 0 else middle
    return found


def worse(queues: Sequence[Figures]) -> dict[str, Any]:
    """The worse of each figure that is judged; the rest as in the queue with the worse voice."""
    if not queues:
        return {}

    def badness(figures: Figures, name: str) -> float:
        value = figures.get(name)
        if value is None:
            return -math.inf if name in MAY_BE_ABSENT else math.inf
        return -float(value) if name in MORE_IS_BETTER else float(value)

    worst = max(queues, key=lambda figures: badness(figures, "concealed_pct"))
    found = dict(worst)
    for name in JUDGED:
        if any(name in figures for figures in queues):
            found[name] = max(queues, key=lambda figures: badness(figures, name)).get(name)
    return found


def markdown(result: Mapping[str, Any]) -> str:
    """The lesson over each link, how it came back, and how it began for a room that waited."""
    unlimited: Figures = result["unlimited"]
    scenarios: Mapping[str, Any] = result["scenarios"]
    rows: list[tuple[str, ...]] = [
        (
            *("link", "voice concealed %", "not silent %", "longest gap s", "pictures/s"),
            *("while they move", "lines", "frozen %", "longest still s"),
            *("first voice s", "first picture s", "moving s", "oldest still s"),
            *("queue p95 ms", "kbit/s put on the link"),
            *("arrived: voice, video, rtx, fec, padding", "rung and lines, of the time"),
        )
    ]
    rows += [_lesson("no limit", unlimited)] if unlimited else []
    for one in scenarios.values():
        rows.append(_lesson(one["words"], one["worse"]))
    rows += [(words, *[""] * 16) for name, words in ELSEWHERE.items() if name not in scenarios]
    back: list[tuple[str, ...]] = [
        ("link", "voice back s", "steady voice s", "picture back s", "same lines s", "session")
    ]
    for one in scenarios.values():
        if "voice_back_s" in one["worse"] or "back_up_s" in one["worse"]:
            back.append(_back(one["words"], one["worse"]))
    waited: list[tuple[str, ...]] = [
        (
            *("link", "voice s after the teacher's press", "picture s", "moving s"),
            *("voice s after the teacher's first packet", "picture s", "moving s"),
        )
    ]
    for one in scenarios.values():
        if "voice_after_click_s" in one["worse"]:
            waited.append(_waited(one["words"], one["worse"]))
    return "\n\n".join(_table(table) for table in (rows, back, waited) if len(table) > 1)


def _lesson(words: str, of: Figures) -> tuple[str, ...]:
    kinds = ("voice", "video", "rtx", "fec", "padding")
    return (
        words,
        _number(of, "concealed_pct", 2),
        _number(of, "concealed_audible_pct", 2),
        _number(of, "voice_gap_s", 2),
        _number(of, "fps", 1),
        _number(of, "moving_fps", 1),
        _number(of, "height", 0),
        _number(of, "freeze_pct", 1),
        _number(of, "picture_gap_s", 1),
        _number(of, "join_voice_s", 2),
        _number(of, "join_picture_s", 2),
        _number(of, "join_moving_s", 2),
        _number(of, "still_age_s", 1),
        _number(of, "queue_p95_ms", 0),
        _number(of, "sent_kbit_s", 0),
        ", ".join(_number(of, f"{kind}_kbit_s", 0) for kind in kinds),
        ", ".join(f"{name} {share:.0%}" for name, share in of.get("rung_shares", {}).items()),
    )


def _back(words: str, of: Figures) -> tuple[str, ...]:
    return (
        words,
        _number(of, "voice_back_s", 2),
        _number(of, "voice_steady_s", 2),
        _number(of, "picture_back_s", 2),
        _number(of, "back_up_s", 1),
        {None: "–", 1.0: "the same"}.get(of.get("same_session"), "a new one"),
    )


def _waited(words: str, of: Figures) -> tuple[str, ...]:
    kinds = ("voice", "picture", "moving")
    names = [f"{what}_after_{when}_s" for when in ("click", "sent") for what in kinds]
    return (words, *(_number(of, name, 2) for name in names))


def _number(of: Figures, name: str, digits: int) -> str:
    value = of.get(name)
    return "–" if value is None else f"{value:.{digits}f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"| {' | '.join(['---'] * len(rows[0]))} |")
    return "\n".join(lines)
