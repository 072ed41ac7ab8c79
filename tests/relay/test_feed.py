"""The recorder feed: every record survives the trip, in any slicing; rubbish is refused by name.

No sockets here: bytes in, records out.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.record.feed import (
    AckParser,
    End,
    FeedParser,
    Hello,
    LessonEnd,
    Packet,
    Record,
    Sync,
    Track,
    encode,
    encode_ack,
)

TRACK = Track(
    track=3,
    lesson="toan-7",
    source="camera",
    rid="f",
    codec="h264",
    clock_rate=90_000,
    channels=None,
    fmtp={"packetization-mode": "1"},
    payload_type=102,
    red_payload_type=None,
    extensions={"urn:ietf:params:rtp-hdrext:sdes:mid": 4},
    epoch=2,
    origin="5f3a",
)
VOICE = Track(1, "toan-7", "voice", None, "opus", 48_000, 2, {"useinbandfec": "1"}, 111, 63, {}, 0)
RECORDS: list[tuple[int, Record]] = [
    (0, Hello("a1b2")),
    (1, TRACK),
    (2, VOICE),
    (3, Sync(3, 4_294_967_295, 1_760_000_000.25, 0)),
    (4, Packet(3, 1_760_000_000.3, b"\x80" + bytes(40))),
    (5, End(3, "publisher left")),
    (6, LessonEnd("toan-7")),
]


@given(st.integers(1, 60))
def test_records_survive_any_slicing(size: int) -> None:
    stream = b"".join(encode(sequence, record) for sequence, record in RECORDS)
    parser = FeedParser()
    got: list[tuple[int, Record]] = []
    for at in range(0, len(stream), size):
        got += parser.receive(stream[at : at + size])
    assert got == RECORDS


def test_acknowledgements_give_the_highest_and_keep_a_half() -> None:
    parser = AckParser()
    stream = encode_ack(7) + encode_ack(9)
    assert parser.receive(stream[:3]) is None
    assert parser.receive(stream[3:12]) == 7
    assert parser.receive(stream[12:]) == 9
    assert parser.receive(b"") is None


def test_records_before_a_malformed_one_are_still_given() -> None:
    records = FeedParser().receive(encode(0, Hello("x")) + struct.pack("!I", 2**31))
    assert next(records) == (0, Hello("x"))
    with pytest.raises(Refused, match="2147483648 bytes"):
        next(records)


def _record(kind: bytes, body: bytes) -> bytes:
    return struct.pack("!IBQ", 9 + len(body), kind[0], 1) + body


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        (b"P", b"\0" * 12, "P"),
        (b"P", struct.pack("!Id", 1, float("nan")) + b"x", "P.arrival"),
        (b"S", msgpack.packb({"track": 1, "rtp_timestamp": 2**32, "wall": 0.0}), "S.rtp_timestamp"),
        (b"S", msgpack.packb({"track": 1, "rtp_timestamp": 1, "wall": float("inf")}), "S.wall"),
        (b"S", msgpack.packb({"track": True, "rtp_timestamp": 1, "wall": 1}), "S.track"),
        (b"T", msgpack.packb({"track": 1}), "T.lesson"),
        (b"H", msgpack.packb([1]), "H"),
        (b"H", b"\xc1", "H"),
        (b"L", msgpack.packb({"lesson": "x" * 1001}), "L.lesson"),
        (b"Z", msgpack.packb({}), "type"),
    ],
)
def test_each_fault_is_named(kind: bytes, body: bytes, field: str) -> None:
    with pytest.raises(Refused) as caught:
        list(FeedParser().receive(_record(kind, body)))
    assert (caught.value.code, caught.value.field) == ("feed-malformed", field)


@given(st.integers(1, 60))
def test_what_cannot_be_read_is_passed_over_and_named(size: int) -> None:
    many = replace(TRACK, fmtp={f"key-{number}": "" for number in range(65)})
    bad = [(3, many), (8, replace(VOICE, lesson="x" * 1_001))]
    wanted = RECORDS[:3] + RECORDS[4:]
    stream = b"".join(
        encode(sequence, record) for sequence, record in [*wanted[:3], *bad, *wanted[3:]]
    )
    skipped: list[tuple[int, str | None]] = []
    parser = FeedParser(lambda sequence, error: skipped.append((sequence, error.field)))
    got: list[tuple[int, Record]] = []
    for at in range(0, len(stream), size):
        got += parser.receive(stream[at : at + size])
    assert got == wanted
    assert skipped == [(3, "T.fmtp"), (8, "T.lesson")]


def test_a_sequence_out_of_range_is_not_passed_over() -> None:
    parser = FeedParser(lambda sequence, error: None)
    with pytest.raises(Refused, match="out of range"):
        list(parser.receive(struct.pack("!IBQ", 9, ord("Z"), 2**63)))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(b"HTSPELZ"), st.binary(max_size=120))
def test_random_bodies_raise_only_refused(kind: int, body: bytes) -> None:
    with contextlib.suppress(Refused):
        list(FeedParser().receive(_record(bytes([kind]), body)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_streams_raise_only_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        list(FeedParser().receive(data))
