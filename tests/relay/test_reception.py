"""Reception statistics by the worked rules of RFC 3550 A.1, A.3 and A.8, and both ends of a
reported stream together."""

from __future__ import annotations

import pytest

from relay.media import ntp, rtcp_build
from relay.media.reception import ReceptionStats
from relay.media.rtcp import ReceiverReport, SenderReport
from relay.media.rtcp_parse import parse
from tests.relay.fuzzing import STARTS


@pytest.mark.parametrize("start", STARTS)
def test_losses_of_an_interval_and_in_all(start: int) -> None:
    stats = ReceptionStats(0x1234, 48_000)
    assert stats.report(0.0) is None
    assert stats.expected == 0
    lost = {3, 4, 11}
    for step in range(10):
        if step not in lost:
            stats.receive((start + step) & 0xFFFF, step * 960, step * 0.02, 100)
    block = stats.report(0.2)
    assert block is not None
    assert block.ssrc == 0x1234
    assert block.fraction_lost == pytest.approx(0.2)
    assert block.cumulative_lost == 2
    assert block.highest_seq == start + 9  # the cycles count above 16 bits
    assert (block.lsr, block.dlsr) == (0, 0)
    for step in range(10, 20):
        if step not in lost:
            stats.receive((start + step) & 0xFFFF, step * 960, step * 0.02, 100)
    block = stats.report(0.4)
    assert block is not None
    assert block.fraction_lost == pytest.approx(0.1)
    assert block.cumulative_lost == 3
    assert stats.lost == 3
    assert stats.bytes_received == 1700
    again = stats.report(0.5)
    assert again is not None
    assert again.fraction_lost == 0.0


@pytest.mark.parametrize("start", STARTS)
def test_reordering_and_repeats(start: int) -> None:
    stats = ReceptionStats(1, 90_000)
    for step in (0, 2, 1, 3, 3, 3):
        stats.receive((start + step) & 0xFFFF, 0, 0.0)
    assert stats.lost == -2
    block = stats.report(1.0)
    assert block is not None
    assert (block.fraction_lost, block.cumulative_lost) == (0.0, -2)
    assert block.highest_seq == start + 3


def test_many_cycles() -> None:
    stats = ReceptionStats(1, 90_000)
    for step in range(0, 1 << 18, 1000):
        stats.receive(step & 0xFFFF, 0, 0.0)
    assert stats.expected == 262_000 + 1


def test_two_packets_from_elsewhere_restart_the_count() -> None:
    stats = ReceptionStats(1, 90_000)
    for seq in range(100):
        stats.receive(seq, 0, 0.0)
    stats.receive(30_000, 0, 0.0)
    assert stats.expected == 100
    stats.receive(30_001, 0, 0.0)
    assert (stats.expected, stats.received) == (1, 1)
    # A single stray packet changes nothing.
    stats.receive(10_000, 0, 0.0)
    stats.receive(30_002, 0, 0.0)
    assert (stats.expected, stats.received) == (2, 2)


def test_jitter_of_a_steady_and_a_shaken_stream() -> None:
    steady = ReceptionStats(1, 8000)
    for step in range(50):
        steady.receive(step, 0xFFFFFF00 + step * 160 & 0xFFFFFFFF, 5.0 + step * 0.02)
    assert steady.jitter == pytest.approx(0.0, abs=1e-6)
    shaken = ReceptionStats(1, 8000)
    for step in range(400):
        shaken.receive(step, step * 160, step * 0.02 + (step % 2) * 0.01)
    # Each interval is off by 10 ms, 80 units.
    assert shaken.jitter == pytest.approx(80.0, rel=0.01)
    block = shaken.report(9.0)
    assert block is not None
    assert block.jitter in (79, 80)


def test_both_ends_agree_on_the_round_trip() -> None:
    wall = 1_700_000_000.0
    receiver = ReceptionStats(7, 90_000)
    for step in range(20):
        if step != 5:
            receiver.receive(step, step * 3000, step / 30 + 0.15)
    at = 0.7
    sent = rtcp_build.build_sr(7, ntp.from_unix(wall + at), 63_000, 20, 20_000)
    (arrived,) = parse(sent)
    assert isinstance(arrived, SenderReport)
    receiver.receive_sender_report(arrived, at + 0.15)
    block = receiver.report(at + 0.65)
    assert block is not None
    (back,) = parse(rtcp_build.build_rr(9, [block]))
    assert isinstance(back, ReceiverReport)
    (seen,) = back.reports
    now = ntp.middle(ntp.from_unix(wall + at + 0.8))
    assert ntp.round_trip(now, seen.lsr, seen.dlsr) == pytest.approx(0.3, abs=1e-3)
    assert seen.fraction_lost == pytest.approx(12 / 256)


def test_jitter_by_the_formula() -> None:
    stats = ReceptionStats(1, 8000)
    stats.receive(1, 0, 0.0)
    stats.receive(2, 160, 0.04)  # 160 units late
    assert stats.jitter == pytest.approx(160 / 16)
    stats.receive(3, 320, 0.06)  # on time again
    assert stats.jitter == pytest.approx(10 * 15 / 16)


@pytest.mark.parametrize(("back", "counted"), [(99, True), (100, False), (101, False)])
def test_how_old_a_packet_may_be(back: int, counted: bool) -> None:
    stats = ReceptionStats(1, 8000)
    stats.receive(5000, 0, 0.0)
    stats.receive((5000 - back) & 0xFFFF, 0, 0.0)
    assert stats.received == 1 + counted


@pytest.mark.parametrize(("ahead", "expected"), [(2999, 3000), (3000, 1)])
def test_how_far_a_packet_may_jump(ahead: int, expected: int) -> None:
    stats = ReceptionStats(1, 8000)
    stats.receive(5000, 0, 0.0)
    stats.receive(5000 + ahead, 0, 0.0)
    assert stats.expected == expected


def test_nothing_is_reported_before_anything_is_known() -> None:
    stats = ReceptionStats(1, 8000)
    assert (stats.expected, stats.received, stats.lost, stats.jitter) == (0, 0, 0, 0.0)
    stats.receive(65535, 0, 0.0)
    assert stats.bytes_received == 0
    block = stats.report(0.0)
    assert block is not None
    assert (block.highest_seq, block.cumulative_lost) == (65535, 0)
