"""Whether a queue grows or stands on the way to one viewer, from the one-way delay of packets.

Lives here: the base (the least delay of the last half minute), blocks of a few packets each, the
threshold that follows the jitter. Must not live here: any rate (`bandwidth`, `delivery`). In the
place of the gradient of draft-ietf-rmcat-gcc-02 §5: a block's least delay, which jitter can hardly
move, since it only ever adds to some packets, and which a queue moves as a whole. Pure; seconds.
"""

from __future__ import annotations

from typing import Final

BASE_WINDOW: Final = 15.0
# A block: as many packets and seconds as make its least delay mean something.
BLOCK_PACKETS: Final = 4
BLOCK_SECONDS: Final = 0.08
# A queue counts from here on, and from more where packets jitter.
THRESHOLD: Final = 0.040
THRESHOLD_MOST: Final = 0.110
JITTER_SHARE: Final = 0.8
WOBBLE_SHARE: Final = 2.0
# Below this share of it, nothing keeps the rate from rising.
CALM: Final = 0.6
# A queue that stands must do so for so long; one that grows shows in three blocks.
STANDS: Final = 0.25
# A block that far below the ones before it drains.
DRAINS: Final = 0.8
FULL: Final = 0.400
# No route changes by so much: a clock was set.
_CLOCK_STEP: Final = 20.0


class DelayTrend:
    """queue: the newest block's least delay above the base. jitter: mean above the least."""

    __slots__ = (
        "_base",
        "_base_next",
        "_base_since",
        "_began",
        "_best",
        "_count",
        "_learned",
        "_spread",
        "_spreads",
        "_tolerance",
        "_was",
        "_wobble",
        "calm",
        "calm_until",
        "jitter",
        "queue",
        "threshold",
    )

    def __init__(self, now: float) -> None:
        self.queue = 0.0
        self.jitter = 0.005
        self.threshold = THRESHOLD
        """Seconds from which a queue is taken for one."""
        self.calm = True
        """No sign of a queue: the rate may rise."""
        self.calm_until = -1e18
        """Arrival of the last packet before the queue."""
        self._base = self._base_next = 1e18
        self._base_since = now
        self._began = -1e18
        self._best = 1e18
        self._count = 0
        self._spread = 0.0
        self._spreads = 0
        self._learned = 2
        self._tolerance = 0.0
        self._wobble = 0.005
        """By how much one block differs from the next without a queue, seconds."""
        self._was: list[tuple[float, float, float]] = []
        """The last four blocks: queue, and when the last packet was sent and arrived."""

    def note(
        self,
        best: float,
        spread: float,
        count: int,
        first: float,
        sent: float,
        arrived: float,
        now: float,
    ) -> bool:
        """One feedback about `count` packets: their least delay, the mean above it; when the first
        and the last were sent, and the last arrived. Whether it ended a block."""
        base = self._base
        if best < base or best - base > _CLOCK_STEP:
            if base < 1e17 and abs(best - base) > _CLOCK_STEP:
                self.reset(now)
            self._base = base = best
        if best < self._base_next:
            self._base_next = best
        if now - self._base_since > BASE_WINDOW and self.calm:
            self._base, self._base_next = self._base_next, best
            self._base_since = now
            self._tolerance *= 0.5
        if self._count == 0:
            self._began = first
        self._count += count
        self._spread += spread
        self._spreads += 1
        if best < self._best:
            self._best = best
        # What a narrow link spreads was sent in less time than it arrives in; and where the delay
        # jumps, the next packets are not waited for.
        spans = max(arrived - first - best, sent - self._began)
        steep = best - self._base > self.queue + self.threshold
        if self._count < BLOCK_PACKETS or (
            spans < BLOCK_SECONDS and self._count < 3 * BLOCK_PACKETS and not steep
        ):
            return False
        queue = self._best - self._base
        self.queue = queue
        if queue < 0.5 * self.threshold:
            self.calm_until = arrived
            self._learned = min(self._learned + 1, 20)
            self.jitter += (self._spread / self._spreads - self.jitter) / self._learned
            before = self._was[-1][0] if self._was else queue
            self._wobble += (abs(queue - before) - self._wobble) / self._learned
            threshold = THRESHOLD + JITTER_SHARE * self.jitter + WOBBLE_SHARE * self._wobble
            self.threshold = max(min(threshold, THRESHOLD_MOST), self._tolerance)
        self._was.append((queue, sent, arrived))
        if len(self._was) > 4:
            del self._was[0]
        self.calm = queue < CALM * self.threshold
        self._count = self._spreads = 0
        self._spread = 0.0
        self._best = 1e18
        return True

    def is_calm_at(self, delay: float, arrived: float) -> bool:
        """Whether a packet that was under way for `delay` and came at `arrived` met no queue.

        Nothing else is noted of it: enough for a link of which nothing is to be found out.
        """
        if not 0.0 <= delay - self._base < 0.5 * self.threshold:
            return False
        self.calm_until = arrived
        return True

    @property
    def over(self) -> bool:
        """A queue grows, or stands and does not drain."""
        was = self._was
        if len(was) < 2:
            return False
        newest, at, _ = was[-1]
        before = was[-2][0]
        threshold = self.threshold
        if newest < threshold:
            return False
        if newest > FULL and newest > before:
            return True
        if newest < DRAINS * before or len(was) < 3:
            return False
        earlier, long_ago, _ = was[-3]
        if earlier < before < newest and newest - earlier > threshold:
            return True
        if newest < DRAINS * max(before, earlier):
            return False
        stood = min(before, earlier) > threshold
        if len(was) > 3 and at - long_ago < STANDS:
            stood = stood and was[-4][0] > threshold
        return stood

    @property
    def rising(self) -> bool:
        """The newest block's queue is longer than the one before: enough to end a start.

        No queue of ours grows faster than time, at twice what a link takes; a stalled radio does.
        """
        was = self._was
        if len(was) < 2:
            return False
        (before, since, _), (newest, at, _) = was[-2:]
        grown = newest - before
        return newest > self.threshold and 0.3 * before < grown < at - since + 0.5 * self.threshold

    def onset(self) -> float:
        """Arrival after which all came through a full queue: where it grew by a threshold."""
        if self._was:
            newest = self._was[-1][0]
            for queue, _, arrived in reversed(self._was):
                if queue < newest - self.threshold:
                    return max(arrived, self.calm_until)
        return self.calm_until

    @property
    def flat(self) -> bool:
        """Whether the last three blocks are the same within jitter: nothing drains or grows."""
        if len(self._was) < 3:
            return False
        last = [block[0] for block in self._was[-3:]]
        return max(last) - min(last) < max(0.5 * self.threshold, 0.1 * last[-1])

    def forget(self) -> None:
        """The blocks so far tell of another rate."""
        self._was.clear()
        self._count = self._spreads = 0
        self._spread = 0.0
        self._best = 1e18

    def tolerate(self) -> None:
        """Others fill the queue: for some time only a longer one than theirs is ours."""
        self._tolerance = self.threshold = min(max(self.queue, self.threshold), FULL)
        self.rebase()

    def rebase(self) -> None:
        """What stands now is not ours: the route is longer, or others fill the queue."""
        self._base = self._base_next = min(self._base + min(block[0] for block in self._was), 1e17)
        self.queue = 0.0
        self.calm = True
        self._was.clear()

    def reset(self, now: float) -> None:
        """The viewer's clock was set: nothing is known of its delay."""
        self.forget()
        self._base = self._base_next = 1e18
        self._base_since = now
        self.queue = 0.0
        self.calm = True
