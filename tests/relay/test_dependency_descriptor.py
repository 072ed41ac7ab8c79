"""Dependency descriptors written field by field after appendix A of the AV1 RTP specification,
for the L1T3 pattern that browsers send and for one with everything in it; random bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media.dependency_descriptor import (
    DISCARDABLE,
    NOT_PRESENT,
    REQUIRED,
    SWITCH,
    Descriptor,
    Reader,
)
from relay.media.frame_info import PacketInfo, PayloadError
from tests.relay.bit_writer import BitWriter
from tests.relay.fuzzing import FUZZ, STARTS

OFFSET = 60
"""Identifier of template 0: the templates' identifiers wrap at 64."""

# Template: step to the next layer, indications for three targets, frame diffs, chain diff.
L1T3 = [
    (0, (SWITCH, SWITCH, SWITCH), (), 0),  # keyframe
    (1, (SWITCH, SWITCH, SWITCH), (4,), 4),  # base layer
    (1, (NOT_PRESENT, DISCARDABLE, SWITCH), (2,), 2),  # middle layer
    (0, (NOT_PRESENT, NOT_PRESENT, DISCARDABLE), (1,), 1),  # top layer, after the base
    (3, (NOT_PRESENT, NOT_PRESENT, DISCARDABLE), (1,), 3),  # top layer, after the middle
]


def mandatory(start: bool, end: bool, template: int, frame: int) -> BitWriter:
    return BitWriter().put(start, 1).put(end, 1).put((OFFSET + template) % 64, 6).put(frame, 16)


def put_structure(bits: BitWriter, resolution: tuple[int, int] | None) -> None:
    bits.put(OFFSET, 6).put(2, 5)
    for step, _, _, _ in L1T3:
        bits.put(step, 2)
    for _, indications, _, _ in L1T3:
        for each in indications:
            bits.put(each, 2)
    for _, _, diffs, _ in L1T3:
        for each in diffs:
            bits.put(1, 1).put(each - 1, 4)
        bits.put(0, 1)
    bits.non_symmetric(1, 4)  # one chain
    for _ in range(3):
        bits.non_symmetric(0, 1)
    for _, _, _, chain in L1T3:
        bits.put(chain, 4)
    bits.put(resolution is not None, 1)
    if resolution:
        bits.put(resolution[0] - 1, 16).put(resolution[1] - 1, 16)


def keyframe(frame: int, *, start: bool = True, end: bool = False) -> bytes:
    bits = mandatory(start, end, 0, frame).put(0b10000, 5)
    put_structure(bits, (640, 360))
    return bits.done()


def delta(template: int, frame: int) -> bytes:
    return mandatory(True, True, template, frame & 0xFFFF).done()


def read(reader: Reader, data: bytes) -> Descriptor:
    found = reader.read(b"??" + data + b"??", 2, len(data))
    assert found is not None
    return found


def test_a_keyframe_brings_the_structure() -> None:
    reader = Reader()
    found = read(reader, keyframe(7))
    assert found.keyframe
    assert found.layer_sync
    assert (found.start_of_frame, found.end_of_frame, found.frame_number) == (True, False, 7)
    assert (found.temporal_id, found.spatial_id) == (0, 0)
    assert found.active_targets == 0b111
    structure = reader.structure
    assert structure is not None
    assert found.attached is structure
    assert (structure.template_offset, structure.decode_targets, structure.chains) == (60, 3, 1)
    assert [each.temporal_id for each in structure.templates] == [0, 0, 1, 2, 2]
    assert [each.indications for each in structure.templates] == [each[1] for each in L1T3]
    assert [each.frame_diffs for each in structure.templates] == [each[2] for each in L1T3]
    assert [each.chain_diffs for each in structure.templates] == [(each[3],) for each in L1T3]
    assert structure.protected_by == (0, 0, 0)
    assert structure.target_layers == ((0, 0), (0, 1), (0, 2))
    assert structure.resolutions == ((640, 360),)


@pytest.mark.parametrize("start", STARTS)
def test_frames_of_three_temporal_layers(start: int) -> None:
    reader = Reader()
    read(reader, keyframe(start))
    pattern = [(3, 2), (2, 1), (4, 2), (1, 0)] * 3
    for step, (template, temporal_id) in enumerate(pattern, start=1):
        found = read(reader, delta(template, start + step))
        assert found.frame_number == (start + step) & 0xFFFF
        assert found.temporal_id == temporal_id
        assert not found.keyframe
        assert found.attached is None
        # In this pattern every frame above the base layer leans on lower layers only.
        assert found.layer_sync is (temporal_id > 0)
        assert found.discardable is (temporal_id == 2)


def test_a_frame_that_leans_on_its_own_layer_is_no_place_to_begin() -> None:
    reader = Reader()
    read(reader, keyframe(10))
    read(reader, delta(2, 12))
    assert not read(reader, delta(2, 14)).layer_sync
    # What was never seen is not taken for a lower layer.
    assert not read(reader, delta(2, 50)).layer_sync


