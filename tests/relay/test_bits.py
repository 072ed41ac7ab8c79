"""Bit fields: each kind written by an independent writer and read back, and the bytes' end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media.bits import BitReader
from relay.media.frame_info import PayloadError
from tests.relay.bit_writer import BitWriter
from tests.relay.fuzzing import FUZZ


def test_fields_come_most_significant_first() -> None:
    bits = BitReader(b"\xa5\x0f")
    assert [bits.read(1), bits.read(3), bits.flag(), bits.read(0), bits.read(11)] == [
        1,
        0b010,
        False,
        0,
        0b10100001111,
    ]
    assert bits.left == 0
    with pytest.raises(PayloadError):
        bits.read(1)


@FUZZ
@given(st.integers(0, (1 << 32) - 2), st.integers(-(1 << 30), 1 << 30))
def test_golomb_numbers(unsigned: int, signed: int) -> None:
    data = BitWriter().golomb(unsigned).signed_golomb(signed).golomb(unsigned).done()
    bits = BitReader(data)
    assert bits.unsigned_golomb() == unsigned
    assert bits.signed_golomb() == signed
    assert bits.variable() == unsigned


def test_the_longest_variable_number() -> None:
    assert BitReader(b"\x00\x00\x00\x00\x80").variable() == (1 << 32) - 1
    with pytest.raises(PayloadError):
        BitReader(bytes(9)).unsigned_golomb()


@FUZZ
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_non_symmetric_numbers(pair: tuple[int, int]) -> None:
    value, n = pair
    assert BitReader(BitWriter().non_symmetric(value, n).done()).non_symmetric(n) == value


def test_non_symmetric_numbers_of_five() -> None:
    """The table of AV1 4.10.7."""
    codes = ["00", "01", "10", "110", "111"]
    for value, code in enumerate(codes):
        data = int(code.ljust(8, "0"), 2).to_bytes(1, "big")
        bits = BitReader(data)
        assert bits.non_symmetric(5) == value
        assert bits.left == 8 - len(code)
