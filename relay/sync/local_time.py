"""The school's time of day, on a machine whose clock may be wrong by years.

Here: the best date that is known, and how far the school is ahead of UTC then. A source's date goes
before our own where they differ much: school relays have seldom a battery behind their clock, and
begin in 1970 or when they were last switched off. Not here: what is done at which time
(`allowance`).
"""

from __future__ import annotations

import datetime
from typing import Final

from classroom.clock import Clock
from relay.sync.allowance import Moment

# Two clocks that agree this far agree (s).
_AGREE_S: Final = 120.0
# Unix seconds, year 9999; what lies beyond is no date.
_LAST_DATE: Final = 253_402_300_800.0


class LocalTime:
    """Gives `Moment`s."""

    def __init__(self, now: Clock, wall: Clock, *, is_right: bool = False) -> None:
        """is_right: our own clock is one by which others go."""
        self._is_right = is_right
        self._now = now
        self._wall = wall
        # A source's date less our monotonic clock, which no correction of the date moves.
        self._told: float | None = None

    def told(self, date: float) -> None:
        """A source says that it is `date` (unix seconds)."""
        self._told = date - self._now()

    @property
    def is_told(self) -> bool:
        """Whether a source has said what date it is, or need not."""
        return self._is_right or self._told is not None

    def moment(self) -> Moment:
        """Now."""
        now, wall = self._now(), self._wall()
        if self._told is not None and abs(now + self._told - wall) > _AGREE_S:
            wall = now + self._told
        wall = min(max(wall, 0.0), _LAST_DATE)
        return Moment(now, wall, _ahead(wall))


def _ahead(wall: float) -> float:
    """Seconds that this machine's time zone is ahead of UTC then."""
    try:
        offset = datetime.datetime.fromtimestamp(wall).astimezone().utcoffset()
    except (OverflowError, ValueError, OSError):
        return 0.0
    return offset.total_seconds() if offset is not None else 0.0
