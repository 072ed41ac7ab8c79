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
