"""One direction of a weak link in virtual time.

Lives here: rate, propagation delay, jitter, random and bursty loss (Gilbert 1960, Elliott 1963),
a drop-tail queue that counts packets or bytes, scripted rate steps and outages, counters. Must not
live here: sockets, clocks, any randomness but the seeded one, links by name (`link_presets`).
`tests.link` drives real packets by the same model.

Sizes are bytes of whole IP packets (RTP over UDP: payload + 28). A packet that the air loses has
had its turn on the link all the same; an outage loses what waits and what is handed over in it.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Final

_BUCKET_S: Final = 1e-3  # what queue delays are counted in


@dataclass(frozen=True, slots=True)
class Queue:
    """How much may wait, what is being sent included; the packet that finds no room is dropped."""

    packets: int | None = None
    size: int | None = None
    """Bytes."""


BY_PACKETS: Final = Queue(packets=50)  # a modem's ring of descriptors, small and large alike


def by_bytes(rate: float) -> Queue:
    """A queue of half a second at `rate` bit/s, and of ten full packets at least."""
    return Queue(size=15_000 if math.isinf(rate) else max(15_000, round(rate / 16)))


@dataclass(frozen=True, slots=True)
class Step:
    """From `at` (s) on the link has `rate` (bit/s); 0 is an outage."""

    at: float
    rate: float


def outage(at: float, seconds: float, rate: float) -> tuple[Step, Step]:
    """A link of `rate` is away for `seconds` from `at`."""
    return Step(at, 0.0), Step(at + seconds, rate)


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction of a link is like.

    rate: bit/s, inf for no limit. delay: one way, s. jitter: each packet's delay is that much
    longer or shorter at most, s. loss: 0 to 1, mean. burst: mean packets lost in a row; 0 where
    losses know nothing of each other. queue: None counts packets. script: steps in order of time.
    reorder: whether jitter lets packets overtake each other.

    Raises ValueError with a sentence for a person where no link loses like that.
    """

    rate: float = math.inf
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 0.0
    queue: Queue | None = None
    script: tuple[Step, ...] = ()
    reorder: bool = False

    def __post_init__(self) -> None:
        loss, burst = self.loss, self.burst
        if not 0.0 <= loss <= 1.0:
            raise ValueError(f"a loss of {loss:.4g} is not between 0 and 1 (100 %)")
        if burst == 0.0:
            return
        if not 1.0 <= burst < math.inf:
            raise ValueError(
                f"bursts of {burst:g} packets are not possible: give 1 or more, or 0 for losses "
                "that know nothing of each other"
            )
        # Between two bursts at least one packet arrives.
        most = burst / (burst + 1.0)
        if loss > most:
            raise ValueError(
                f"bursts of {burst:g} packets make a loss of {most:.1%} at most, not {loss:.1%}: "
                "give a lower loss, longer bursts, or 0 for losses that know nothing of each other"
            )


@dataclass(slots=True)
class Counts:
    """What became of the packets; bytes beside them."""

    sent: int = 0
    sent_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    full: int = 0
    """Dropped at the queue's end."""
    lost: int = 0
    """By the air."""
    cut: int = 0
    """By an outage."""
    waits: Counter[int] = field(default_factory=Counter)
    """Milliseconds that a packet waited for its turn → packets."""

    def copy(self) -> Counts:
        """As they are now."""
        return replace(self, waits=self.waits.copy())

    def since(self, earlier: Counts) -> Counts:
        """What was added after the copy `earlier` was taken."""
        return Counts(
            self.sent - earlier.sent,
            self.sent_bytes - earlier.sent_bytes,
            self.delivered - earlier.delivered,
            self.delivered_bytes - earlier.delivered_bytes,
            self.full - earlier.full,
            self.lost - earlier.lost,
            self.cut - earlier.cut,
            self.waits - earlier.waits,
        )

    def wait(self, share: float) -> float:
        """Seconds that `share` (0 to 1) of the packets waited at most; 0.0 without packets."""
        left = share * self.waits.total()
        for bucket in sorted(self.waits):
            left -= self.waits[bucket]
            if left <= 0:
                return bucket * _BUCKET_S
        return 0.0


@dataclass(slots=True, eq=False)
class Passage:
    """One packet's way: when its last bit leaves the queue, and when it arrives (s).

    bits: how many of it were left at `start`. arrival: None where it never does. All of it may
    change until `finish` if the link is changed.
    """

    size: int
    sent_at: float
    lost: bool
    jitter: float
    bits: float
    start: float = 0.0
    finish: float = 0.0
    arrival: float | None = None
    cut: bool = False


