"""VP9 descriptors by hand after RFC 9628 4.2, keyframe headers of real streams, random bytes."""

from __future__ import annotations

import pytest
from hypothesis import given

from relay.media import vp9
from relay.media.frame_info import PacketInfo, PayloadError, patch_picture_id
from tests.relay.bit_writer import BitWriter
from tests.relay.encoding import encode
from tests.relay.fuzzing import FUZZ, datagrams

BODY = b"\x82"


def parse(data: bytes, marker: bool = False) -> PacketInfo:
    return vp9.parse(data, 0, len(data), marker)


def test_the_shortest_descriptors() -> None:
    assert parse(b"\x08" + BODY, True) == PacketInfo(True, True, keyframe=True)
    assert parse(b"\x48" + BODY) == PacketInfo(start_of_frame=True)
    assert parse(b"\x04" + BODY) == PacketInfo()  # the end of a frame, without the marker


def test_layers_without_flexible_mode() -> None:
    # I P L B; 15-bit id 0x0102; TID 2, U, SID 0, D 0; TL0PICIDX 0x33.
    data = bytes.fromhex("e8 8102 50 33") + BODY
    assert parse(data) == PacketInfo(
        start_of_frame=True,
        temporal_id=2,
        layer_sync=True,
        picture_id=0x0102,
        picture_id_offset=1,
        picture_id_bits=15,
        tl0picidx=0x33,
        tl0picidx_offset=4,
    )
    packet = bytearray(data)
    info = parse(data)
    patch_picture_id(packet, 0, info, 0x7ABC)
    assert packet == bytes.fromhex("e8 fabc 50 33") + BODY
    assert vp9.frame_offset(data, 0, len(data)) == 5


def test_flexible_mode_has_references_and_no_tl0picidx() -> None:
    # I P L F B; id 5; TID 1, SID 1, D; P_DIFF 1 and more, P_DIFF 2.
    info = parse(bytes.fromhex("f8 05 23 03 04") + BODY)
    assert (info.picture_id, info.picture_id_bits) == (5, 7)
    assert (info.temporal_id, info.spatial_id, info.tl0picidx) == (1, 1, None)
    # The upper spatial layers of a picture start no frame.
    assert not info.start_of_frame
    # Without inter-picture prediction there are no references to step over.
    data = bytes.fromhex("b8 05 20") + BODY
    assert vp9.frame_offset(data, 0, len(data)) == 3
    assert (parse(data).keyframe, parse(data).layer_sync) == (True, False)
    with pytest.raises(PayloadError, match="three references"):
        parse(bytes.fromhex("d8 05 03 03 03 04") + BODY)


def test_the_upper_layer_of_a_keyframe_begins_none() -> None:
    # L B, SID 1, D, no inter-picture prediction.
    info = parse(bytes.fromhex("28 03 00") + BODY)
    assert not info.keyframe
    assert not info.start_of_frame


def test_the_scalability_structure_is_stepped_over() -> None:
    # V B; two spatial layers with sizes and a group of two pictures with one and two references.
    structure = "38 0140 00b4 0280 0168 02 04 01 28 01 02"
    data = bytes.fromhex("0a" + structure) + BODY
    assert parse(data).keyframe
    assert vp9.frame_offset(data, 0, len(data)) == len(data) - 1
    for size in range(len(data)):
        with pytest.raises(PayloadError):
            parse(data[:size])


def test_a_structure_without_sizes_or_pictures() -> None:
    for head, size in (("00", 2), ("10 0140 00b4", 6), ("08 00", 3), ("e0", 2)):
        data = bytes.fromhex("0a" + head) + BODY
        assert vp9.frame_offset(data, 0, len(data)) == size


def test_every_cut_is_refused() -> None:
    for text in ("e8 8102 50 33", "f8 05 23 03 04"):
        data = bytes.fromhex(text) + BODY
        for size in range(len(data)):
            with pytest.raises(PayloadError):
                parse(data[:size])


@FUZZ
@given(datagrams)
def test_random_bytes_give_offsets_inside_or_the_named_error(data: bytes) -> None:
    try:
        info = parse(data)
    except PayloadError:
        return
    offset = vp9.frame_offset(data, 0, len(data))
    assert 0 < offset < len(data)
    assert info.picture_id_offset < offset
    assert info.tl0picidx_offset < offset


def test_headers_of_real_keyframes() -> None:
    options = {"deadline": "realtime", "cpu-used": "8"}
    frames = encode("libvpx-vp9", 324, 182, options=options, interval=3)
    assert sum(key for key, _ in frames) >= 2
    for key, frame in frames:
        if key:
            header = vp9.parse_keyframe(frame)
            assert (header.width, header.height) == (324, 182)
            assert (header.profile, header.bit_depth) == (0, 8)
            assert (header.subsampling_x, header.subsampling_y) == (1, 1)
            assert header.full_range is False
        else:
            with pytest.raises(PayloadError):
                vp9.parse_keyframe(frame)


def test_the_header_of_a_real_full_chroma_keyframe() -> None:
    options = {"deadline": "realtime", "cpu-used": "8"}
    frames = encode("libvpx-vp9", 64, 48, frames=1, pixels="yuv444p", options=options)
    header = vp9.parse_keyframe(frames[0][1])
    assert (header.profile, header.bit_depth) == (1, 8)
    assert (header.subsampling_x, header.subsampling_y) == (0, 0)
    assert (header.width, header.height) == (64, 48)


def header(profile: int, color: list[tuple[int, int]], depth: int | None = None) -> bytes:
    bits = BitWriter().put(2, 2).put(profile & 1, 1).put(profile >> 1, 1)
    if profile == 3:
        bits.put(0, 1)
    bits.put(0, 1).put(0, 1).put(2, 2).put(0x498342, 24)
    if depth is not None:
        bits.put(depth == 12, 1)
    for value, width in color:
        bits.put(value, width)
    return bits.put(1919, 16).put(1079, 16).put(0, 64).done()


def test_depth_range_and_rgb() -> None:
    deep = vp9.parse_keyframe(header(2, [(2, 3), (1, 1)], 10))
    assert (deep.profile, deep.bit_depth, deep.full_range) == (2, 10, True)
    assert (deep.width, deep.height, deep.color_space) == (1920, 1080, 2)
    rgb = vp9.parse_keyframe(header(3, [(7, 3), (0, 1)], 12))
    assert (rgb.profile, rgb.bit_depth, rgb.subsampling_x, rgb.full_range) == (3, 12, 0, True)
    odd = vp9.parse_keyframe(header(1, [(2, 3), (0, 1), (1, 1), (0, 1), (0, 1)]))
    assert (odd.subsampling_x, odd.subsampling_y, odd.width) == (1, 0, 1920)
    with pytest.raises(PayloadError, match="RGB"):
        vp9.parse_keyframe(header(0, [(7, 3)]))


@FUZZ
@given(datagrams | datagrams.map(lambda tail: b"\x82\x49\x83\x42" + tail))
def test_random_keyframes_give_a_header_or_the_named_error(data: bytes) -> None:
    try:
        found = vp9.parse_keyframe(data)
    except PayloadError:
        return
    assert found.bit_depth in (8, 10, 12)
