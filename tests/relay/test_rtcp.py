"""RTCP compounds: golden bytes laid out by hand, round trips through rtcp_build, random bytes, and
aiortc's packets as an independent peer."""

from __future__ import annotations

import struct

import pytest
from aiortc import rtp as theirs
from hypothesis import given
from hypothesis import strategies as st

from relay.media import ntp, rtcp, rtcp_build
from relay.media.rtcp import ReportBlock
from relay.media.rtcp_error import RtcpError
from relay.media.rtcp_parse import parse
from tests.fakes.rtcp_build import build_bye, build_fir, build_remb
from tests.relay.fuzzing import FUZZ, STARTS, datagrams

u32 = st.integers(0, 0xFFFFFFFF)

GOLDEN: list[tuple[str, rtcp.Packet]] = [
    (
        "80c80006 00000001 83aa7e80 80000000 00000002 00000003 00000004",
        rtcp.SenderReport(1, 0x83AA7E8080000000, 2, 3, 4),
    ),
    (
        "81c90007 00000001 00000002 40fffffd 00010000 00000005 00000006 00000007",
        rtcp.ReceiverReport(1, [ReportBlock(2, 0.25, -3, 0x10000, 5, 6, 7)]),
    ),
    # 65534 with a mask for 65535 and 0 (bits 0 and 1) and 14 (bit 15).
    ("81cd0003 00000001 00000002 fffe8003", rtcp.Nack(1, 2, [65534, 65535, 0, 14])),
    ("81ce0002 00000001 00000002", rtcp.Pli(1, 2)),
    ("84ce0004 00000001 00000000 00000002 07000000", rtcp.Fir(1, [(2, 7)])),
    # Exponent 2, mantissa 250,000.
    ("8fce0005 00000001 00000000 52454d42 010bd090 00000009", rtcp.Remb(1, 1_000_000, [9])),
    ("81cb0003 00000001 03627965 00000000", rtcp.Bye([1], "bye")),
    ("82cb0002 00000001 00000002", rtcp.Bye([1, 2])),
    # A NOTE item (7) before the CNAME (1).
    ("81ca0004 00000001 070178 01 03616263 00000000", rtcp.Sdes([(1, "abc")])),
    ("80cf0004 00000001 04000002 00000002 00000003", rtcp.ReceiverReference(1, 0x200000003)),
    (
        "80cf0005 00000001 05000003 00000002 00000003 00000004",
        rtcp.ReferenceReply(1, [(2, 3, 4)]),
    ),
]


@pytest.mark.parametrize(("text", "packet"), GOLDEN)
def test_golden_packets(text: str, packet: rtcp.Packet) -> None:
    assert parse(bytes.fromhex(text)) == [packet]
    assert parse(memoryview(bytes.fromhex(text))) == [packet]


def test_a_compound_is_read_in_order() -> None:
    everything = b"".join(bytes.fromhex(text) for text, _ in GOLDEN)
    assert parse(everything) == [packet for _, packet in GOLDEN]


@pytest.mark.parametrize(("text", "packet"), GOLDEN)
def test_every_cut_is_refused(text: str, packet: rtcp.Packet) -> None:
    data = bytes.fromhex(text)
    for size in range(len(data)):
        with pytest.raises(RtcpError):
            parse(data[:size])


@pytest.mark.parametrize(
    "text",
    [
        "81c90001 00000001",  # promises a block
        "80c80005 00000001 00000000 00000000 00000002 00000003",
        "81cd0002 00000001 00000002",  # a NACK of nothing
        "84ce0002 00000001 00000000",  # a FIR of nothing
        "84ce0003 00000001 00000000 00000002",
        "8fce0004 00000001 00000000 52454d42 010bd090",  # REMB without its SSRC
        "8fce0003 00000001 00000000 52454d42",
        "82cb0001 00000001",
        "81cb0002 00000001 09627965",  # the reason runs over
        "81ca0002 00000001 01ff6162",
        "81ca0002 00000001 01026162",  # no end of the items
        "80cf0002 00000001 04000002",
        "80cf0003 00000001 04000001 00000002",
        "80cf0003 00000001 05000001 00000002",
        "00c90001 00000001",  # version 0
        "80c90002 00000001",  # longer than the datagram
        "a0c90001 00000000",  # padding of zero
        "a0c90001 00000005",  # padding beyond the packet
        "80c90001 00000001 80",
    ],
)
def test_broken_packets_are_refused(text: str) -> None:
    with pytest.raises(RtcpError):
        parse(bytes.fromhex(text))


