"""Closing gaps: scripts from every awkward number, and a model that any order of packets obeys."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media.renumber import MAX_OPEN, MAX_SEGMENTS, FrameRenumberer, Renumberer
from relay.media.seqno import Unwrapper
from tests.relay.fuzzing import FUZZ, STARTS


@pytest.mark.parametrize("start", STARTS)
def test_dropped_runs_leave_no_gap(start: int) -> None:
    numbers = Unwrapper(16)
    renumberer = Renumberer()
    base = numbers.unwrap(start)
    out = []
    for step in range(40):
        number = numbers.unwrap((start + step) & 0xFFFF)
        if step % 4 in (1, 2):
            assert renumberer.drop(number) is None
            assert renumberer.find(number) is None
        else:
            out.append(renumberer.forward(number))
    assert out == list(range(base, base + 20))
    kept = [base + step for step in range(40) if step % 4 not in (1, 2)]
    assert [renumberer.origin(each) for each in range(base, base + 20)] == kept
    assert [renumberer.find(each) for each in kept] == out
    assert renumberer.origin(base - 1) is None
    assert renumberer.origin(base + 20) is None
    assert renumberer.next_out == base + 20
    assert renumberer.highest_in == base + 39


def test_a_source_begins_where_it_is_told_to() -> None:
    renumberer = Renumberer(first_out=500)
    assert not renumberer.started
    assert renumberer.next_out == 500
    assert renumberer.forward(7000) == 500
    assert renumberer.forward(7001) == 501
    renumberer = Renumberer(first_out=500)
    assert renumberer.drop(7000) is None
    assert renumberer.forward(7001) == 500
    assert renumberer.origin(500) == 7001


def test_lost_packets_keep_their_number() -> None:
    renumberer = Renumberer()
    assert renumberer.forward(100) == 100
    assert renumberer.forward(103) == 103
    assert renumberer.drop(104) is None
    assert renumberer.forward(105) == 104
    assert renumberer.forward(101) == 101
    assert renumberer.origin(101) == 101


def test_a_late_drop_leaves_a_hole_that_can_be_filled() -> None:
    renumberer = Renumberer()
    renumberer.forward(100)
    renumberer.drop(101)
    assert renumberer.forward(104) == 103
    assert renumberer.drop(103) == 102
    assert renumberer.origin(102) is None
    assert renumberer.find(103) == 102
    assert renumberer.drop(103) is None
    assert renumberer.forward(103) is None
    assert renumberer.forward(102) == 101
    assert renumberer.forward(105) == 104


def test_no_number_goes_out_twice() -> None:
    renumberer = Renumberer()
    assert renumberer.forward(100) == 100
    assert renumberer.forward(100) is None
    assert renumberer.drop(100) is None
    renumberer.drop(101)
    assert renumberer.forward(101) is None
    assert renumberer.drop(101) is None
    assert renumberer.forward(103) == 102
    assert renumberer.forward(102) == 101
    assert renumberer.forward(102) is None
    assert renumberer.forward(99) is None


def test_history_is_bounded_and_the_new_part_right() -> None:
    renumberer = Renumberer()
    for number in range(10 * MAX_SEGMENTS):
        if number % 2:
            renumberer.drop(number)
        else:
            assert renumberer.forward(number) == number // 2
    assert len(renumberer._starts) <= MAX_SEGMENTS
    top = 10 * MAX_SEGMENTS - 2
    assert renumberer.origin(top // 2) == top
    assert renumberer.find(top) == top // 2
    assert renumberer.origin(0) is None
    assert renumberer.find(0) is None


def test_a_jump_costs_little() -> None:
    renumberer = Renumberer()
    renumberer.forward(100)
    renumberer.forward(10_000_000)
    assert len(renumberer._open) <= MAX_OPEN
    assert renumberer.forward(9_999_999) == 9_999_999
    assert renumberer.forward(200) is None
    for number in range(10_000_002, 10_200_000, 2):
        renumberer.forward(number)
    assert len(renumberer._open) <= MAX_OPEN


@FUZZ
@given(st.integers(0, 1 << 32), st.floats(0, 0.6), st.floats(0, 0.3), st.integers(0, 30))
def test_any_order_of_packets(seed: int, drops: float, loss: float, spread: int) -> None:
    """Numbers out rise with numbers in, none is used twice, and each leads back to its packet."""
    chance = random.Random(seed)
    base = 0x10000 + chance.randrange(0x10000)
    dropped = {base + step for step in range(300) if chance.random() < drops}
    order = sorted(
        (base + step for step in range(300) if chance.random() >= loss),
        key=lambda number: number + chance.uniform(0, spread),
    )
    renumberer = Renumberer()
    sent: dict[int, int] = {}
    holes: set[int] = set()
    first = order[0] if order else base
    for number in order:
        if number in dropped:
            hole = renumberer.drop(number)
            if hole is not None:
                assert hole not in holes
                holes.add(hole)
        else:
            out = renumberer.forward(number)
            # Only what is older than the very first packet has no place.
            assert (out is None) is (number < first)
            if out is not None:
                sent[number] = out
    outs = [sent[number] for number in sorted(sent)]
    assert outs == sorted(set(outs))
    assert holes.isdisjoint(outs)
    for number, out in sent.items():
        assert renumberer.origin(out) == number
        assert renumberer.find(number) == out
    for hole in holes:
        assert renumberer.origin(hole) is None
    if spread == 0 and loss == 0.0:
        assert not holes
        assert not outs or outs == list(range(outs[0], outs[0] + len(outs)))


@pytest.mark.parametrize("bits", [7, 15])
def test_picture_ids_close_their_gaps_too(bits: int) -> None:
    ids = Unwrapper(bits)
    renumberer = FrameRenumberer(first_out=1000)
    out: list[int | None] = []
    for frame in range(400):
        picture = ids.unwrap(((1 << bits) - 50 + frame) % (1 << bits))
        for _ in range(3):  # packets of the frame
            if frame % 4 == 3:
                renumberer.drop(picture)
            else:
                out.append(renumberer.forward(picture))
    assert out == [1000 + index // 3 for index in range(900)]


def test_late_packets_of_frames_get_their_frames_answer() -> None:
    renumberer = FrameRenumberer()
    assert renumberer.forward(10) == 10
    renumberer.drop(11)
    assert renumberer.forward(13) == 12
    assert renumberer.forward(10) == 10
    assert renumberer.forward(11) is None
    assert renumberer.forward(12) == 11
    # Too late to drop: its id is a gap, and the frames after it keep theirs.
    renumberer.drop(12)
    assert renumberer.forward(14) == 13
    assert renumberer.origin(13) == 14


def test_a_dropped_frame_may_come_first() -> None:
    renumberer = FrameRenumberer(first_out=5)
    renumberer.drop(70)
    assert renumberer.forward(70) is None
    assert renumberer.forward(71) == 5
