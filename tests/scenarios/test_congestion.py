"""The estimate on links that stay as they are: how much of them it finds, and what it costs.

Here: every kind of link that lessons are meant for, both kinds of queue, several seeds. Not here:
links that change (test_congestion_changes), odd company and odd feedback (test_congestion_odd).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.link_model import BY_PACKETS, LinkModel, Queue
from tests.scenarios.congestion import ENCODER, LADDER, Run

SEEDS = (1, 2, 3)
SETTLED = 10.0
"""Seconds after joining from which figures count."""
THIN = (1000 / 60, 150)
"""A voice of 16 to 20 kbit/s in packets of 60 ms."""


def lasting(rate: float, seconds: float) -> Queue:
    """A queue of bytes that takes so long to drain."""
    return Queue(size=round(rate * seconds / 8))


def link(
    rate: float,
    trip: float,
    loss: float = 0.0,
    jitter: float = 0.0,
    *,
    burst: float = 0.0,
    queue: Queue | None = None,
    seed: int = 1,
    ladder: Sequence[float] = ENCODER,
    voice: tuple[float, int] = (50.0, 110),
    start: float = 60_000.0,
) -> Run:
    """A run over a link with the same delay, jitter and loss both ways."""
    down = LinkModel(rate, trip / 2, jitter, loss, queue, seed, burst=burst)
    up = LinkModel(math.inf, trip / 2, jitter, loss, None, seed + 100)
    return Run(down, up, seed, voice, ladder, start, rtt=trip)


def steady(run: Run, seconds: float = 60.0) -> tuple[float, float]:
    """Share of the link that is used once settled, and the queue's 95th percentile, s."""
    run.run(SETTLED)
    before = run.down.settle(run.now).copy()
    run.run(seconds - SETTLED)
    since = run.down.settle(run.now).since(before)
    taken = since.delivered_bytes + since.lost * since.delivered_bytes / max(since.delivered, 1)
    return taken * 8 / (seconds - SETTLED) / run.down.rate(run.now), since.wait(0.95)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "queue",
    [BY_PACKETS, Queue(packets=100), lasting(300e3, 0.15), lasting(300e3, 0.5), lasting(300e3, 1)],
    ids=["50 packets", "100 packets", "150 ms", "500 ms", "1 s"],
)
def test_300_kbit_with_loss_and_jitter(queue: Queue, seed: int) -> None:
    used, queued = steady(link(300e3, 0.3, 0.03, 0.03, queue=queue, seed=seed))
    assert used > 0.85
    assert queued < 0.15


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_that_do_not_fill_it_are_no_worse(seed: int) -> None:
    run = link(300e3, 0.3, 0.03, 0.03, seed=seed, ladder=LADDER)
    used, queued = steady(run, 90.0)
    assert used > 0.7
    assert queued < 0.12
    assert 0.8 * 300e3 < run.mean(SETTLED) < 1.1 * 300e3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("rate", "trip", "loss", "jitter", "burst"),
    [
        (1.5e6, 0.1, 0.005, 0.005, 0.0),
        (150e3, 0.6, 0.05, 0.03, 0.0),
        (500e3, 0.2, 0.05, 0.01, 8.0),
        (800e3, 0.2, 0.10, 0.01, 0.0),
        (2e6, 0.3, 0.0, 0.06, 0.0),
        (300e3, 0.8, 0.02, 0.03, 0.0),
        (1e6, 0.005, 0.0, 0.0, 0.0),
    ],
    ids=["1.5 M", "150 k", "bursts", "10 % loss", "jitter", "far", "near"],
)
def test_links_of_lessons(
    rate: float, trip: float, loss: float, jitter: float, burst: float, seed: int
) -> None:
    used, queued = steady(link(rate, trip, loss, jitter, burst=burst, seed=seed))
    assert used > 0.7
    assert queued < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_fifteen_percent_of_loss_are_not_taken_for_congestion(seed: int) -> None:
    used, queued = steady(link(800e3, 0.2, 0.15, 0.01, seed=seed))
    assert used > 0.6
    assert queued < 0.15


