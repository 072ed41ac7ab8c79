"""The rise and fall of one viewer's estimate. BANDWIDTH.md says why each number is as it is.

Lives here: what follows from a queue (`trend`), from losses (`loss`) and from what was delivered
(`delivery`): falling, draining, climbing, ramping, trials. Must not live here: reading feedback
(`bandwidth`, which is the estimate that others use). In the place of the state machine of
draft-ietf-rmcat-gcc-02 §5.5. Pure; seconds, and bit/s on the wire.
"""

from __future__ import annotations

from typing import Final

from relay.media.delivery import Delivery
from relay.media.loss import LossWatch, Trial, Verdict
from relay.media.probe import Probing
from relay.media.trend import DelayTrend

# A thin voice of 16 kbit/s in packets of 60 ms, with all headers.
MIN_BITRATE: Final = 24_000.0
MAX_BITRATE: Final = 20_000_000.0
# After a fall: of what arrived while the queue stood, which is what the link takes.
FALL: Final = 0.94
# What came last against what came before, if the link became narrower meanwhile.
NARROWER: Final = 0.7
# A quarter of a second holds enough packets for that only above this rate.
NARROWER_FROM: Final = 300_000.0
# While the queue drains: what may be sent of it, with a queue of more or less than DEEP.
DRAIN: Final = 0.7
DRAIN_DEEP: Final = 0.5
DEEP: Final = 0.150
# If it does not drain in the time that it should.
DRAIN_MORE: Final = 0.85
# So often in vain, though all arrives: others fill it. Of the estimate before, this is ours.
FOREIGN: Final = 1
ARRIVES: Final = 0.9
SHARED: Final = 0.6
# What may wait in the link because a start was too bold, seconds: bounds the gain below.
OVERSHOOT: Final = 0.25
GAIN_LEAST: Final = 1.35
GAIN_MOST: Final = 2.0
# The estimate runs ahead of what was proven by this factor at most.
AHEAD: Final = 1.6
AHEAD_CAREFUL: Final = 1.1
AHEAD_CEILING: Final = 1.05
# Climbing, per second: usually; where it failed before; where it failed again; NEAR is where.
CLIMB: Final = 0.10
CLIMB_FIRST: Final = 0.05
CLIMB_CAREFUL: Final = 0.02
NEAR: Final = 0.85
# Beyond this share of what failed, the link has become wider.
PASSED: Final = 1.1
# And without proof: a source may have nothing between a voice and ten times as much.
CLIMB_BLIND: Final = 0.03
CLIMB_BLIND_AGAIN: Final = 0.01
# For how long a failure is remembered, and for how long at most if it fails there again.
HOLD: Final = 5.0
HOLD_MOST: Final = 6.0
# For so long the estimate passes the rate that failed only as far as more was seen to pass.
CEILING: Final = 30.0
# So much more than what failed, lately carried, is worth looking for; and for how long.
LATELY: Final = 1.25
HOPE: Final = 60.0
# While nothing stands in the way, frames may leave so much faster than the estimate.
PACE: Final = 1.25
# And so much faster than what was seen to pass.
BOLD: Final = 1.5
# A trial of less, to learn whose fault a loss is.
TRIAL: Final = 0.85
TRIAL_LEAST: Final = 0.65
TRIAL_LONGEST: Final = 4.0
# Loss above this is put to the test from time to time, more seldom the oftener it stood it.
DOUBTED: Final = 0.10
TRIAL_PAUSE: Final = 10.0
TRIAL_PAUSE_MOST: Final = 120.0
# Beyond what could be sent, an estimate is of no use.
WANTED: Final = 1.3
# Where nothing more is wanted and nothing points to a queue, rates are measured that seldom.
EASY: Final = 0.5


