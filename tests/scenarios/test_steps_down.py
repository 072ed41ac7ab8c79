"""A link becomes narrow in the middle of a lesson: how long the room has no picture that moves.

Here: which pictures come, and how late. Not here: how soon the link is known (test_congestion).
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.fakes.lesson_publisher import SourcePlan
from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import BEAT, Lesson, Link
from tests.scenarios.story import camera, voice

# bit/s of frames of all temporal layers, about.
RATES = (62e3, 240e3, 900e3)
AWAY = 20.0


def weighty() -> SourcePlan:
    """A camera whose layers weigh what a browser's do."""
    plan = camera()
    frames = [rate / plan.rate / 8 for rate in RATES]
    counts = [max(1, round(frame / 1_000)) for frame in frames]
    plan.layers = tuple(
        one.__class__(one.rid, count, int(frame / count))
        for one, count, frame in zip(plan.layers, counts, frames, strict=True)
    )
    return plan


def fallen(phase: int, low: float, teacher: float = 0.01) -> tuple[FakeViewer, float]:
    """A room whose link fell so long after a beat, about, and came back; and when it fell.

    teacher: seconds of delay each way between the teacher and the relay.
    """
    down = Link(delay=0.05, jitter=0.003, rate=1e6, queue=0.6)
    lesson = Lesson(phase)
    lesson.teacher_up.delay = lesson.teacher_down.delay = teacher
    lesson.publish(weighty(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=down, bitrate=60e3)
    lesson.advance(30.3 + phase)
    assert room.viewer is not None
    assert room.viewer.rung is not None
    assert room.viewer.rung.rung != "small"
    at, down.rate = lesson.now, low
    lesson.advance(AWAY)
    down.rate = 1e6
    lesson.advance(3.0)
    return room, at


@pytest.mark.parametrize("phase", range(8))
def test_no_picture_stands_for_two_seconds(phase: int) -> None:
    room, at = fallen(phase, 200e3)
    times = [at, *(one.arrived for one in room.shown("camera") if at < one.arrived < at + AWAY)]
    assert max(after - before for before, after in pairwise(times)) < 2.0
    assert times[-1] > at + AWAY - 0.5


@pytest.mark.parametrize("phase", range(8))
def test_the_next_beat_makes_an_end_of_pictures_that_are_late(phase: int) -> None:
    """They were better than none, and are no better than those of now."""
    late_no_more(*fallen(phase, 175e3), 0.8)


@pytest.mark.parametrize("phase", range(3, 7))
def test_while_the_keyframe_is_on_its_way_nothing_old_is_begun(phase: int) -> None:
    late_no_more(*fallen(phase, 150e3, teacher=0.2), 1.2)


def late_no_more(room: FakeViewer, at: float, most: float) -> None:
    """Pictures from the second beat on are those of now. most: seconds, the way included."""
    shown = [one for one in room.shown("camera") if at + BEAT + 3.0 < one.arrived < at + AWAY]
    assert len(shown) > 50
    assert max(one.arrived - one.tag.captured for one in shown) < most
