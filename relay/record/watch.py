"""Which lessons are taught and not recorded, although no disk has failed. PURE.

Here: the patience with a feed that is not connected and with a recording that does not grow. Not
here: failing disks (`session` says so itself), what is done about it. Call `check` about once a
second; it remembers only the lessons of its last call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AWAY_AFTER: Final = 5.0
"""s without a feed. A service process that was killed is back sooner, and nothing was lost."""
STILL_AFTER: Final = 15.0
"""s without growth. A beat, the wait for a lost packet and a slow commit are less."""


@dataclass(slots=True)
class _Taught:
    """since: when it was first seen. seconds: recorded so far. grown: when that last changed."""

    since: float
    seconds: float
    grown: float


class RecordingWatch:
    """Say what is seen, hear what is wrong. Times in seconds of one clock that never jumps."""

    def __init__(self) -> None:
        self._taught: dict[str, _Taught] = {}
        self._away_since: float | None = None

    def check(self, now: float, connected: bool, taught: Mapping[str, float]) -> list[str]:
        """connected: whether the feed is. taught: seconds recorded of each lesson that somebody
        publishes now. Returns those that are not being recorded."""
        if connected:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        before, self._taught = self._taught, {}
        for lesson, seconds in taught.items():
            known = before.get(lesson) or _Taught(now, seconds, now)
            if known.seconds != seconds:
                known.seconds, known.grown = seconds, now
            self._taught[lesson] = known
        return [name for name, lesson in self._taught.items() if self._is_lost(now, lesson)]

    def _is_lost(self, now: float, lesson: _Taught) -> bool:
        if now - lesson.grown >= STILL_AFTER:
            return True
        away = self._away_since
        return away is not None and now - max(away, lesson.since) >= AWAY_AFTER
