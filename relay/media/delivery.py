"""How many bits per second arrive at one viewer, and how many were sent to make them arrive.

Lives here: rates over the last feedbacks, by the viewer's clock and by ours, and the highest one
that the link has lately been seen to carry. Must not live here: what follows from them
(`control`). Pure; seconds, bits, bit/s. A mark is the state after one feedback, so a rate between
two marks needs no sum over packets.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# Long enough for eight packets of a thin voice, short enough to follow a link that was halved.
WINDOW: Final = 0.5
# What proves that a link carries a rate: shorter windows measure its jitter.
PROOF_WINDOW: Final = 0.25
# A proof fades, since links change: by a quarter from one beat (8 s) to the next.
PROOF_FADES: Final = 0.035
# More than any link that we are made for loses of its own.
COUNTED_LOSS: Final = 0.2
# Of a silence longer than this no rate is made.
_STALE: Final = 2.0
_KEPT: Final = 1.5
# A viewer that tells of one moment for ever must not make it longer: 20 reports a second for 1.5 s
# are 30.
_MARKS: Final = 256

# Arrival and sending of a feedback's last packet, bits received and reported so far.
_Mark = tuple[float, float, float, float]


class Delivery:
    """acknowledged: what arrived lately, bit/s. sent: as what it had been sent.

    rate, steady: what has passed over a short and a longer while, as far as that is proven.
    proven: the most that lately did.
    """

    __slots__ = (
        "_arrived",
        "_marks",
        "_received",
        "_reported",
        "acknowledged",
        "proven",
        "rate",
        "sent",
        "steady",
    )

    def __init__(self) -> None:
        self.acknowledged = 0.0
        self.sent = 0.0
        self.rate = 0.0
        self.steady = 0.0
        self.proven = 0.0
        self._arrived = 0.0
        self._received = 0.0
        self._reported = 0.0
        self._marks: deque[_Mark] = deque(maxlen=_MARKS)

    def note(self, arrived: float, sent_at: float, received: float, reported: float) -> None:
        """One feedback: bits `received` of those `reported`, up to a packet's two times."""
        marks = self._marks
        if arrived < self._arrived:
            arrived = self._arrived
        elif arrived - self._arrived > _STALE:
            marks.clear()
        self._arrived = arrived
        self._received += received
        self._reported += reported
        marks.append((arrived, sent_at, self._received, self._reported))
        if marks[0][0] < arrived - _KEPT:
            marks.popleft()

    def guess(self, reported: float, received: float) -> None:
        """Bits between two reports, of which nothing was told, and what arrived by guess."""
        self._reported += reported
        self._received += received

    def measure(self, jitter: float) -> None:
        """Set `acknowledged`, `rate` and `steady` anew."""
        arrived = self._arrived
        proof, window = arrived - PROOF_WINDOW, arrived - WINDOW
        recent = long_ago = None
        for mark in reversed(self._marks):
            long_ago = mark
            if recent is None and mark[0] <= proof:
                recent = mark
            if mark[0] <= window:
                break
        if long_ago is None:
            return
        newest = self._marks[-1]
        span = arrived - long_ago[0]
        if span > 0.1:
            self.acknowledged = (newest[2] - long_ago[2]) / span
            self.sent = (newest[3] - long_ago[3]) / max(newest[1] - long_ago[1], 0.05)
        self.steady = _passed(long_ago, newest, 0.6 * WINDOW, jitter)
        self.rate = _passed(recent or long_ago, newest, 0.6 * PROOF_WINDOW, jitter)

    def prove(self, elapsed: float) -> None:
        """What was measured has passed without a queue."""
        proven = self.proven * (1.0 - PROOF_FADES * elapsed)
        self.proven = max(proven, self.rate)

    def forget(self, proven: float) -> None:
        """After a fall: only `proven` bit/s is known to pass."""
        self.proven = proven

    def mark(self) -> tuple[float, float]:
        """When the newest packet that is known of was sent, and the bits sent until then."""
        return (self._marks[-1][1] if self._marks else 0.0), self._reported

    def since(self, arrival: float, least: float, most: float, counted: float) -> float:
        """bit/s that came through after `arrival`: over `least` to `most` seconds; 0.0 if unknown.

        counted: the share of what was lost that counts as well, since the air may have lost it
        behind the bottleneck.
        """
        if not self._marks:
            return 0.0
        edge = min(max(arrival, self._arrived - most), self._arrived - least)
        found = self._marks[0]
        for mark in reversed(self._marks):
            if mark[0] <= edge:
                found = mark
                break
        span = self._arrived - found[0]
        if span < 0.05:
            return 0.0
        received = self._received - found[2]
        reported = max(self._reported - found[3], 1.0)
        lost = min(max(1.0 - received / reported, 0.0), COUNTED_LOSS)
        return received / span / (1.0 - counted * lost)


def _passed(since: _Mark, until: _Mark, least: float, jitter: float) -> float:
    """bit/s between two marks, 0.0 if they are less than `least` seconds apart."""
    # The longer of both spans: what jitter pressed together was not carried any faster.
    span = max(until[0] - since[0], until[1] - since[1]) + jitter
    return (until[2] - since[2]) / span if span > least else 0.0
