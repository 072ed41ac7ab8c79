"""VP8 descriptors: every form of RFC 7741 4.2 by hand, patching in place, aiortc's packetizer and
parser as a peer, random bytes."""

from __future__ import annotations

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from relay.media import vp8
from relay.media.frame_info import PacketInfo, PayloadError, patch_picture_id
from tests.relay.encoding import encode
from tests.relay.fuzzing import FUZZ, datagrams

KEY = b"\x10"
"""A frame's first byte with the P bit clear."""
DELTA = b"\x11"


def parse(data: bytes, marker: bool = False) -> PacketInfo:
    return vp8.parse(data, 0, len(data), marker)


def test_the_shortest_descriptor() -> None:
    info = parse(b"\x10" + KEY, True)
    assert info == PacketInfo(start_of_frame=True, end_of_frame=True, keyframe=True)
    assert parse(b"\x10" + DELTA) == PacketInfo(start_of_frame=True)
    assert parse(b"\x00" + KEY) == PacketInfo()
    # The start of another partition starts no frame.
    assert parse(b"\x11" + KEY) == PacketInfo()
    assert parse(b"\x30" + DELTA) == PacketInfo(start_of_frame=True, discardable=True)


def test_everything_at_once() -> None:
    # X N S; I L T K; 15-bit id 0x1234; TL0PICIDX 0xab; TID 2, Y, KEYIDX 5.
    info = parse(bytes.fromhex("b0 f0 9234 ab a5") + DELTA)
    assert info == PacketInfo(
        start_of_frame=True,
        temporal_id=2,
        layer_sync=True,
        discardable=True,
        picture_id=0x1234,
        picture_id_offset=2,
        picture_id_bits=15,
        tl0picidx=0xAB,
        tl0picidx_offset=4,
    )


def test_short_picture_id_and_lone_fields() -> None:
    info = parse(bytes.fromhex("90 80 7f") + KEY)
    assert (info.picture_id, info.picture_id_bits, info.picture_id_offset) == (0x7F, 7, 2)
    assert info.keyframe
    info = parse(bytes.fromhex("90 40 09") + DELTA)
    assert (info.tl0picidx, info.tl0picidx_offset, info.picture_id) == (9, 2, None)
    # K without T: its byte says nothing of layers.
    info = parse(bytes.fromhex("90 10 e5") + DELTA)
    assert (info.temporal_id, info.layer_sync) == (0, False)
    assert vp8.frame_offset(bytes.fromhex("90 10 e5") + DELTA, 0, 4) == 3


def test_every_cut_is_refused() -> None:
    data = bytes.fromhex("b0 f0 9234 ab a5") + DELTA
    for size in range(len(data)):
        with pytest.raises(PayloadError):
            parse(data[:size])


@pytest.mark.parametrize(
    ("head", "value", "expected"),
    [
        ("b0 f0 9234 ab a5", 0x7FFF, "b0 f0 ffff ab a5"),
        ("b0 f0 9234 ab a5", 0x8001, "b0 f0 8001 ab a5"),
        ("90 c0 7f ab", 0x80, "90 c0 00 ab"),
    ],
)
def test_numbers_are_patched_in_place(head: str, value: int, expected: str) -> None:
    packet = bytearray(b"\x80" * 12 + bytes.fromhex(head) + KEY)
    info = vp8.parse(packet, 12, len(packet), False)
    patch_picture_id(packet, 12, info, value)
    assert packet == b"\x80" * 12 + bytes.fromhex(expected) + KEY


def test_nothing_to_patch_changes_nothing() -> None:
    packet = bytearray(b"\x10" + KEY)
    info = vp8.parse(packet, 0, 2, False)
    patch_picture_id(packet, 0, info, 5)
    assert packet == b"\x10" + KEY


@FUZZ
@given(
    st.booleans(),
    st.integers(0, 7),
    st.none() | st.integers(0, 0x7FFF),
    st.none() | st.integers(0, 255),
    st.none() | st.tuples(st.integers(0, 3), st.integers(0, 1)),
    st.none() | st.integers(0, 31),
)
def test_aiortc_writes_what_we_read(
    start: bool,
    partition: int,
    picture_id: int | None,
    tl0picidx: int | None,
    tid: tuple[int, int] | None,
    keyidx: int | None,
) -> None:
    theirs = VpxPayloadDescriptor(int(start), partition, picture_id, tl0picidx, tid, keyidx)
    data = bytes(theirs) + KEY
    info = parse(data)
    assert info.start_of_frame is (start and partition == 0)
    assert (info.picture_id, info.tl0picidx) == (picture_id, tl0picidx)
    assert (info.temporal_id, info.layer_sync) == ((tid[0], tid[1] == 1) if tid else (0, False))
    assert vp8.frame_offset(data, 0, len(data)) == len(data) - 1


@FUZZ
@given(datagrams)
def test_random_bytes_are_read_like_aiortc_or_refused(data: bytes) -> None:
    try:
        info = parse(data)
    except PayloadError:
        return
    theirs, rest = VpxPayloadDescriptor.parse(data)
    assert (info.picture_id, info.tl0picidx) == (theirs.picture_id, theirs.tl0picidx)
    assert rest == data[vp8.frame_offset(data, 0, len(data)) :]


def test_real_keyframes_are_told_from_other_frames() -> None:
    frames = encode("libvpx", 324, 182, options={"deadline": "realtime"}, interval=3)
    assert sum(key for key, _ in frames) >= 2
    for key, frame in frames:
        info = parse(b"\x10" + frame)
        assert info.keyframe is key
