"""What a link gets against loss: depth of redundancy, delay, repair packets, each in its time."""

from __future__ import annotations

import pytest

from relay.media import playout
from relay.sfu.repair_plan import TIGHT_MS, LinkState, RepairPlan

VOICE = 24_000.0


@pytest.mark.parametrize(
    ("bitrate", "loss", "rtt", "depth", "delay"),
    [
        (1.5e6, 0.0, 0.1, 0, 0),
        (1.5e6, 0.005, 0.1, 1, 160),
        (300e3, 0.005, 0.1, 0, 160),
        (300e3, 0.03, 0.3, 1, 400),
        (300e3, 0.08, 0.3, 2, 800),
        (150e3, 0.05, 0.6, 1, 650),
        (64e3, 0.05, 0.6, 0, 650),
        (40e3, 0.05, 0.8, 0, 1_000),
    ],
)
def test_links_that_we_are_made_for(
    bitrate: float, loss: float, rtt: float, depth: int, delay: int
) -> None:
    plan = RepairPlan(0.0)
    assert plan.update(LinkState(bitrate, loss, rtt), VOICE, 1.0) == bool(depth or delay)
    assert (plan.red_depth, plan.playout) == (depth, delay)
    # One or two resends come in time on all of them.
    assert plan.protection is None
    assert playout.rounds(plan.playout / 1e3, rtt) >= playout.rounds_wanted(loss)


def test_pictures_are_protected_where_nobody_may_wait() -> None:
    plan = RepairPlan(0.0)
    plan.update(LinkState(500e3, 0.05, 0.4, burst=4.0), VOICE, 1.0, most_delay=160)
    assert plan.playout == 160
    assert plan.protection is not None
    assert plan.protection.rows == 4
    assert plan.protection.overhead <= 0.25
    plan.update(LinkState(100e3, 0.05, 0.4), VOICE, 2.0, most_delay=160)
    assert plan.protection is None


def test_depth_stays_through_a_shower_and_goes_when_it_is_over() -> None:
    plan = RepairPlan(0.0)
    depths = []
    for second in range(60):
        loss = 0.03 if second % 8 == 0 and second < 40 else 0.0
        plan.update(LinkState(300e3, loss, 0.1), VOICE, float(second))
        depths.append(plan.red_depth)
    assert set(depths[:42]) == {1}
    assert depths[-1] == 0
    assert depths == sorted(depths, reverse=True)


def test_what_the_link_no_longer_takes_is_given_up_at_once() -> None:
    plan = RepairPlan(0.0)
    plan.update(LinkState(300e3, 0.08, 0.1), VOICE, 1.0)
    assert plan.red_depth == 2
    assert plan.update(LinkState(150e3, 0.08, 0.1), VOICE, 1.2)
    assert plan.red_depth == 1
    plan.update(LinkState(150e3, 0.08, 0.1), 0.0, 1.4)
    assert plan.red_depth == 0


def test_where_pictures_fill_the_link_everything_waits_a_little() -> None:
    plan = RepairPlan(0.0)
    for second in range(10):
        plan.update(LinkState(900e3, 0.0, 0.1, tight=True), VOICE, float(second))
    assert plan.playout == TIGHT_MS
    # Who must answer waits less, and a link that loses much waits longer.
    plan.update(LinkState(900e3, 0.0, 0.1, tight=True), VOICE, 11.0, most_delay=160)
    assert plan.playout == 160
    plan.update(LinkState(300e3, 0.08, 0.3, tight=True), VOICE, 12.0)
    assert plan.playout == 800
