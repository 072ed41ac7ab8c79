"""Redundant audio by hand after RFC 2198, both ways, and random bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media import red
from relay.media.frame_info import PayloadError
from tests.relay.fuzzing import FUZZ, datagrams


def test_golden_payload() -> None:
    # Type 111, 960 units back, 3 bytes; then the primary block of type 111.
    data = bytes.fromhex("ef 0f0003 6f 616263 7879")
    blocks = [(111, 960, b"abc"), (111, 0, b"xy")]
    assert red.parse(data, 0, len(data)) == blocks
    assert red.build(blocks) == data
    assert red.primary(data, 0, len(data)) == (111, 8)


def test_a_primary_block_alone() -> None:
    assert red.parse(b"..\x6fxy..", 2, 5) == [(111, 0, b"xy")]
    assert red.primary(b"..\x6fxy..", 2, 5) == (111, 3)


@pytest.mark.parametrize("text", ["", "ef", "ef 0f00", "ef 0f0003", "ef 0f0003 6f 6162"])
def test_broken_payloads_are_refused(text: str) -> None:
    data = bytes.fromhex(text)
    for read in (red.parse, red.primary):
        with pytest.raises(PayloadError):
            read(data, 0, len(data))


@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, 127), st.integers(0, 0x3FFF), st.binary(max_size=1023)),
        max_size=3,
    ),
    st.integers(0, 127),
    st.binary(max_size=50),
)
def test_round_trip(earlier: list[tuple[int, int, bytes]], kind: int, last: bytes) -> None:
    blocks = [*earlier, (kind, 0, last)]
    data = red.build(blocks)
    assert red.parse(data, 0, len(data)) == blocks
    payload_type, offset = red.primary(data, 0, len(data))
    assert (payload_type, data[offset:]) == (kind, last)


@pytest.mark.parametrize(
    "blocks",
    [[], [(1, 0x4000, b""), (1, 0, b"")], [(1, -1, b""), (1, 0, b"")], [(1, 0, bytes(1024))] * 2],
)
def test_impossible_blocks_are_our_mistake(blocks: list[tuple[int, int, bytes]]) -> None:
    with pytest.raises(ValueError, match="RED"):
        red.build(blocks)


@FUZZ
@given(datagrams)
def test_random_bytes_give_blocks_or_the_named_error(data: bytes) -> None:
    try:
        blocks = red.parse(data, 0, len(data))
    except PayloadError:
        return
    assert red.build(blocks) == data
    payload_type, offset = red.primary(data, 0, len(data))
    assert (payload_type, data[offset:]) == (blocks[-1][0], blocks[-1][2])
