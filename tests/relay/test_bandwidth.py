"""The estimate of one viewer's link, packet by packet: what moves it, what must not.

Here: single rules, fed by hand. Not here: whole links in closed loop
(tests/scenarios/test_congestion).
"""

from __future__ import annotations

import pytest

from relay.media.bandwidth import SAFE_BITRATE, START_BITRATE, BandwidthEstimate
from relay.media.control import MAX_BITRATE, MIN_BITRATE
from tests.relay.feeder import RING, SIZE, Feeder


def test_it_begins_with_a_voice_and_little_else() -> None:
    assert BandwidthEstimate(0.0).bitrate == START_BITRATE == 60_000


def test_a_clean_start_climbs_with_what_is_sent() -> None:
    feeder = Feeder(60_000.0)
    rate = 80_000.0
    for _ in range(10):
        feeder.run(0.6, rate)
        rate = feeder.estimate.bitrate
    assert rate > 1_000_000


def test_rates_count_the_headers_of_ip_and_udp() -> None:
    feeder = Feeder()
    feeder.run(5.0, 400_000.0)
    assert feeder.estimate.acknowledged == pytest.approx(400_000, rel=0.05)


def test_it_does_not_run_far_ahead_of_what_was_proven() -> None:
    feeder = Feeder(60_000.0)
    feeder.run(60.0, 160_000.0)
    assert 200_000 < feeder.estimate.bitrate < 2.1 * 160_000


def test_more_than_could_be_sent_is_of_no_use() -> None:
    feeder = Feeder(60_000.0)
    feeder.estimate.note_limited(120_000.0, feeder.now)
    feeder.run(30.0, 160_000.0)
    assert feeder.estimate.bitrate <= 1.3 * 120_000
    assert feeder.estimate.probe(feeder.now) == 0.0


def test_a_queue_that_grows_pulls_it_down_to_what_arrives() -> None:
    feeder = Feeder(2_000_000.0)
    feeder.run(3.0, 800_000.0)
    feeder.run(1.0, 800_000.0, rise=1.0)
    assert feeder.estimate.congested_at > 1003.0
    assert 200_000 < feeder.estimate.bitrate < 500_000


def test_a_queue_that_stands_is_found_though_it_does_not_grow() -> None:
    feeder = Feeder()
    feeder.run(3.0, 480_000.0)
    feeder.run(1.0, 480_000.0, delay=0.05 + 0.1)
    assert feeder.estimate.congested_at > 1003.0
    assert feeder.estimate.pace < feeder.estimate.bitrate


def test_where_more_passed_lately_it_goes_on_looking_for_it() -> None:
    fed = Feeder()
    fed.run(10.0, 800_000)
    fed.run(1.0, 400_000, rise=0.5)
    estimate = fed.estimate
    assert estimate.congested_at > fed.now - 1.0
    assert estimate._hope_until > fed.now
    # It fell little, and from where it fell before.
    other = Feeder()
    other.run(10.0, 420_000)
    other.run(1.5, 400_000, rise=0.1)
    assert other.estimate.congested_at > other.now - 1.5
    assert other.estimate._hope_until < other.now


def test_a_burst_that_drains_is_no_congestion() -> None:
    feeder = Feeder()
    feeder.run(3.0, 800_000.0)
    feeder.run(0.4, 800_000.0, delay=0.05 + 0.3, rise=-0.75)
    feeder.run(2.0, 800_000.0)
    assert feeder.estimate.congested_at < 0


def test_old_news_from_before_a_fall_do_not_make_it_fall_again() -> None:
    feeder = Feeder(1_000_000.0)
    feeder.run(2.0, 800_000.0)
    feeder.run(0.7, 800_000.0, delay=0.8)
    fell = feeder.estimate.congested_at
    assert fell > 1002.0
    first = feeder.number
    for number in range(first, first + 100):
        feeder.sent_at[number % RING] = fell - 0.1
        feeder.sent_size[number % RING] = SIZE
    for step in range(10):
        feeder.now += 0.1
        feeder.report(first + step * 10, [None] * 5 + [fell + 8.0 + step * 0.1] * 5)
        assert feeder.estimate.congested_at == fell, step