def test_padding_is_left_out() -> None:
    assert parse(bytes.fromhex("a1cd0004 00000001 00000002 00050000 00000004")) == [
        rtcp.Nack(1, 2, [5])
    ]


def test_what_we_do_not_know_is_skipped() -> None:
    unknown = [
        "80cc0002 00000001 41424344",  # APP
        "83cd0004 00000001 00000000 00000002 00000000",  # TMMBR
        "82ce0003 00000001 00000002 00000000",  # slice loss
        "8fce0003 00000001 00000002 4e4f5045",  # another application's feedback
        "80d10001 00000001",
        "80cf0003 00000001 06000001 00000000",  # an XR block of another kind
    ]
    data = b"".join(bytes.fromhex(text) for text in unknown)
    pli = rtcp_build.build_pli(1, 2)
    assert parse(data + pli) == [rtcp.Pli(1, 2)]


def test_report_blocks_carry_signed_losses() -> None:
    for lost in (-0x800000, -1, 0, 1, 0x7FFFFF):
        data = rtcp_build.build_rr(1, [ReportBlock(2, 0.0, lost, 0, 0)])
        assert parse(data) == [rtcp.ReceiverReport(1, [ReportBlock(2, 0.0, lost, 0, 0)])]


def test_values_outside_their_field_are_capped() -> None:
    data = rtcp_build.build_rr(1, [ReportBlock(2, 1.0, 1 << 30, 1 << 32, 1 << 32)])
    (report,) = parse(data)
    assert report == rtcp.ReceiverReport(1, [ReportBlock(2, 255 / 256, 0x7FFFFF, 0, 0)])
    many = [ReportBlock(each, 0.0, 0, 0, 0) for each in range(40)]
    (report,) = parse(rtcp_build.build_sr(1, 2, 3, 4, 5, many))
    assert isinstance(report, rtcp.SenderReport)
    assert len(report.reports) == 31


@pytest.mark.parametrize("start", STARTS)
def test_nack_packs_neighbours_across_the_wrap(start: int) -> None:
    seqs = [(start + step) & 0xFFFF for step in (0, 1, 16, 17, 40, 56)]
    data = rtcp_build.build_nack(1, 2, seqs)
    assert len(data) == 12 + 3 * 4
    assert parse(data) == [rtcp.Nack(1, 2, seqs)]
    read = theirs.RtcpPacket.parse(data)[0]
    assert isinstance(read, theirs.RtcpRtpfbPacket)
    # aiortc leaves the numbers behind the wrap above 65535.
    assert [each & 0xFFFF for each in read.lost] == seqs


def test_a_nack_of_nothing_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="needs a sequence number"):
        rtcp_build.build_nack(1, 2, [])


@FUZZ
@given(u32, u32, st.sets(st.integers(0, 0xFFFF), min_size=1, max_size=60))
def test_nack_round_trip(sender: int, media: int, seqs: set[int]) -> None:
    ordered = sorted(seqs)
    assert parse(rtcp_build.build_nack(sender, media, ordered)) == [
        rtcp.Nack(sender, media, ordered)
    ]


blocks = st.lists(
    st.builds(
        ReportBlock,
        u32,
        st.integers(0, 255).map(lambda steps: steps / 256),
        st.integers(-0x800000, 0x7FFFFF),
        u32,
        u32,
        u32,
        u32,
    ),
    max_size=31,
)


@FUZZ
@given(u32, st.integers(0, (1 << 64) - 1), u32, u32, u32, blocks)
def test_report_round_trips(
    ssrc: int, raw: int, timestamp: int, sent: int, octets: int, reports: list[ReportBlock]
) -> None:
    data = rtcp_build.build_sr(ssrc, raw, timestamp, sent, octets, reports)
    data += rtcp_build.build_rr(ssrc, reports)
    assert parse(data) == [
        rtcp.SenderReport(ssrc, raw, timestamp, sent, octets, reports),
        rtcp.ReceiverReport(ssrc, reports),
    ]