class LinkModel:
    """One direction; times are seconds of any clock that does not run backwards."""

    def __init__(
        self,
        rate: float = math.inf,
        delay: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        queue: Queue | None = None,
        seed: int = 0,
        *,
        burst: float = 0.0,
        script: tuple[Step, ...] = (),
        reorder: bool = False,
    ) -> None:
        self.counts = Counts()
        self._like = Direction(rate, delay, jitter, loss, burst, queue or BY_PACKETS, (), reorder)
        self._random = random.Random(seed)
        self._fading = False
        self._waiting: deque[Passage] = deque()
        self._waiting_bytes = 0
        self._free_at = -math.inf
        self._last_arrival = -math.inf  # of all that was placed
        self._last_gone = -math.inf  # of what has left the queue
        self._steps = [Step(-math.inf, rate), *script]

    @classmethod
    def of(cls, like: Direction, seed: int = 0) -> LinkModel:
        """A link as `like` says."""
        return cls(
            like.rate,
            like.delay,
            like.jitter,
            like.loss,
            like.queue,
            seed,
            burst=like.burst,
            script=like.script,
            reorder=like.reorder,
        )

    def send(self, size: int, now: float) -> float | None:
        """Hand over a packet; when it arrives, or None where it never will."""
        passage = self.plan(size, now)
        return None if passage is None else passage.arrival

    def plan(self, size: int, now: float) -> Passage | None:
        """As `send`, for who must hear of later changes; None if the queue is full."""
        self._leave(now)
        self.counts.sent += 1
        self.counts.sent_bytes += size
        # The air changes with every packet, whether that packet reaches it or not.
        passage = Passage(size, now, self._loses(), self._shake(), size * 8)
        queue = self._like.queue or BY_PACKETS
        if (queue.packets is not None and len(self._waiting) >= queue.packets) or (
            queue.size is not None and self._waiting_bytes + size > queue.size
        ):
            self.counts.full += 1
            return None
        self._place(passage)
        if passage.finish > now:
            self._waiting.append(passage)
            self._waiting_bytes += size
        else:
            self._gone(passage)
        return passage

    def rate(self, now: float) -> float:
        """Bit/s at `now`; 0 in an outage."""
        return next(step.rate for step in reversed(self._steps) if step.at <= now)

    def follow(self, script: tuple[Step, ...], now: float) -> None:
        """From `now` on do as `script` says (its times count from `now`), not as was planned.

        What waits is planned anew: see `Passage.arrival`.
        """
        self._leave(now)
        kept = [step for step in self._steps if step.at <= now]
        self._steps = [*kept, *(Step(now + step.at, step.rate) for step in script)]
        self._replan(now)

    def become(self, like: Direction, now: float) -> None:
        """Be another link from `now` on; `like.script` counts from `now`."""
        self._like = replace(like, script=())
        self.follow((Step(0.0, like.rate), *like.script), now)

    def settle(self, now: float) -> Counts:
        """The counters, with everything in them that has left the queue by `now`."""
        self._leave(now)
        return self.counts

    def _leave(self, now: float) -> None:
        """Take what has been sent by `now` out of the queue."""
        waiting = self._waiting
        while waiting and waiting[0].finish <= now:
            passage = waiting.popleft()
            self._waiting_bytes -= passage.size
            self._gone(passage)

    def _gone(self, passage: Passage) -> None:
        """Count what has left the queue; nothing changes its times any more."""
        counts = self.counts
        if passage.arrival is not None:
            self._last_gone = max(self._last_gone, passage.arrival)
        if passage.cut:
            counts.cut += 1
            return
        counts.waits[round(max(0.0, passage.start - passage.sent_at) / _BUCKET_S)] += 1
        if passage.lost:
            counts.lost += 1
        else:
            counts.delivered += 1
            counts.delivered_bytes += passage.size

    def _place(self, passage: Passage) -> None:
        """Give a passage its times, behind everything that was placed before it."""
        passage.start = max(passage.sent_at, self._free_at)
        passage.finish, passage.cut = self._transmit(passage.bits, passage.start)
        self._free_at = passage.finish
        passage.arrival = None
        if passage.cut or passage.lost:
            return
        arrival = passage.finish + max(0.0, self._like.delay + passage.jitter)
        if not self._like.reorder:
            arrival = max(arrival, self._last_arrival)
        self._last_arrival = max(arrival, self._last_arrival)
        passage.arrival = arrival

    def _transmit(self, bits: float, start: float) -> tuple[float, bool]:
        """When the last of `bits` is out, and whether an outage cut them off then."""
        for index, step in enumerate(self._steps):
            following = self._steps[index + 1 :]
            end = following[0].at if following else math.inf
            if end <= start:
                continue
            if step.rate <= 0.0:
                return start, True
            finish = start + bits / step.rate
            if finish <= end:
                return finish, False
            bits -= (end - start) * step.rate
            start = end
        return start, True  # an outage without end

    def _replan(self, now: float) -> None:
        """Place anew all that waits; of the packet on its way out the rest is sent from `now`."""
        for passage in self._waiting:
            if passage.start < now < passage.finish:
                passage.bits *= (passage.finish - now) / (passage.finish - passage.start)
        self._free_at = now
        self._last_arrival = self._last_gone
        for passage in self._waiting:
            self._place(passage)

    def _loses(self) -> bool:
        loss, burst = self._like.loss, self._like.burst
        if burst == 0.0:
            return self._random.random() < loss
        turn = 1.0 / burst if self._fading else loss / (burst * (1.0 - loss))
        if self._random.random() < turn:
            self._fading = not self._fading
        return self._fading

    def _shake(self) -> float:
        jitter = self._like.jitter
        return self._random.uniform(-jitter, jitter) if jitter else 0.0
