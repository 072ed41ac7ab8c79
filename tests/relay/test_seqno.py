"""Numbers that wrap: order, distance and extension, from every awkward starting point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media.seqno import Unwrapper, delta16, delta32
from tests.relay.fuzzing import FUZZ, STARTS

numbers = st.integers(0, 0xFFFF)


@pytest.mark.parametrize("start", STARTS)
def test_order_and_distance_hold_across_the_wrap(start: int) -> None:
    for step in (1, 2, 100, 32767):
        ahead = (start + step) & 0xFFFF
        assert delta16(ahead, start) == step
        assert delta16(start, ahead) == -step
    assert delta16(start, start) == 0


@FUZZ
@given(numbers, numbers)
def test_a_distance_leads_from_one_number_to_the_other(a: int, b: int) -> None:
    assert (b + delta16(a, b)) & 0xFFFF == a
    assert -32768 <= delta16(a, b) <= 32767


def test_timestamps_wrap_at_32_bits() -> None:
    assert delta32(100, 0xFFFFFFFF) == 101
    assert delta32(0xFFFFFFFF, 100) == -101


@pytest.mark.parametrize("start", STARTS)
def test_unwrapped_numbers_grow_by_the_steps_sent(start: int) -> None:
    unwrapper = Unwrapper(16)
    first = unwrapper.unwrap(start)
    assert first == start + 0x10000
    for step in (1, 2, 5, 3, 70, 69, 72):
        assert unwrapper.unwrap((start + step) & 0xFFFF) == first + step
    for step in range(0, 200_000, 20_000):
        assert unwrapper.unwrap((start + step) & 0xFFFF) == first + step
    assert unwrapper.highest == first + 180_000


@pytest.mark.parametrize("start", STARTS)
def test_packets_before_the_first_stay_below_it_and_positive(start: int) -> None:
    unwrapper = Unwrapper(16)
    first = unwrapper.unwrap(start)
    for back in (1, 100, 32767):
        assert unwrapper.unwrap((start - back) & 0xFFFF) == first - back > 0
    assert unwrapper.highest == first


def test_peek_remembers_nothing() -> None:
    unwrapper = Unwrapper(16)
    assert unwrapper.peek(7) == 0x10007
    assert unwrapper.highest == -1
    unwrapper.unwrap(65535)
    assert unwrapper.peek(0) == 0x20000
    assert unwrapper.highest == 0x1FFFF


@pytest.mark.parametrize("bits", [7, 8, 15, 16, 24, 32])
def test_the_low_bits_are_the_value(bits: int) -> None:
    unwrapper = Unwrapper(bits)
    cycle = 1 << bits
    expected = None
    for step in range(0, 4 * cycle, max(1, cycle // 5)):
        value = (cycle - 3 + step) % cycle
        extended = unwrapper.unwrap(value)
        assert extended % cycle == value
        assert expected is None or extended == expected
        expected = extended + max(1, cycle // 5)


@FUZZ
@given(st.lists(numbers, max_size=50))
def test_no_result_is_ever_negative(values: list[int]) -> None:
    unwrapper = Unwrapper(16)
    for value in values:
        assert unwrapper.unwrap(value) >= 0x10000 - 0x8000
