"""Transport-wide feedback: reports laid out by hand after the draft, and a log and a reader that
must agree about any pattern of arrivals, losses, repeats and reordering."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media import rtcp_build, twcc
from relay.media.rtcp_error import RtcpError
from relay.media.rtcp_parse import parse
from tests.relay.fuzzing import FUZZ, STARTS


def packet(base: int, count: int, reference: int, number: int, tail: str) -> bytes:
    body = struct.pack("!IIHHI", 1, 2, base, count, reference << 8 | number) + bytes.fromhex(tail)
    padding = -len(body) % 4
    if padding:
        body += bytes(padding - 1) + bytes((padding,))
    return struct.pack("!BBH", 0xAF if padding else 0x8F, 205, len(body) // 4) + body


def read(data: bytes) -> twcc.TransportFeedback:
    (feedback,) = parse(data)
    assert isinstance(feedback, twcc.TransportFeedback)
    return feedback


def ms(feedback: twcc.TransportFeedback) -> list[float | None]:
    """Arrivals in milliseconds after the reference time."""
    return [
        None if each is None else round(1000 * (each - feedback.reference * twcc.REFERENCE_S), 6)
        for each in feedback.arrivals
    ]


def test_run_length_and_small_deltas() -> None:
    feedback = read(packet(65534, 4, 3, 9, "2004 04 08 00 ff"))
    assert (feedback.sender_ssrc, feedback.media_ssrc) == (1, 2)
    assert (feedback.base_seq, feedback.feedback_count) == (65534, 9)
    assert feedback.reference == 3
    assert ms(feedback) == [1.0, 3.0, 3.0, 66.75]


def test_one_bit_vector_uses_only_what_is_counted() -> None:
    # 1 0 1 1 then ten symbols that are not counted.
    feedback = read(packet(7, 4, 0, 0, "adff 04 04 04"))
    assert ms(feedback) == [1.0, None, 2.0, 3.0]


def test_two_bit_vector_with_large_and_negative_deltas() -> None:
    # Symbols 1 2 0 2 and three not counted: 01 10 00 10 00 00 00.
    feedback = read(packet(7, 4, 0, 0, "d880 04 0fa0 fffc"))
    assert ms(feedback) == [1.0, 1001.0, None, 1000.0]


def test_losses_need_no_deltas() -> None:
    feedback = read(packet(0, 8000, 0xFFFFFF, 0, "1f40"))
    assert feedback.arrivals == [None] * 8000
    assert feedback.reference == 0xFFFFFF


@pytest.mark.parametrize(
    "data",
    [
        packet(0, 0, 0, 0, "2000"),  # reports nothing
        packet(0, 1, 0, 0, ""),  # no chunk
        packet(0, 15, 0, 0, "bfff" + "00" * 14),  # the chunks end early
        packet(0, 1, 0, 0, "6001 00"),  # reserved symbol
        packet(0, 4, 0, 0, "2004 01 01"),  # the deltas end early
        packet(0, 2, 0, 0, "4002 0000"),
        packet(0, 4, 0, 0, "2000 2004"),  # a run of none
        packet(0, 0xFFFF, 0, 0, "1fff" * 9),  # more than anyone is sent
    ],
)
def test_broken_reports_are_refused(data: bytes) -> None:
    with pytest.raises(RtcpError):
        parse(data)


def test_one_datagram_cannot_report_without_end() -> None:
    half = packet(0, 4096, 0, 0, "1000")
    assert len(parse(half + half)) == 2
    with pytest.raises(RtcpError, match="too many"):
        parse(half + half + half)


@FUZZ
@given(st.integers(0, 0xFFFF), st.integers(0, 300), st.binary(max_size=60))
def test_random_tails_give_as_many_arrivals_as_counted(base: int, count: int, tail: bytes) -> None:
    try:
        feedback = read(packet(base, count, 0, 0, tail.hex()))
    except RtcpError:
        return
    assert len(feedback.arrivals) == count


@FUZZ
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=40), st.integers(0, 0xFFFF), st.booleans()
)
def test_a_glance_tells_the_same_where_it_tells_anything(
    gaps: list[int], base: int, lossy: bool
) -> None:
    log, at = twcc.ArrivalLog(), 1000.0
    for step, gap in enumerate(gaps):
        at += gap * twcc.TICK_S
        if not lossy or step % 5 != 2:
            log.receive((base + step) & 0xFFFF, at)
    data = log.build(at, 1, 2)
    assert data is not None
    seen, said = twcc.glance(data), read(data)
    ticks = [round(one / twcc.TICK_S) for one in said.arrivals if one is not None]
    plain = len(ticks) == len(said.arrivals)
    plain = plain and all(after - before <= 255 for before, after in pairwise(ticks))
    # More than a run of one kind has its chunks in other forms, which are read.
    assert (seen is not None) == plain
    if seen is not None:
        ends = (said.arrivals[0], said.arrivals[-1])
        assert seen == (said.base_seq, len(said.arrivals), said.reference, *ends)


@FUZZ
@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_glance_at_anything_is_none_or_what_reading_tells(tail: bytes, count: int) -> None:
    run = struct.pack("!H", 0x2000 | count) + tail
    for data in (tail, packet(7, count, 3, 0, run.hex()), packet(7, count, 3, 0, run.hex()) + tail):
        seen = twcc.glance(data)
        if seen is not None:
            said = read(data)
            ends = (said.arrivals[0], said.arrivals[-1])
            assert seen == (said.base_seq, len(said.arrivals), said.reference, *ends)


def test_the_peers_clock_goes_on_across_its_wrap() -> None:
    clock = twcc.ArrivalClock()
    times = []
    for reference in (0xFFFFFE, 0xFFFFFF, 0, 0xFFFFFF, 1):
        feedback = read(packet(0, 1, reference, 0, "2001 00"))
        assert feedback.arrivals[0] is not None
        times.append(clock.offset(reference) + feedback.arrivals[0])
    steps = [round((each - times[0]) / 0.064) for each in times]
    assert steps == [0, 1, 2, 1, 3]


def drain(log: twcc.ArrivalLog, now: float) -> list[twcc.TransportFeedback]:
    reports = []
    while (data := log.build(now, 1, 2)) is not None:
        assert len(data) <= 1200
        reports.append(read(data))
    return reports


@pytest.mark.parametrize("start", STARTS)
def test_a_log_tells_arrivals_and_losses(start: int) -> None:
    log = twcc.ArrivalLog()
    for step, now in ((0, 50.0), (1, 50.001), (4, 50.2), (3, 50.25)):
        log.receive((start + step) & 0xFFFF, now)
    (report,) = drain(log, 50.3)
    assert report.base_seq == start
    assert report.arrivals == pytest.approx([50.0, 50.001, None, 50.25, 50.2], abs=0.00026)
    assert drain(log, 50.4) == []

    # The loss at the seam of two reports is told in the second one.
    log.receive((start + 6) & 0xFFFF, 50.5)
    (report,) = drain(log, 50.5)
    assert report.base_seq == (start + 5) & 0xFFFF
    assert report.arrivals == pytest.approx([None, 50.5], abs=0.00026)
    assert report.feedback_count == 1


@pytest.mark.parametrize("start", STARTS)
def test_a_late_packet_is_told_after_its_loss_was(start: int) -> None:
    log = twcc.ArrivalLog()
    for step in (0, 2, 3):
        log.receive((start + step) & 0xFFFF, 10.0 + step / 100)
    drain(log, 10.04)
    log.receive((start + 1) & 0xFFFF, 10.06)
    (report,) = drain(log, 10.1)
    assert report.base_seq == (start + 1) & 0xFFFF
    assert report.arrivals == pytest.approx([10.06, 10.02, 10.03], abs=0.00026)


def test_a_packet_later_than_the_window_makes_no_other_look_lost() -> None:
    log = twcc.ArrivalLog()
    for seq in (0, 2, 3, 4):
        log.receive(seq, 10.0)
    drain(log, 10.1)
    assert drain(log, 11.0) == []
    log.receive(1, 11.1)
    assert drain(log, 11.2) == []
    log.receive(5, 11.3)
    (report,) = drain(log, 11.4)
    assert (report.base_seq, len(report.arrivals)) == (5, 1)


def test_of_a_repeat_the_first_arrival_counts() -> None:
    log = twcc.ArrivalLog()
    log.receive(1, 10.0)
    log.receive(1, 10.1)
    (report,) = drain(log, 10.2)
    assert report.arrivals == pytest.approx([10.0])


def test_a_pause_longer_than_a_delta_splits_the_report() -> None:
    log = twcc.ArrivalLog()
    log.receive(1, 10.0)
    log.receive(3, 30.0)
    log.receive(4, 30.001)
    first, second = drain(log, 30.1)
    assert first.arrivals == pytest.approx([10.0])
    assert (second.base_seq, second.arrivals[0]) == (2, None)
    assert second.arrivals[1:] == pytest.approx([30.0, 30.001], abs=0.00026)
    assert second.feedback_count == first.feedback_count + 1


def test_many_packets_are_split_into_datagrams() -> None:
    log = twcc.ArrivalLog()
    for seq in range(3000):
        log.receive(seq, 10.0 + seq * 0.1)  # every delta a large one
    reports = drain(log, 400.0)
    assert len(reports) > 3
    arrivals = [each for report in reports for each in report.arrivals]
    assert arrivals == pytest.approx([10.0 + seq * 0.1 for seq in range(3000)], abs=0.00026)


def test_a_jump_starts_anew_and_costs_nothing() -> None:
    log = twcc.ArrivalLog()
    log.receive(0, 10.0)
    log.receive(30_000, 10.1)
    (report,) = drain(log, 10.2)
    assert (report.base_seq, len(report.arrivals)) == (30_000, 1)


def test_arrivals_are_forgotten() -> None:
    log = twcc.ArrivalLog()
    for seq in range(100_000):
        log.receive(seq & 0xFFFF, seq * 0.001)
        if seq % 50 == 0:
            log.build(seq * 0.001, 1, 2)
    assert len(log._arrivals) < 700


@FUZZ
@given(st.integers(0, 0xFFFF), st.integers(1, 600), st.floats(0, 1), st.integers(0, 1 << 32))
def test_log_and_reader_agree(start: int, packets: int, loss: float, seed: int) -> None:
    chance = random.Random(seed)
    log = twcc.ArrivalLog()
    now = chance.uniform(0, 1e7)
    sent: dict[int, float] = {}
    told: dict[int, float] = {}
    for step in range(packets):
        now += chance.choice((0.0, 0.0001, 0.01, 0.0637, 0.07, 0.5))
        if step == 0 or chance.random() >= loss:
            sent[step] = now
            log.receive((start + step) & 0xFFFF, now)
        if chance.random() < 0.1 or step == packets - 1:
            for report in drain(log, now):
                first = (report.base_seq - start) & 0xFFFF
                for index, arrival in enumerate(report.arrivals):
                    if arrival is not None:
                        told[first + index] = arrival
                    else:
                        assert first + index not in sent
    assert told.keys() == sent.keys()
    wrap = (1 << 24) * 0.064
    for step, arrival in told.items():
        assert arrival % wrap == pytest.approx(sent[step] % wrap, abs=0.00026)


def test_feedback_goes_in_a_compound() -> None:
    log = twcc.ArrivalLog()
    log.receive(5, 1.0)
    data = log.build(1.0, 1, 2)
    assert data is not None
    assert len(parse(rtcp_build.build_rr(1) + data + rtcp_build.build_pli(1, 2))) == 3


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ([0] * 40, "2028" + "00" * 40),  # one run
        ([0, None] * 7 + [0], "aaaa 2001" + "00" * 8),  # a vector of single bits, then a run
        ([0, 300, 0, 300, 0, 300, 0], "daaa 00 012c fed4 012c fed4 012c fed4"),
        ([0, None, None, 0], "a400 0000"),
        ([0, *[None] * 30, 0], "a000 0011 2001 0000"),
    ],
)
def test_chunks_are_the_shortest_that_fit(arrived: list[int | None], expected: str) -> None:
    """`arrived` holds ticks after the first arrival, which is on a reference time."""
    log = twcc.ArrivalLog()
    for seq, tick in enumerate(arrived):
        if tick is not None:
            log.receive(seq, 64.0 + tick * twcc.TICK_S)
    data = log.build(65.0, 1, 2)
    assert data is not None
    assert data == packet(0, len(arrived), 1000, 0, expected)


@pytest.mark.parametrize(
    ("ticks", "reports"), [(0x7FFF, 1), (0x8000, 2), (-0x8000, 1), (-0x8001, 2)]
)
def test_a_delta_reaches_to_the_ends_of_its_field(ticks: int, reports: int) -> None:
    log = twcc.ArrivalLog()
    log.receive(100, 1024.0)
    log.receive(101, 1024.0 + ticks * twcc.TICK_S)
    assert len(drain(log, 1040.0)) == reports
