"""How many bits per second arrive at one viewer, and how many were sent to make them arrive.

Lives here: rates over the last feedbacks, by the viewer's clock and by ours, and the highest one
that the link has lately been seen to carry. Must not live here: what follows from them
(`bandwidth`). Pure; seconds, bits, bit/s. A mark is the state after one feedback, so a rate
between two marks needs no sum over packets.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# Long enough for six packets of a thin voice, short enough to follow a link that was halved.
WINDOW: Final = 0.5
# What proves that a link carries a rate: shorter windows measure its jitter.
PROOF_WINDOW: Final = 0.25
# A proof fades, since links change: by a quarter from one beat (8 s) to the next.
PROOF_FADES: Final = 0.035
# Of a silence longer than this no rate is made.
_STALE: Final = 2.0
_KEPT: Final = 1.5
# More than any link that we are made for loses of its own.
COUNTED_LOSS: Final = 0.2


class Delivery:
    """acknowledged: what arrived lately, bit/s; sent: what had been sent in the same packets.

    proven: the most that was lately seen to pass.
    """

    __slots__ = (
        "_arrived",
        "_marks",
        "_received",
        "_reported",
        "acknowledged",
        "proven",
        "sent",
        "steady",
    )

    def __init__(self) -> None:
        self.acknowledged = 0.0
        self.sent = 0.0
        self.proven = 0.0
        self.steady = 0.0
        """What passed over a longer while, which jitter moves less."""
        self._arrived = 0.0
        self._received = 0.0
        self._reported = 0.0
        self._marks: deque[tuple[float, float, float, float]] = deque()
        """Arrival and sending of a feedback's last packet, bits received and reported so far."""

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
        edge = arrived - _KEPT
        while marks[0][0] < edge:
            marks.popleft()
        edge = arrived - WINDOW
        for mark in marks:
            if mark[0] >= edge:
                break
        span = arrived - mark[0]
        if span > 0.1:
            self.acknowledged = (self._received - mark[2]) / span
            self.sent = (self._reported - mark[3]) / max(sent_at - mark[1], 0.05)

    def guess(self, reported: float, received: float) -> None:
        """Bits between two reports, of which nothing was told, and what arrived by guess."""
        self._reported += reported
        self._received += received

    def mark(self) -> tuple[float, float]:
        """When the newest packet that is known of was sent, and the bits sent until then."""
        return (self._marks[-1][1] if self._marks else 0.0), self._reported

    def since(self, arrival: float, least: float, most: float, counted: float) -> float:
        """bit/s that came through after `arrival`: over `least` to `most` seconds; 0.0 if unknown.

        counted: the share of what was lost that counts as well, since the air may have lost it
        behind the bottleneck.
        """
        marks = self._marks
        if len(marks) < 2:
            return 0.0
        found = self._before(min(max(arrival, self._arrived - most), self._arrived - least))
        span = self._arrived - found[0]
        if span < 0.05:
            return 0.0
        received = self._received - found[2]
        reported = max(self._reported - found[3], 1.0)
        lost = min(max(1.0 - received / reported, 0.0), COUNTED_LOSS)
        return received / span / (1.0 - counted * lost)

    def prove(self, elapsed: float, jitter: float) -> float:
        """The rate of the last moments, which the link has carried; call where no queue is."""
        self.proven -= self.proven * PROOF_FADES * min(elapsed, 1.0)
        if len(self._marks) < 2:
            return 0.0
        self.steady = self._passed(WINDOW, jitter)
        rate = self._passed(PROOF_WINDOW, jitter)
        if rate > self.proven:
            self.proven = rate
        return rate

    def forget(self, proven: float) -> None:
        """After a fall: only `proven` bit/s is known to pass."""
        self.proven = proven

    def _before(self, edge: float) -> tuple[float, float, float, float]:
        """The last mark at or before an arrival."""
        marks = self._marks
        for mark in reversed(marks):
            if mark[0] <= edge:
                return mark
        return marks[0]

    def _passed(self, window: float, jitter: float) -> float:
        found = self._before(self._arrived - window)
        newest = self._marks[-1]
        # The longer of both spans: what jitter pressed together was not carried any faster.
        span = max(newest[0] - found[0], newest[1] - found[1]) + jitter
        return (newest[2] - found[2]) / span if span > 0.6 * window else 0.0