@pytest.mark.parametrize("one_in", [50, 20, 10, 7])
def test_loss_that_was_there_from_the_start_is_the_links_own(one_in: int) -> None:
    feeder = Feeder(60_000.0)
    for rate in range(80_000, 800_000, 40_000):
        feeder.run(0.5, float(rate), loss=one_in)
    feeder.run(10.0, 800_000.0, loss=one_in)
    assert feeder.estimate.bitrate > 450_000
    assert feeder.estimate.loss == pytest.approx(1 / one_in, abs=0.05)


def test_loss_that_comes_with_a_higher_rate_is_ours() -> None:
    feeder = Feeder()
    feeder.run(10.0, 400_000.0, loss=50)
    assert feeder.estimate.congested_at < 0
    feeder.run(3.0, 800_000.0, loss=3)
    assert feeder.estimate.congested_at > 1010.0
    assert feeder.estimate.bitrate < 650_000


def test_more_loss_at_the_same_rate_is_tried_out_and_forgiven() -> None:
    feeder = Feeder(600_000.0)
    feeder.run(10.0, 480_000.0, loss=100)
    before = feeder.estimate.bitrate
    rate = 480_000.0
    least = before
    for _ in range(100):
        feeder.run(0.1, rate, loss=7)
        least = min(least, feeder.estimate.bitrate)
        rate = min(480_000.0, feeder.estimate.bitrate)
    assert least < 0.9 * 480_000, "nothing was tried"
    assert feeder.estimate.bitrate >= 0.95 * before


def test_clocks_that_drift_apart_do_not_look_like_a_queue() -> None:
    feeder = Feeder()
    feeder.run(600.0, 200_000.0, rise=1e-4)
    feeder.run(600.0, 200_000.0, delay=0.05 + 0.06, rise=-1e-4)
    assert feeder.estimate.congested_at < 0


@pytest.mark.parametrize("step", [0.1, -0.1])
def test_a_new_route_does_no_lasting_harm(step: float) -> None:
    feeder = Feeder(500_000.0)
    feeder.run(10.0, 400_000.0, delay=0.2)
    before = feeder.estimate.bitrate
    for _ in range(100):
        feeder.run(0.1, min(400_000.0, feeder.estimate.pace), delay=0.2 + step)
    assert feeder.estimate.bitrate >= 0.9 * before
    assert feeder.estimate.queue_delay < 0.02


def test_bounds() -> None:
    feeder = Feeder()
    feeder.run(4.0, 80_000.0, rise=4.0)
    assert feeder.estimate.bitrate == MIN_BITRATE
    high = BandwidthEstimate(0.0, 19_900_000.0)
    for second in range(1, 30):
        high.receive_report(0.0, 0.1, float(second))
    assert high.bitrate == MAX_BITRATE
    high.receive_remb(1.0, 30.0)
    assert high.bitrate == MIN_BITRATE
    assert high.liar == 1


def test_reports_alone_move_it_too() -> None:
    estimate = BandwidthEstimate(0.0, 500_000.0)
    for second in range(1, 6):
        estimate.receive_report(0.0, 0.1, float(second))
    assert estimate.bitrate > 600_000
    for second in range(6, 20):
        estimate.receive_report(0.4, 0.1, float(second))
    assert estimate.bitrate < 450_000
    estimate.receive_remb(90_000, 20.0)
    assert estimate.bitrate == 90_000


def test_a_round_trip_that_grows_is_a_queue_for_who_sends_reports_alone() -> None:
    estimate = BandwidthEstimate(0.0, 500_000.0)
    for second in range(1, 6):
        estimate.receive_report(0.0, 0.1, float(second))
    before = estimate.bitrate
    for second in range(6, 20):
        estimate.receive_report(0.0, 0.6, float(second))
    assert estimate.bitrate < 0.5 * before