@FUZZ
@given(u32, st.lists(u32, max_size=5), st.text(max_size=20), st.integers(0, 1 << 40))
def test_other_round_trips(ssrc: int, ssrcs: list[int], text: str, bitrate: int) -> None:
    pairs = [(each, each & 0xFF) for each in ssrcs] or [(1, 2)]
    triples = [(each, 1, 2) for each in ssrcs]
    data = (
        build_fir(ssrc, pairs)
        + build_remb(ssrc, bitrate, ssrcs)
        + rtcp_build.build_sdes([(ssrc, text)])
        + rtcp_build.build_receiver_reference(ssrc, bitrate)
        + rtcp_build.build_reference_reply(ssrc, triples)
        + build_bye(ssrcs, text)
    )
    exponent = max(0, bitrate.bit_length() - 18)
    assert parse(data) == [
        rtcp.Fir(ssrc, pairs),
        rtcp.Remb(ssrc, bitrate >> exponent << exponent, ssrcs),
        rtcp.Sdes([(ssrc, text)]),
        rtcp.ReceiverReference(ssrc, bitrate),
        rtcp.ReferenceReply(ssrc, triples),
        rtcp.Bye(ssrcs, text),
    ]


def test_long_texts_are_cut() -> None:
    data = rtcp_build.build_sdes([(1, "x" * 300)]) + build_bye([1], "y" * 300)
    assert parse(data) == [rtcp.Sdes([(1, "x" * 255)]), rtcp.Bye([1], "y" * 255)]


kinds = st.sampled_from([rtcp.SR, rtcp.RR, rtcp.SDES, rtcp.BYE, rtcp.RTPFB, rtcp.PSFB, rtcp.XR])


@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, 63), kinds, st.binary(max_size=60)),
        min_size=1,
        max_size=3,
    )
)
def test_random_bodies_give_packets_or_the_named_error(
    packets: list[tuple[int, int, bytes]],
) -> None:
    data = b"".join(
        struct.pack("!BBH", 0x80 | first, kind, len(body) // 4) + body[: len(body) // 4 * 4]
        for first, kind, body in packets
    )
    try:
        parse(data)
    except RtcpError:
        return


@FUZZ
@given(datagrams)
def test_random_bytes_give_packets_or_the_named_error(data: bytes) -> None:
    try:
        parse(data)
    except RtcpError:
        return


def test_aiortc_and_we_read_each_other() -> None:
    info = theirs.RtcpReceiverInfo(
        ssrc=9, fraction_lost=64, packets_lost=-2, highest_sequence=70_000, jitter=3, lsr=4, dlsr=5
    )
    sender = theirs.RtcpSenderInfo(
        ntp_timestamp=0x83AA7E8080000000, rtp_timestamp=7, packet_count=8, octet_count=9
    )
    data = (
        bytes(theirs.RtcpSrPacket(1, sender, [info]))
        + bytes(theirs.RtcpSdesPacket([theirs.RtcpSourceInfo(1, [(1, b"name")])]))
        + bytes(theirs.RtcpRrPacket(1, [info]))
        + bytes(theirs.RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=2))
        + bytes(theirs.RtcpByePacket([1]))
    )
    block = ReportBlock(9, 0.25, -2, 70_000, 3, 4, 5)
    ours = [
        rtcp.SenderReport(1, 0x83AA7E8080000000, 7, 8, 9, [block]),
        rtcp.Sdes([(1, "name")]),
        rtcp.ReceiverReport(1, [block]),
        rtcp.Pli(1, 2),
        rtcp.Bye([1]),
    ]
    assert parse(data) == ours
    assert (
        rtcp_build.build_sr(1, 0x83AA7E8080000000, 7, 8, 9, [block])
        + rtcp_build.build_sdes([(1, "name")])
        + rtcp_build.build_rr(1, [block])
        + rtcp_build.build_pli(1, 2)
        + build_bye([1])
    ) == data

    remb = build_remb(1, 4_160_000, [2529072847])
    read = theirs.RtcpPacket.parse(remb)[0]
    assert isinstance(read, theirs.RtcpPsfbPacket)
    assert theirs.unpack_remb_fci(read.fci) == (4_160_000, [2529072847])


def test_sender_report_time_is_in_seconds_of_the_unix_epoch() -> None:
    report = rtcp.SenderReport(1, ntp.from_unix(1_700_000_000.5), 0, 0, 0)
    assert report.ntp_time == pytest.approx(1_700_000_000.5, abs=1e-6)
