"""Windows, budget and rate of the weak link, and clocks that jump, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from classroom.errors import Misuse
from relay.sync.allowance import DAY, Allowance, Limits, Moment, spans_of

MIDNIGHT = 20_000.0 * DAY
HOUR = 3600.0


def at(hour: float, days: int = 0, now: float = 0.0) -> Moment:
    return Moment(now, MIDNIGHT + days * DAY + hour * HOUR)


def test_windows_are_parts_of_the_day_and_may_go_over_midnight() -> None:
    assert spans_of([]) == ((0, DAY),)
    assert spans_of(["22:00-05:00"]) == ((0, 18_000), (79_200, DAY))
    assert spans_of(["12:00-13:00", "12:30-14:00"]) == ((43_200, 50_400),)
    assert spans_of(["00:00-24:00"]) == ((0, DAY),)


@pytest.mark.parametrize("text", ["22-5", "25:00-05:00", "05:00-05:00", "1:00-2:00", "05:00-24:30"])
def test_a_window_that_is_none_is_told_by_its_key(text: str) -> None:
    with pytest.raises(Misuse, match=r"sync\.windows"):
        spans_of([text])


def test_the_link_is_used_in_windows_of_the_schools_own_time() -> None:
    allowance = Allowance(Limits(spans_of(["22:00-05:00"])))
    assert allowance.refusal(at(21.9)) == "window"
    assert allowance.refusal(at(22.0)) == ""
    assert allowance.refusal(at(4.9)) == ""
    assert allowance.refusal(at(5.0)) == "window"
    # Seven hours ahead of UTC, as in Vietnam, 15:30 UTC is night.
    assert allowance.refusal(replace(at(15.5), offset=7 * HOUR)) == ""


def test_a_budget_ends_with_its_bytes_and_begins_with_the_day() -> None:
    allowance = Allowance(Limits(daily=1_000))
    assert allowance.left(at(8)) == 1_000
    allowance.spend(999, at(8))
    assert allowance.refusal(at(9)) == ""
    allowance.spend(1, at(9))
    assert allowance.refusal(at(23.9)) == "budget"
    assert allowance.refusal(at(0, days=1, now=20 * HOUR)) == ""
    assert allowance.left(at(0, days=1, now=20 * HOUR)) == 1_000


def test_a_budget_survives_a_restart() -> None:
    allowance = Allowance(Limits(daily=1_000))
    allowance.spend(1_000, at(8))
    again = Allowance(Limits(daily=1_000), *allowance.kept)
    assert again.refusal(at(9)) == "budget"


def test_a_clock_that_jumps_makes_no_second_budget() -> None:
    allowance = Allowance(Limits(daily=1_000))
    allowance.spend(1_000, at(8, now=0.0))
    for now, days in enumerate((30, -10_000, 5_000, 1, 0), 1):
        assert allowance.refusal(at(8, days=days, now=float(now))) == "budget"
    # Nor does it take one away for years.
    assert allowance.refusal(at(8, days=1, now=DAY)) == ""


def test_a_clock_that_was_years_ahead_gives_a_budget_again_when_it_is_right() -> None:
    allowance = Allowance(Limits(daily=1_000))
    allowance.spend(1_000, at(8, days=25_000, now=0.0))
    assert allowance.refusal(at(8, days=0, now=10.0)) == "budget"
    assert allowance.refusal(at(8, days=1, now=DAY)) == ""


def test_power_cuts_of_a_machine_without_a_clock_make_no_second_budget() -> None:
    kept = (0, 0, 0)
    for boot in range(4):
        allowance = Allowance(Limits(daily=1_000), *kept)
        # It believes in 1970 until its parent tells the date.
        assert allowance.refusal(Moment(3.0, 3.0)) == ("budget" if boot else "")
        if not boot:
            allowance.spend(1_000, at(8, now=8.0))
        assert allowance.refusal(at(8 + boot, now=9.0)) == "budget"
        kept = allowance.kept
    next_day = Allowance(Limits(daily=1_000), *kept)
    assert next_day.refusal(Moment(3.0, 3.0)) == "budget"
    assert next_day.refusal(at(8, days=1, now=9.0)) == ""


def test_a_clock_that_was_years_ahead_is_forgotten_where_the_power_goes_off_at_night() -> None:
    allowance = Allowance(Limits(daily=1_000))
    allowance.spend(1_000, at(8, days=25_000, now=0.0))
    for days in range(2):
        allowance = Allowance(Limits(daily=1_000), *allowance.kept)
        for hour in range(8, 15):
            assert allowance.refusal(at(hour, days=days, now=hour * HOUR)) == (
                "budget" if days * 6 + hour - 8 < 12 else ""
            )
    allowance.spend(1_000, at(15, days=1, now=15 * HOUR))
    again = Allowance(Limits(daily=1_000), *allowance.kept)
    assert again.refusal(at(8, days=2, now=1.0)) == ""


def test_a_rate_cap_holds_over_time() -> None:
    allowance = Allowance(Limits(rate=10_000.0))
    now = total = 0.0
    while now < 60.0:
        now += allowance.spend(16_384, Moment(now, MIDNIGHT)) + 0.001
        total += 16_384
    assert 0.95 < total / 60.0 / 10_000.0 < 1.06


def test_without_a_cap_nobody_waits() -> None:
    assert Allowance(Limits()).spend(10**9, at(8)) == 0.0


def test_the_finish_counts_windows_budget_and_rate() -> None:
    assert Allowance(Limits()).finish(3_600, 1.0, at(8)) == at(9).wall
    night = Allowance(Limits(spans_of(["22:00-05:00"])))
    assert night.finish(3_600, 1.0, at(8)) == at(23).wall
    assert night.finish(round(7 * HOUR), 1.0, at(8)) == at(5, days=1).wall
    assert night.finish(round(8 * HOUR), 1.0, at(8)) == at(23, days=1).wall
    capped = Allowance(Limits(rate=2.0))
    assert capped.finish(7_200, 100.0, at(8)) == at(9).wall
    poor = Allowance(Limits(daily=1_000))
    assert poor.finish(2_500, 1_000.0, at(8)) == pytest.approx(at(0, days=2).wall + 0.5)
    poor.spend(1_000, at(8))
    assert poor.finish(1_000, 1_000.0, at(9)) == at(0, days=1).wall + 1.0


def test_no_finish_is_told_that_nobody_can_know() -> None:
    assert Allowance(Limits()).finish(1, 0.0, at(8)) is None
    assert Allowance(Limits(daily=1)).finish(10**6, 10.0, at(8)) is None
    assert Allowance(Limits()).finish(0, 0.0, at(8)) == at(8).wall
