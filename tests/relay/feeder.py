"""A viewer's feedback made by hand, packet by packet, for the estimate of its link."""

from __future__ import annotations

from array import array
from collections.abc import Container

from relay.media.bandwidth import BandwidthEstimate

RING = 1024
SIZE = 972


class Feeder:
    """Sends `rate` bit/s in packets of 1,000 bytes on the wire and reports them every 100 ms."""

    def __init__(self, start: float = 500_000.0) -> None:
        self.now = 1000.0
        self.estimate = BandwidthEstimate(self.now, start)
        self.sent_at = array("d", bytes(8 * RING))
        self.sent_size = array("H", bytes(2 * RING))
        self.number = 65_536
        self.wrapped = 0.0
        """What the viewer's reference time has lost by wrapping, seconds."""

    def run(
        self, seconds: float, rate: float, *, delay: float = 0.05, loss: int = 0, rise: float = 0.0
    ) -> None:
        """loss: every so many packets one is lost. rise: seconds of delay more each second."""
        began = self.now
        for _ in range(round(seconds * 10)):
            base, arrivals = self.number, []
            for step in range(max(1, round(rate / 80_000))):
                at = self.now + step * 0.1 / max(1, round(rate / 80_000))
                self.sent_at[self.number % RING] = at
                self.sent_size[self.number % RING] = SIZE
                lost = loss and self.number % loss == 0
                late = delay + rise * (at - began)
                arrivals.append(None if lost else at + 7.0 + late - self.wrapped)
                self.number += 1
            self.now += 0.1
            self.report(base, arrivals)

    def report(self, base: int, arrivals: list[float | None], again: Container[int] = ()) -> None:
        """One feedback that arrives now. again: numbers of packets that were sent twice."""
        self.estimate.receive_feedback(
            base, arrivals, self.wrapped, self.sent_at, self.sent_size, 0.1, self.now, again
        )

    def glance(self, count: int = 10, *, first: float = 0.05, last: float = 0.05) -> bool:
        """A tenth of a second of packets, of which only the delays of two are looked at."""
        base = self.number
        for step in range(count):
            self.sent_at[self.number % RING] = self.now + 0.09 * step / count
            self.sent_size[self.number % RING] = SIZE
            self.number += 1
        self.now += 0.1
        ends = [self.sent_at[at % RING] + 7.0 for at in (base, self.number - 1)]
        taken = self.estimate.receive_calm(
            base & 0xFFFF,
            count,
            ends[0] + first,
            ends[1] + last,
            self.sent_at,
            self.sent_size,
            self.now,
        )
        if not taken:
            arrivals: list[float | None] = [
                self.sent_at[at % RING] + 7.0 + last for at in range(base, self.number)
            ]
            self.report(base, arrivals)
        return taken

    def timer(self, seconds: float) -> None:
        """Packets flow, nothing is heard."""
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            self.estimate.handle_timer(self.now, sending=True)
