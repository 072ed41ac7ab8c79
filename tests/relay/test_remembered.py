"""What a room's link took is remembered for its next visit, with care and within bounds."""

from __future__ import annotations

from relay.transport.remembered import KEEP_SECONDS, MOST, ROOMS_MOST, SHARE, RememberedRates


def test_a_room_begins_with_most_of_what_its_link_took() -> None:
    rates = RememberedRates(60_000.0)
    assert rates.start("room", 0.0) == 60_000.0
    rates.note("room", 300_000.0, 10.0)
    assert rates.start("room", 20.0) == 300_000.0 * SHARE
    assert rates.start("another", 20.0) == 60_000.0
    rates.note("room", 40_000.0, 30.0)
    assert rates.start("room", 40.0) == 40_000.0 * SHARE
    # It had all there was: nothing says that its link takes no more.
    rates.note("room", 700_000.0, 45.0, limited=False)
    assert rates.start("room", 46.0) == 700_000.0
    rates.note("room", 1e9, 50.0)
    assert rates.start("room", 60.0) == MOST


def test_what_is_old_or_too_much_is_forgotten() -> None:
    rates = RememberedRates(60_000.0)
    rates.note("room", 300_000.0, 0.0)
    assert rates.start("room", KEEP_SECONDS) == 60_000.0
    for number in range(ROOMS_MOST + 1):
        rates.note(f"room-{number}", 300_000.0, 1.0)
    assert rates.start("room-0", 2.0) == 60_000.0
    assert rates.start("room-1", 2.0) == 300_000.0 * SHARE


def test_what_was_known_before_a_power_cut_is_taken_over() -> None:
    before = RememberedRates(60_000.0)
    before.note("room", 300_000.0, 1_000.0)
    before.note("other", 500_000.0, 1_010.0, limited=False)
    after = RememberedRates(60_000.0)
    after.note("other", 100_000.0, 2_000.0)
    after.recall(before.known(), 2_001.0)
    assert after.start("room", 2_001.0) == 300_000.0 * SHARE
    # What was found out since is newer.
    assert after.start("other", 2_001.0) == 100_000.0 * SHARE
    assert list(after.known()) == ["room", "other"]


def test_a_clock_that_was_years_ahead_makes_nothing_last_for_years() -> None:
    rates = RememberedRates(60_000.0)
    rates.recall({"room": (240_000.0, 4e9)}, 1_000.0)
    assert rates.start("room", 1_001.0) == 240_000.0
    assert rates.start("room", 1_000.0 + KEEP_SECONDS) == 60_000.0


def test_no_more_is_taken_over_than_is_kept() -> None:
    rates = RememberedRates(60_000.0)
    rates.note("here", 300_000.0, 5.0)
    rates.recall({f"room-{number}": (1e5, 1.0) for number in range(ROOMS_MOST)}, 6.0)
    assert len(rates.known()) == ROOMS_MOST
    assert rates.start("here", 6.0) == 300_000.0 * SHARE
    assert rates.start("room-0", 6.0) == 60_000.0
