"""Padding that asks a link for more: as much as was asked for, and never bolder than what passed.

Here: rates of padding for a given estimate. Not here: when an estimate wants any
(tests/relay/test_bandwidth), what links answer (test_congestion).
"""

from __future__ import annotations

import pytest

from relay.media.bandwidth import BandwidthEstimate
from tests.fakes.lesson_wire import Lesson
from tests.scenarios.story import FixedEstimate, FixedHold, camera, voice


class Asking(FixedEstimate):
    """Always asks for a quarter on top. passed: bit/s that were seen to pass.

    failed: the link pushed back once; nothing leaves faster than the estimate then.
    """

    def __init__(self, now: float, bitrate: float, passed: float, *, failed: bool = False) -> None:
        super().__init__(now, bitrate)
        self.pace = bitrate if failed else 10 * bitrate
        self.congested_at = now if failed else self.congested_at
        self._delivery.proven = passed

    def probe(self, now: float) -> float:
        return self.bitrate / 4


class Counting(Asking):
    """Counts how often it is asked whether a probe is due."""

    asked = 0

    def probe(self, now: float) -> float:
        self.asked += 1
        return super().probe(now)


@pytest.mark.parametrize(
    ("bitrate", "passed", "is_bold", "failed"),
    [
        # A quarter on top, and what the estimate grants and nothing uses.
        (160_000.0, 400_000.0, False, False),
        (160_000.0, 400_000.0, False, True),
        # The estimate ran far ahead of what passed.
        (200_000.0, 100_000.0, True, False),
    ],
)
def test_padding_fills_what_was_asked_for_and_no_more(
    bitrate: float, passed: float, is_bold: bool, failed: bool
) -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room", bitrate=bitrate)
    viewer = room.viewer
    assert viewer is not None
    viewer.bandwidth = Asking(lesson.now, bitrate, passed, failed=failed)
    viewer.hold = FixedHold()
    lesson.advance(20.0)
    assert viewer.has_transport_feedback
    # 255 bytes of padding with all headers and the authentication tag; what waits is not sent.
    before = viewer.padded * 319 - viewer.pace._pacer.backlog
    lesson.advance(10.0)
    padding = (viewer.padded * 319 - viewer.pace._pacer.backlog - before) * 8 / 10.0
    most = 1.5 * max(viewer.allotted, passed) if is_bold else 1.25 * bitrate
    assert viewer.allotted + padding == pytest.approx(most, rel=0.03)


def test_a_start_sends_pictures_no_faster_than_what_passed_allows() -> None:
    estimate = BandwidthEstimate(0.0, 60_000.0)
    assert estimate.start_pace == pytest.approx(60_000.0)
    estimate._set(400_000.0)
    estimate._delivery.proven = 120_000.0
    assert estimate.start_pace == pytest.approx(180_000.0)
    estimate._delivery.proven = 400_000.0
    assert 400_000.0 < estimate.start_pace <= 600_000.0
    assert BandwidthEstimate(0.0, 800_000.0).start_pace == pytest.approx(800_000.0)


def test_no_round_begins_while_a_large_picture_is_under_way() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room", bitrate=160_000.0)
    viewer = room.viewer
    assert viewer is not None
    estimate = Counting(lesson.now, 160_000.0, 400_000.0)
    viewer.bandwidth, viewer.hold = estimate, FixedHold()
    lesson.advance(1.0)
    viewer.pace.busy_at = lesson.now
    asked = estimate.asked
    lesson.advance(0.7)
    assert estimate.asked == asked
    lesson.advance(1.0)
    assert estimate.asked > asked
