"""One viewer's congestion control in closed loop, in virtual time: sender, two links, receiver.

Lives here: a sender that does what the relay does with an estimate (voice at once, pictures of a
ladder of layers through the pacer, a keyframe every beat, padding when probes are due), the
feedback as libwebrtc's receiver sends it (remote_estimator_proxy: every 50 to 250 ms, each packet
reported once, unless a late one makes it report from there on again), and what is asked of a run.
Must not live here: assertions. No RTP: a packet is its number.
"""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.media.bandwidth import IP_UDP, BandwidthEstimate
from relay.media.pacer import Kind, Pacer
from tests.link_model import LinkModel

RING: Final = 1024
BEAT: Final = 8.0
TICK: Final = 0.00025
START: Final = 1000.0
CLOCK: Final = 37.0
"""The viewer's clock is ahead of ours by so many seconds."""

# bit/s of pictures: three sizes with three temporal layers each, as a browser encodes 720p.
LADDER: Final = (45e3, 65e3, 100e3, 160e3, 230e3, 350e3, 600e3, 850e3, 1250e3)
ENCODER: Final = tuple(20e3 * 1.06**step for step in range(90))
"""Whatever the estimate allows, as an encoder of one's own would."""


@dataclass(slots=True)
class Sample:
    """State at one time (seconds from the start)."""

    at: float
    bitrate: float
    media: float
    """bit/s of the layer that is sent."""
    queue: float
    loss: float
    acknowledged: float


