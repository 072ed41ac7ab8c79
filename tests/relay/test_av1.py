"""AV1 packets by hand after the RTP payload specification, sequence headers of a real stream and
field by field, random bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media import av1
from relay.media.frame_info import PacketInfo, PayloadError
from tests.relay.bit_writer import BitWriter
from tests.relay.encoding import encode, obus
from tests.relay.fuzzing import FUZZ, datagrams


def parse(text: str, marker: bool = False) -> PacketInfo:
    data = bytes.fromhex(text)
    return av1.parse(data, 0, len(data), marker)


@pytest.mark.parametrize(
    ("text", "start", "key"),
    [
        ("10 30 aa", True, False),  # one frame OBU
        ("18 0a 0b", True, True),  # N: a new coded video sequence
        ("20 02 0a0b 30aa", True, True),  # a sequence header, then a frame
        ("00 02 0a0b 02 30aa", True, True),  # the same, every element with its length
        ("10 20 aa", False, False),  # a tile group in the middle of a frame
        ("90 aa bb", False, False),  # goes on from the packet before
        ("a0 01 aa 30bb", False, False),
        ("50 30 aa", True, False),  # goes on in the next packet
        ("10 18 aa", True, False),
        ("10 28 aa", True, False),
    ],
)
def test_kinds_of_packets(text: str, start: bool, key: bool) -> None:
    assert parse(text) == PacketInfo(start, False, key)
    assert parse(text, True).end_of_frame


def test_layers_come_from_the_obu_header() -> None:
    info = parse("10 34 48 aa")
    assert (info.temporal_id, info.spatial_id) == (2, 1)


def test_elements_are_found() -> None:
    data = bytes.fromhex("30 01 aa 02 bbcc ddeeff")
    assert av1.elements(data, 0, len(data)) == [(2, 1), (4, 2), (6, 3)]
    data = bytes.fromhex("00 8101") + bytes(129)
    assert av1.elements(data, 0, len(data)) == [(3, 129)]
    data = bytes.fromhex("00 8001") + bytes(128)
    assert av1.elements(data, 0, len(data)) == [(3, 128)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "98 30",  # continues, yet begins a sequence
        "00 05 30",  # runs over
        "20 05 30",
        "20 01 30",  # one element where two are promised
        "30 01 30 01 30",
        "00 ff",
        "00 808080808001 30",
        "00 00",  # an element of nothing
        "10 b0",  # forbidden bit
        "10 34",  # ends before its layers
    ],
)
def test_broken_packets_are_refused(text: str) -> None:
    with pytest.raises(PayloadError):
        parse(text)


@FUZZ
@given(datagrams)
def test_random_bytes_give_elements_inside_or_the_named_error(data: bytes) -> None:
    try:
        av1.parse(data, 0, len(data), False)
        found = av1.elements(data, 0, len(data))
    except PayloadError:
        return
    position = 1
    for offset, length in found:
        assert offset >= position
        position = offset + length
    assert position == len(data)


@FUZZ
@given(st.integers(0, (1 << 49) - 1), st.binary(max_size=3))
def test_variable_length_numbers_round_trip(value: int, tail: bytes) -> None:
    data = av1.write_leb128(value)
    assert av1.read_leb128(data + tail, 0, len(data + tail)) == (value, len(data))
    with pytest.raises(PayloadError):
        av1.read_leb128(data, 0, len(data) - 1)


def real_sequence_header(width: int, height: int) -> bytes:
    options = {"preset": "12", "svtav1-params": "lp=1"}
    _, first = encode("libsvtav1", width, height, frames=2, options=options)[0]
    (found,) = [obu for obu in obus(first) if obu[0] >> 3 & 15 == av1.SEQUENCE_HEADER]
    return found


def test_the_sequence_header_of_a_real_stream() -> None:
    obu = real_sequence_header(324, 182)
    header = av1.parse_sequence_header(obu)
    assert (header.max_width, header.max_height) == (324, 182)
    assert (header.profile, header.tier, header.bit_depth) == (0, 0, 8)
    assert (header.subsampling_x, header.subsampling_y, header.monochrome) == (1, 1, False)
    assert header.level == 0
    # The same without its size field, as RTP carries it.
    kind, offset, end = av1.obu_payload(obu)
    assert kind == av1.SEQUENCE_HEADER
    assert av1.parse_sequence_header(bytes((obu[0] & ~2,)) + obu[offset:end]) == header
    payload = b"\x18" + bytes((obu[0] & ~2,)) + obu[offset:end]
    assert av1.parse(payload, 0, len(payload), False).keyframe


def test_every_cut_of_a_real_sequence_header_is_refused() -> None:
    obu = real_sequence_header(640, 360)
    for size in range(len(obu)):
        with pytest.raises(PayloadError):
            av1.parse_sequence_header(obu[:size])


def sequence_header(bits: BitWriter) -> bytes:
    return b"\x08" + bits.done()


def test_every_optional_field_of_the_sequence_header() -> None:
    bits = BitWriter().put(2, 3).put(0, 1).put(0, 1)
    bits.put(1, 1).put(7, 32).put(8, 32).put(1, 1).golomb(5)  # timing info
    bits.put(1, 1).put(9, 5).put(7, 32).put(3, 5).put(4, 5)  # decoder model, delays of 10 bits
    bits.put(1, 1).put(1, 5)  # display delays, two operating points
    bits.put(0x101, 12).put(9, 5).put(1, 1).put(1, 1).put(1, 10).put(2, 10).put(0, 1)
    bits.put(1, 1).put(6, 4)
    bits.put(0x103, 12).put(4, 5).put(0, 1).put(0, 1)
    bits.put(10, 4).put(9, 4).put(1919, 11).put(1007, 10)
    bits.put(1, 1).put(5, 4).put(3, 3)  # frame ids
    bits.put(7, 3).put(15, 4).put(1, 1).put(3, 2)  # tools, order hint
    bits.put(0, 1).put(1, 1).put(0, 1).put(1, 1).put(6, 3)  # screen content, integer vectors
    bits.put(7, 3)
    bits.put(1, 1).put(1, 1).put(0, 1)  # 12 bits, colour
    bits.put(1, 1).put(9, 8).put(16, 8).put(9, 8).put(1, 1)
    bits.put(1, 1).put(1, 1).put(2, 2).put(0, 1).put(0, 1).put(1, 1)
    header = av1.parse_sequence_header(sequence_header(bits))
    assert header == av1.SequenceHeader(
        profile=2,
        level=9,
        tier=1,
        bit_depth=12,
        monochrome=False,
        subsampling_x=1,
        subsampling_y=1,
        chroma_position=2,
        color_primaries=9,
        transfer_characteristics=16,
        matrix_coefficients=9,
        full_range=True,
        max_width=1920,
        max_height=1008,
        initial_presentation_delay=6,
    )


@pytest.mark.parametrize(
    ("profile", "color", "expected"),
    [
        # (bit depth, monochrome, subsampling x, y, chroma position, full range)
        (0, "0 1 0 1", (8, True, 1, 1, 0, True)),
        (0, "1 0 0 0 01", (10, False, 1, 1, 1, False)),
        (1, "0 0 1", (8, False, 0, 0, 0, True)),
        (2, "1 0 0 0 1", (10, False, 1, 0, 0, True)),
        (2, "1 1 0 0 0 0", (12, False, 0, 0, 0, False)),
        (1, "0 1 00000001 00001101 00000000", (8, False, 0, 0, 0, True)),  # sRGB
    ],
)
def test_colours_of_each_profile(
    profile: int, color: str, expected: tuple[int, bool, int, int, int, bool]
) -> None:
    bits = BitWriter().put(profile, 3).put(1, 1).put(1, 1).put(8, 5)  # a still picture
    bits.put(5, 4).put(5, 4).put(63, 6).put(47, 6).put(0, 3).put(0, 3)
    color = color.replace(" ", "")
    bits.put(int(color, 2), len(color)).put(0, 1).put(1, 1)
    found = av1.parse_sequence_header(sequence_header(bits))
    assert (found.max_width, found.max_height, found.level) == (64, 48, 8)
    assert expected == (
        found.bit_depth,
        found.monochrome,
        found.subsampling_x,
        found.subsampling_y,
        found.chroma_position,
        found.full_range,
    )


def test_other_obus_are_no_sequence_header() -> None:
    for bad in (b"", b"\x30\x00", b"\x0c", b"\x0a\x05\x00", b"\x08\xe0"):
        with pytest.raises(PayloadError):
            av1.parse_sequence_header(bad)


@FUZZ
@given(datagrams)
def test_random_sequence_headers_give_a_header_or_the_named_error(data: bytes) -> None:
    try:
        found = av1.parse_sequence_header(b"\x08" + data)
    except PayloadError:
        return
    assert found.max_width > 0
    assert found.max_height > 0
