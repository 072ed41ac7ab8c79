"""When copying over the weak link is allowed, and how much of it. PURE.

Here: windows of the day, the daily budget, the rate cap, and what a clock that jumps does to them;
from these also when a number of bytes will have come. Not here: what to copy (`plan`), and whether
a lesson is live, which goes before all of this. Times of day are the school's own; a school relay
has often no battery behind its clock, so nothing here trusts a date further than it must.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from classroom.errors import Misuse

DAY: Final = 86_400
# A day's budget begins anew with a later date, and no sooner than this after the last time it did
# (s): a clock that is set to and fro would else make a new budget each time. With an earlier date
# it begins when this machine has run for so long since: without a battery each power cut makes it
# 1970, but a clock that was years ahead would else take the budget away for years.
_BUDGET_LEAST: Final = 12 * 3600.0
# The longest look ahead: what takes longer has no finish that anybody plans by (days).
_FORESIGHT: Final = 400
# Bytes that may come at once under a rate cap, in seconds of its rate.
_BURST_S: Final = 0.5
_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Moment:
    """now: monotonic seconds. wall: unix seconds, the best that is known. offset: seconds that the
    school's time is ahead of UTC."""

    now: float
    wall: float
    offset: float = 0.0

    @property
    def day(self) -> int:
        """The school's date, as days since 1970."""
        return int((self.wall + self.offset) // DAY)

    @property
    def second(self) -> float:
        """Seconds since the school's midnight."""
        return (self.wall + self.offset) % DAY


def read_window(text: str) -> tuple[int, int]:
    """ "22:00-05:00" as seconds of the day at which it opens and closes. Raises Misuse."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise Misuse(f'sync.windows holds {text!r}; write it as "22:00-05:00"')
    begin, end = (int(found[one]) * 3600 + int(found[one + 1]) * 60 for one in (1, 3))
    if end > DAY or begin == end:
        raise Misuse(f"sync.windows holds {text!r}, in which there is no time")
    return begin, end


def spans_of(windows: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The parts of a day (seconds, from midnight to midnight) in which any of `windows` is open, in
    order; the whole day without windows. One that closes before it opens goes on past midnight.
    Raises Misuse."""
    if not windows:
        return ((0, DAY),)
    spans = []
    for begin, end in map(read_window, windows):
        spans += [(begin, end)] if begin < end else [(begin, DAY), (0, end)]
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif begin < end:
            merged.append((begin, end))
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows. spans: as `spans_of` gives them. rate: bytes/s, 0 for as fast as it
    goes. daily: bytes, 0 for no budget."""

    spans: tuple[tuple[int, int], ...] = ((0, DAY),)
    rate: float = 0.0
    daily: int = 0


class Allowance:
    """The limits, and what was used of them. Call `spend` for every byte that crossed the link."""

    def __init__(self, limits: Limits, day: int = 0, spent: int = 0, ran: int = 0) -> None:
        """day, spent, ran: as `kept` gave them before a restart."""
        self._limits = limits
        self._day = day
        self._spent = spent
        self._ran = float(ran)
        self._now: float | None = None
        self._renewed: float | None = None
        self._credit = 0.0
        self._credited_at: float | None = None

    @property
    def kept(self) -> tuple[int, int, int]:
        """The date of the budget, what was spent of it, and seconds that this machine ran since it
        began: to be remembered over a restart."""
        return self._day, self._spent, int(self._ran)

    def refusal(self, moment: Moment) -> str:
        """Why nothing may cross the link now: "window", "budget", or "" when it may."""
        self._turn_page(moment)
        if not any(begin <= moment.second < end for begin, end in self._limits.spans):
            return "window"
        if self._limits.daily and self._spent >= self._limits.daily:
            return "budget"
        return ""

    def left(self, moment: Moment) -> int | None:
        """Bytes of today's budget that are left; None without a budget."""
        self._turn_page(moment)
        return max(0, self._limits.daily - self._spent) if self._limits.daily else None

    def spend(self, size: int, moment: Moment) -> float:
        """`size` bytes came; seconds to wait before more are read, so that the rate cap holds."""
        self._turn_page(moment)
        self._spent += size
        rate = self._limits.rate
        if not rate:
            return 0.0
        since = moment.now - (moment.now if self._credited_at is None else self._credited_at)
        self._credit = min(rate * _BURST_S, self._credit + rate * max(0.0, since)) - size
        self._credited_at = moment.now
        return max(0.0, -self._credit / rate)

    def finish(self, size: int, rate: float, moment: Moment) -> float | None:
        """Unix seconds at which `size` further bytes will be here when `rate` bytes/s come in open
        windows; None while that cannot be told or is too far to plan by."""
        if self._limits.rate:
            rate = min(rate, self._limits.rate)
        if size <= 0 or rate <= 0.0:
            return moment.wall if size <= 0 else None
        left, midnight, start = float(size), moment.wall - moment.second, moment.second
        today = self.left(moment)
        budget = None if today is None else float(today)
        for _ in range(_FORESIGHT):
            for opens, end in self._limits.spans:
                begin = max(float(opens), start)
                most = max(0.0, end - begin) * rate
                if budget is not None:
                    most = min(most, budget)
                    budget -= min(most, left)
                if most >= left:
                    return midnight + begin + left / rate
                left -= most
            midnight, start, budget = midnight + DAY, 0.0, float(self._limits.daily) or None
        return None

    def _turn_page(self, moment: Moment) -> None:
        """Begin a new budget if it is time."""
        self._ran += max(0.0, moment.now - (moment.now if self._now is None else self._now))
        self._now = moment.now
        if moment.day == self._day:
            return
        renewed = self._renewed
        # Of what was not touched there is nothing to gain.
        if self._spent and moment.day > self._day:
            if renewed is not None and moment.now - renewed < _BUDGET_LEAST:
                return
        elif self._spent and self._ran < _BUDGET_LEAST:
            return
        self._day, self._spent = moment.day, 0
        self._renewed, self._ran = moment.now, 0.0
