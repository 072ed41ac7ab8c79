"""How long a viewer is told to wait: up at once, down slowly, in steps that viewers share."""

from __future__ import annotations

import itertools

import pytest

from relay.media import playout
from relay.media.playout import STEPS, PlayoutDelay


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (0.0, 0),
        (0.001, 0),
        (0.002, 1),
        (0.005, 1),
        (0.03, 1),
        (0.06, 1),
        (0.1, 2),
        (0.5, 2),
        (1.0, 2),
    ],
)
def test_resends_that_are_wanted(loss: float, wanted: int) -> None:
    assert playout.rounds_wanted(loss) == wanted


def test_resends_that_fit_are_those_that_were_wanted() -> None:
    for rtt in (0.005, 0.1, 0.3, 0.6, 0.8):
        for loss in (0.01, 0.05, 0.1):
            delay = playout.needed(rtt, 0.0, loss)
            assert playout.rounds(delay + 1e-9, rtt) == playout.rounds_wanted(loss)
            assert playout.rounds(delay - 0.01, rtt) < playout.rounds_wanted(loss)
    assert playout.rounds(0.3, -1.0) == 7


def test_a_clean_link_waits_for_nothing() -> None:
    delay = PlayoutDelay(0.0)
    assert delay.update(0.3, 0.0, 0.0, 1.0) == 0
    assert delay.update(0.3, 0.01, 0.001, 2.0) == 40


def test_up_at_once_and_down_by_steps() -> None:
    delay = PlayoutDelay(0.0)
    assert delay.update(0.3, 0.010, 0.03, 1.0) == 400
    assert delay.update(0.6, 0.010, 0.03, 2.0) == 800
    seen = [delay.update(0.05, 0.005, 0.0, 3.0 + second) for second in range(240)]
    assert seen[10] == 800
    steps = list(dict.fromkeys(seen))
    assert steps == [step for step in STEPS[::-1] if 40 <= step <= 800]
    assert seen.count(650) in range(14, 18)


def test_a_link_that_is_bad_now_and_then_keeps_its_delay() -> None:
    delay = PlayoutDelay(0.0)
    seen = set()
    for second in range(300):
        seen.add(delay.update(0.3, 0.01, 0.03 if second % 10 == 0 else 0.0, float(second)))
    assert seen == {400}


def test_what_is_only_prudent_comes_gently_and_what_is_needed_at_once() -> None:
    delay = PlayoutDelay(0.0)
    seen = [delay.update(0.1, 0.0, 0.0, float(second), least=650) for second in range(12)]
    steps = [after - before for before, after in itertools.pairwise([0, *seen])]
    assert max(steps) <= 100
    assert seen[7:] == [650] * 5
    assert PlayoutDelay(0.0).update(0.3, 0.01, 0.03, 1.0, least=650) == 400


def test_who_must_answer_waits_less() -> None:
    delay = PlayoutDelay(0.0)
    assert delay.update(0.8, 0.02, 0.1, 1.0) == STEPS[-1]
    assert delay.update(0.8, 0.02, 0.1, 2.0, most=300) == 300
    assert delay.update(0.8, 0.02, 0.1, 3.0) == STEPS[-1]


def test_the_extension_says_at_least_so_long_and_as_long_as_it_takes() -> None:
    assert playout.pack(0).hex() == "000fff"
    assert playout.pack(400).hex() == "028fff"
    assert playout.pack(40_950).hex() == playout.pack(10**9).hex() == "ffffff"
    assert playout.pack(-5) == playout.pack(0)
