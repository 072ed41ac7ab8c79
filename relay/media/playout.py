"""How long a viewer should wait before it plays, so that repairs come in time.

Here: the rule (from round trip, jitter and loss to milliseconds), how many resends fit into a
delay, and the header extension that tells it
(http://www.webrtc.org/experiments/rtp-hdrext/playout-delay). Raised at once for repairs, gently
where it is only prudent, lowered slowly and in steps, since every change is heard. Not here: who is
told, and how. Pure; seconds, but for the delay itself, which is whole milliseconds.
"""

from __future__ import annotations

import math
from typing import Final

# The delays that are told: few, so that viewers with the same one share their packets.
STEPS: Final = (
    *(0, 40, 80, 120, 160, 200, 250, 300, 400, 500, 575, 650),
    *(800, 1_000, 1_200, 1_500),
)
# The longest: two resends at 600 ms. A lesson is watched, but whoever is called on must answer.
MOST_MS: Final = 1_500
# Nobody waits for a resend below the first loss; with resends, so much may stay lost.
FIRST: Final = 0.001
TARGET: Final = 0.004
MOST_ROUNDS: Final = 2
# From a gap to the request: the next packet shows it, and requests go out at a timer's pace.
REACTION: Final = 0.040
# Mean deviations of RFC 3550's jitter that nearly all packets stay within.
_DEVIATIONS: Final = 3.0
_LOWER_AFTER: Final = 15.0
# What is only prudent comes in such steps, milliseconds: a picture that stands by so much longer
# than the one before is not seen to stand (W3C webrtc-stats, freezeCount: 150 ms more).
_GENTLY_MS: Final = 100
# The field counts tens of milliseconds in 12 bits; the longest says "as long as you need".
_UNIT_MS: Final = 10
_FIELD: Final = 0xFFF


def rounds(delay: float, rtt: float) -> int:
    """How many resends of one packet arrive in time when played after `delay` seconds."""
    return max(0, int(delay / (max(rtt, 0.0) + REACTION)))


def rounds_wanted(loss: float) -> int:
    """How many resends bring a loss (0 to 1) below what is noticed, as far as that is worth it."""
    if loss <= FIRST:
        return 0
    if loss >= 1.0:
        return MOST_ROUNDS
    return min(MOST_ROUNDS, max(1, math.ceil(math.log(TARGET) / math.log(loss)) - 1))


def needed(rtt: float, jitter: float, loss: float) -> float:
    """Seconds that a viewer needs."""
    return _DEVIATIONS * jitter + rounds_wanted(loss) * (rtt + REACTION)


class PlayoutDelay:
    """One viewer's delay. milliseconds: what it is told now, one of STEPS."""

    __slots__ = ("_highest", "_since", "milliseconds")

    def __init__(self, now: float) -> None:
        self.milliseconds = 0
        self._since = now
        self._highest = 0
        """The highest step wanted since `_since`."""

    def update(
        self,
        rtt: float,
        jitter: float,
        loss: float,
        now: float,
        most: int = MOST_MS,
        *,
        least: int = 0,
    ) -> int:
        """Look at the link again, about once a second; the delay in milliseconds.

        most: the longest that is wanted now, as for a room that is called on. least: the shortest
        that is prudent for other reasons, reached gently. Both in milliseconds.
        """
        gently = min(float(least), float(_at_most(self.milliseconds + _GENTLY_MS)))
        wanted = _step(min(max(1e3 * needed(rtt, jitter, loss), gently), float(most)))
        if wanted > self.milliseconds or self.milliseconds > most:
            self._begin(wanted, now)
            self.milliseconds = wanted
            return wanted
        self._highest = max(self._highest, wanted)
        if self._highest == self.milliseconds:
            self._begin(0, now)
        elif now - self._since >= _LOWER_AFTER:
            self.milliseconds = STEPS[STEPS.index(self.milliseconds) - 1]
            self._begin(0, now)
        return self.milliseconds

    def _begin(self, highest: int, now: float) -> None:
        self._since, self._highest = now, highest


def _step(milliseconds: float) -> int:
    """The least step that is as long; the longest one else."""
    return next((step for step in STEPS if step >= milliseconds), STEPS[-1])


def _at_most(milliseconds: int) -> int:
    """The longest step that is no longer."""
    return max(step for step in STEPS if step <= milliseconds)


def pack(milliseconds: int) -> bytes:
    """The extension's three bytes: wait at least so long, and no longer than it takes."""
    least = min(max(0, milliseconds) // _UNIT_MS, _FIELD)
    return (least << 12 | _FIELD).to_bytes(3, "big")
