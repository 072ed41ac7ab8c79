"""The estimate of one viewer's link: falls at once, climbs slowly, is not fooled by bursts."""

from __future__ import annotations

from array import array

import pytest

from relay.media.bandwidth import (
    HEADROOM_FLOOR,
    MAX_BITRATE,
    MIN_BITRATE,
    QUEUE_FULL,
    BandwidthEstimate,
)

RING = 1024


class Feeder:
    """Sends `rate` bit/s in packets of 1,000 bytes and reports them every 100 ms."""

    def __init__(self, start: float = 500_000.0) -> None:
        self.now = 1000.0
        self.estimate = BandwidthEstimate(self.now, start)
        self.sent_at = array("d", bytes(8 * RING))
        self.sent_size = array("H", bytes(2 * RING))
        self.number = 65_536
        self.wrapped = 0.0
        """What the viewer's reference time has lost by wrapping, seconds."""

    def run(
        self, seconds: float, rate: float, *, delay: float = 0.05, loss: int = 0, rise: float = 0.0
    ) -> None:
        """loss: every so many packets one is lost. rise: seconds of delay more each second."""
        began = self.now
        for _ in range(round(seconds * 10)):
            base, arrivals = self.number, []
            for step in range(max(1, round(rate / 80_000))):
                at = self.now + step * 0.1 / max(1, round(rate / 80_000))
                self.sent_at[self.number % RING] = at
                self.sent_size[self.number % RING] = 1000
                lost = loss and self.number % loss == 0
                late = delay + rise * (at - began)
                arrivals.append(None if lost else at + 7.0 + late - self.wrapped)
                self.number += 1
            self.now += 0.1
            self.estimate.receive_feedback(
                base, arrivals, self.wrapped, self.sent_at, self.sent_size, 0.1, self.now
            )


def test_a_clean_link_lets_it_climb_by_eight_percent_a_second() -> None:
    feeder = Feeder()
    feeder.run(5.0, 600_000.0)
    assert feeder.estimate.bitrate == pytest.approx(500_000 * 1.08**5, rel=0.03)


def test_it_does_not_run_far_ahead_of_what_was_proven() -> None:
    feeder = Feeder()
    feeder.run(60.0, 160_000.0)
    assert feeder.estimate.acknowledged == pytest.approx(160_000, rel=0.1)
    assert feeder.estimate.bitrate <= 550_000  # the start, and what half a second adds
    feeder.estimate.bitrate = 100_000.0
    feeder.run(60.0, 160_000.0)
    most = max(160_000 + HEADROOM_FLOOR, 1.5 * 160_000)
    assert 200_000 < feeder.estimate.bitrate <= most * 1.1


def test_a_queue_that_grows_pulls_it_down_to_what_arrives() -> None:
    feeder = Feeder(2_000_000.0)
    feeder.run(3.0, 800_000.0)
    feeder.run(2.0, 800_000.0, rise=0.3)
    assert feeder.estimate.congested_at > 1003.0
    assert feeder.estimate.bitrate <= 0.85 * 800_000 * 1.15


def test_a_keyframe_that_drains_is_no_congestion() -> None:
    feeder = Feeder()
    feeder.run(3.0, 800_000.0)
    feeder.run(0.4, 800_000.0, delay=0.05 + 0.3, rise=-0.5)
    feeder.run(0.4, 800_000.0, delay=0.05 + 0.1, rise=-0.2)
    feeder.run(2.0, 800_000.0)
    assert feeder.estimate.congested_at < 0


def test_a_full_queue_is_congestion_however_it_came_about() -> None:
    feeder = Feeder()
    feeder.run(3.0, 800_000.0)
    feeder.run(0.7, 800_000.0, delay=0.06 + QUEUE_FULL)
    assert feeder.estimate.congested_at > 1003.0


def test_old_news_from_before_a_fall_do_not_make_it_fall_again() -> None:
    feeder = Feeder(1_000_000.0)
    feeder.run(2.0, 800_000.0)
    feeder.run(0.7, 800_000.0, delay=0.8)
    fell = feeder.estimate.congested_at
    assert fell > 1002.0
    kept = feeder.estimate.bitrate
    # One second of packets that were sent before, late and lost, is reported only now.
    for number in range(feeder.number, feeder.number + 100):
        feeder.sent_at[number % RING] = fell - 0.1
        feeder.sent_size[number % RING] = 1000
    for step in range(10):
        feeder.now += 0.1
        feeder.estimate.receive_feedback(
            feeder.number,
            [None] * 5 + [fell + 8.5] * 5,
            0.0,
            feeder.sent_at,
            feeder.sent_size,
            0.1,
            feeder.now,
        )
        feeder.number += 10
        assert feeder.estimate.congested_at == fell, step
    assert feeder.estimate.bitrate >= kept


@pytest.mark.parametrize(("one_in", "falls"), [(25, False), (11, False), (5, True)])
def test_only_heavy_loss_is_congestion(one_in: int, falls: bool) -> None:
    feeder = Feeder()
    feeder.run(10.0, 800_000.0, loss=one_in)
    assert (feeder.estimate.congested_at > 0) is falls


def test_clocks_that_drift_apart_do_not_look_like_a_queue() -> None:
    feeder = Feeder()
    feeder.run(600.0, 200_000.0, rise=2e-4)
    assert feeder.estimate.congested_at < 0


def test_a_pause_leaves_no_false_average() -> None:
    feeder = Feeder()
    feeder.run(3.0, 800_000.0)
    before = feeder.estimate.acknowledged
    feeder.now += 120.0
    feeder.run(0.1, 800_000.0)
    assert feeder.estimate.acknowledged == before


def test_bounds() -> None:
    feeder = Feeder()
    for _ in range(60):
        feeder.run(1.0, 160_000.0, loss=2)
    assert feeder.estimate.bitrate == pytest.approx(MIN_BITRATE, rel=0.1)
    high = BandwidthEstimate(0.0, 19_900_000.0)
    for second in range(1, 30):
        high.receive_report(0.0, 0.1, float(second))
    assert high.bitrate == MAX_BITRATE
    high.receive_remb(1.0)
    assert high.bitrate == MIN_BITRATE


def test_reports_alone_move_it_too() -> None:
    estimate = BandwidthEstimate(0.0, 500_000.0)
    for second in range(1, 6):
        estimate.receive_report(0.0, 0.1, float(second))
    assert estimate.bitrate > 600_000
    for second in range(6, 20):
        estimate.receive_report(0.4, 0.1, float(second))
    assert estimate.bitrate < 300_000
    estimate.receive_remb(90_000)
    assert estimate.bitrate == 90_000


def test_a_queue_that_begins_as_the_reference_time_wraps_is_seen() -> None:
    feeder = Feeder(1_000_000.0)
    feeder.run(2.0, 800_000.0)
    assert feeder.estimate.congested_at < 0
    feeder.wrapped = 1_073_741.824
    feeder.run(1.5, 800_000.0, delay=0.8)
    assert feeder.estimate.congested_at > 1002.0