def test_a_queue_that_begins_as_the_reference_time_wraps_is_seen() -> None:
    feeder = Feeder(1_000_000.0)
    feeder.run(2.0, 800_000.0)
    assert feeder.estimate.congested_at < 0
    feeder.wrapped = 1_073_741.824
    feeder.run(1.5, 800_000.0, delay=0.8)
    assert feeder.estimate.congested_at > 1002.0


def test_feedback_that_stops_makes_it_fall_step_by_step() -> None:
    feeder = Feeder()
    feeder.run(3.0, 400_000.0)
    before = feeder.estimate.bitrate
    feeder.timer(0.75)
    assert feeder.estimate.bitrate == before
    feeder.timer(0.5)
    assert feeder.estimate.bitrate == pytest.approx(0.7 * before)
    feeder.timer(10.0)
    assert feeder.estimate.bitrate == SAFE_BITRATE
    assert feeder.estimate.probe(feeder.now) == 0.0


def test_half_of_what_the_link_took_is_taken_at_once_when_it_is_back() -> None:
    feeder = Feeder()
    feeder.run(3.0, 400_000.0)
    before = feeder.estimate.bitrate
    feeder.timer(12.0)
    assert feeder.estimate.bitrate == SAFE_BITRATE
    feeder.run(0.2, 80_000.0)
    assert feeder.estimate.resumed_at == pytest.approx(feeder.now, abs=0.2)
    assert 0.5 * before <= feeder.estimate.bitrate < 0.7 * before


def test_nothing_is_expected_while_nothing_is_sent() -> None:
    feeder = Feeder()
    feeder.run(3.0, 400_000.0)
    before = feeder.estimate.bitrate
    for _ in range(100):
        feeder.now += 0.25
        feeder.estimate.handle_timer(feeder.now, sending=False)
    assert feeder.estimate.bitrate == before
    # The teacher is back: what is sent now has not been answered yet.
    feeder.timer(0.75)
    assert feeder.estimate.bitrate == before
    feeder.timer(0.5)
    assert feeder.estimate.bitrate == pytest.approx(0.7 * before)


# Lies


def test_numbers_that_were_never_sent_are_counted_and_change_nothing() -> None:
    feeder = Feeder(100_000.0)
    feeder.run(2.0, 80_000.0)
    before = feeder.estimate.bitrate
    for step in range(50):
        feeder.report(feeder.number + 5, [feeder.now + 7.0 + 0.01 * step] * 100)
    assert feeder.estimate.liar == 50
    assert feeder.estimate.bitrate == before
    feeder.run(0.5, 80_000.0)
    assert feeder.estimate.liar == 50


def test_a_fresh_log_has_nothing_to_acknowledge() -> None:
    feeder = Feeder(100_000.0)
    feeder.report(10, [1.0, 2.0, None])
    assert feeder.estimate.liar == 1
    assert feeder.estimate.bitrate == 100_000


def test_times_that_run_backwards_or_leap_are_counted() -> None:
    feeder = Feeder(100_000.0)
    feeder.run(3.0, 80_000.0)
    feeder.run(0.1, 80_000.0, delay=-30.0)
    assert feeder.estimate.liar == 1
    feeder.run(0.1, 80_000.0, delay=400.0)
    assert feeder.estimate.liar == 2
    feeder.run(0.1, 80_000.0)
    assert feeder.estimate.liar == 3
    before = feeder.estimate.bitrate
    feeder.run(3.0, 80_000.0)
    assert feeder.estimate.liar == 3
    assert feeder.estimate.bitrate >= before


def test_impossibly_fast_arrivals_prove_no_more_than_was_sent() -> None:
    feeder = Feeder(60_000.0)
    for _ in range(300):
        base = feeder.number
        for step in range(2):
            feeder.sent_at[feeder.number % RING] = feeder.now + step * 0.05
            feeder.sent_size[feeder.number % RING] = SIZE
            feeder.number += 1
        feeder.now += 0.1
        # The clock of this viewer runs a thousand times too slow.
        feeder.report(base, [7.0 + feeder.now * 1e-3] * 2)
    assert feeder.estimate.bitrate <= 2.0 * 160_000 * 1.1


