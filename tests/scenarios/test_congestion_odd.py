"""The estimate in odd company: other traffic, lost feedback, sources that send little, lies.

Here: that it is neither starved nor fooled nor stuck. Not here: ordinary links (test_congestion).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pytest

from tests.link_model import BY_PACKETS, LinkModel, Queue
from tests.scenarios.congestion import LADDER, Run
from tests.scenarios.test_congestion import link

SEEDS = (1, 2, 3)


class Download:
    """What TCP Reno does to the same link: fills its queue, halves at a loss."""

    def __init__(self, run: Run, trip: float) -> None:
        self.run = run
        self.trip = trip
        self.window = 10.0
        self.flight = 0
        self.starting = True
        self.recovered = -1.0
        self.bits = 0
        run.at(5.0, self.fill)

    def fill(self) -> None:
        while self.flight < self.window:
            self.flight += 1
            sent = self.run.now
            arrival = self.run.down.send(1500, sent)
            if arrival is None:
                self.run.at(self.trip + 0.3, partial(self.lose, sent))
            else:
                self.run.at(arrival - sent + self.trip / 2, self.acknowledge)

    def acknowledge(self) -> None:
        self.flight -= 1
        self.bits += 1500 * 8
        self.window += 1.0 if self.starting else 1.0 / self.window
        self.fill()

    def lose(self, sent: float) -> None:
        self.flight -= 1
        if sent > self.recovered:
            self.window = max(2.0, self.window / 2)
            self.starting = False
            self.recovered = self.run.now
        self.fill()


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize(
    ("queue", "least"),
    [(BY_PACKETS, 200e3), (Queue(size=37_500), 40e3), (Queue(size=125_000), 230e3)],
    ids=["50 packets", "300 ms", "1 s"],
)
def test_a_download_on_the_same_link_does_not_starve_it(
    queue: Queue, least: float, seed: int
) -> None:
    run = link(1e6, 0.1, queue=queue, seed=seed)
    download = Download(run, 0.1)
    run.run(80.0)
    assert run.mean(20.0) > least
    assert download.bits > 0.3 * 1e6 * 75


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("interval", "lost"), [(0.05, 0.15), (0.1, 0.1), (0.25, 0.1)])
def test_feedback_may_be_lost_and_may_be_rare(interval: float, lost: float, seed: int) -> None:
    run = link(300e3, 0.3, 0.03, 0.03, seed=seed)
    run.interval = interval
    run.up = LinkModel(math.inf, 0.15, 0.03, lost, None, seed)
    run.run(60.0)
    assert run.mean(10.0) > 0.8 * 300e3
    assert run.down.settle(run.now).wait(0.95) < 0.2
    assert run.estimate.liar == 0


def test_packets_out_of_order_are_neither_lost_nor_lies() -> None:
    down = LinkModel(800e3, 0.05, 0.015, 0.0, None, 1, reorder=True)
    run = Run(down, LinkModel(math.inf, 0.05), rtt=0.1).run(40.0)
    assert run.mean(15.0) > 0.8 * 800e3
    assert run.estimate.loss < 0.04
    assert run.estimate.liar == 0


@pytest.mark.parametrize("ladder", [(), LADDER, (600e3,)], ids=["voice", "layers", "one layer"])
def test_a_link_that_widens_while_only_the_voice_is_sent_is_found(ladder: Sequence[float]) -> None:
    for seed in SEEDS:
        run = link(1e6, 0.2, 0.02, 0.01, seed=seed, ladder=())
        run.run(20.0)
        run.ladder = ladder or LADDER
        run.run(80.0)
        assert run.reached(655e3, 20.0) < 20.0 + 65.0


def test_a_try_that_fails_is_remembered() -> None:
    for seed in SEEDS[:2]:
        run = link(300e3, 0.2, 0.01, 0.01, seed=seed, ladder=(600e3,)).run(180.0)
        began = [
            b.at for a, b in zip(run.samples, run.samples[1:], strict=False) if b.media > a.media
        ]
        assert len(began) <= 4
        assert run.down.settle(run.now).wait(0.95) < 0.15


def test_a_viewer_that_denies_every_loss_and_delay_gets_twice_what_it_was_sent_at_most() -> None:
    run = link(100e3, 0.2, queue=Queue(size=3_000))
    honest = run.estimate.receive_feedback
    ratios = []

    def report(base: int, arrivals: list[float | None]) -> None:
        told = [run.sent_at[base + n & 1023] + 37.1 for n in range(len(arrivals))]
        honest(base, told, 0.0, run.sent_at, run.sent_size, 0.2, run.now)
        ratios.append(run.estimate.bitrate / max(run.estimate.acknowledged, 60e3))

    run._feedback = report  # type: ignore[method-assign]  # the liar takes the viewer's place
    run.run(5.0)
    assert max(ratios) < 2.2
