"""Frames on a stream: whole, in parts, empty, too large; each byte is looked at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.transport.framing import FRAME_MOST, BadFraming, Deframer, framed
from tests.relay.fuzzing import FUZZ


def taken(deframer: Deframer, data: bytes) -> list[bytes]:
    deframer.receive(data)
    found = []
    while (frame := deframer.next()) is not None:
        found.append(frame)
    return found


@FUZZ
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.integers(1, 700))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    packets: list[bytes], step: int
) -> None:
    stream = b"".join(map(framed, packets))
    deframer = Deframer()
    found = []
    for at in range(0, len(stream), step):
        found += taken(deframer, stream[at : at + step])
    assert found == packets


def test_empty_frames_are_passed_over() -> None:
    assert taken(Deframer(), bytes(2_000) + framed(b"x") + bytes(3)) == [b"x"]


def test_the_largest_frame_is_taken_and_one_byte_more_refused_by_its_head_alone() -> None:
    largest = bytes([1]) * FRAME_MOST
    assert taken(Deframer(), framed(largest)) == [largest]
    deframer = Deframer()
    with pytest.raises(BadFraming):
        taken(deframer, (FRAME_MOST + 1).to_bytes(2, "big"))


def test_the_bound_may_be_raised_when_the_peer_is_known() -> None:
    deframer = Deframer(most=10)
    assert taken(deframer, framed(bytes([1]) * 10)) == [bytes([1]) * 10]
    deframer.most = 20
    assert taken(deframer, framed(bytes([1]) * 20)) == [bytes([1]) * 20]


@FUZZ
@given(st.binary(max_size=5_000))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    deframer = Deframer()
    try:
        found = taken(deframer, data)
    except BadFraming:
        return
    assert sum(map(len, found)) <= len(data)
    assert all(0 < len(frame) <= FRAME_MOST for frame in found)
