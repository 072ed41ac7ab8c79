"""How many bits per second one viewer's link takes. BANDWIDTH.md says why it is found out so.

Lives here: reading what a viewer says: transport-wide feedback
(draft-holmer-rmcat-transport-wide-cc-extensions-01), else receiver reports (RFC 3550 §6.4.2) and
REMB, or nothing any more; and not believing what cannot be. Must not live here: what follows from
it (`control`), what is sent with it (relay.sfu), when (`pacer`). Pure; seconds, and bit/s on the
wire: a packet counts its bytes and 28 of IP and UDP.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from operator import sub
from typing import Any, Final

from relay.media.control import (
    CLIMB_CAREFUL,
    HOLD,
    MAX_BITRATE,
    MIN_BITRATE,
    NEAR,
    WANTED,
    RateControl,
)

# A voice passes; nearly every link that reaches a school takes it.
START_BITRATE: Final = 60_000.0
IP_UDP: Final = 28
# Silence: after so long, or so many round trips; what the estimate then falls to, step by step.
# Receiver reports come every 5 s.
SILENCE: Final = 1.0
SILENCE_TRIPS: Final = 3.0
SILENCE_REPORTS: Final = 12.0
SILENCE_FALL: Final = 0.7
SAFE_BITRATE: Final = 40_000.0
# Links mostly come back as they were: so much of the estimate before is taken at once.
RESUMED: Final = 0.5
# Of what is wanted, so much must have been seen to pass, or the estimate is but a guess: as much as
# the best picture makes by itself.
PROVEN: Final = 0.75
# A viewer's clock may run backwards so far between two reports, or ahead of ours.
CLOCK_BACK: Final = 1.0
CLOCK_AHEAD: Final = 30.0
# Receiver reports alone: a round trip that much longer than the least is a queue, or none.
TRIP_LONG: Final = 0.150
TRIP_SHORT: Final = 0.080
TRIP_BASE: Final = 60.0
REPORT_FALL: Final = 0.8
REPORT_CLIMB: Final = 0.08
REPORT_LOSS: Final = 0.12
# Of lost packets so many are remembered, in case that they arrive late.
_MISSING: Final = 500
# Reports lost between two others: what they told of is guessed up to so many packets.
_GUESSED: Final = 256
# Of a link that takes all there is, one report in so many is read to its end: often enough to
# follow the drift of two clocks and the jitter.
_READ_EVERY: Final = 8
# Packets of reports that were only glanced at: their sizes are looked up when these are counted.
_GLANCED_MOST: Final = 400

# Places in the ring, when the first and the last were sent, and the last arrived.
_Glance = tuple[int, int, float, float, float]


class BandwidthEstimate(RateControl):
    """One viewer's estimate. Besides what RateControl has:

    loss: smoothed fraction of packets lost for whatever reason, 0 to 1. liar: reports that cannot
    be true; they were ignored. resumed_at: when feedback came back after a silence, seconds.
    """

    __slots__ = (
        "_arrived",
        "_base_rtt",
        "_base_rtt_at",
        "_glanced",
        "_heard",
        "_missing",
        "_newest_sent",
        "_next",
        "_quiet_step",
        "_reported_at",
        "_resumed_from",
        "_sending_since",
        "liar",
        "resumed_at",
    )

    def __init__(self, now: float, start: float = START_BITRATE) -> None:
        super().__init__(now, start)
        self.liar = 0
        self.resumed_at = -1e9
        self._heard = now
        """When the viewer last said anything."""
        self._sending_since = now
        """Since when there is something to say."""
        self._quiet_step = now
        self._resumed_from = 0.0
        """The estimate before a silence, until packets sent after it arrive."""
        self._next = -1
        """The first number that no report told of; -1 before the first."""
        self._newest_sent = 0.0
        self._arrived = -1e18
        self._reported_at = now
        self._missing: set[int] = set()
        self._glanced: list[_Glance] = []
        """Reports since the last one that was read to its end, not counted yet."""
        self._base_rtt = 1e9
        self._base_rtt_at = now

    @property
    def loss(self) -> float:
        """Smoothed fraction of packets lost, 0 to 1."""
        return self._losses.smoothed

    @property
    def own_loss(self) -> float:
        """What the link loses at any rate, 0 to 1: the air's share, not a full queue's."""
        return self._losses.own

    @property
    def burst(self) -> float:
        """Packets lost in a row, on average."""
        return self._losses.burst

    def receive_feedback(
        self,
        base: int,
        arrivals: Sequence[float | None],
        offset: float,
        sent_at: Sequence[float],
        sent_size: Sequence[int],
        rtt: float,
        now: float,
        again: Container[int] = (),
    ) -> None:
        """One transport-wide feedback.

        arrivals: seconds on the viewer's clock, or None for lost, of packets `base`, `base`+1, …
        offset: to be added to them, see `ArrivalClock`.
        sent_at, sent_size: rings indexed by the packet number modulo their length (a power of
        two): when it was sent, its bytes. again: numbers, of 16 bits, of packets that were sent
        again under the same number: that they arrive at last takes back no loss.
        """
        if self._glanced:
            self._enter(sent_size, now)
        ring = len(sent_at)
        count = len(arrivals)
        known = self._next
        if base < known or count > ring >> 1:
            base, arrivals = self._unread(base, arrivals, ring >> 1, again)
            count = len(arrivals)
            if not count:
                return
        low = base & ring - 1
        high = low + count
        sent: Sequence[float]
        if high <= ring:
            sent = sent_at[low:high]
            size = sum(sent_size[low:high])
        else:
            sent = [*sent_at[low:], *sent_at[: high - ring]]
            size = sum(sent_size[low:]) + sum(sent_size[: high - ring])
        first, last = sent[0], sent[-1]
        # A number that was never sent finds the time of one that went a ring's length before.
        if first <= 0.0 or last > now or last < first or first < self._newest_sent - 0.5:
            self.liar += 1
            return
        reported = 8.0 * (size + IP_UDP * count)
        bits = reported
        lost = 0
        if None in arrivals:
            lost, bits = self._note_missing(base, arrivals, bits, sent_size)
            pairs = zip(arrivals, sent, strict=True)
            delays = [at - when for at, when in pairs if at is not None]
        else:
            came: Any = arrivals
            delays = list(map(sub, came, sent))
        if 0 <= known < base:
            self._guess(known, base, sent_size)
        self._next = base + count
        self._newest_sent = last
        self._rtt = rtt
        if delays:
            # The last one is never lost: reports end with what arrived.
            newest = arrivals[-1]
            if newest is None:
                newest = last + delays[-1]
            arrived = newest + offset
            passed = arrived - self._arrived
            if not 0.0 <= passed < 2.0 and not self._is_plausible(passed, now):
                self._arrived = arrived
                return
            self._arrived = arrived
            self._reported_at = now
            self._delivery.note(arrived, last, bits, reported)
            silent = now - self._heard > SILENCE
            self._heard = now
            if silent or self._resumed_from:
                self._resume(first, now)
        else:
            self._delivery.guess(reported, 0.0)
        fell = self.congested_at
        if first > fell:
            if self._losses.note(count, lost, reported, first, last):
                self._weigh_losses(now)
        elif last > fell:
            # Packets sent before the last fall tell of the rate before it.
            pairs = zip(arrivals, sent, strict=True)
            delays = [at - when for at, when in pairs if at is not None and when > fell]
        else:
            if self._refining:
                self._refine()
            return
        if delays:
            best = min(delays)
            kept = len(delays)
            mean = sum(delays) / kept
            if self._trend.note(best + offset, mean - best, kept, first, last, arrived, now):
                self._judge(rtt, now)

    def receive_calm(
        self,
        base_seq: int,
        count: int,
        first_arrival: float,
        last_arrival: float,
        sent_at: Sequence[float],
        sent_size: Sequence[int],
        now: float,
    ) -> bool:
        """A feedback that tells of no loss, of which only the first and the last packet are looked
        at. base_seq: as in the feedback, 16 bits. arrivals: seconds, the offset included. False:
        it is to be read by `receive_feedback`.

        Nearly all that rooms on good links say is this; reading it costs half as much.
        """
        mask = len(sent_at) - 1
        base = self._next
        low = base & mask
        high = low + count
        glanced = self._glanced
        if (
            base & 0xFFFF != base_seq
            or len(glanced) >= _READ_EVERY - 1
            or high > mask
            or (glanced and (base - glanced[0][0] & mask) + count > _GLANCED_MOST)
            or self._draining
            or self._trial is not None
            or self._resumed_from
            or not self._trend.calm
            or now - self._heard > SILENCE
            or not 0.0 <= last_arrival - self._arrived < 2.0
            or not self.is_satisfied
        ):
            return False
        first, last = sent_at[low], sent_at[high - 1]
        if not max(self.congested_at, self._newest_sent - 0.5, 0.0) < first <= last <= now:
            return False
        trend = self._trend
        if not trend.is_calm_at(first_arrival - first, first_arrival) or not trend.is_calm_at(
            last_arrival - last, last_arrival
        ):
            return False
        self._next = base + count
        self._newest_sent = last
        self._arrived = last_arrival
        self._reported_at = self._heard = now
        self._glanced.append((low, high, first, last, last_arrival))
        return True

    def _enter(self, sent_size: Sequence[int], now: float) -> None:
        """Count what was only glanced at. Together, since most of it costs memory to be fetched."""
        for low, high, first, last, arrived in self._glanced:
            count = high - low
            bits = 8.0 * (sum(sent_size[low:high]) + IP_UDP * count)
            self._delivery.note(arrived, last, bits, bits)
            if self._losses.note(count, 0, bits, first, last):
                self._weigh_losses(now)
        self._glanced.clear()

    def receive_report(self, fraction_lost: float, rtt: float, now: float) -> None:
        """A receiver report of a viewer that sends no transport-wide feedback.

        Its round trip shows a queue, as far as a report in a second or five can.
        """
        elapsed, self._judged = min(now - self._judged, 2.0), now
        self._heard = now
        self._rtt = rtt
        losses = self._losses
        losses.smoothed += (fraction_lost - losses.smoothed) * 0.3
        if rtt < self._base_rtt or now - self._base_rtt_at > TRIP_BASE:
            self._base_rtt, self._base_rtt_at = rtt, now
        self.queue_delay = rtt - self._base_rtt
        risen = losses.smoothed > max(REPORT_LOSS, losses.own + 0.08)
        if self.queue_delay > TRIP_LONG or risen:
            if now - self.congested_at > 1.0 + rtt:
                self.congested_at = now
                self._failed, self._failed_until = self.bitrate, now + HOLD
                # If it is the same at the next report, the air loses it.
                losses.own = min(losses.smoothed, 0.15)
                self._set(self.bitrate * REPORT_FALL)
        elif self.queue_delay < TRIP_SHORT:
            near = self._failed and self.bitrate > NEAR * self._failed and now < self._failed_until
            climbed = self.bitrate * (1.0 + (CLIMB_CAREFUL if near else REPORT_CLIMB) * elapsed)
            self._set(max(self.bitrate, min(climbed, self._most)))

    def receive_remb(self, bitrate: float, now: float) -> None:
        """A receiver's own estimate (draft-alvestrand-rmcat-remb): an upper bound, never more."""
        self._heard = now
        if not MIN_BITRATE <= bitrate <= 50 * MAX_BITRATE:
            self.liar += 1
        self._remb = max(MIN_BITRATE, bitrate)
        self._most = min(WANTED * self._wanted, self._remb)
        self._set(min(self.bitrate, self._remb))

    def note_limited(self, wanted: float, now: float) -> None:
        """`wanted`: bit/s of all that could be sent to this viewer if its link took it."""
        self._wanted = wanted
        self._most = min(WANTED * wanted, self._remb)

    def handle_timer(self, now: float, *, sending: bool) -> None:
        """Call a few times a second; `sending`: whether packets were sent since the last call.

        Feedback that stops while packets flow makes the estimate fall step by step.
        """
        if not sending:
            self._sending_since = now
            return
        patience = SILENCE_REPORTS if self._next < 0 else max(SILENCE, SILENCE_TRIPS * self._rtt)
        heard = max(self._heard, self._sending_since)
        if now - heard < patience or now - self._quiet_step < 0.5 * patience:
            return
        self._quiet_step = now
        self._resumed_from = max(self._resumed_from, self.lasting)
        self.congested_at = now
        self._trial = None
        if self.bitrate > SAFE_BITRATE:
            self._set(max(SAFE_BITRATE, self.bitrate * SILENCE_FALL))

    def probe(self, now: float) -> float:
        """bit/s of padding or duplicates that may be sent on top of the media now."""
        if (
            (self.bitrate >= self._wanted and self.proven >= PROVEN * self._wanted)
            or self._draining
            or self._trial is not None
            or not self._trend.calm
            or self._next < 0
            or now - self._heard > SILENCE
            or (now < self._failed_until and self.bitrate > NEAR * self._failed)
        ):
            return 0.0
        # Where it failed before, no queue is made while waiting for the answer.
        trip = 0.0 if self._failed and now < self._ceiling_until else self._rtt
        failed = self._failed > 0.0
        sure = failed and self._is_sure
        return self._probing.rate(
            self.bitrate, self.acknowledged, trip, now, failed=failed, sure=sure
        )

    def is_clean(self, seconds: float, now: float) -> bool:
        """Whether nothing pointed to congestion for so long."""
        return (
            now - self.congested_at > seconds
            and self._trend.calm
            and not self._draining
            and self._trial is None
        )

    # What is odd about a report

    def _unread(
        self, base: int, arrivals: Sequence[float | None], most: int, resent: Container[int]
    ) -> tuple[int, Sequence[float | None]]:
        """What no report told of before, and at most so many; late packets are found again."""
        again = min(max(self._next - base, 0), len(arrivals))
        if again and self._missing:
            missing = self._missing
            late = [
                number
                for number, at in enumerate(arrivals[:again], base)
                if at is not None and number in missing
            ]
            missing.difference_update(late)
            self._losses.found(sum(number & 0xFFFF not in resent for number in late))
        skipped = max(again, len(arrivals) - most)
        return base + skipped, arrivals[skipped:]

    def _note_missing(
        self, base: int, arrivals: Sequence[float | None], bits: float, sent_size: Sequence[int]
    ) -> tuple[int, float]:
        """How many are missing, and the bits that arrived."""
        missing = self._missing
        if len(missing) > _MISSING:
            missing.clear()
        mask = len(sent_size) - 1
        lost = arrivals.count(None)
        bursts, at = 0, -1
        for _ in range(lost):
            before, at = at, arrivals.index(None, at + 1)
            number = base + at
            missing.add(number)
            bits -= 8.0 * (sent_size[number & mask] + IP_UDP)
            bursts += at != before + 1 or before < 0
        self._losses.note_bursts(lost, bursts)
        return lost, bits

    def _guess(self, known: int, base: int, sent_size: Sequence[int]) -> None:
        """A report was lost: what it told of has arrived for all we know."""
        if base - known > _GUESSED:
            return
        mask = len(sent_size) - 1
        bits = 8.0 * sum(sent_size[number & mask] + IP_UDP for number in range(known, base))
        self._delivery.guess(bits, bits * (1.0 - self._losses.own))

    def _is_plausible(self, passed: float, now: float) -> bool:
        """Whether the viewer's clock went on as ours did since its last report."""
        if passed > 1e17 or -CLOCK_BACK < passed < now - self._reported_at + CLOCK_AHEAD:
            return True
        # The next report is measured against this one, so a clock that was set costs one.
        self.liar += 1
        self._reported_at = now
        self._trend.reset(now)
        return False

    def _resume(self, first: float, now: float) -> None:
        """Feedback is back after a silence: what was sent in it says nothing of the link now."""
        if self._resumed_from and first > self.congested_at:
            # What was sent since then arrives: quickly back, but not all the way.
            self._draining = self._refining = False
            self._ramping = True
            self._failed, self._failed_until = self._resumed_from, now + HOLD
            self.resumed_at = now
            self._set(max(self.bitrate, RESUMED * self._resumed_from))
            self._resumed_from = 0.0
        self._draining = self._refining = False
        self._trend.forget()
        self._losses.forget()
