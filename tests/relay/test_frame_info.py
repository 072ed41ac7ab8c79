"""What all payload readers promise alike: they read where they are told to and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media import av1, h264, vp8, vp9
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.rtp import Buffer
from tests.relay.fuzzing import FUZZ

Parser = Callable[[Buffer, int, int, bool], PacketInfo]
PARSERS: list[Parser] = [vp8.parse, vp9.parse, h264.parse, av1.parse]


def outcome(parser: Parser, data: Buffer, start: int, end: int, marker: bool) -> PacketInfo | None:
    try:
        return parser(data, start, end, marker)
    except PayloadError:
        return None


@pytest.mark.parametrize("parser", PARSERS)
@FUZZ
@given(
    before=st.binary(max_size=30),
    payload=st.binary(max_size=60),
    after=st.binary(max_size=30),
    marker=st.booleans(),
)
def test_bytes_around_a_payload_change_nothing(
    parser: Parser, before: bytes, payload: bytes, after: bytes, marker: bool
) -> None:
    alone = outcome(parser, payload, 0, len(payload), marker)
    start = len(before)
    whole = before + payload + after
    for buffer in (whole, bytearray(whole), memoryview(whole)):
        assert outcome(parser, buffer, start, start + len(payload), marker) == alone
    if alone is not None:
        assert alone.end_of_frame is marker
