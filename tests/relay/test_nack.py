"""Asking for what is missing: scripts from every awkward number, and a lossy link in virtual time
at round trips from 5 to 800 ms."""

from __future__ import annotations

import random

import pytest

from relay.media.nack import AGE_ROUND_TRIPS, AGE_S, NackTracker
from tests.relay.fuzzing import STARTS

RTT = 0.1


@pytest.mark.parametrize("start", STARTS)
def test_a_gap_is_asked_for_once_per_round_trip(start: int) -> None:
    tracker = NackTracker()
    assert tracker.get_timer() is None
    assert tracker.receive(start, 1.0)
    assert tracker.receive((start + 3) & 0xFFFF, 1.01)
    missing = [(start + 1) & 0xFFFF, (start + 2) & 0xFFFF]
    assert tracker.get_timer() == 1.01
    assert tracker.handle_timer(1.01, RTT) == missing
    assert tracker.get_timer() == pytest.approx(1.11)
    assert tracker.handle_timer(1.10, RTT) == []
    assert tracker.handle_timer(1.12, RTT) == missing
    assert tracker.receive(missing[0], 1.15)
    assert tracker.handle_timer(1.30, RTT) == missing[1:]
    assert tracker.receive(missing[1], 1.35)
    assert tracker.get_timer() is None
    assert tracker.handle_timer(9.0, RTT) == []
    assert (tracker.requested, tracker.recovered, tracker.abandoned) == (5, 2, 0)


@pytest.mark.parametrize("start", STARTS)
def test_repeats_are_recognised(start: int) -> None:
    tracker = NackTracker()
    numbers = [(start + step) & 0xFFFF for step in (0, 1, 4, 3)]
    assert [tracker.receive(each, 1.0) for each in numbers] == [True] * 4
    assert [tracker.receive(each, 1.0) for each in numbers] == [False] * 4
    assert tracker.receive((start + 2) & 0xFFFF, 1.0)
    assert not tracker.receive((start + 2) & 0xFFFF, 1.0)
    # Long before the first packet and never seen: new, but no hole of ours.
    assert tracker.receive((start - 5) & 0xFFFF, 1.0)
    assert not tracker.receive((start - 5000) & 0xFFFF, 1.0)
    assert tracker.recovered == 0


def test_reordering_within_the_wait_is_not_asked_for() -> None:
    tracker = NackTracker(reorder_wait=0.02)
    tracker.receive(1, 1.0)
    tracker.receive(3, 1.0)
    assert tracker.get_timer() == 1.02
    assert tracker.handle_timer(1.01, RTT) == []
    tracker.receive(2, 1.015)
    assert tracker.handle_timer(1.03, RTT) == []
    assert tracker.requested == 0


def test_a_short_round_trip_is_not_taken_at_its_word() -> None:
    tracker = NackTracker()
    tracker.receive(1, 1.0)
    tracker.receive(3, 1.0)
    tracker.handle_timer(1.0, 0.0001)
    assert tracker.handle_timer(1.005, 0.0001) == []
    assert tracker.handle_timer(1.0101, 0.0001) == [2]


@pytest.mark.parametrize("rtt", [0.005, 0.3, 0.8])
def test_giving_up_by_tries_or_age(rtt: float) -> None:
    tracker = NackTracker(max_tries=4)
    tracker.receive(1, 0.0)
    tracker.receive(3, 0.0)
    asked = 0
    now = 0.0
    while tracker.missing:
        asked += len(tracker.handle_timer(now, rtt))
        due = tracker.get_timer()
        if due is not None:
            assert due > now
            now = due
    assert asked == min(4, 1 + int((AGE_S + AGE_ROUND_TRIPS * rtt) / max(rtt, 0.01)))
    assert tracker.abandoned == 1
    assert now <= AGE_S + (AGE_ROUND_TRIPS + 1) * rtt + 0.02


def test_an_outage_leaves_only_the_newest_holes() -> None:
    tracker = NackTracker(max_missing=10)
    tracker.receive(0, 1.0)
    tracker.receive(1000, 1.0)
    assert tracker.handle_timer(1.0, RTT) == list(range(990, 1000))
    assert tracker.abandoned == 989
    tracker.receive(1005, 1.01)
    assert tracker.missing == 10
    assert tracker.abandoned == 993


@pytest.mark.parametrize("start", STARTS)
def test_a_keyframe_ends_the_search_behind_it(start: int) -> None:
    tracker = NackTracker()
    for step in (0, 3, 6):
        tracker.receive((start + step) & 0xFFFF, 1.0)
    tracker.reset_before((start + 5) & 0xFFFF)
    assert tracker.handle_timer(1.0, RTT) == [(start + 5) & 0xFFFF]
    assert tracker.abandoned == 3
    tracker.reset_before((start + 6) & 0xFFFF)
    assert tracker.get_timer() is None


@pytest.mark.parametrize("rtt", [0.005, 0.06, 0.3, 0.8])
@pytest.mark.parametrize("loss", [0.01, 0.15])
def test_a_lossy_link_is_repaired(rtt: float, loss: float) -> None:
    """200 packets/s for 20 s; packets, requests and answers are all lost alike."""
    chance = random.Random(7)
    tracker = NackTracker()
    due: list[tuple[float, int]] = []
    arrived: set[int] = set()
    answers = 0
    now = 0.0
    for step in range(4000 + int(400 * (1 + rtt))):
        now = step / 200
        seq = (65000 + step) & 0xFFFF
        if step < 4000 and (chance.random() >= loss or step in (0, 3999)):
            assert tracker.receive(seq, now)
            arrived.add(seq)
        for at, repaired in [each for each in due if each[0] <= now]:
            due.remove((at, repaired))
            tracker.receive(repaired, now)
            arrived.add(repaired)
        timer = tracker.get_timer()
        if timer is not None and timer <= now:
            for each in tracker.handle_timer(now, rtt):
                if chance.random() >= loss and chance.random() >= loss:
                    due.append((now + rtt, each))
                    answers += 1
    sent = {(65000 + step) & 0xFFFF for step in range(4000)}
    assert len(sent - arrived) <= 4000 * loss * 0.02
    assert tracker.missing == 0
    lost = 4000 * loss
    # Hardly anything is asked for twice without need.
    assert answers <= 1.3 * lost + 5
