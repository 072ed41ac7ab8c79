"""Whether packets are lost because we send too much, or because the air loses them anyway.

Lives here: loss over windows of some packets beside the rate that they were sent at, the suspicion
that it is ours, and the trial of sending less that decides it. Must not live here: delay
(`trend`), what follows (`control`). The model is that of libwebrtc's loss-based estimate, version
2: a link loses a share of its own at any rate, and beyond its capacity what is too much. Here told
by comparing windows, whose scatter allows for losses that come in bursts. Pure; seconds, bit/s.
"""

from __future__ import annotations

import enum
from collections import deque
from math import sqrt
from typing import Final

WINDOW_SECONDS: Final = 0.6
WINDOW_PACKETS: Final = 40
_KEPT: Final = 30
_AGE: Final = 60.0
_RECENT: Final = 5.0
# Windows sent at less than this share of a rate show what the link loses of its own there.
LOWER: Final = 0.92
COMPARED_PACKETS: Final = 80
# Standard deviations: for a suspicion, one false alarm in some minutes; for the proof.
SUSPECT: Final = 3.0
PROVEN: Final = 2.5
LEAST_EXCESS: Final = 0.03
# A link that hardly ever loses anything.
CLEAN: Final = 0.005
# Beyond the losses of any link that we are made for.
HEAVY: Final = 0.25
OWN_MOST: Final = 0.2
# What a link loses of its own is an average over so many packets.
LEARNED_PACKETS: Final = 200
# `smoothed` scatters like a share of so many packets.
SMOOTHED_PACKETS: Final = 200
# A trial is decided within so many packets, at the earliest and at the latest.
TRIAL_PACKETS: Final = 60
TRIAL_MOST: Final = 160
# As much is lost as before, though less is sent: it is the air.
SAME: Final = 0.75
# Much less is lost, though it may be chance.
LESS: Final = 0.35


class Verdict(enum.Enum):
    """What a window's loss says."""

    FINE = "fine"
    RISEN = "risen"
    """More than before at the same rate: to be found out by sending less."""
    GROWS = "grows"
    """More than at lower rates, or more than any link loses of its own."""


class Trial(enum.Enum):
    """What sending less has shown."""

    OPEN = "open"
    AIR = "air"
    OURS = "ours"