def test_the_same_report_again_and_again_counts_once() -> None:
    feeder = Feeder(60_000.0)
    feeder.run(1.0, 160_000.0)
    acknowledged = feeder.estimate.acknowledged
    bitrate = feeder.estimate.bitrate
    for _ in range(100):
        feeder.report(feeder.number - 10, [feeder.now + 7.0] * 10)
    assert feeder.estimate.acknowledged == acknowledged
    assert feeder.estimate.bitrate == bitrate


def test_a_late_packet_is_not_lost_after_all() -> None:
    feeder = Feeder()
    feeder.run(1.0, 800_000.0, loss=2)
    lost = feeder.estimate.loss
    assert lost > 0.1
    feeder.report(feeder.number - 100, [feeder.now + 7.05] * 100)
    assert feeder.estimate.loss < 0.5 * lost


def test_that_a_lost_packet_comes_when_it_is_sent_again_takes_back_no_loss() -> None:
    feeder = Feeder()
    feeder.run(1.0, 800_000.0, loss=2)
    lost = feeder.estimate.loss
    first = feeder.number - 100
    again = {number & 0xFFFF for number in range(first, feeder.number)}
    feeder.report(first, [feeder.now + 7.05] * 100, again)
    assert feeder.estimate.loss == lost


def test_a_report_longer_than_the_log_is_read_at_its_end() -> None:
    feeder = Feeder()
    feeder.run(20.0, 800_000.0)
    arrivals: list[float | None] = [None] * 2990 + [feeder.now + 7.05] * 10
    for step in range(3000):
        feeder.sent_at[feeder.number % RING] = feeder.now + step * 0.001
        feeder.sent_size[feeder.number % RING] = SIZE
        feeder.number += 1
    feeder.now += 3.1
    feeder.report(feeder.number - 3000, [at and at + 3.0 for at in arrivals])
    assert feeder.estimate.liar == 0


def test_one_moment_told_for_ever_costs_no_more_than_a_report() -> None:
    feeder = Feeder(200_000.0)
    feeder.run(2.0, 160_000.0)
    moment = feeder.now + 7.0
    for _ in range(2_000):
        feeder.now += 0.01
        feeder.sent_at[feeder.number % RING] = feeder.now - 0.005
        feeder.sent_size[feeder.number % RING] = SIZE
        feeder.report(feeder.number, [moment])
        feeder.number += 1
    assert len(feeder.estimate._delivery._marks) <= 256


def test_a_clock_that_leapt_and_a_queue_on_top_break_nothing() -> None:
    feeder = Feeder(200_000.0)
    feeder.run(0.1, 160_000.0)
    feeder.run(0.1, 160_000.0, delay=29.0)
    feeder.run(1.0, 160_000.0, rise=0.9)
    feeder.run(2.0, 160_000.0, delay=1.5)
    feeder.run(2.0, 160_000.0, delay=0.9)
    assert feeder.estimate.bitrate >= MIN_BITRATE


def test_what_is_measured_after_a_fall_ends_with_a_silence() -> None:
    feeder = Feeder(500_000.0)
    feeder.run(5.0, 400_000.0)
    feeder.run(0.5, 400_000.0, rise=0.5)
    estimate = feeder.estimate
    assert (estimate._draining, estimate._refining) == (True, True)
    feeder.timer(4.0)
    feeder.run(1.0, 100_000.0)
    assert (estimate._draining, estimate._refining) == (False, False)


def test_who_wants_nothing_is_not_known_to_have_enough() -> None:
    estimate = BandwidthEstimate(0.0, 300_000.0)
    estimate.note_limited(100_000.0, 0.0)
    assert estimate.is_satisfied
    estimate.note_limited(0.0, 0.0)
    assert not estimate.is_satisfied
