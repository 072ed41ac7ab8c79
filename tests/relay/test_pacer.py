"""The pacer: what is urgent first, no faster than its rate, no packet held for ever."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from relay.media.pacer import BURST, DEBT, IP_UDP, LATE, Kind, Pacer

SIZE = 972
"""1,000 bytes on the wire."""


def drain(pacer: Pacer[str], now: float, until: float) -> list[tuple[float, str]]:
    """When what leaves."""
    out = []
    while (due := pacer.due(now)) is not None and due <= until:
        now = due
        left = pacer.pop(now)
        assert left, "due, but nothing left"
        out += [(now, item) for item in left]
    return out


def test_packets_leave_at_the_rate() -> None:
    pacer: Pacer[str] = Pacer(80_000.0)
    for number in range(20):
        pacer.push(Kind.PICTURE, SIZE, str(number))
    assert pacer.delay == pytest.approx(2.0)
    left = drain(pacer, 10.0, 20.0)
    assert [item for _, item in left] == [str(number) for number in range(20)]
    assert left[0][0] == 10.0
    gaps = [b[0] - a[0] for a, b in pairwise(left)]
    assert all(gap == pytest.approx(0.1, abs=1.01 * BURST) for gap in gaps)
    assert pacer.backlog == 0
    assert pacer.due(30.0) is None
    assert pacer.pop(30.0) == []


def test_what_is_urgent_goes_first() -> None:
    pacer: Pacer[str] = Pacer(80_000.0)
    for kind in reversed(Kind):
        pacer.push(kind, SIZE, kind.name)
    order = [item for _, item in drain(pacer, 0.0, 9.0)]
    assert order == ["VOICE_REPAIR", "PICTURE_REPAIR", "PICTURE", "PADDING"]


def test_a_quiet_time_is_not_saved_up() -> None:
    pacer: Pacer[str] = Pacer(80_000.0)
    for number in range(3):
        pacer.push(Kind.PICTURE, SIZE, str(number))
    drain(pacer, 0.0, 1.0)
    for number in range(3):
        pacer.push(Kind.PICTURE, SIZE, str(number))
    assert len(pacer.pop(500.0)) == 1


def test_a_timer_that_comes_late_is_made_up_for() -> None:
    pacer: Pacer[int] = Pacer(800_000.0)
    for number in range(1_000):
        pacer.push(Kind.PICTURE, SIZE, number)
    # A busy machine looks every 25 ms: five times as seldom as it should.
    left = sum(len(pacer.pop(index * 0.025)) for index in range(101))
    assert left * (SIZE + IP_UDP) * 8 == pytest.approx(800_000.0 * 2.5, rel=0.02)
    # But not a second at once.
    assert len(pacer.pop(3.5)) * (SIZE + IP_UDP) * 8 <= 800_000.0 * (LATE + 0.015)


@pytest.mark.parametrize("emptied", [True, False])
def test_what_did_not_wait_is_not_made_up_for(emptied: bool) -> None:
    pacer: Pacer[int] = Pacer(800_000.0)
    for number in range(10):
        pacer.push(Kind.PICTURE, SIZE, number)
    assert pacer.pop(0.0)
    if emptied:
        pacer.clear()
    else:
        pacer.drop(lambda item: True)
    for number in range(10):
        pacer.push(Kind.PICTURE, SIZE, number)
    assert len(pacer.pop(5.0)) * (SIZE + IP_UDP) * 8 <= 800_000.0 * (BURST + 0.015)


def test_a_fast_rate_sends_a_timer_s_worth_together() -> None:
    pacer: Pacer[str] = Pacer(8_000_000.0)
    for number in range(50):
        pacer.push(Kind.PICTURE, SIZE, str(number))
    # 1 ms each: what 5 ms hold, and one to begin with.
    assert 5 <= len(pacer.pop(1.0)) <= 7


def test_fresh_voice_is_paid_for_by_the_others_but_not_for_ever() -> None:
    pacer: Pacer[str] = Pacer(80_000.0)
    pacer.spend(SIZE, 1.0)
    pacer.push(Kind.PICTURE, SIZE, "picture")
    due = pacer.due(1.0)
    assert due == pytest.approx(1.1, abs=1.01 * BURST)
    for _ in range(100):
        pacer.spend(SIZE, 1.0)
    due = pacer.due(1.0)
    assert due is not None
    assert due <= 1.0 + DEBT


def test_a_new_rate_counts_at_once() -> None:
    pacer: Pacer[str] = Pacer(80_000.0)
    for number in range(10):
        pacer.push(Kind.PICTURE, SIZE, str(number))
    pacer.pop(0.0)
    pacer.set_rate(800_000.0, 0.0)
    assert len(drain(pacer, 0.0, 0.11)) == 9
    pacer.push(Kind.PICTURE, SIZE, "late")
    pacer.set_rate(0.0, 1.0)
    assert pacer.pop(1.0) == ["late"], "even a rate of nothing lets packets through in the end"


def test_drop_and_clear() -> None:
    pacer: Pacer[int] = Pacer(80_000.0)
    for number in range(10):
        pacer.push(Kind(number % 4), SIZE, number)
    assert pacer.drop(lambda item: item % 2 == 0) == 5
    assert pacer.backlog == 5 * (SIZE + IP_UDP)
    assert sorted(pacer.pop(0.0)) == [1]
    pacer.clear()
    assert pacer.backlog == 0
    assert pacer.delay == 0.0
    assert pacer.due(0.0) is None


def test_whatever_happens_no_more_leaves_than_the_rate_allows() -> None:
    seed = random.Random(5)
    pacer: Pacer[int] = Pacer(300_000.0)
    now, bits, pushed, left = 0.0, 0, 0, 0
    for _ in range(5000):
        now += seed.expovariate(200.0)
        if seed.random() < 0.2:
            pacer.push(Kind(seed.randrange(4)), size := seed.randrange(50, 1200), size)
            pushed += 1
        for size in pacer.pop(now):
            bits += (size + IP_UDP) * 8
            left += 1
    assert bits <= 300_000 * (now + BURST) + 1228 * 8
    assert left + sum(1 for _ in drain_all(pacer, now)) == pushed


def drain_all(pacer: Pacer[int], now: float) -> list[int]:
    """Everything that is still there."""
    out = []
    while (due := pacer.due(now)) is not None:
        now = due
        out += pacer.pop(now)
    return out
