"""Which materials come next, and when: dates and rules given as arguments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.sync.materials_plan import (
    SOON_S,
    Due,
    Fetch,
    Held,
    Tier,
    giving_way,
    may_come,
    next_fetches,
)

DATE = 1_780_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR
YEARS = 30 * 365 * DAY


def due(
    lesson: str, in_s: float | None, *files: str, coming: bool = True, live: bool = False
) -> Due:
    at = None if in_s is None else DATE + in_s
    found = tuple((name, 100) for name in files) if files else None
    return Due(lesson, "d", at, coming, live, found)


def order(*dues: Due, asked: set[tuple[str, str]] | None = None, date: float = DATE) -> list[str]:
    found = next_fetches(dues, asked or set(), date)
    return [f"{one.lesson}:{one.digest}:{one.tier.name.lower()}" for one in found]


def test_the_lesson_that_runs_then_the_soonest_then_what_is_over() -> None:
    assert order(
        due("old", -9 * DAY, "a", coming=False),
        due("older", -20 * DAY, "b", coming=False),
        due("tomorrow", DAY),
        due("next-week", 7 * DAY, "c", "d"),
        due("now", -HOUR / 2, "e", live=True),
        due("in-an-hour", HOUR, "f"),
    ) == [
        "now:e:soon",
        "in-an-hour:f:soon",
        "tomorrow::coming",
        "next-week:c:coming",
        "next-week:d:coming",
        "old:a:past",
        "older:b:past",
    ]


def test_a_list_that_was_changed_after_its_lesson_comes_soon_and_its_files_in_their_turn() -> None:
    changed = replace(due("over", -9 * DAY, coming=False), older=True)
    fresh = [due(f"later-{n:02}", -n * DAY, "a", coming=False) for n in range(20)]
    assert order(*fresh, changed, due("tomorrow", DAY, "b"))[:2] == [
        "over::soon",
        "tomorrow:b:coming",
    ]
    assert order(due("over", -9 * DAY, "c", coming=False)) == ["over:c:past"]


def test_what_fell_through_comes_after_all_that_somebody_may_need() -> None:
    fell, over = due("fell", -2 * DAY, "a"), due("over", -9 * DAY, "b", coming=False)
    late = due("late", -23 * HOUR, "c")
    assert order(fell, over, late) == ["late:c:coming", "over:b:past", "fell:a:coming"]
    assert order(fell, over, asked={("fell", "a")})[0] == "fell:a:asked"
    # By a date on which nobody can rely nothing fell through.
    found = next_fetches([over, fell], set(), DATE, dated=False)
    assert [one.lesson for one in found] == ["fell", "over"]


def held(
    lesson: str,
    in_s: float | None = None,
    *,
    coming: bool = False,
    live: bool = False,
    over: bool = False,
    used: int = 0,
) -> Held:
    at = None if in_s is None else DATE + in_s
    return Held(lesson, at, coming, live, over, used)


# Last to go first; the one that runs never goes.
STANDING = (
    held("now", -HOUR, coming=True, live=True),
    held("late", -HOUR / 2, coming=True),
    held("any-time", coming=True),
    held("in-an-hour", HOUR, coming=True),
    held("missed", -20 * HOUR, coming=True),
    held("tomorrow", DAY, coming=True),
    held("tomorrow-too", DAY, coming=True),
    held("next-month", 30 * DAY, coming=True),
    held("asked-last", -300 * DAY, over=True, used=2),
    held("fell-and-asked", -9 * DAY, coming=True, used=1),
    held("over", -DAY, over=True),
    held("long-over", -90 * DAY, over=True),
    held("fell", -2 * DAY, coming=True),
    held("fell-long-ago", -365 * DAY, coming=True),
    held("taken-back", 9 * DAY),
    held("unknown", 0.0),
)


@pytest.mark.parametrize("place", range(len(STANDING)))
def test_a_lesson_puts_out_what_stands_after_it_last_one_first(place: int) -> None:
    after = [one.lesson for one in STANDING[place + 1 :]]
    assert list(giving_way(STANDING[place], STANDING, DATE)) == after[::-1]


def test_no_two_lessons_put_out_each_other() -> None:
    for date in (DATE, DATE + YEARS, DATE - YEARS, DATE + 20 * HOUR, None):
        pairs = {
            (one.lesson, gone)
            for one in STANDING
            for gone in giving_way(one, STANDING, date)
            if not one.live
        }
        assert not any((gone, one) in pairs for one, gone in pairs)


def test_without_a_date_nothing_to_come_goes() -> None:
    in_an_hour = STANDING[3]
    found = list(giving_way(in_an_hour, STANDING, None))
    assert found == [one.lesson for one in STANDING[::-1] if not one.coming]


def test_a_file_of_two_lessons_comes_once_with_the_sooner() -> None:
    assert order(due("b", 2 * DAY, "x", "y"), due("a", DAY, "x")) == [
        "a:x:coming",
        "b:y:coming",
    ]


def test_what_somebody_waits_for_goes_before_all() -> None:
    one, two = due("now", 0.0, "a", live=True), due("over", -DAY, "b", "c", coming=False)
    assert order(one, two, asked={("over", "c")}) == ["over:c:asked", "now:a:soon", "over:b:past"]
    # Without its list nothing else of it can be asked for.
    assert order(one, due("new", DAY), asked={("new", "")})[0] == "new::asked"


@pytest.mark.parametrize(
    ("in_s", "tier"),
    [
        (SOON_S, "soon"),
        (SOON_S + 1, "coming"),
        (0.0, "soon"),
        (-6 * HOUR, "soon"),
        (-DAY, "coming"),
        (None, "soon"),
    ],
)
def test_soon_is_within_three_hours_or_late(in_s: float | None, tier: str) -> None:
    assert order(due("a", in_s, "x")) == [f"a:x:{tier}"]


@pytest.mark.parametrize("years", [-YEARS, YEARS])
def test_a_clock_that_is_wrong_by_years_makes_nothing_urgent_and_loses_nothing(
    years: float,
) -> None:
    found = order(due("a", HOUR, "x"), due("b", DAY, "y"), date=DATE + years)
    assert sorted(found) == ["a:x:coming", "b:y:coming"]
    # What runs now needs no clock.
    assert order(due("c", 0.0, "z", live=True), date=DATE + years) == ["c:z:soon"]


def may(tier: Tier, refusal: str = "", **others: bool) -> bool:
    facts = {"near": False, "spent": False, "metered": False, "waits": False} | others
    return may_come(Fetch("a", "x", 1, tier), refusal=refusal, **facts)


def test_a_lesson_that_runs_has_the_link() -> None:
    assert not any(may(tier, "live") for tier in Tier)
    assert all(may(tier, "live", near=True) for tier in Tier)


def test_windows_are_for_what_can_wait() -> None:
    assert [tier for tier in Tier if may(tier, "window")] == [Tier.ASKED, Tier.SOON]
    assert not any(may(tier, "window", spent=True) for tier in Tier)
    assert not any(may(tier, "budget", spent=True) for tier in Tier)


def test_a_metered_link_brings_what_is_to_come_or_asked_for() -> None:
    assert [tier for tier in Tier if may(tier, metered=True)] == [
        *(Tier.ASKED, Tier.SOON, Tier.COMING)
    ]


def test_a_pupil_who_waits_for_a_recording_goes_first() -> None:
    assert [tier for tier in Tier if may(tier, waits=True)] == [Tier.ASKED]


@pytest.mark.parametrize("refusal", ["import", "disk"])
def test_a_disk_that_is_not_ours_now_takes_nothing(refusal: str) -> None:
    assert not any(may(tier, refusal, near=near) for tier in Tier for near in (True, False))
