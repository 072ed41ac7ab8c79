"""RTP headers: bytes laid out by hand after RFC 3550 and RFC 8285, each way to fail by name,
random bytes, and aiortc's own packets as an independent peer."""

from __future__ import annotations

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from relay.media import rtp
from tests.relay.fuzzing import FUZZ, STARTS, datagrams

FIXED = bytes.fromhex("80e0fffe0001020304050607")
"""Version 2, marker, type 96, sequence 65534, timestamp 0x00010203, SSRC 0x04050607."""


def test_fixed_header_and_payload() -> None:
    header = rtp.parse(FIXED + b"voice")
    assert header.payload_type == 96
    assert header.marker is True
    assert header.sequence_number == 65534
    assert header.timestamp == 0x00010203
    assert header.ssrc == 0x04050607
    assert header.csrc_count == 0
    assert (header.payload_offset, header.payload_end) == (12, 17)
    assert header.extension_profile == header.extension_length == 0
    assert "seq=65534" in repr(header)


def test_sources_extension_and_padding_are_stepped_over() -> None:
    data = bytes.fromhex(
        "b2 60 0001 00000002 00000003"  # padding, extension, two sources, no marker
        "0000000a 0000000b"
        "bede 0002 10aa 21bbcc 00 00 00"
        "706179 000003"
    )
    header = rtp.parse(data)
    assert header.marker is False
    assert header.csrc_count == 2
    assert header.extension_profile == rtp.ONE_BYTE_PROFILE
    assert (header.extension_offset, header.extension_length) == (24, 8)
    assert header.padding_length == 3
    assert data[header.payload_offset : header.payload_end] == b"pay"
    assert rtp.extensions(data, header) == {1: (25, 1), 2: (27, 2)}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", rtp.Truncated),
        (FIXED[:11], rtp.Truncated),
        (b"\x40" + FIXED[1:], rtp.BadVersion),
        (b"\xc0" + FIXED[1:], rtp.BadVersion),
        (b"\x81" + FIXED[1:] + b"abc", rtp.Truncated),
        (b"\x90" + FIXED[1:] + b"\xbe\xde\x00", rtp.Truncated),
        (b"\x90" + FIXED[1:] + b"\xbe\xde\x00\x01abc", rtp.Truncated),
        (b"\xa0" + FIXED[1:], rtp.BadPadding),
        (b"\xa0" + FIXED[1:] + b"\x00", rtp.BadPadding),
        (b"\xa0" + FIXED[1:] + b"a\x03", rtp.BadPadding),
    ],
)
def test_each_failure_has_its_name(data: bytes, error: type[rtp.RtpError]) -> None:
    with pytest.raises(error):
        rtp.parse(data)


def test_a_packet_of_padding_alone_is_empty() -> None:
    header = rtp.parse(b"\xa0" + FIXED[1:] + b"\x00\x00\x03")
    assert header.payload_offset == header.payload_end == 12


def packet_with(block: bytes) -> tuple[bytes, rtp.RtpHeader]:
    data = rtp.build(96, False, 1, 2, 3, block, b"x")
    return data, rtp.parse(data)


def block(profile: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return profile.to_bytes(2, "big") + (len(body) // 4).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        # Padding between elements.
        (block(0xBEDE, b"\x00\x10a\x00\x20b"), {1: b"a", 2: b"b"}),
        # Identifier 15 ends the list, and so does identifier 0 with a length (RFC 8285 4.2).
        (block(0xBEDE, b"\x10a\xf0x\x20b"), {1: b"a"}),
        (block(0xBEDE, b"\x10a\x01xx\x20b"), {1: b"a"}),
        # Elements that end where the block ends.
        (block(0xBEDE, b"\x22abc"), {2: b"abc"}),
        (block(0x1000, b"\x05\x02ab"), {5: b"ab"}),
        (block(0x1000, b"\x05\x00\x06\x00"), {5: b"", 6: b""}),
        # An element that runs over the block is not there.
        (block(0xBEDE, b"\x10a\x2fbcd"), {1: b"a"}),
        # Two-byte form: empty data, long data, padding.
        (block(0x1000, b"\x01\x00\x00\xff\x02yz"), {1: b"", 255: b"yz"}),
        (block(0x100F, b"\x05\x01q"), {5: b"q"}),
        (block(0x1000, b"\x05\x01q\x06"), {5: b"q"}),
        (block(0x1000, b"\x05\x01q\x06\x09ab"), {5: b"q"}),
        # The first of two with one identifier counts.
        (block(0xBEDE, b"\x10a\x10b"), {1: b"a"}),
        # A form of someone's own.
        (block(0xABCD, b"\x10a\x10b"), {}),
    ],
)
def test_extension_blocks_of_both_forms(made: bytes, expected: dict[int, bytes]) -> None:
    data, header = packet_with(made)
    found = {
        each: data[offset : offset + length]
        for each, (offset, length) in rtp.extensions(data, header).items()
    }
    assert found == expected
    for each in range(1, 256):
        place = rtp.find_extension(data, header, each)
        value = None if place is None else data[place[0] : place[0] + place[1]]
        assert value == expected.get(each)


