"""Whether packets are lost because we send too much, or because the air loses them anyway.

Lives here: loss over windows of some packets beside the rate that they were sent at, and the
verdict on it. Must not live here: delay (`trend`), what follows (`bandwidth`). The model is that
of libwebrtc's loss-based estimate, version 2: a link loses a share of its own at any rate, and
beyond its capacity what is too much; so loss is ours if it grows with the rate. Here told by
comparing windows, whose scatter allows for losses that come in bursts. Pure; seconds, bit/s.
"""

from __future__ import annotations

import enum
from collections import deque
from math import sqrt
from typing import Final

WINDOW_SECONDS: Final = 0.6
WINDOW_PACKETS: Final = 40
_KEPT: Final = 40
_AGE: Final = 60.0
_RECENT: Final = 6.0
# Windows sent at less than this share of a rate show what the link loses of its own there.
LOWER: Final = 0.92
COMPARED_PACKETS: Final = 80
# Standard deviations: one false alarm in some minutes at two windows a second.
SIGNIFICANT: Final = 3.0
LEAST_EXCESS: Final = 0.03
# Beyond the losses of any link that we are made for.
HEAVY: Final = 0.25


class Verdict(enum.Enum):
    """What a window's loss says."""

    FINE = "fine"
    RISEN = "risen"
    """More than before at the same rate: to be found out by sending less."""
    OURS = "ours"
    """More than at lower rates, or more than any link loses of its own."""


class LossWatch:
    """smoothed: fraction lost, all reasons together. own: what the link loses of its own."""

    __slots__ = (
        "_began",
        "_bits",
        "_burst",
        "_count",
        "_lost",
        "_newest",
        "_risen",
        "_runs",
        "_windows",
        "own",
        "rate",
        "smoothed",
        "window",
    )

    def __init__(self) -> None:
        self.smoothed = 0.0
        self.own = 0.0
        self.window = 0.0
        """Fraction lost in the last window."""
        self.rate = 0.0
        """bit/s at which the last window was sent."""
        self._burst = 1.0
        self._runs = 2.0
        self._newest = 0.0
        self._risen = False
        self._began = -1.0
        self._bits = 0.0
        self._count = 0
        self._lost = 0
        self._windows: deque[tuple[float, float, int, int]] = deque(maxlen=_KEPT)
        """When it ended, bit/s, packets, of them lost."""

    def note(self, count: int, lost: int, bits: float, sent_first: float, sent_last: float) -> bool:
        """Packets of one feedback; whether they ended a window."""
        self.smoothed += (lost / count - self.smoothed) * min(1.0, count / 100)
        if self._began < 0.0 or sent_first - self._newest > 3 * WINDOW_SECONDS:
            self._restart(sent_first)
        self._newest = sent_last
        self._count += count
        self._lost += lost
        self._bits += bits
        return self._count >= WINDOW_PACKETS and sent_last - self._began >= WINDOW_SECONDS

    def note_bursts(self, lost: int, bursts: int) -> None:
        """`lost` packets in so many runs: how much losses cling together."""
        self._runs = min(self._runs + bursts, 30.0)
        self._burst += (lost / bursts - self._burst) * bursts / self._runs

    def found(self, late: int) -> None:
        """So many that were counted as lost arrived after all."""
        self._lost = max(0, self._lost - late)
        self.smoothed = max(0.0, self.smoothed - late / 100)

    def judge(self, sent_last: float) -> Verdict:
        """The verdict on the window that just ended."""
        count, lost = self._count, self._lost
        rate = self._bits / max(sent_last - self._began, 0.1)
        self._restart(sent_last)
        self.window, self.rate = lost / count, rate
        windows = self._windows
        lower = lower_lost = 0
        upper, upper_lost = count, lost
        for ended, was_rate, was_count, was_lost in windows:
            age = sent_last - ended
            if was_rate < LOWER * rate:
                if age < _AGE:
                    lower += was_count
                    lower_lost += was_lost
            elif age < _RECENT and was_rate < rate / LOWER:
                upper += was_count
                upper_lost += was_lost
        windows.append((sent_last, rate, count, lost))
        compared = lower >= COMPARED_PACKETS
        if not compared:
            # The last few hundred packets at whatever rate.
            lower, lower_lost = 200, round(200 * self.own)
            upper, upper_lost = count, lost
        excess = max(
            self._excess(count, lost, lower, lower_lost),
            self._excess(upper, upper_lost, lower, lower_lost),
        )
        risen, self._risen = self._risen, excess > 0.0
        if excess > 0.0:
            if compared or self.window > HEAVY:
                return Verdict.OURS
            return Verdict.RISEN if risen else Verdict.FINE
        self.own += (self.window - self.own) * min(1.0, count / 200)
        return Verdict.FINE

    def _excess(self, upper: int, upper_lost: int, lower: int, lower_lost: int) -> float:
        """By how much more was lost of the one than of the other; 0.0 if that may be chance."""
        pooled = max((upper_lost + lower_lost) / (upper + lower), 0.01)
        clings = max(1.0, 2.0 * self._burst - 1.0)
        scatter = sqrt(pooled * (1.0 - pooled) * clings * (1.0 / upper + 1.0 / lower))
        excess = upper_lost / upper - lower_lost / lower
        return excess if excess > max(LEAST_EXCESS, SIGNIFICANT * scatter) else 0.0

    def learn(self, own: float) -> None:
        """A trial showed that the link loses `own` whatever is sent."""
        self.own = own
        self._windows.clear()

    def forget(self) -> None:
        """Begin the window anew: packets so far tell of another rate."""
        self._began = -1.0

    def _restart(self, at: float) -> None:
        self._began = at
        self._bits = 0.0
        self._count = self._lost = 0
