"""What fits a link: the voice first, a screen sharp, a camera moving, and no flapping between.

Here: the arithmetic of relay.sfu.allocation and the names of rungs. Not here: links, layers that
move (tests/scenarios/test_allocation).
"""

from __future__ import annotations

import pytest

from relay.sfu import rungs
from relay.sfu.allocation import (
    FIRST_HOLD,
    MARGIN,
    MAX_HOLD,
    PROOF,
    SLIDES_LEAST,
    STILLS_LEAST,
    STILLS_MOST,
    THIN_BELOW,
    THIN_UNTIL,
    HoldOff,
    Option,
    choose,
    is_thin,
    next_step,
    stills_bitrate,
)

# Two pictures of two temporal layers each.
OPTIONS = [
    Option(0, 0, 50.0, whole=False),
    Option(0, 1, 100.0),
    Option(1, 0, 150.0, whole=False),
    Option(1, 1, 300.0),
]


@pytest.mark.parametrize(
    ("rate", "sharp", "expected"),
    [
        (49, False, None),
        (50, False, 0),
        (100, False, 1),
        (150, False, 1),
        (299, False, 1),
        (300, False, 3),
        (150, True, 2),
        (300, True, 3),
    ],
)
def test_a_camera_moves_before_it_is_large_and_a_screen_is_sharp_before_it_moves(
    rate: float, sharp: bool, expected: int | None
) -> None:
    chosen = choose(OPTIONS, rate * MARGIN + 0.001, sharp=sharp)
    assert chosen is (None if expected is None else OPTIONS[expected])


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose([], 1e9, sharp=False) is None
    assert next_step([], None) is None


def test_steps_that_are_tried_go_to_the_top_of_a_layer() -> None:
    assert next_step(OPTIONS, None) is OPTIONS[0]
    assert next_step(OPTIONS, OPTIONS[0]) is OPTIONS[1]
    assert next_step(OPTIONS, OPTIONS[1]) is OPTIONS[3]
    assert next_step(OPTIONS, OPTIONS[3]) is None


def test_a_step_that_failed_doubles_the_wait_and_a_good_one_resets_it() -> None:
    hold, now = HoldOff(), 100.0
    for expected in (4.0, 8.0, 16.0, 32.0, MAX_HOLD, MAX_HOLD):
        now += 100.0
        assert hold.may_step_up(now)
        hold.stepped_up(now)
        hold.still_waiting(now + 20.0)  # for the beat
        hold.handle_timer(now + 21.0)
        hold.congested(now + 22.0)
        assert hold.hold == expected
        assert not hold.may_step_up(now + 23.0)
    hold.stepped_up(now)
    hold.handle_timer(now + PROOF)
    assert hold.hold == FIRST_HOLD


def test_the_voice_for_poor_links_comes_at_one_rate_and_goes_at_a_higher_one() -> None:
    assert is_thin(THIN_BELOW, before=False)
    assert not is_thin(THIN_BELOW + 1, before=False)
    assert is_thin(THIN_UNTIL, before=True)
    assert not is_thin(THIN_UNTIL + 1, before=True)


def test_still_pictures_take_some_of_what_is_left() -> None:
    assert stills_bitrate(1_000.0) == 0.0
    assert stills_bitrate(-5_000.0) == 0.0
    assert SLIDES_LEAST <= stills_bitrate(12_000.0) < STILLS_LEAST
    assert STILLS_LEAST <= stills_bitrate(20_000.0) < 20_000.0
    assert stills_bitrate(1e6) == STILLS_MOST


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (1, ["full"]),
        (2, ["medium", "full"]),
        (3, ["small", "medium", "full"]),
        (4, ["small", "small", "medium", "full"]),
    ],
)
def test_rungs_are_named_from_the_top(places: int, names: list[str]) -> None:
    assert [rungs.name(place, places) for place in range(places)] == names


def test_after_a_step_that_failed_more_must_be_left_over() -> None:
    options = [Option(0, 1, 100_000.0), Option(1, 1, 300_000.0), Option(2, 1, 1_200_000.0)]
    for budget, first, later in ((350e3, 1, 0), (400e3, 1, 1), (1.25e6, 2, 2)):
        chosen = [choose(options, budget, sharp=False, again=again) for again in (False, True)]
        assert [one and one.layer for one in chosen] == [first, later]


def test_a_link_that_was_away_starts_with_a_clean_sheet() -> None:
    hold = HoldOff()
    hold.stepped_up(10.0)
    hold.congested(11.0)
    assert (hold.has_failed, hold.may_step_up(14.0)) == (True, False)
    hold.forgive(11.0)
    assert (hold.has_failed, hold.may_step_up(11.1)) == (False, True)
