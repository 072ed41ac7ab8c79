"""The estimate on links that change: narrower, wider, gone, another way, another clock.

Here: how fast it follows, and that nothing does lasting harm. Not here: links that stay
(test_congestion).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.link_model import Direction, LinkModel, Queue, Step, outage
from tests.scenarios.congestion import CLOCK, ENCODER, LADDER, START, Run

SEEDS = (1, 2, 3)
AT = 30.0
"""When it changes, seconds from the start."""


def changing(
    rate: float,
    trip: float,
    script: tuple[Step, ...],
    seed: int,
    *,
    loss: float = 0.01,
    queue: Queue | None = None,
    ladder: Sequence[float] = ENCODER,
) -> Run:
    """A run over a link whose script counts from the start."""
    steps = tuple(Step(START + step.at, step.rate) for step in script)
    down = LinkModel(rate, trip / 2, 0.01, loss, queue, seed, script=steps)
    up = LinkModel(math.inf, trip / 2, 0.01, loss, None, seed + 100)
    return Run(down, up, seed, ladder=ladder, rtt=trip)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("trip", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("queue", [None, Queue(size=37_500)], ids=["packets", "bytes"])
def test_a_halved_link_is_followed_within_two_round_trips(
    trip: float, queue: Queue | None, seed: int
) -> None:
    run = changing(600e3, trip, (Step(AT, 300e3),), seed, queue=queue).run(60.0)
    # One step of the measurement on top.
    assert run.fell(1.15 * 300e3, AT) - AT <= 2 * trip + 0.5 + 0.1
    assert run.lowest(AT, AT + 30) > 0.6 * 300e3
    assert 0.85 * 300e3 < run.mean(AT + 8) < 1.05 * 300e3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ladder", [ENCODER, LADDER], ids=["encoder", "layers"])
def test_a_megabit_that_falls_to_a_fifth_comes_back_within_15_s(
    ladder: Sequence[float], seed: int
) -> None:
    script = (Step(AT, 200e3), Step(AT + 20, 1e6))
    run = changing(1e6, 0.2, script, seed, loss=0.005, ladder=ladder).run(80.0)
    assert run.fell(1.15 * 200e3, AT) - AT < 1.5
    assert 0.7 * 200e3 < run.mean(AT + 4, AT + 20) < 1.15 * 200e3
    assert run.reached(700e3, AT + 20) - AT - 20 < 15.0
    late = [delay for sent, delay in run.voice_delays if AT + 3 < sent < AT + 20]
    assert sorted(late)[len(late) * 95 // 100] < 0.1 + 0.35


def test_a_fall_to_a_fifth_is_seen_before_half_a_second_of_pictures_waits() -> None:
    reacted, waited = [], []
    for seed in range(1, 10):
        at = AT + seed / 7  # in all phases of feedback and pictures
        run = changing(1e6, 0.1, (Step(at, 200e3),), seed, loss=0.0, ladder=(130e3, 370e3))
        run.run(at + 5.0)
        reacted.append(run.fell(1.15 * 200e3, at) - at)
        waited.append(max(delay for sent, delay in run.voice_delays if sent > at) - 0.05)
    assert sorted(reacted)[len(reacted) // 2] < 0.5
    assert sorted(waited)[len(waited) // 2] < 0.6


def test_a_link_that_falls_again_while_it_is_measured_is_followed() -> None:
    reacted = []
    for seed in range(1, 10):
        at = AT + seed / 7
        script = (Step(at, 700e3), Step(at + 0.15, 200e3))
        run = changing(1e6, 0.1, script, seed, loss=0.0, ladder=(130e3, 850e3)).run(at + 5.0)
        reacted.append(run.fell(1.15 * 200e3, at) - at - 0.15)
    assert sorted(reacted)[len(reacted) // 2] < 0.7


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("seconds", [5.0, 15.0, 60.0])
def test_an_outage_makes_it_careful_and_its_end_makes_it_bold(seconds: float, seed: int) -> None:
    run = changing(500e3, 0.2, outage(AT, seconds, 500e3), seed).run(AT + seconds + 15)
    assert run.lowest(AT, AT + seconds) <= 40e3
    assert run.reached(0.75 * 500e3, AT + seconds + 0.2) - AT - seconds < 10.0
    back = [sent + delay for sent, delay in run.voice_delays if sent + delay > AT + seconds]
    assert back[0] - AT - seconds < 0.2 + 1.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("longer", [0.1, -0.1])
def test_another_route_does_no_lasting_harm(longer: float, seed: int) -> None:
    run = changing(400e3, 0.4, (), seed).run(AT)
    before = run.mean(AT - 10)
    run.down.become(Direction(400e3, 0.2 + longer, 0.01, 0.01), run.now)
    run.run(30.0)
    assert run.mean(AT + 5) > 0.9 * before
    assert run.reached(0.9 * before, AT + 1) - AT < 6.0


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_a_clock_that_drifts_is_no_queue(drift: float) -> None:
    run = changing(400e3, 0.3, (), 1)
    run.clock = lambda now: now + CLOCK + (now - START) * drift
    run.run(120.0)
    assert run.mean(20.0) > 0.9 * 400e3
    assert run.estimate.liar == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_radio_that_loses_for_a_while_is_not_left_for_long(seed: int) -> None:
    run = changing(500e3, 0.2, (), seed).run(20.0)
    run.down.become(Direction(500e3, 0.1, 0.01, 0.12), run.now)
    run.run(30.0)
    run.down.become(Direction(500e3, 0.1, 0.01, 0.0), run.now)
    run.run(30.0)
    assert run.mean(25, 50) > 0.7 * 500e3
    assert run.mean(60) > 0.85 * 500e3


def test_a_wider_link_is_found_again_and_again() -> None:
    script = tuple(Step(20.0 * n, rate) for n, rate in enumerate((150e3, 600e3, 300e3, 1.2e6), 1))
    run = changing(300e3, 0.2, script, 1).run(100.0)
    for step in script:
        assert 0.75 * step.rate < run.mean(step.at + 14, step.at + 20) < 1.4 * step.rate
