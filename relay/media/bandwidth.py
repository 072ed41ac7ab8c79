"""How many bits per second one viewer's link takes. BANDWIDTH.md says why each number is as it is.

Lives here: the state of one viewer's estimate, which rises and falls by what `trend` (delay),
`loss` and `delivery` find in transport-wide feedback
(draft-holmer-rmcat-transport-wide-cc-extensions-01), and the rules for viewers that send less:
receiver reports (RFC 3550 §6.4.2), REMB, nothing. Must not live here: what is sent with it
(relay.sfu), when (`pacer`). Pure; seconds, and bit/s on the wire: a packet counts its bytes and 28
of IP and UDP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.media.delivery import Delivery
from relay.media.loss import LossWatch, Verdict
from relay.media.probe import Probing
from relay.media.trend import DelayTrend

# A voice passes; nearly every link that reaches a school takes it.
START_BITRATE: Final = 60_000.0
# A thin voice of 16 kbit/s in packets of 60 ms, with all headers.
MIN_BITRATE: Final = 24_000.0
MAX_BITRATE: Final = 20_000_000.0
IP_UDP: Final = 28
# After a fall: of what arrived while the queue stood, which is what the link takes.
FALL: Final = 0.92
# While the queue drains: what may be sent of it, with a queue of more or less than DEEP.
DRAIN: Final = 0.7
DRAIN_DEEP: Final = 0.5
DEEP: Final = 0.150
# If it does not drain in the time that it should.
DRAIN_MORE: Final = 0.85
# What may wait in the link because a start was too bold, seconds: bounds the gain below.
OVERSHOOT: Final = 0.3
GAIN_LEAST: Final = 1.35
GAIN_MOST: Final = 2.0
# The estimate runs ahead of what was proven by this factor at most.
AHEAD: Final = 1.6
AHEAD_CAREFUL: Final = 1.1
# Climbing, per second: usually; where it failed before; where it failed again.
CLIMB: Final = 0.10
CLIMB_FIRST: Final = 0.05
CLIMB_CAREFUL: Final = 0.02
NEAR: Final = 0.85
PASSED: Final = 1.1
# For how long a failure is remembered, and for how long at most if it fails there again.
HOLD: Final = 6.0
HOLD_MOST: Final = 60.0
# While nothing stands in the way, frames may leave so much faster than the estimate.
PACE: Final = 1.25
# A trial of less, to learn whose fault a loss is.
TRIAL: Final = 0.85
# Silence: after so long, or so many round trips; what the estimate then falls to, step by step.
SILENCE: Final = 1.0
SILENCE_TRIPS: Final = 3.0
SILENCE_FALL: Final = 0.7
SAFE_BITRATE: Final = 40_000.0
# Beyond what could be sent, an estimate is of no use.
WANTED: Final = 1.3
# A viewer's clock may run backwards or ahead so far between two reports.
CLOCK_SLACK: Final = 1.0


class BandwidthEstimate:
    """One viewer's estimate.

    bitrate: what may be sent, bit/s. pace: at which it may leave now, for the pacer. loss: smoothed
    fraction lost for whatever reason. queue_delay, jitter: seconds above the least delay.
    congested_at: last fall. acknowledged: bit/s that arrived lately, 0 before the first feedback.
    liar: reports that cannot be true, ignored.
    """

    __slots__ = (
        "_arrived",
        "_base_rtt",
        "_base_rtt_at",
        "_before",
        "_delivery",
        "_depth",
        "_drained_from",
        "_draining",
        "_failed",
        "_failed_until",
        "_heard",
        "_hold",
        "_judged",
        "_limited",
        "_losses",
        "_missing",
        "_newest_sent",
        "_next",
        "_probing",
        "_quiet_step",
        "_ramping",
        "_refining",
        "_remb",
        "_resumed_from",
        "_rtt",
        "_trend",
        "_trial",
        "_wanted",
        "acknowledged",
        "bitrate",
        "congested_at",
        "jitter",
        "liar",
        "pace",
        "queue_delay",
    )

    def __init__(self, now: float, start: float = START_BITRATE) -> None:
        self.bitrate = start
        self.pace = PACE * start
        self.congested_at = -1e9
        self.queue_delay = 0.0
        self.jitter = 0.0
        self.acknowledged = 0.0
        self.liar = 0
        self._trend = DelayTrend(now)
        self._losses = LossWatch()
        self._delivery = Delivery()
        self._probing = Probing()
        self._rtt = 0.3
        self._judged = now
        self._heard = now
        self._quiet_step = now
        self._next = -1
        self._newest_sent = 0.0
        self._arrived = -1e18
        self._missing: set[int] = set()
        """Numbers counted as lost that may still arrive."""
        self._ramping = True
        self._draining = self._refining = False
        self._drained_from: tuple[float, float, float] | None = None
        """As packets sent after the fall began to arrive: sent when, bits until then, queue."""
        self._depth = 0.0
        """The queue at the last fall, seconds."""
        self._before = start
        """The estimate before the last fall."""
        self._resumed_from = 0.0
        """The estimate before a silence, while it is over."""
        self._failed = 0.0
        self._failed_until = -1e9
        self._hold = HOLD
        self._trial: tuple[float, float, float] | None = None
        """While less is sent to learn whose a loss is: estimate, loss and rate before."""
        self._wanted = MAX_BITRATE
        self._limited = now
        self._remb = MAX_BITRATE
        self._base_rtt = 1e9
        self._base_rtt_at = now

    @property
    def loss(self) -> float:
        """Smoothed fraction of packets lost, 0 to 1."""
        return self._losses.smoothed

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
        ring = len(sent_at)
        count = len(arrivals)
        following = self._next
        if count > ring >> 1:
            base += count - (ring >> 1)
            arrivals = arrivals[-(ring >> 1) :]
            count = ring >> 1
        if base < following:
            count -= following - base
            self._find_late(base, arrivals[: following - base])
            if count <= 0:
                return
            arrivals = arrivals[following - base :]
            base = following
        low = base & ring - 1
        high = low + count
        if high <= ring:
            sent = sent_at[low:high]
            sizes = sent_size[low:high]
        else:
            sent = [*sent_at[low:], *sent_at[: high - ring]]
            sizes = [*sent_size[low:], *sent_size[: high - ring]]
        first, last = sent[0], sent[-1]
        # A number that was never sent finds the time of one that went a ring's length before.
        if first <= 0.0 or last > now or last < first or first < self._newest_sent - 0.5:
            self.liar += 1
            return
        lost = arrivals.count(None)
        reported = 8.0 * (sum(sizes) + IP_UDP * count)
        self._rtt = rtt
        if lost == count:
            self._advance(base, following, count, last, sent_at, sent_size)
            self._count_losses(base, arrivals, lost, reported, first, last, now)
            self._delivery.guess(reported, 0.0)
            return
        if lost:
            bits = 0.0
            delays = []
            arrived = 0.0
            for at, when, size in zip(arrivals, sent, sizes, strict=True):
                if at is not None:
                    delays.append(at - when)
                    bits += size
                    arrived = at
            bits = 8.0 * (bits + IP_UDP * len(delays))
        else:
            delays = [at - when for at, when in zip(arrivals, sent, strict=True)]  # type: ignore[operator]
            bits = reported
            arrived = arrivals[-1]  # type: ignore[assignment]
        arrived += offset
        if self._arrived > 0.0 and not (
            -CLOCK_SLACK < arrived - self._arrived < now - self._heard + 30.0
        ):
            # Its next report is measured against this one, so a clock that was set costs one.
            self._arrived = arrived
            self.liar += 1
            self._trend.reset(now)
            return
        self._arrived = arrived
        self._advance(base, following, count, last, sent_at, sent_size)
        if now - self._heard > SILENCE or self._resumed_from:
            self._resume(first, now)
        self._heard = now
        self._delivery.note(arrived, last, bits, reported)
        self.acknowledged = self._delivery.acknowledged
        if first <= self.congested_at:
            if last <= self.congested_at:
                if self._draining and self._refining:
                    self._refine()
                return
            # Packets sent before the last fall tell of the rate before it.
            fell = self.congested_at
            delays = [
                at - when
                for at, when in zip(arrivals, sent, strict=True)
                if at is not None and when > fell
            ]
            if not delays:
                return
        else:
            self._count_losses(base, arrivals, lost, reported, first, last, now)
        best = min(delays)
        mean = sum(delays) / len(delays)
        if self._trend.note(best + offset, mean + offset, len(delays), last, arrived, now):
            self._judge(rtt, now)

    def receive_report(self, fraction_lost: float, rtt: float, now: float) -> None:
        """A receiver report of a viewer that sends no transport-wide feedback.

        Its round trip shows a queue, as far as one report a second can.
        """
        elapsed, self._judged = min(now - self._judged, 2.0), now
        self._heard = now
        losses = self._losses
        losses.smoothed += (fraction_lost - losses.smoothed) * 0.3
        if rtt < self._base_rtt or now - self._base_rtt_at > 60.0:
            self._base_rtt, self._base_rtt_at = rtt, now
        self.queue_delay = rtt - self._base_rtt
        risen = losses.smoothed > max(0.12, losses.own + 0.08)
        if (self.queue_delay > 0.15 or risen) and now - self.congested_at > 1.0 + rtt:
            self.congested_at = now
            self._failed, self._failed_until = self.bitrate, now + HOLD
            self._set(self.bitrate * 0.8)
            losses.own = min(losses.smoothed, 0.15)
        elif self.queue_delay < 0.08 and not risen:
            near = self._failed and self.bitrate > NEAR * self._failed and now < self._failed_until
            climbed = self.bitrate * (1.0 + (CLIMB_CAREFUL if near else 0.08) * elapsed)
            self._set(max(self.bitrate, min(climbed, WANTED * self._wanted)))

    def receive_remb(self, bitrate: float, now: float) -> None:
        """A receiver's own estimate (draft-alvestrand-rmcat-remb): an upper bound, never more."""
        self._heard = now
        if not MIN_BITRATE <= bitrate <= 50 * MAX_BITRATE:
            self.liar += 1
        self._remb = max(MIN_BITRATE, bitrate)
        self._set(min(self.bitrate, self._remb))

    def note_limited(self, wanted: float, now: float) -> None:
        """`wanted`: bit/s of all that could be sent to this viewer if its link took it."""
        self._wanted = wanted
        self._limited = now

    def handle_timer(self, now: float, *, sending: bool) -> None:
        """Call a few times a second; `sending`: whether packets were sent since the last call.

        Feedback that stops while packets flow makes the estimate fall step by step.
        """
        if not sending:
            self._heard = max(self._heard, now - SILENCE)
            return
        patience = max(SILENCE, SILENCE_TRIPS * self._rtt)
        if now - self._heard < patience or now - self._quiet_step < 0.5 * patience:
            return
        self._quiet_step = now
        self._resumed_from = max(self._resumed_from, self.bitrate)
        self.congested_at = now
        if self.bitrate > SAFE_BITRATE:
            self._set(max(SAFE_BITRATE, self.bitrate * SILENCE_FALL))

    def probe(self, now: float) -> float:
        """bit/s of padding or duplicates that may be sent on top of the media now."""
        if (
            self._draining
            or self.bitrate >= self._wanted
            or not self._trend.calm
            or now - self._heard > SILENCE
            or (now < self._failed_until and self.bitrate > NEAR * self._failed)
        ):
            return 0.0
        return self._probing.rate(self.bitrate, self.acknowledged, self._rtt, now)

    def is_clean(self, seconds: float, now: float) -> bool:
        """Whether nothing pointed to congestion for so long."""
        return (
            now - self.congested_at > seconds
            and self._trend.calm
            and not self._draining
            and self._trial is None
        )

    # What follows from it

    def _judge(self, rtt: float, now: float) -> None:
        """A block of packets ended: rise or fall."""
        trend = self._trend
        elapsed, self._judged = min(now - self._judged, 1.0), now
        self.queue_delay = trend.queue
        self.jitter = trend.jitter
        if self._draining:
            self._drain(rtt, now)
        elif trend.over:
            self._fall(rtt, now)
        elif trend.calm:
            self._climb(elapsed, rtt, now)

    def _fall(self, rtt: float, now: float) -> None:
        """A queue is there: down to what arrives, and less until it has drained."""
        self._probing.failed(rtt, now)
        self._before = self.bitrate
        self._draining = self._refining = True
        self._drained_from = None
        self._depth = self._trend.queue
        self._ramping = False
        self._trial = None
        self.congested_at = now
        self._remember(self._capacity() or self.acknowledged or self.bitrate, now)
        self._set(min(self.bitrate, FALL * self._failed))
        self._trend.forget()
        self._losses.forget()

    def _capacity(self) -> float:
        """What arrived since the queue began to grow, and what the air lost of it; 0: unknown."""
        trend = self._trend
        # Where the queue is deep, it is the queue that drops.
        counted = 0.5 if max(trend.queue, self._depth) < DEEP else 0.0
        return self._delivery.since(trend.calm_until, 0.15, 1.2, counted)

    def _remember(self, capacity: float, now: float) -> None:
        again = 0.75 < capacity / self._failed < 1.33 if self._failed else False
        self._hold = min(self._hold * 1.5, HOLD_MOST) if again else HOLD
        self._failed = capacity
        self._failed_until = now + self._hold
        self._delivery.forget(capacity)

    def _refine(self) -> None:
        """Packets from before the fall still come through the full queue: at what it takes."""
        capacity = self._capacity()
        if capacity:
            self._failed = capacity
            self._set(min(self._before, FALL * capacity))

    def _drain(self, rtt: float, now: float) -> None:
        trend = self._trend
        if trend.queue < 0.5 * trend.threshold:
            self._draining = False
            self._set(self.bitrate)
            return
        waited = now - self.congested_at - rtt
        if trend.over and waited > 0.3 and not trend.flat:
            self._fall(rtt, now)
            return
        sent_at, sent = self._delivery.mark()
        if self._drained_from is None:
            self._drained_from = (sent_at, sent, trend.queue)
        since, before, depth = self._drained_from
        span = sent_at - since
        if span > 0.5:
            due = span * (1.0 - (sent - before) / span / self._failed)
            if due > max(0.7 * depth, 0.03) and trend.queue > 0.75 * depth:
                # So much less was sent that it should have drained: it is not our queue.
                trend.rebase()
                self._draining = False
                self._failed_until = now
                self._set(max(self.bitrate, 0.95 * self._before))
                return
        if waited > max(0.8, 1.5 * self._depth):
            # Less must be sent than what was thought to be little enough.
            self.congested_at = now
            self._depth = trend.queue
            self._refining = False
            self._set(self.bitrate * DRAIN_MORE)
            return
        self._set(self.bitrate)

    def _climb(self, elapsed: float, rtt: float, now: float) -> None:
        delivery, trend = self._delivery, self._trend
        rate = delivery.prove(elapsed, trend.jitter)
        bitrate = self.bitrate
        most = min(WANTED * self._wanted, self._remb)
        if self._trial is not None or bitrate >= most:
            self._set(bitrate)
            return
        failed = self._failed
        if failed and bitrate > NEAR * failed and now < self._failed_until:
            climb = CLIMB_CAREFUL if self._hold > HOLD else CLIMB_FIRST
            target = bitrate * (1.0 + climb * elapsed)
            target = min(target, max(0.95 * failed, AHEAD_CAREFUL * delivery.proven))
        else:
            target = bitrate * (1.0 + CLIMB * elapsed)
            target = min(target, AHEAD * delivery.proven)
        passed = delivery.steady / failed if failed else GAIN_MOST
        if self._ramping or passed > PASSED:
            gain = min(max(1.0 + OVERSHOOT / (rtt + 0.25), GAIN_LEAST), GAIN_MOST)
            target = max(target, min(gain, passed) * rate)
            if failed and passed > GAIN_LEAST:
                self._failed = 0.0
                self._ramping = True
                self._probing.succeeded()
        self._set(min(max(bitrate, target), most))

    def _set(self, bitrate: float) -> None:
        self.bitrate = bitrate = min(max(bitrate, MIN_BITRATE), MAX_BITRATE)
        if self._draining:
            self.pace = bitrate * (DRAIN_DEEP if self.queue_delay > DEEP else DRAIN)
        elif self._failed and bitrate > NEAR * self._failed:
            self.pace = bitrate
        else:
            self.pace = PACE * bitrate

    # Losses and what is odd

    def _count_losses(
        self,
        base: int,
        arrivals: Sequence[float | None],
        lost: int,
        bits: float,
        first: float,
        last: float,
        now: float,
    ) -> None:
        losses = self._losses
        if lost:
            missing = self._missing
            if len(missing) > 500:
                missing.clear()
            bursts = 0
            before: float | None = 0.0
            for number, at in enumerate(arrivals, base):
                if at is None:
                    missing.add(number)
                    bursts += before is not None
                before = at
            losses.note_bursts(lost, bursts or 1)
        if not losses.note(len(arrivals), lost, bits, first, last):
            return
        if self._draining:
            losses.forget()
            return
        verdict = losses.judge(last)
        if self._trial is not None:
            self._end_trial(now)
        elif verdict is Verdict.OURS:
            self._fall_by_loss(now)
        elif verdict is Verdict.RISEN:
            self._trial = (self.bitrate, losses.window, losses.rate)
            self._set(TRIAL * min(self.bitrate, losses.rate))
            self.congested_at = now
            losses.forget()

    def _fall_by_loss(self, now: float) -> None:
        losses = self._losses
        self._probing.failed(self._rtt, now)
        self._before = self.bitrate
        self._ramping = False
        self.congested_at = now
        capacity = losses.rate * (1.0 - losses.window) / (1.0 - min(losses.own, 0.3))
        self._remember(capacity, now)
        self._set(min(self.bitrate, FALL * capacity))
        losses.forget()

    def _end_trial(self, now: float) -> None:
        losses = self._losses
        assert self._trial is not None
        before, was, rate = self._trial
        self._trial = None
        if losses.rate < 0.95 * rate and losses.window < 0.6 * was:
            self._remember(rate * (1.0 - was), now)
            return
        losses.learn(0.5 * (was + losses.window))
        self._set(max(self.bitrate, before))

    def _find_late(self, base: int, arrivals: Sequence[float | None]) -> None:
        if not self._missing:
            return
        late = 0
        for number, at in enumerate(arrivals, base):
            if at is not None and number in self._missing:
                self._missing.remove(number)
                late += 1
        if late:
            self._losses.found(late)

    def _advance(
        self,
        base: int,
        following: int,
        count: int,
        last: float,
        sent_at: Sequence[float],
        sent_size: Sequence[int],
    ) -> None:
        """Reports up to here are read. What lies between two, a lost report told of: it arrived
        for all we know."""
        if 0 <= following < base <= following + 256:
            mask = len(sent_at) - 1
            bits = 8.0 * sum(sent_size[n & mask] + IP_UDP for n in range(following, base))
            self._delivery.guess(bits, bits * (1.0 - self._losses.own))
        self._next = base + count
        self._newest_sent = last

    def _resume(self, first: float, now: float) -> None:
        """Feedback is back after a silence: what was sent in it says nothing of the link now."""
        if self._resumed_from and first > self.congested_at:
            # The first packets sent since then have arrived: quickly back, but not all the way.
            self._ramping = True
            self._failed, self._failed_until = self._resumed_from, now + HOLD
            self._resumed_from = 0.0
        self._trend.forget()
        self._losses.forget()
