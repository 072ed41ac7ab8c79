"""How many bits per second one viewer's link takes: a first, simple estimate.

From transport-wide feedback it reads three things: what arrived (rate), what was lost, and how
much longer packets are under way than at best (queue). A queue or heavy loss pulls the estimate
down at once to what arrived; a clean link lets it climb slowly. Viewers without that feedback are
judged by their receiver reports and REMB. Pure; seconds and bit/s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Until something is known: a voice and the middle camera layer. A link that cannot take it says
# so within a round trip and the estimate falls.
START_BITRATE: Final = 600_000.0
MIN_BITRATE: Final = 30_000.0
MAX_BITRATE: Final = 20_000_000.0
# One-way delay above its recent minimum that counts as a queue of our making. Jitter of 30 ms is
# common on radio links, hence the distance.
QUEUE_HIGH: Final = 0.100
QUEUE_LOW: Final = 0.040
# A keyframe is a queue too, but one that drains. So delay is looked at in blocks of this many
# seconds, and only one that stays high from block to block without falling by QUEUE_DRAINS is
# taken for congestion; or one so high that the voice suffers.
QUEUE_BLOCK: Final = 0.3
QUEUE_DRAINS: Final = 0.030
QUEUE_FULL: Final = 0.500
# Random loss on the links we are made for is 2 to 10 %; only more than that means congestion.
LOSS_HIGH: Final = 0.12
LOSS_LOW: Final = 0.06
DECREASE: Final = 0.85
CLIMB_PER_SECOND: Final = 0.08
# The estimate may run ahead of what is being sent by this much; more would be a guess.
HEADROOM: Final = 1.5
HEADROOM_FLOOR: Final = 150_000.0
_BASE_WINDOW: Final = 10.0
_RATE_WINDOW: Final = 0.5
_RATE_STALE: Final = 2.0
# A fall needs time to show: no second one before the queue could have drained.
_FALL_INTERVAL: Final = 0.3


class BandwidthEstimate:
    """One viewer's estimate. `bitrate` is current; `congested_at` is when it last fell."""

    __slots__ = (
        "_base",
        "_base_next",
        "_base_since",
        "_block",
        "_block_since",
        "_block_was",
        "_loss",
        "_rate_bytes",
        "_rate_since",
        "_updated",
        "acknowledged",
        "bitrate",
        "congested_at",
        "queue_delay",
        "queue_stands",
    )

    def __init__(self, now: float, start: float = START_BITRATE) -> None:
        self.bitrate = start
        self.congested_at = -1e9
        self.queue_delay = 0.0
        """Seconds above the best recent one-way delay, the least of the last block."""
        self.queue_stands = False
        """Whether the last blocks show a queue that does not drain."""
        self.acknowledged = 0.0
        """bit/s that arrived lately; 0 before the first feedback."""
        self._base = self._base_next = 1e18
        self._base_since = now
        self._block = 1e18
        self._block_was = 0.0
        self._block_since = now
        self._loss = 0.0
        self._rate_bytes = 0
        self._rate_since = now
        self._updated = now

    @property
    def loss(self) -> float:
        """Smoothed fraction of packets lost, 0 to 1."""
        return self._loss

    def receive_feedback(
        self,
        base: int,
        arrivals: Sequence[float | None],
        offset: float,
        sent_at: Sequence[float],
        sent_size: Sequence[int],
        rtt: float,
        now: float,
    ) -> None:
        """One transport-wide feedback.

        arrivals: seconds on the viewer's clock, or None for lost, of packets `base`, `base`+1, …
        offset: to be added to them, see `ArrivalClock`.
        sent_at, sent_size: rings indexed by the packet number modulo their length (a power of
        two): when it was sent, its bytes.
        """
        mask = len(sent_at) - 1
        best = 1e18
        size = lost = received = 0
        # Packets sent before the last fall tell of the rate before it.
        fell_at = self.congested_at
        for index, arrival in enumerate(arrivals, base):
            slot = index & mask
            sent = sent_at[slot]
            if arrival is None:
                lost += sent > fell_at
                continue
            size += sent_size[slot]
            if sent > fell_at:
                received += 1
                delay = arrival - sent
                if delay < best:
                    best = delay
        self._rate_bytes += size
        count = received + lost
        if count:
            self._loss += (lost / count - self._loss) * min(1.0, count / 50)
        if received:
            self._note_delay(best + offset, now)
        self._judge(rtt, now)

    def receive_report(self, fraction_lost: float, rtt: float, now: float) -> None:
        """A receiver report of a viewer that sends no transport-wide feedback."""
        self._loss += (fraction_lost - self._loss) * 0.3
        self._judge(rtt, now)

    def receive_remb(self, bitrate: float) -> None:
        """A receiver's own estimate (draft-alvestrand-rmcat-remb): an upper bound."""
        self.bitrate = max(MIN_BITRATE, min(self.bitrate, bitrate))

    def is_clean(self, seconds: float, now: float) -> bool:
        """Whether nothing pointed to congestion for so long."""
        return now - self.congested_at > seconds and self._loss < LOSS_LOW

    def _note_delay(self, delay: float, now: float) -> None:
        # The minimum of two half-overlapping windows: an old minimum is forgotten after at most
        # 20 s, so drifting clocks or a new route do not look like a queue for ever.
        if now - self._base_since > _BASE_WINDOW:
            self._base, self._base_next = self._base_next, delay
            self._base_since = now
        self._base = min(self._base, delay)
        self._base_next = min(self._base_next, delay)
        queue = delay - self._base
        self._block = min(self._block, queue)
        if now - self._block_since < QUEUE_BLOCK:
            return
        before, self._block_was = self._block_was, self._block
        self.queue_delay = self._block
        drains = self._block <= before - QUEUE_DRAINS
        high = min(before, self._block) > QUEUE_HIGH or self._block > QUEUE_FULL
        self.queue_stands = high and not drains
        self._block = 1e18
        self._block_since = now

    def _judge(self, rtt: float, now: float) -> None:
        span = now - self._rate_since
        if span > _RATE_STALE:
            # Nothing was sent or reported for a while: an average over it would say nothing.
            self._rate_bytes = 0
            self._rate_since = now
        elif span >= _RATE_WINDOW:
            self.acknowledged = self._rate_bytes * 8 / span
            self._rate_bytes = 0
            self._rate_since = now
        elapsed, self._updated = now - self._updated, now
        if self.queue_stands or self._loss > LOSS_HIGH:
            if now - self.congested_at > rtt + _FALL_INTERVAL:
                self.congested_at = now
                # What was seen before the fall says nothing about the rate after it.
                self._loss = 0.0
                self.queue_stands = False
                self._block = self._block_was = 1e18
                arrived = self.acknowledged or self.bitrate
                self.bitrate = max(MIN_BITRATE, DECREASE * min(arrived, self.bitrate))
        elif self.queue_delay < QUEUE_LOW and self._loss < LOSS_LOW:
            climbed = self.bitrate * (1.0 + CLIMB_PER_SECOND * min(elapsed, 1.0))
            if self.acknowledged:
                ceiling = max(
                    HEADROOM * self.acknowledged, self.acknowledged + HEADROOM_FLOOR, self.bitrate
                )
                climbed = min(climbed, ceiling)
            self.bitrate = min(climbed, MAX_BITRATE)