@dataclass
class Run:
    """One viewer. voice: packets/s and bytes of one. ladder: bit/s of pictures, none without.

    clock: the viewer's time of a time of ours.
    """

    down: LinkModel
    up: LinkModel
    seed: int = 1
    voice: tuple[float, int] = (50.0, 110)
    ladder: Sequence[float] = ENCODER
    start: float = 60_000.0
    interval: float = 0.1
    clock: Callable[[float], float] = lambda now: now + CLOCK
    rtt: float = 0.3
    frames: float = 15.0
    respects: bool = True
    samples: list[Sample] = field(default_factory=list)
    voice_delays: list[tuple[float, float]] = field(default_factory=list)
    """When sent, and seconds under way."""
    voice_sent: int = 0
    padding: int = 0
    probing: list[tuple[float, float]] = field(default_factory=list)
    """Probe rate and estimate whenever one was due."""

    def __post_init__(self) -> None:
        self.now = START
        self.estimate = BandwidthEstimate(self.now, self.start)
        self.pacer: Pacer[int] = Pacer(self.start)
        self.sent_at = array("d", bytes(8 * RING))
        self.sent_size = array("H", bytes(2 * RING))
        self.number = 0
        self.random = random.Random(self.seed)
        self.media = 0.0
        self.keyframe = True
        self.feedbacks = 0
        self._got: dict[int, float] = {}
        self._next = 0
        self._reported = -1
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._sent_since = False
        self._pacer_at = 0.0
        self.at(0.0, self._voice)
        self.at(0.005, self._frame)
        self.at(0.0, self._beat)
        self.at(0.1, self._report)
        self.at(0.05, self._timer)
        self.at(0.0, self._pad)
        self.at(0.0, self._sample)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.now - START

    def at(self, after: float, action: Callable[[], None]) -> None:
        """Do something in so many seconds."""
        self._count += 1
        heapq.heappush(self._events, (self.now + after, self._count, action))

    def run(self, seconds: float) -> Run:
        """Let time pass."""
        until = self.now + seconds
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, action = heapq.heappop(events)
            action()
        self.now = until
        return self

    # The sender

    def _send(self, size: int, *, voice: bool = False) -> None:
        number, self.number = self.number, self.number + 1
        self.sent_at[number & RING - 1] = self.now
        self.sent_size[number & RING - 1] = size
        self._sent_since = True
        arrival = self.down.send(size + IP_UDP, self.now)
        self.voice_sent += voice
        if arrival is not None:
            sent = self.now
            self.at(arrival - self.now, lambda: self._arrive(number, sent, voice))

    def _voice(self) -> None:
        rate, size = self.voice
        self.at(1.0 / rate, self._voice)
        self.pacer.spend(size, self.now)
        self._send(size, voice=True)

    def _beat(self) -> None:
        self.at(BEAT, self._beat)
        self.keyframe = True
        self._choose(up=True)

    def _choose(self, *, up: bool) -> None:
        spoken = self.voice[0] * (self.voice[1] + IP_UDP) * 8
        budget = self.estimate.bitrate - spoken
        fits = [rate for rate in self.ladder if rate * 1.05 <= budget]
        best = fits[-1] if fits else 0.0
        if best <= self.media or up or best < 1.8 * self.media:
            self.media = best
        self.estimate.note_limited((max(self.ladder, default=0.0) + spoken) * 1.1, self.now)

    def _frame(self) -> None:
        self.at(1.0 / self.frames, self._frame)
        self._choose(up=self.media == 0.0)
        if not self.media:
            return
        # The mean with one keyframe of five frames in a beat is the layer's rate.
        mean = self.media / 8 / self.frames * (BEAT * self.frames) / (BEAT * self.frames + 4)
        size = mean * (5.0 if self.keyframe else self.random.uniform(0.7, 1.3))
        self.keyframe = False
        if self.pacer.delay > 1.0:
            self.pacer.clear()
        while size > 0:
            part = min(1100, max(200, round(size)))
            self.pacer.push(Kind.PICTURE, part, part)
            size -= part
        self._pace()

    def _pace(self) -> None:
        self.pacer.set_rate(self.estimate.pace, self.now)
        for size in self.pacer.pop(self.now):
            self._send(size)
        due = self.pacer.due(self.now)
        if due is not None and not self.now < self._pacer_at < due + 0.001:
            self._pacer_at = max(due, self.now + 0.001)
            self.at(self._pacer_at - self.now, self._pace)

    def _pad(self) -> None:
        rate = self.estimate.probe(self.now)
        self.probing.append((rate, self.estimate.bitrate))
        pause = 0.02
        if rate:
            size = min(1000, max(60, round(rate * 0.05 / 8)))
            pause = (size + IP_UDP) * 8 / rate
            if not self.pacer.delay > 0.2:
                self.pacer.spend(size, self.now)
                self._send(size)
                self.padding += size + IP_UDP
        self.at(pause, self._pad)

    def _timer(self) -> None:
        self.at(0.25, self._timer)
        self.estimate.handle_timer(self.now, sending=self._sent_since)
        self._sent_since = False

    def _sample(self) -> None:
        self.at(0.05, self._sample)
        self.samples.append(
            Sample(
                self.elapsed,
                self.estimate.bitrate,
                self.media,
                self.estimate.queue_delay,
                self.estimate.loss,
                self.estimate.acknowledged,
            )
        )

    # The receiver

    def _arrive(self, number: int, sent: float, voice: bool) -> None:
        if voice:
            self.voice_delays.append((sent - START, self.now - sent))
        self._got[number] = self.now
        if number < self._next:
            self._next = number
        self._reported = max(self._reported, number)

    def _report(self) -> None:
        self.at(self.interval, self._report)
        if self._next > self._reported:
            return
        base = self._next
        arrivals: list[float | None] = []
        for number in range(base, self._reported + 1):
            at = self._got.get(number)
            arrivals.append(None if at is None else round(self.clock(at) / TICK) * TICK)
        self._next = self._reported + 1
        for number in [one for one in self._got if one < base - 200]:
            del self._got[number]
        arrival = self.up.send(60 + len(arrivals) * 2, self.now)
        if arrival is not None:
            self.at(arrival - self.now, lambda: self._feedback(base, arrivals))

    def _feedback(self, base: int, arrivals: list[float | None]) -> None:
        self.feedbacks += 1
        trip = self.now - self.sent_at[base + len(arrivals) - 1 & RING - 1]
        self.rtt += (trip - self.rtt) * 0.1
        self.estimate.receive_feedback(
            base, arrivals, 0.0, self.sent_at, self.sent_size, self.rtt, self.now
        )

    # What is asked of a run

    def mean(self, since: float, until: float = 1e9) -> float:
        """The estimate's mean, bit/s."""
        found = [one.bitrate for one in self.samples if since <= one.at < until]
        return sum(found) / len(found)

    def lowest(self, since: float, until: float = 1e9) -> float:
        """The estimate's least, bit/s."""
        return min(one.bitrate for one in self.samples if since <= one.at < until)

    def highest(self, since: float, until: float = 1e9) -> float:
        """The estimate's most, bit/s."""
        return max(one.bitrate for one in self.samples if since <= one.at < until)

    def reached(self, bitrate: float, since: float = 0.0) -> float:
        """When the estimate first was at `bitrate` after `since`; inf if never."""
        return next(
            (one.at for one in self.samples if one.at >= since and one.bitrate >= bitrate),
            float("inf"),
        )

    def fell(self, bitrate: float, since: float = 0.0) -> float:
        """When the estimate was first at or under `bitrate` after `since`; inf if never."""
        return next(
            (one.at for one in self.samples if one.at >= since and one.bitrate <= bitrate),
            float("inf"),
        )
