"""What may be sent again: bytes with a part for the voice, requests, and what comes in time."""

from __future__ import annotations

from relay.sfu.repair_budget import (
    ASKED_AT_ONCE,
    LATENESS,
    REPAIR_LEAST,
    VOICE_RESERVE,
    RepairBudget,
)


def test_bytes_are_a_share_of_what_the_link_takes() -> None:
    budget = RepairBudget(10.0)
    assert budget.take(int(REPAIR_LEAST), voice=True)
    assert not budget.take(1, voice=True)
    budget.refill(80_000.0, 11.0)  # a third of 10 kB
    assert budget.take(2_900, voice=True)
    assert not budget.take(200, voice=True)
    budget.refill(80_000.0, 1_000.0)
    assert budget.take(int(REPAIR_LEAST), voice=True)
    assert not budget.take(200, voice=True)
    budget.limit = 8_000.0
    budget.refill(10e6, 1_001.0)
    assert budget.take(1_000, voice=True)
    assert not budget.take(100, voice=True)
    assert (budget.resent, budget.refused) == (4, 4)
    assert budget.resent_bytes == 2 * int(REPAIR_LEAST) + 3_900


def test_pictures_leave_a_part_for_the_voice() -> None:
    budget = RepairBudget(0.0)
    assert budget.take(int(REPAIR_LEAST - VOICE_RESERVE))
    assert not budget.take(1)
    assert budget.take(int(VOICE_RESERVE), voice=True)


def test_requests_are_as_many_as_an_outage_brings_and_no_more() -> None:
    budget = RepairBudget(0.0)
    assert budget.may_ask(1_000) == 1_000
    assert budget.may_ask(5_000) == int(ASKED_AT_ONCE) - 1_000
    assert budget.may_ask(10) == 0
    budget.refill(1e6, 0.5)
    assert budget.may_ask(5_000) == int(ASKED_AT_ONCE / 2)
    assert budget.flooded == 5_000 + 1_000 + 10 + 5_000 - int(ASKED_AT_ONCE * 1.5)
    budget.refill(1e6, -5.0)  # a clock that was set back
    assert budget.may_ask(1) == 0


def test_what_comes_after_its_time_is_not_sent_again() -> None:
    budget = RepairBudget(0.0)
    assert budget.in_time(0.9, strictly=True)
    assert not budget.in_time(1.2, strictly=True)
    budget.delay = 0.3
    assert budget.in_time(0.3 + LATENESS / 2, strictly=True)
    assert not budget.in_time(0.31 + LATENESS, strictly=True)
    assert budget.in_time(3.0, strictly=False)
    assert budget.late == 2


def test_requests_for_pictures_are_counted_in() -> None:
    budget = RepairBudget(0.0)
    granted = sum(budget.may_plead(1e6, 0.001 * turn) for turn in range(1_000))
    assert 90 <= granted <= 105
    assert budget.flooded > 10_000
    assert budget.may_plead(1e6, 3.0)
