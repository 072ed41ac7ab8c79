"""What a timeline announces, how far it lets two clocks drift, and the wrap of its timestamps.

Here: one track. Not here: tracks beside each other (test_timeline).
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.media.timeline import (
    ANCHOR_AGE,
    TOLERANCE,
    VOICE_STEP,
    Anchor,
    PublisherClock,
    TrackTimeline,
)

NOW = 1_700_000_000.0


def test_the_first_packet_anchors_until_a_report_knows_better() -> None:
    timeline, clock = TrackTimeline(90_000), PublisherClock()
    assert timeline.receive_packet(1000, NOW) == Anchor(1000, NOW)
    assert timeline.receive_packet(4000, NOW + 0.5) is None
    timeline.receive_packet(91_000, NOW + 0.998)
    timeline.receive_packet(94_000, NOW + 1.2)
    anchor = timeline.receive_report(91_000, NOW - 500.0, clock, NOW + 1.2)
    assert anchor is not None
    assert anchor.rtp_timestamp == 91_000
    assert anchor.wall == pytest.approx(NOW + 0.998, abs=1e-4)
    assert timeline.wall(1000) == pytest.approx(NOW - 0.002, abs=1e-4)


@pytest.mark.parametrize("late", [0.0, 0.066, 0.4])
@pytest.mark.parametrize(("rate", "step"), [(90_000, 0.0), (48_000, VOICE_STEP)])
def test_without_a_report_the_promptest_of_the_first_packets_tells(
    rate: int, step: float, late: float
) -> None:
    """The first one waited while its sender was busy with all that begins with it."""
    timeline = TrackTimeline(rate, step)
    announced = []
    for number in range(100):
        at = number * 0.02
        delay = late if number < 3 else 0.03 * (number % 2)
        anchor = timeline.receive_packet(7 + round(at * rate), NOW + at + delay)
        if anchor is not None:
            announced.append(anchor)
    assert announced[0].wall == pytest.approx(NOW + late, abs=1e-4)
    assert len(announced) == (2 if late else 1)
    assert announced[-1].since == (7 if late else None)
    assert timeline.wall(7) == pytest.approx(NOW, abs=1e-4)
    recorded = announced[-1].wall - (announced[-1].rtp_timestamp - 7) / rate
    assert recorded == pytest.approx(NOW, abs=step / 2 + 1e-4)


def test_packets_that_came_too_long_ago_are_not_timed_anew() -> None:
    timeline = TrackTimeline(90_000)
    timeline.receive_packet(0, NOW)
    timeline.receive_packet(9_000, NOW + 0.05)
    assert timeline.receive_packet(180_000, NOW + 2.0) is None
    assert timeline.wall(0) == pytest.approx(NOW, abs=1e-4)


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
    assert loud is not None
    assert loud == timeline.anchor
    assert loud.wall == pytest.approx(timeline.latest.wall, abs=1 / 48_000)
    assert loud.since == 1, "what came before keeps its time, even if it comes late"


def test_an_announced_time_is_a_whole_tick() -> None:
    timeline, clock = TrackTimeline(48_000), PublisherClock()
    first = timeline.receive_packet(7, NOW + 0.123456789)
    second = timeline.receive_report(48_007, NOW + 1.2, clock, NOW + 1.2)
    for anchor in (first, second):
        assert anchor is not None
        assert anchor.wall * 48_000 == pytest.approx(round(anchor.wall * 48_000), abs=0.05)


def test_recorded_voice_moves_by_whole_packets_alone() -> None:
    """A sound card that is wrong by 100 ppm, reports that jitter by 4 ms."""
    timeline, clock = TrackTimeline(48_000, VOICE_STEP), PublisherClock()
    lines: list[int] = []
    for second in range(1_000):
        true = NOW + second
        stamp = round(second * 48_000 * 1.0001)
        announced = [timeline.receive_packet(stamp, true)]
        jitter = 0.004 * (second % 3 - 1)
        report = stamp + round(jitter * 48_000)
        announced.append(timeline.receive_report(report, true, clock, true))
        for anchor in announced:
            if anchor is not None:
                lines.append(round((anchor.wall - NOW) * 48_000) - anchor.rtp_timestamp)
        assert timeline.anchor is not None
        recorded = timeline.anchor.wall + (stamp - timeline.anchor.rtp_timestamp) / 48_000
        assert abs(recorded - true) < 0.025
        assert timeline.wall(stamp) == pytest.approx(true, abs=0.012)
    moves = [b - a for a, b in pairwise(lines)]
    assert set(moves) <= {0, -960}
    assert sum(moves) == -4 * 960 or sum(moves) == -5 * 960


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