def test_built_blocks_take_the_short_form_when_they_can() -> None:
    assert rtp.build_extension_block([]) == b""
    assert rtp.build_extension_block([(1, b"a"), (14, b"bcd")]).hex() == "bede00021061e26263640000"
    assert rtp.build_extension_block([(15, b"a")])[:2] == b"\x10\x00"
    assert rtp.build_extension_block([(1, b"")])[:2] == b"\x10\x00"
    assert rtp.build_extension_block([(1, bytes(17))])[:2] == b"\x10\x00"
    assert rtp.build_extension_block([(1, bytes(16))])[:2] == b"\xbe\xde"


@pytest.mark.parametrize("item", [(0, b"a"), (256, b"a"), (1, bytes(256))])
def test_impossible_extensions_are_refused(item: tuple[int, bytes]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        rtp.build_extension_block([item])


@FUZZ
@given(
    st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=6),
    st.integers(0, 127),
    st.booleans(),
    st.sampled_from(STARTS),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=60),
)
def test_what_is_built_is_read_back(
    items: dict[int, bytes],
    payload_type: int,
    marker: bool,
    seq: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
) -> None:
    made = rtp.build_extension_block(list(items.items()))
    data = memoryview(rtp.build(payload_type, marker, seq, timestamp, ssrc, made, payload))
    header = rtp.parse(data)
    assert (header.payload_type, header.marker) == (payload_type, marker)
    assert (header.sequence_number, header.timestamp, header.ssrc) == (seq, timestamp, ssrc)
    assert data[header.payload_offset : header.payload_end] == payload
    found = rtp.extensions(data, header)
    assert {key: bytes(data[at : at + size]) for key, (at, size) in found.items()} == items


def test_numbers_are_cut_to_their_fields() -> None:
    header = rtp.parse(rtp.build(0, False, 0x1FFFF, 0x1_0000_0005, 1, b"", b""))
    assert (header.sequence_number, header.timestamp) == (0xFFFF, 5)


@FUZZ
@given(datagrams | datagrams.map(lambda tail: b"\xbf" + tail))
def test_random_bytes_give_a_header_inside_them_or_the_named_error(data: bytes) -> None:
    try:
        header = rtp.parse(data)
    except rtp.RtpError:
        return
    assert 12 <= header.payload_offset <= header.payload_end <= len(data)
    for offset, length in rtp.extensions(data, header).values():
        assert header.extension_offset < offset
        assert offset + length <= header.extension_offset + header.extension_length
    for each in (1, 14, 15, 255):
        assert rtp.find_extension(data, header, each) == rtp.extensions(data, header).get(each)


@pytest.mark.parametrize(
    ("second", "rtcp"), [(191, False), (192, True), (200, True), (223, True), (224, False)]
)
def test_rtcp_is_told_by_its_type(second: int, rtcp: bool) -> None:
    assert rtp.is_rtcp(bytes((0x80, second, 0, 0))) is rtcp
    assert not rtp.is_rtcp(bytes((0x16, second, 0, 0)))
    assert not rtp.is_rtcp(b"\x80")
    assert rtp.is_rtcp(b"\x80\xc8")


def test_aiortc_and_we_read_each_other() -> None:
    uris = {1: rtp.MID, 2: rtp.ABS_SEND_TIME, 3: rtp.TRANSPORT_CC, 4: rtp.RID}
    extensions = HeaderExtensionsMap()
    extensions.configure(
        RTCRtpParameters(
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(id=each, uri=uri) for each, uri in uris.items()
            ]
        )
    )
    theirs = RtpPacket(96, 1, 65535, 0xFFFFFFFF, 0x1234, b"payload")
    theirs.extensions.mid = "0"
    theirs.extensions.abs_send_time = 0x123456
    theirs.extensions.transport_sequence_number = 0xABCD
    theirs.extensions.rtp_stream_id = "f"
    theirs.csrc = [7, 8]
    theirs.padding_size = 5
    data = theirs.serialize(extensions)
    header = rtp.parse(data)
    assert (header.sequence_number, header.timestamp, header.ssrc) == (65535, 0xFFFFFFFF, 0x1234)
    assert (header.csrc_count, header.padding_length, header.marker) == (2, 5, True)
    assert data[header.payload_offset : header.payload_end] == b"payload"
    values = {each: data[at : at + n] for each, (at, n) in rtp.extensions(data, header).items()}
    assert values == {1: b"0", 2: b"\x12\x34\x56", 3: b"\xab\xcd", 4: b"f"}

    ours = rtp.build(97, True, 7, 8, 9, rtp.build_extension_block([(1, b"1"), (4, b"h")]), b"x")
    read = RtpPacket.parse(ours, extensions)
    assert (read.payload_type, read.marker, read.sequence_number) == (97, 1, 7)
    assert (read.timestamp, read.ssrc, read.payload) == (8, 9, b"x")
    assert (read.extensions.mid, read.extensions.rtp_stream_id) == ("1", "h")
