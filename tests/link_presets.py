"""Links named for real ones, and those that the weak-link benchmark reports.

Lives here: both directions of each link as data, and the choice of the queue that both have. Must
not live here: what a link does with packets (`tests.link_model`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tests.link_model import BY_PACKETS, Direction, Step, by_bytes, outage


@dataclass(frozen=True, slots=True)
class Link:
    """Both directions, and what it stands for. down: towards the room."""

    words: str
    down: Direction
    up: Direction

    def calm(self) -> Link:
        """The same without its script."""
        return replace(self, down=replace(self.down, script=()), up=replace(self.up, script=()))

    def queued(self, queue: str) -> Link:
        """The same with queues that count "packets" or "bytes"."""
        if queue not in QUEUES:
            raise ValueError(f"a queue counts {' or '.join(QUEUES)}, not {queue}")
        return replace(self, down=_queued(self.down, queue), up=_queued(self.up, queue))


QUEUES: Final = ("packets", "bytes")


def _queued(like: Direction, queue: str) -> Direction:
    return replace(like, queue=BY_PACKETS if queue == "packets" else by_bytes(like.rate))


def link(
    words: str,
    down: float,
    up: float,
    round_trip: float,
    loss: float = 0.0,
    jitter: float = 0.0,
    burst: float = 0.0,
    script: tuple[Step, ...] = (),
) -> Link:
    """A link of `down` and `up` kbit/s and `round_trip` s; the rest as in Direction, both ways.

    script: rates (bit/s) of the down link; in its outages the up link is away too.
    """
    like = Direction(down * 1e3, round_trip / 2, jitter, loss, burst, script=script)
    both = tuple(Step(step.at, up * 1e3 if step.rate else 0.0) for step in script)
    return Link(words, like, replace(like, rate=up * 1e3, script=both))


NO_LIMIT: Final = Link("no limit", Direction(), Direction())

# What such links are like on an ordinary day, in round figures; none is one operator's. VSAT has
# the round trip of a geostationary hop, EDGE the rate of four time slots down and two up.
PRESETS: Final = {
    "unlimited": NO_LIMIT,
    "school-fibre": link("a school's fibre", 50_000, 20_000, 0.012, 0.0001, 0.001),
    "4g-good": link("4G, good cell", 8_000, 3_000, 0.06, 0.002, 0.012),
    "4g-hill": link("4G behind a hill", 700, 250, 0.18, 0.03, 0.03, 4.0),
    "vsat": link("satellite, shared", 500, 128, 0.64, 0.02, 0.015),
    "edge": link("EDGE", 120, 60, 0.5, 0.03, 0.06, 3.0),
    "storm": link("4G in a storm", 300, 128, 0.4, 0.1, 0.06, 8.0),
}

# What the weak-link benchmark reports, by the down link; up links carry feedback with ease. The
# scripts count from when the benchmark starts them.
SCENARIOS: Final = {
    "1500k": link("1.5 Mbit/s, 100 ms, 0.5 %", 1_500, 512, 0.1, 0.005),
    "300k": link("300 kbit/s, 300 ms, 3 %, 30 ms jitter", 300, 256, 0.3, 0.03, 0.03),
    "150k": link("150 kbit/s, 600 ms, 5 %", 150, 256, 0.6, 0.05),
    "64k": link("64 kbit/s, 600 ms, 5 %", 64, 256, 0.6, 0.05),
    "40k": link("40 kbit/s, 800 ms, 5 %", 40, 256, 0.8, 0.05),
    "bursts": link("500 kbit/s, 200 ms, bursts of 8 at 5 %", 500, 256, 0.2, 0.05, burst=8.0),
    "fall": link(
        "1 Mbit/s, 200 kbit/s for 20 s, 100 ms",
        *(1_000, 512, 0.1),
        script=(Step(0.0, 200e3), Step(20.0, 1_000e3)),
    ),
    "outage-15": link("500 kbit/s, 200 ms, away 15 s", 500, 256, 0.2, script=outage(0, 15, 500e3)),
    "outage-60": link("500 kbit/s, 200 ms, away 60 s", 500, 256, 0.2, script=outage(0, 60, 500e3)),
    "outage-600": link(
        "500 kbit/s, 200 ms, away 10 min", *(500, 256, 0.2), script=outage(0, 600, 500e3)
    ),
    "join": link("300 kbit/s, 600 ms", 300, 256, 0.6),
    "waiting": link("300 kbit/s, 600 ms, room waits for the teacher", 300, 256, 0.6),
}
