"""H.264 packets by hand after RFC 6184, aiortc's packetizer on a real stream, parameter sets of
real streams, random bytes."""

from __future__ import annotations

import pytest
from aiortc.codecs.h264 import H264Encoder
from hypothesis import given

from relay.media import h264
from relay.media.frame_info import PacketInfo, PayloadError
from tests.relay.bit_writer import BitWriter
from tests.relay.encoding import encode, nal_units
from tests.relay.fuzzing import FUZZ, datagrams


def parse(text: str, marker: bool = False) -> PacketInfo:
    data = bytes.fromhex(text)
    return h264.parse(data, 0, len(data), marker)


@pytest.mark.parametrize(
    ("text", "start", "key", "discardable"),
    [
        ("65 88", True, True, False),  # IDR, first macroblock 0
        ("65 44", False, False, False),  # a later slice of an IDR picture
        ("41 9a", True, False, False),
        ("01 9a", True, False, True),  # nothing refers to it
        ("01 4a", False, False, True),
        ("67 42", True, True, False),  # sequence parameters
        ("68 ce", True, False, False),
        ("06 05", True, False, False),
        ("09 f0", True, False, False),
        ("0c ff", False, False, False),  # filler
        # Aggregates: SPS, PPS, IDR; two slices nobody refers to; a slice and a referred slice.
        ("78 0002 6742 0002 68ce 0002 6588", True, True, False),
        ("18 0002 019a 0002 014a", True, False, True),
        ("58 0002 019a 0002 414a", True, False, False),
        ("18 0002 0605", True, False, False),
        # Fragments: first of an IDR, middle, first of a slice nobody refers to, last.
        ("7c 85 88", True, True, False),
        ("7c 05 88", False, False, False),
        ("1c 81 9a", True, False, True),
        ("1c 41 9a", False, False, True),
        ("5c 81 9a", True, False, False),
        ("7c 87 42", True, True, False),
    ],
)
def test_kinds_of_packets(text: str, start: bool, key: bool, discardable: bool) -> None:
    assert parse(text) == PacketInfo(start, False, key, discardable=discardable)
    assert parse(text, True).end_of_frame


def test_a_prefix_unit_tells_the_temporal_layer() -> None:
    # svc_extension_flag set; temporal_id 2 in the top bits of the third byte.
    assert parse("6e 80 80 5f").temporal_id == 2
    assert parse("78 0004 6e80805f 0002 419a").temporal_id == 2
    assert parse("6e 00 80 5f").temporal_id == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "78",  # an aggregate of nothing
        "78 00",
        "78 0000",
        "78 0003 6742",
        "78 0002 6742 00",
        "7c",
        "7c 85",
        "7c c5 88",  # start and end in one
        "79 0000",  # STAP-B
        "7d 85 0000 88",  # FU-B
        "60 00",
        "7f 00",
    ],
)
def test_broken_packets_are_refused(text: str) -> None:
    with pytest.raises(PayloadError):
        parse(text)


def test_whole_units_of_a_packet() -> None:
    data = bytes.fromhex("78 0002 6742 0003 68ce3c")
    assert h264.nal_units(data, 0, len(data)) == [(3, 2), (7, 3)]
    assert h264.nal_units(b"\x65\x88", 0, 2) == [(0, 2)]
    for bad in (b"", b"\x7c\x85\x88", b"\x79\x00"):
        with pytest.raises(PayloadError):
            h264.nal_units(bad, 0, len(bad))


@FUZZ
@given(datagrams)
def test_random_bytes_give_an_answer_or_the_named_error(data: bytes) -> None:
    for read in (lambda: h264.parse(data, 0, len(data), False), lambda: h264.parse_sps(data)):
        try:
            read()
        except PayloadError:
            continue


@FUZZ
@given(datagrams)
def test_random_parameter_sets_give_a_size_or_the_named_error(tail: bytes) -> None:
    for head in (b"\x67\x42\x00\x1e", b"\x67\x64\x00\x1f"):
        try:
            found = h264.parse_sps(head + tail)
        except PayloadError:
            continue
        assert found.width > 0
        assert found.height > 0


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
@pytest.mark.parametrize("size", [(324, 182), (64, 64), (1280, 720)])
def test_parameter_sets_of_real_streams(profile: str, size: tuple[int, int]) -> None:
    options = {"profile": profile, "preset": "fast", "x264-params": "level=3.1:interlaced=0"}
    _, first = encode("libx264", *size, frames=2, options=options)[0]
    (sps,) = [unit for unit in nal_units(first) if unit[0] & 0x1F == h264.SPS]
    found = h264.parse_sps(sps)
    assert (found.width, found.height) == size
    assert found.profile == {"baseline": 66, "main": 77, "high": 100}[profile]
    if profile == "baseline":
        assert found.constraints & 0x40
    assert found.level == 31
    assert (found.chroma_format, found.bit_depth_luma, found.bit_depth_chroma) == (1, 8, 8)


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        ("yuv444p", {}, (3, 8)),
        ("yuv422p", {}, (2, 8)),
        ("yuv420p10le", {}, (1, 10)),
        ("yuv420p", {"x264-params": "interlaced=1"}, (1, 8)),
        ("yuv420p", {"x264-params": "cqm=jvt"}, (1, 8)),
    ],
)
def test_uncommon_real_streams(
    pixels: str, options: dict[str, str], expected: tuple[int, int]
) -> None:
    options = {"preset": "ultrafast", **options}
    _, first = encode("libx264", 324, 184, frames=2, pixels=pixels, options=options)[0]
    (sps,) = [unit for unit in nal_units(first) if unit[0] & 0x1F == h264.SPS]
    found = h264.parse_sps(sps)
    assert (found.chroma_format, found.bit_depth_luma) == expected
    assert (found.width, found.height) == (324, 184)


def test_picture_order_of_the_first_kind_is_stepped_over() -> None:
    bits = BitWriter().put(66, 8).put(0xE0, 8).put(30, 8).golomb(0).golomb(0).golomb(1)
    bits.put(0, 1).signed_golomb(-3).signed_golomb(4).golomb(2).signed_golomb(5).signed_golomb(-6)
    bits.golomb(1).put(0, 1).golomb(19).golomb(14).put(1, 1).put(0, 1).put(0, 1).put(0, 9)
    found = h264.parse_sps(b"\x67" + bits.done())
    assert (found.width, found.height, found.level) == (320, 240, 30)


def test_emulation_prevention_is_undone() -> None:
    assert h264.unescape(b"\x00\x00\x03\x00\x00\x03\x01\x03") == b"\x00\x00\x00\x00\x01\x03"
    assert h264.unescape(b"\x00\x01\x03") == b"\x00\x01\x03"


def test_aiortc_packetizes_a_real_stream_that_we_read() -> None:
    """Each frame starts once by its first packet, and only those of keyframes say so."""
    frames = encode(
        "libx264", 640, 360, options={"preset": "ultrafast", "tune": "zerolatency"}, interval=3
    )
    assert sum(key for key, _ in frames) >= 2
    for key, frame in frames:
        payloads = H264Encoder._packetize(H264Encoder._split_bitstream(frame))
        infos = [h264.parse(each, 0, len(each), False) for each in payloads]
        assert infos[0].start_of_frame
        assert any(info.keyframe for info in infos) is key