def test_losses_in_bursts_rarely_take_the_picture() -> None:
    """All of a 350 kbit/s picture or the half of it beside a doubled voice: never less for long."""
    samples = below = 0
    for seed in range(60):
        run = link(
            500e3,
            0.2,
            0.05,
            burst=8.0,
            seed=seed,
            ladder=(45e3, 65e3, 100e3, 130e3, 350e3),
            voice=(50.0, 240),
        )
        run.run(SETTLED)
        for _ in range(1_000):
            run.run(0.05)
            samples += 1
            below += run.estimate.bitrate < 245e3
    assert below / samples < 0.015


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("rate", "trip"), [(64e3, 0.6), (40e3, 0.8)])
def test_the_narrowest_links_are_not_overfilled(rate: float, trip: float, seed: int) -> None:
    run = link(rate, trip, 0.05, 0.03, voice=THIN, seed=seed)
    used, queued = steady(run)
    assert 0.5 < used <= 1.0
    # A packet of 1,100 bytes alone takes 140 and 230 ms of them.
    assert queued < 0.3
    assert 0.75 * rate < run.mean(SETTLED) < 1.05 * rate


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("rate", "loss"), [(600e3, 0.02), (1e6, 0.0)])
def test_a_queue_too_short_to_be_seen_is_found_by_its_losses(
    rate: float, loss: float, seed: int
) -> None:
    run = link(rate, 0.1, loss, 0.005, queue=Queue(size=round(rate * 0.06 / 8)), seed=seed)
    steady(run, 90.0)
    counts = run.down.counts
    assert counts.full < 0.08 * counts.sent
    assert run.mean(SETTLED) < 1.15 * rate


@pytest.mark.parametrize(("rate", "trip", "within"), [(300e3, 0.3, 6.0), (1.5e6, 0.1, 12.0)])
def test_a_start_finds_the_link_soon(rate: float, trip: float, within: float) -> None:
    for seed in SEEDS:
        run = link(rate, trip, 0.01, 0.005, seed=seed).run(15.0)
        assert run.reached(0.8 * rate) < within


def test_a_remembered_rate_is_used_at_once_and_left_at_once() -> None:
    good = link(500e3, 0.2, 0.01, 0.01, start=400e3).run(10.0)
    assert good.lowest(0.0) > 300e3
    bad = link(64e3, 0.6, 0.01, 0.01, start=400e3).run(20.0)
    assert bad.fell(70e3) < 2.5
    assert bad.mean(10.0) > 45e3


def test_probes_add_a_quarter_at_most_and_none_where_nothing_is_gained() -> None:
    run = link(300e3, 0.3, 0.03, 0.03, ladder=LADDER).run(60.0)
    assert any(rate for rate, _ in run.probing)
    assert all(rate <= 0.25 * estimate for rate, estimate in run.probing)
    content = link(2e6, 0.1, ladder=(45e3,)).run(60.0)
    assert not any(rate for rate, estimate in content.probing if estimate > 130e3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("rate", "trip", "ladder", "most"),
    [(150e3, 0.6, (65e3, 450e3), 13), (500e3, 0.2, LADDER, 11)],
    ids=["150 kbit", "500 kbit"],
)
def test_a_link_that_was_found_full_is_not_filled_again_and_again(
    rate: float, trip: float, ladder: Sequence[float], most: int, seed: int
) -> None:
    run = link(rate, trip, 0.02, 0.02, seed=seed, ladder=ladder)
    falls = set()
    for _ in range(3_600):
        run.run(0.05)
        falls.add(run.estimate.congested_at)
    assert len(falls) <= most
    assert run.down.settle(run.now).wait(0.95) < 0.1
    assert run.mean(60.0) > 0.9 * rate


def test_what_is_sent_never_starves_for_padding() -> None:
    run = link(1e6, 0.1, ladder=LADDER).run(60.0)
    assert run.padding < 0.1 * run.down.counts.sent_bytes