class RateControl:
    """bitrate: what may be sent. pace: at which it may leave now, for the pacer.

    queue_delay, jitter: seconds above the least delay. congested_at: last fall. acknowledged: bit/s
    that arrived lately, 0 before the first feedback. beside: bit/s that the same link carries of
    ours now and then, and no feedback tells of: still pictures. Set it.
    """

    __slots__ = (
        "_before",
        "_ceiling_until",
        "_delivery",
        "_depth",
        "_drained_from",
        "_draining",
        "_episode",
        "_failed",
        "_failed_until",
        "_hold",
        "_hope_until",
        "_is_sure",
        "_judged",
        "_losses",
        "_most",
        "_onset",
        "_probing",
        "_ramping",
        "_refining",
        "_remb",
        "_rtt",
        "_start",
        "_stuck",
        "_trend",
        "_trial",
        "_trial_due",
        "_trial_pause",
        "_wanted",
        "acknowledged",
        "beside",
        "bitrate",
        "congested_at",
        "jitter",
        "pace",
        "queue_delay",
    )

    def __init__(self, now: float, start: float) -> None:
        self.bitrate = self._start = start
        self.pace = PACE * start
        self.congested_at = -1e9
        self.queue_delay = 0.0
        self.jitter = 0.0
        self.acknowledged = 0.0
        self.beside = 0.0
        self._trend = DelayTrend(now)
        self._losses = LossWatch()
        self._delivery = Delivery()
        self._probing = Probing()
        self._rtt = 0.3
        self._judged = now
        self._ramping = True
        self._draining = self._refining = False
        self._onset = 0.0
        self._drained_from: tuple[float, float, float] | None = None
        """As packets sent after the fall began to arrive: sent when, bits until then, queue."""
        self._depth = 0.0
        """The queue at the last fall, seconds."""
        self._before = start
        """The estimate before the last fall."""
        self._episode = start
        """The estimate before the queue that is draining began."""
        self._stuck = 0
        self._failed = 0.0
        self._failed_until = self._ceiling_until = self._hope_until = -1e9
        self._is_sure = False
        """Whether it was a queue that told where the link failed, not losses."""
        self._hold = HOLD
        self._trial: tuple[float, float, float, bool, float] | None = None
        """While less is sent to learn whose a loss is: estimate before, capacity if it is ours,
        rate before, whether it was ramping, when it began."""
        self._trial_due = now + TRIAL_PAUSE
        self._trial_pause = TRIAL_PAUSE
        self._wanted = MAX_BITRATE
        self._remb = MAX_BITRATE
        self._most = MAX_BITRATE
        """What follows from both."""

    @property
    def wanted(self) -> float:
        """bit/s of all that could be sent, as was told last."""
        return self._wanted

    @property
    def lasting(self) -> float:
        """`bitrate`, but what it was before while less is sent only to learn whose a loss is."""
        return self.bitrate if self._trial is None else max(self.bitrate, self._trial[0])

    @property
    def proven(self) -> float:
        """The most that has lately passed without a queue, bit/s."""
        return self._delivery.proven

    @property
    def start_pace(self) -> float:
        """`pace` until the link pushed back: pictures are what is to show how much it takes.

        An estimate that ran ahead of what has passed is no rate to send a whole keyframe at.
        """
        return min(self.bitrate * _gain(self._rtt), max(self._start, BOLD * self.proven))

    @property
    def is_satisfied(self) -> bool:
        """Whether the estimate is as high as anybody could use, or the receiver allows."""
        return self._wanted > 0.0 and self.bitrate >= self._most

    def _judge(self, rtt: float, now: float) -> None:
        """A block of packets ended: rise or fall."""
        trend = self._trend
        self.queue_delay = trend.queue
        self.jitter = trend.jitter
        elapsed = now - self._judged
        if elapsed < EASY and trend.calm and not self._draining and self.is_satisfied:
            return
        elapsed, self._judged = min(elapsed, 1.0), now
        self._delivery.measure(trend.jitter)
        self.acknowledged = self._delivery.acknowledged
        if self._draining:
            self._drain(rtt, now)
        elif trend.over or (self._ramping and trend.rising):
            self._fall(rtt, now)
        elif trend.calm:
            self._climb(elapsed, rtt, now)

    def _fall(self, rtt: float, now: float) -> None:
        """A queue is there: down to what arrives, and less until it has drained."""
        self._before = self.bitrate
        if not self._draining:
            self._stuck = 0
            self._episode = self.bitrate
        self._draining = self._refining = True
        self._drained_from = None
        self._depth = self._trend.queue
        self._ramping = False
        self._trial = None
        self.congested_at = now
        self._onset = self._trend.onset()
        arrived = self._capacity(1.2) or self.acknowledged
        self._remember(arrived + self.beside if arrived else self.bitrate, now)
        self._probing.failed(rtt, now, hopeful=now < self._hope_until)
        self._set(min(self.bitrate, FALL * self._failed))
        self._trend.forget()
        self._losses.forget()

    def _capacity(self, most: float) -> float:
        """What arrived since the queue began to grow, and what the air lost of it; 0: unknown."""
        trend = self._trend
        # Where the queue is deep, it is the queue that drops.
        counted = 0.5 if max(trend.queue, self._depth) < DEEP else 0.0
        return self._delivery.since(self._onset, 0.2, most, counted)

    def _remember(self, capacity: float, now: float) -> None:
        again = 0.75 < capacity / self._failed < 1.33 if self._failed else False
        self._hold = min(self._hold * 1.5, HOLD_MOST) if again else HOLD
        if max(self._failed, self._delivery.proven) > LATELY * capacity:
            self._hope_until = now + HOPE
        self._failed = capacity
        self._is_sure = True
        self._failed_until = now + self._hold
        self._ceiling_until = now + CEILING
        self._delivery.forget(capacity)

    def _refine(self) -> None:
        """Packets from before the fall still come through the full queue: at what it takes."""
        capacity = self._capacity(0.6)
        if capacity:
            # Narrower still since then: at what it takes now.
            newest = self._capacity(0.25)
            if newest < NARROWER * capacity and capacity > NARROWER_FROM:
                capacity = newest
            self._failed = capacity + self.beside
            self._set(min(self._before, FALL * self._failed))

    def _drain(self, rtt: float, now: float) -> None:
        trend = self._trend
        if trend.queue < 0.5 * trend.threshold:
            self._draining = self._refining = False
            self._set(self.bitrate)
            return
        waited = now - self.congested_at - rtt
        if trend.over and waited > 0.3 and not trend.flat:
            self._fall(rtt, now)
            return
        grown = trend.queue > self._depth + 2.0 * trend.threshold
        arrived = self.acknowledged + self.beside
        if grown and self.acknowledged > 0.0 and arrived < self.bitrate:
            # The link became narrower still while the news of the first fall was under way.
            self._depth = trend.queue
            self._refining = False
            self._failed = arrived
            self._set(FALL * arrived)
            return
        sent_at, sent = self._delivery.mark()
        if self._drained_from is None:
            self._drained_from = (sent_at, sent, trend.queue)
        since, before, depth = self._drained_from
        span = sent_at - since
        if span > 0.5:
            due = span * (1.0 - ((sent - before) / span + self.beside) / self._failed)
            if due > max(0.7 * depth, 0.03) and trend.queue > 0.75 * depth:
                # So much less was sent that it should have drained: it is not our queue.
                trend.rebase()
                self._draining = self._refining = False
                self._failed_until = self._ceiling_until = now
                self._set(max(self.bitrate, 0.95 * self._before))
                return
        if waited > max(0.8, 1.5 * self._depth):
            arrived = self._delivery.acknowledged > ARRIVES * self._delivery.sent
            self._stuck += arrived
            self._depth = trend.queue
            self._refining = False
            if self._stuck > FOREIGN:
                # All that is sent arrives, and still the queue stands: others fill it.
                trend.tolerate()
                self._draining = False
                self._failed_until = self._ceiling_until = now
                self._set(max(self.bitrate, SHARED * self._episode, self._delivery.acknowledged))
                return
            # Less must be sent than what was thought to be little enough.
            self.congested_at = now
            self._set(self.bitrate * DRAIN_MORE)
            return
        self._set(self.bitrate)

    def _climb(self, elapsed: float, rtt: float, now: float) -> None:
        delivery = self._delivery
        delivery.prove(elapsed)
        rate = delivery.rate
        bitrate = self.bitrate
        most = self._most
        if self._trial is not None or bitrate >= most:
            self._set(bitrate)
            return
        failed = self._failed
        if failed and bitrate > NEAR * failed and now < self._failed_until:
            climb = CLIMB_CAREFUL if self._hold > HOLD else CLIMB_FIRST
            target = bitrate * (1.0 + climb * elapsed)
            target = min(target, max(0.95 * failed, AHEAD_CAREFUL * delivery.proven))
        else:
            blind = CLIMB_BLIND_AGAIN if failed and bitrate > NEAR * failed else CLIMB_BLIND
            target = min(bitrate * (1.0 + CLIMB * elapsed), AHEAD * delivery.proven)
            if self._wanted < MAX_BITRATE:
                target = max(target, bitrate * (1.0 + blind * elapsed))
            if failed and now < self._ceiling_until:
                target = min(target, max(0.95 * failed, AHEAD_CEILING * delivery.proven))
        passed = delivery.steady / failed if failed else 0.0
        if self._ramping or passed > PASSED:
            gain = _gain(rtt)
            if not self._ramping:
                gain = min(gain, passed)
            elif failed and now < self._failed_until:
                gain = min(gain, NEAR * failed / max(rate, 1.0))
            target = max(target, gain * rate)
            if passed > PASSED:
                self._probing.succeeded()
            if passed > GAIN_LEAST:
                self._failed = 0.0
                self._ramping = True
        # What passes without a queue is allowed in any case.
        self._set(min(max(bitrate, target, 0.95 * delivery.steady), most))

    def _set(self, bitrate: float) -> None:
        self.bitrate = bitrate = min(max(bitrate, MIN_BITRATE), MAX_BITRATE)
        if self._draining:
            self.pace = bitrate * (DRAIN_DEEP if self.queue_delay > DEEP else DRAIN)
        elif self._trial is not None or (self._failed and bitrate > NEAR * self._failed):
            self.pace = bitrate
        else:
            self.pace = PACE * bitrate

    # Losses

    def _weigh_losses(self, now: float) -> None:
        """A window of packets ended, all sent after the last fall."""
        losses = self._losses
        if self._draining:
            losses.forget()
            return
        if self._trial is not None:
            self._try_on(now)
            return
        verdict = losses.judge()
        if verdict is not Verdict.FINE:
            self._begin_trial(verdict, now)
        elif losses.own > DOUBTED and now >= self._trial_due:
            # What was taken for the air's may be ours after all.
            self._begin_trial(Verdict.RISEN, now)

    def _begin_trial(self, verdict: Verdict, now: float) -> None:
        """Less is sent, to see whether less is lost then."""
        losses = self._losses
        self._probing.failed(self._rtt, now, hopeful=now < self._hope_until)
        rate = losses.rate
        suspected = losses.begin_trial()
        capacity = rate * (1.0 - suspected)
        self._trial = (self.bitrate, capacity, rate, self._ramping, now)
        self._ramping = False
        self.congested_at = now
        # A window's rate may have been a lull of the lesson's own.
        sent = max(rate, self._delivery.sent)
        if verdict is Verdict.GROWS:
            tried = max(FALL * capacity, TRIAL_LEAST * sent)
        else:
            tried = TRIAL * min(self.bitrate, rate)
        if self.beside:
            # The voice alone flows, which cannot be less; only padding can.
            tried = max(tried, sent + self.beside)
        self._set(min(self.bitrate, tried))

    def _try_on(self, now: float) -> None:
        losses = self._losses
        assert self._trial is not None
        before, capacity, rate, ramping, began = self._trial
        verdict = losses.try_on()
        if losses.rate > 0.95 * rate:
            # What was sent has not become less yet: nothing to be learned.
            if now - began > TRIAL_LONGEST:
                self._trial = None
                self._set(max(self.bitrate, before))
            else:
                losses.begin_trial()
        elif verdict is Trial.OURS:
            self._trial = None
            self._trial_pause = TRIAL_PAUSE
            self._trial_due = now + TRIAL_PAUSE
            self._remember(capacity / (1.0 - losses.own), now)
            # Losses tell less surely than a queue does.
            self._ceiling_until = self._failed_until
            self._is_sure = False
        elif verdict is Trial.AIR:
            self._trial = None
            self._trial_pause = min(2.0 * self._trial_pause, TRIAL_PAUSE_MOST)
            self._trial_due = now + self._trial_pause
            self._ramping = ramping
            self._set(max(self.bitrate, before))


def _gain(rtt: float) -> float:
    """How many times what arrived may be sent: `OVERSHOOT` bounds what then waits in the link."""
    return min(max(1.0 + OVERSHOOT / (rtt + 0.25), GAIN_LEAST), GAIN_MOST)