class LossWatch:
    """smoothed: fraction lost, all reasons together. own: what the link loses of its own.

    window, rate: fraction lost in the last window, and bit/s at which it was sent.
    """

    __slots__ = (
        "_began",
        "_bits",
        "_burst",
        "_count",
        "_lost",
        "_newest",
        "_risen",
        "_runs",
        "_suspect",
        "_tried",
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
        self.rate = 0.0
        # As if a run of two had been seen twice.
        self._burst = 1.0
        self._runs = 2.0
        self._began = -1.0
        self._newest = 0.0
        self._bits = 0.0
        self._count = 0
        self._lost = 0
        self._risen = (0, 0)
        """Packets and losses of the window before, if they were suspicious."""
        self._suspect = self._tried = (0, 0)
        """Packets and losses that raised a suspicion; of the trial so far."""
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

    @property
    def burst(self) -> float:
        """Packets lost in a row, on average."""
        return self._burst

    def note_bursts(self, lost: int, bursts: int) -> None:
        """`lost` packets in so many runs: how much losses cling together."""
        self._runs = min(self._runs + bursts, 30.0)
        self._burst += (lost / bursts - self._burst) * bursts / self._runs

    def found(self, late: int) -> None:
        """So many that were counted as lost arrived after all."""
        self._lost = max(0, self._lost - late)
        self.smoothed = max(0.0, self.smoothed - late / 100)

    def judge(self) -> Verdict:
        """The verdict on the window that just ended."""
        count, lost, rate = self._close()
        windows = self._windows
        if not lost and self.own < CLEAN:
            # Most windows of most links.
            windows.append((self._newest, rate, count, 0))
            self._suspect = self._risen = (0, 0)
            self._learn(self.own * (1.0 - min(1.0, count / LEARNED_PACKETS)))
            return Verdict.FINE
        lower = lower_lost = 0
        upper, upper_lost = count, lost
        for ended, was_rate, was_count, was_lost in windows:
            age = self._newest - ended
            if was_rate < LOWER * rate:
                if age < _AGE:
                    lower += was_count
                    lower_lost += was_lost
            elif age < _RECENT and was_rate < rate / LOWER:
                upper += was_count
                upper_lost += was_lost
        windows.append((self._newest, rate, count, lost))
        compared = lower >= COMPARED_PACKETS
        self._suspect = (upper, upper_lost)
        if not compared:
            # The last few hundred packets at whatever rate.
            lower, lower_lost = LEARNED_PACKETS, round(LEARNED_PACKETS * self.own)
            upper, upper_lost = count, lost
        alone = self._exceeds(count, lost, lower, lower_lost, SUSPECT)
        most = HEAVY + self._scatter(HEAVY, SMOOTHED_PACKETS)
        heavy = self.window > most and self.smoothed > most
        before, self._risen = self._risen, (count, lost) if alone or heavy else (0, 0)
        if alone or heavy:
            if not before[0]:
                # One bad moment of the air looks the same.
                return Verdict.FINE
            self._suspect = (count + before[0], lost + before[1])
            return Verdict.GROWS if compared or heavy else Verdict.RISEN
        if compared and self._exceeds(upper, upper_lost, lower, lower_lost, SUSPECT):
            return Verdict.GROWS
        # The more losses cling, the more packets it takes to know.
        known = LEARNED_PACKETS * max(1.0, 0.5 * self._burst)
        self._learn(self.own + (self.window - self.own) * min(1.0, count / known))
        return Verdict.FINE

    def begin_trial(self) -> float:
        """Less is going to be sent; gives the fraction lost that is suspected."""
        self._tried = (0, 0)
        self._risen = (0, 0)
        self.forget()
        return self._suspect[1] / max(self._suspect[0], 1)

    def try_on(self) -> Trial:
        """The verdict on a window of a trial, and on those before it."""
        count, lost, _ = self._close()
        tried, tried_lost = self._tried[0] + count, self._tried[1] + lost
        self._tried = (tried, tried_lost)
        if tried < TRIAL_PACKETS:
            return Trial.OPEN
        was, was_lost = self._suspect
        fraction = tried_lost / tried
        if self._exceeds(was, was_lost, tried, tried_lost, PROVEN):
            self.own = min(self.own, fraction)
            return Trial.OURS
        if tried >= TRIAL_MOST and fraction < LESS * was_lost / was:
            self.own = min(self.own, fraction)
            return Trial.OURS
        if fraction > SAME * was_lost / was or tried >= TRIAL_MOST:
            self._learn((was_lost + tried_lost) / (was + tried))
            self._windows.clear()
            return Trial.AIR
        return Trial.OPEN

    def forget(self) -> None:
        """Begin the window anew: packets so far tell of another rate."""
        self._began = -1.0

    def _exceeds(
        self, upper: int, upper_lost: int, lower: int, lower_lost: int, sigmas: float
    ) -> bool:
        """Whether more was lost of the one than of the other, and not by chance."""
        pooled = max((upper_lost + lower_lost) / (upper + lower), 0.01)
        scatter = self._scatter(pooled, 1.0 / (1.0 / upper + 1.0 / lower))
        excess = upper_lost / upper - lower_lost / lower
        return excess > max(LEAST_EXCESS, sigmas * scatter)

    def _scatter(self, fraction: float, count: float) -> float:
        """The standard deviation of the share lost of `count` packets: clinging ones scatter."""
        clings = max(1.0, 2.0 * self._burst - 1.0)
        return sqrt(fraction * (1.0 - fraction) * clings / count)

    def _learn(self, own: float) -> None:
        self.own = min(own, OWN_MOST)

    def _close(self) -> tuple[int, int, float]:
        """End a window: its packets, losses, and bit/s."""
        count, lost = self._count, self._lost
        self.window = lost / count
        self.rate = self._bits / max(self._newest - self._began, 0.1)
        self._restart(self._newest)
        return count, lost, self.rate

    def _restart(self, at: float) -> None:
        self._began = at
        self._bits = 0.0
        self._count = self._lost = 0
