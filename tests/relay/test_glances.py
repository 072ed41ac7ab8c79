"""Feedback of links that take all there is, and more: what a glance at it may leave unread.

Here: which reports get no more than a glance, and that nothing is found out later for it. Not
here: what a whole report moves (test_bandwidth), reading its bytes (test_twcc).
"""

from __future__ import annotations

import pytest

from tests.relay.feeder import RING, Feeder


def at_ease() -> Feeder:
    """All there is passes, and the link takes more."""
    fed = Feeder()
    fed.estimate.note_limited(300_000.0, fed.now)
    fed.run(10.0, 800_000.0)
    assert fed.estimate.is_satisfied
    return fed


def test_where_nothing_is_to_be_found_out_most_reports_get_but_a_glance() -> None:
    fed = at_ease()
    taken = [fed.glance() for _ in range(160)]
    # Every eighth is read; and one that lies across the end of the ring.
    assert 0.8 < sum(taken) / len(taken) < 0.9
    assert max(len(run) for run in "".join("01"[one] for one in taken).split("0")) <= 7
    assert fed.estimate.is_satisfied
    assert fed.estimate.is_clean(5.0, fed.now)
    assert fed.estimate.loss == 0.0
    assert fed.estimate.acknowledged == pytest.approx(800_000, rel=0.1)
    while fed.glance():
        pass
    assert all(fed.glance() for _ in range(7))
    fed.timer(0.75)
    assert fed.estimate.is_satisfied, "glances are not silence"


@pytest.mark.parametrize(("first", "last"), [(0.05, 0.08), (0.08, 0.05), (0.05, 0.02)])
def test_a_glance_that_finds_another_delay_is_not_enough(first: float, last: float) -> None:
    fed = at_ease()
    assert fed.glance()
    assert not fed.glance(first=first, last=last)


def test_a_glance_is_not_enough_for_a_link_that_must_be_found_out() -> None:
    fed = at_ease()
    fed.estimate.note_limited(2_000_000.0, fed.now)
    assert not fed.glance()
    fed = at_ease()
    fed.number += 1  # what came before was not told of
    assert not fed.glance()
    fed = at_ease()
    fed.now += 1.2  # after a silence
    assert not fed.glance()
    for state in ({"_draining": True}, {"_trial": (1.0,) * 5}, {"_resumed_from": 1.0}):
        fed = at_ease()
        for name, value in state.items():
            setattr(fed.estimate, name, value)
        assert not fed.glance()
    fed = at_ease()
    fed.estimate._trend.calm = False
    assert not fed.glance()
    fed = at_ease()
    for _ in range(3):
        fed.number = (fed.number // RING + 1) * RING - 5
        fed.glance(5)
    assert fed.estimate.liar == 0


def test_a_glance_at_what_was_never_sent_is_a_lie() -> None:
    fed = at_ease()
    future = fed.number
    for step in range(10):
        fed.sent_at[(future + step) % RING] = 0.0
    assert not fed.estimate.receive_calm(
        future & 0xFFFF,
        10,
        fed.now + 7.05,
        fed.now + 7.1,
        fed.sent_at,
        fed.sent_size,
        fed.now + 0.1,
    )


def test_a_queue_after_glances_is_measured_as_if_all_had_been_read() -> None:
    glanced, read = at_ease(), at_ease()
    for _ in range(26):
        glanced.glance()
        read.run(0.1, 800_000.0)
    for fed in (glanced, read):
        fed.run(1.0, 800_000.0, rise=1.0)
        assert fed.estimate.congested_at > fed.now - 1.0
    assert glanced.estimate.bitrate == pytest.approx(read.estimate.bitrate, rel=0.1)
