"""What a timeline announces, how far it lets two clocks drift, and the wrap of its timestamps.

Here: one track. Not here: tracks beside each other (test_timeline).
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.media.timeline import ANCHOR_AGE, TOLERANCE, Anchor, PublisherClock, TrackTimeline

NOW = 1_700_000_000.0


def test_the_first_packet_anchors_until_a_report_knows_better() -> None:
    timeline, clock = TrackTimeline(90_000), PublisherClock()
    assert timeline.receive_packet(1000, NOW) == Anchor(1000, NOW)
    assert timeline.receive_packet(4000, NOW + 0.5) is None
    timeline.receive_packet(91_000, NOW + 1.02)
    anchor = timeline.receive_report(91_000, NOW - 500.0, clock, NOW + 1.02)
    assert anchor is not None
    assert anchor.rtp_timestamp == 91_000
    assert anchor.wall == pytest.approx(NOW + 1.02)
    assert timeline.wall(1000) == pytest.approx(NOW + 0.02)


def test_what_moves_less_than_is_noticed_is_not_announced() -> None:
    timeline, clock = TrackTimeline(48_000), PublisherClock()
    timeline.receive_packet(0, NOW)
    timeline.receive_report(0, NOW, clock, NOW)
    announced = timeline.anchor
    quiet = timeline.receive_report(48_000 + 100, NOW + 1.0, clock, NOW + 1.0)
    assert quiet is None
    assert timeline.anchor == announced
    assert timeline.latest is not None
    assert timeline.latest.rtp_timestamp == 48_100
    assert timeline.latest.wall == pytest.approx(NOW + 1.0, abs=0.001)
    moved = round(48_000 * 2 * TOLERANCE)
    loud = timeline.receive_report(96_000 + moved, NOW + 2.0, clock, NOW + 2.0)
    assert loud == timeline.anchor == timeline.latest


def test_jitter_of_reports_moves_little_and_drift_is_followed() -> None:
    clock = PublisherClock()
    clock.to_wall(0.0, NOW, NOW)
    for second in range(1, 99):
        late = 0.08 if second % 7 == 0 else 0.0
        wall = clock.to_wall(float(second), NOW + late, NOW + second + late)
        assert abs(wall - NOW - second) < 0.02
    drifting = PublisherClock()
    for second in range(20_000):
        theirs = second * (1 + 1e-4)
        wall = drifting.to_wall(theirs, NOW + second - theirs, NOW + second)
        assert abs(wall - NOW - second) < 0.02


@pytest.mark.parametrize("rate", [48_000, 90_000])
def test_anchors_are_renewed_before_timestamps_wrap(rate: int) -> None:
    timeline = TrackTimeline(rate)
    announced = []
    for second in range(0, 60 * 3600, 30):
        stamp = (0xFFFF0000 + second * rate) & 0xFFFFFFFF
        anchor = timeline.receive_packet(stamp, NOW + second + 0.01 * (second % 3))
        if anchor is not None:
            announced.append(second)
        assert timeline.wall(stamp) == pytest.approx(NOW + second, abs=0.001)
    assert all(b - a <= ANCHOR_AGE + 30 for a, b in pairwise(announced))


def test_the_slots_timeline_is_unix_time() -> None:
    timeline = TrackTimeline(90_000)
    timeline.receive_packet(12_345, NOW)
    assert (12_345 + timeline.slot_offset()) & 0xFFFFFFFF == round(NOW * 90_000) & 0xFFFFFFFF
