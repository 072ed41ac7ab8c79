"""When probes are due, and how much they add. Not here: what a link answers (test_bandwidth)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.media.probe import (
    FAST,
    PAUSE,
    PAUSE_FIRST,
    PAUSE_HOPEFUL,
    PAUSE_MOST,
    ROUND,
    SHARE,
    SHARE_FAST,
    Probing,
)

RTT = 0.1


def pauses(*, hopeful: bool) -> list[float]:
    """Seconds between rounds that all fail."""
    probing, now = Probing(), 100.0
    began: list[float] = []
    while len(began) < 9:
        now += 0.05
        if probing.rate(300e3, 0.0, RTT, now, failed=True):
            began.append(now)
            now += ROUND
            probing.failed(RTT, now, hopeful=hopeful)
    return [later - earlier - ROUND for earlier, later in pairwise(began)]


def test_rounds_that_fail_become_rare() -> None:
    found = pauses(hopeful=False)
    assert all(later >= earlier - 0.06 for earlier, later in pairwise(found))
    assert abs(found[-1] - PAUSE_MOST) < 0.11


@pytest.mark.parametrize(("sure", "last"), [(True, PAUSE_MOST), (False, PAUSE_FIRST)])
def test_rounds_that_show_nothing_new_become_rare_where_it_is_known_what_the_link_takes(
    sure: bool, last: float
) -> None:
    probing, now = Probing(), 100.0
    began: list[float] = []
    flowed = False
    while len(began) < 12:
        now += 0.05
        flows = probing.rate(300e3, 0.0, RTT, now, failed=True, sure=sure) > 0.0
        if flows and not flowed:
            began.append(now)
        flowed = flows
    found = [later - earlier - ROUND - RTT for earlier, later in pairwise(began)]
    assert all(later >= earlier - 0.11 for earlier, later in pairwise(found))
    assert abs(found[-1] - last) < 0.11
    # More passes than was known: it may take more still.
    probing.succeeded()
    assert probing._pause <= PAUSE


def test_where_more_passed_lately_they_stay_frequent() -> None:
    found = pauses(hopeful=True)
    assert abs(found[-1] - PAUSE_HOPEFUL) < 0.11
    probing = Probing()
    probing._pause = PAUSE_MOST
    # The link became narrower just now, by no round of ours.
    probing.failed(RTT, 100.0, hopeful=True)
    assert probing._pause == PAUSE_HOPEFUL


def test_a_fast_link_is_asked_for_half_as_much_again_until_it_pushed_back() -> None:
    assert Probing().rate(2 * FAST, 0.0, RTT, 1.0, failed=False) == SHARE_FAST * 2 * FAST
    assert Probing().rate(2 * FAST, 0.0, RTT, 1.0, failed=True) == SHARE * 2 * FAST
    assert Probing().rate(FAST / 2, 0.0, RTT, 1.0, failed=False) == SHARE * FAST / 2


def test_media_that_fills_the_estimate_is_a_probe_of_its_own() -> None:
    assert Probing().rate(300e3, 299e3, RTT, 1.0, failed=False) == 0.0