def test_every_packet_of_a_frame_gets_the_same_answer() -> None:
    reader = Reader()
    read(reader, keyframe(10))
    first = read(reader, delta(3, 11))
    second = read(reader, mandatory(False, True, 3, 11).done())
    assert first.layer_sync
    assert second.layer_sync
    assert not second.start_of_frame


def test_before_the_first_structure_nothing_is_known() -> None:
    reader = Reader()
    assert reader.read(delta(1, 5), 0, 3) is None
    assert reader.read(mandatory(True, True, 1, 5).put(0b01000, 5).put(7, 3).done(), 0, 4) is None
    read(reader, keyframe(6))
    assert reader.read(delta(5, 7), 0, 3) is None
    assert read(reader, delta(4, 7)).temporal_id == 2


def test_fields_of_a_frames_own() -> None:
    reader = Reader()
    read(reader, keyframe(1))
    bits = mandatory(True, True, 3, 2).put(0b01111, 5).put(0b011, 3)
    for each in (REQUIRED, NOT_PRESENT, SWITCH):
        bits.put(each, 2)
    bits.put(1, 2).put(2, 4).put(2, 2).put(99, 8).put(3, 2).put(4094, 12).put(0, 2)
    bits.put(200, 8)
    found = read(reader, bits.done())
    assert found.active_targets == 0b011
    assert found.indications == (REQUIRED, NOT_PRESENT, SWITCH)
    assert found.frame_diffs == (3, 100, 4095)
    assert found.chain_diffs == (200,)
    assert not found.discardable


def test_spatial_layers_and_no_chains() -> None:
    bits = BitWriter().put(1, 1).put(0, 1).put(1, 6).put(1, 16).put(0b10000, 5)
    bits.put(0, 6).put(1, 5).put(2, 2).put(3, 2)
    bits.put(SWITCH, 2).put(SWITCH, 2).put(NOT_PRESENT, 2).put(SWITCH, 2)
    bits.put(0, 1).put(1, 1).put(0, 4).put(0, 1)
    bits.non_symmetric(0, 3).put(1, 1)
    bits.put(319, 16).put(179, 16).put(639, 16).put(359, 16)
    found = read(Reader(), bits.done())
    assert found.attached is not None
    assert found.attached.target_layers == ((0, 0), (1, 0))
    assert found.attached.resolutions == ((320, 180), (640, 360))
    assert (found.attached.chains, found.attached.protected_by) == (0, ())
    assert (found.spatial_id, found.chain_diffs) == (1, ())
    info = PacketInfo(start_of_frame=True, end_of_frame=True)
    found.apply_to(info)
    # A picture begins with its lowest spatial layer; its end stays the marker's word.
    assert not info.start_of_frame
    assert info.end_of_frame
    assert info.spatial_id == 1


def test_its_word_goes_over_the_payloads() -> None:
    reader = Reader()
    read(reader, keyframe(1))
    info = PacketInfo(picture_id=5, picture_id_offset=2, picture_id_bits=15, keyframe=True)
    read(reader, delta(3, 2)).apply_to(info)
    assert info == PacketInfo(
        start_of_frame=True,
        temporal_id=2,
        layer_sync=True,
        discardable=True,
        picture_id=5,
        picture_id_offset=2,
        picture_id_bits=15,
    )


def test_every_cut_is_refused_and_leaves_the_structure() -> None:
    data = keyframe(7)
    whole = Reader()
    read(whole, data)
    reader = Reader()
    for size in range(len(data)):
        if size == 3:
            assert reader.read(data, 0, size) is None
            continue
        with pytest.raises(PayloadError):
            reader.read(data, 0, size)
        assert reader.structure is None


def test_a_template_outside_the_structure_it_comes_with() -> None:
    bits = mandatory(True, True, 5, 7).put(0b10000, 5)
    put_structure(bits, None)
    with pytest.raises(PayloadError, match="template"):
        Reader().read(bits.done(), 0, len(bits.done()))


@pytest.mark.parametrize("step", [0, 1, 2])
def test_endless_layers_are_refused(step: int) -> None:
    bits = mandatory(True, True, 0, 7).put(0b10000, 5).put(0, 11)
    for _ in range(200):
        bits.put(step, 2)
    with pytest.raises(PayloadError, match="too many"):
        Reader().read(bits.done(), 0, len(bits.done()))


@FUZZ
@given(st.binary(max_size=120), st.booleans())
def test_random_bytes_give_an_answer_or_the_named_error(data: bytes, started: bool) -> None:
    reader = Reader()
    if started:
        read(reader, keyframe(1))
    try:
        reader.read(data, 0, len(data))
    except PayloadError:
        return


@FUZZ
@given(st.binary(max_size=120))
def test_random_structures_give_an_answer_or_the_named_error(tail: bytes) -> None:
    data = b"\x80\x00\x01\x80" + tail
    try:
        Reader().read(data, 0, len(data))
    except PayloadError:
        return
