"""When a room steps up, and what keeps it from it.

Here: steps for given estimates. Not here: what links take (test_allocation), what a room is told
meanwhile (test_rung_of_a_room).
"""

from __future__ import annotations

import pytest

from relay.sfu.allocation import FIRST_HOLD, MARGIN_AGAIN, HoldOff
from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import Lesson
from tests.scenarios.story import VOICE_RATE, FixedEstimate, camera, flawless, hold, voice

BEAT = 8.0


def on(room: FakeViewer) -> str | None:
    """The layer that flows to the room."""
    assert room.viewer is not None
    group = room.viewer.legs["camera"].group
    return None if group is None else group.layer.rid


def wanted(room: FakeViewer) -> str | None:
    assert room.viewer is not None
    target = room.viewer.legs["camera"].target
    return None if target is None else target.rid


def on_the_smallest(lesson: Lesson) -> FakeViewer:
    """A room that is there since before the second beat."""
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    hold(lesson, room, "q")
    lesson.advance(BEAT - 2.5)
    assert on(room) == "q"
    return room


def test_a_step_up_waits_for_the_beat() -> None:
    """From the cache it would show the past again."""
    lesson = Lesson(beat=BEAT)
    room = on_the_smallest(lesson)
    hold(lesson, room, "f")
    lesson.advance(3.0)
    assert wanted(room) == "f" != on(room)
    lesson.advance(BEAT)
    assert on(room) == "f"
    flawless(room, "camera", "voice")


@pytest.mark.parametrize(("spare", "blamed"), [(2.0, False), (1.05, True)])
def test_a_step_is_not_to_blame_for_padding_that_the_link_pushed_back(
    spare: float, blamed: bool
) -> None:
    lesson = Lesson(beat=BEAT)
    room = on_the_smallest(lesson)
    viewer = room.viewer
    assert viewer is not None
    viewer.hold = HoldOff()
    viewer.hold.stepped_up(lesson.now)
    pushed = FixedEstimate(lesson.now, spare * viewer.allotted)
    pushed.congested_at = lesson.now + 0.1
    lesson.advance(0.1)
    viewer.bandwidth = pushed
    lesson.advance(1.2)
    assert (viewer.hold.hold > FIRST_HOLD) is blamed


def test_a_step_that_failed_makes_the_next_one_wait() -> None:
    """The margin after a failed step is no way round the hold-off."""
    lesson = Lesson(beat=BEAT)
    room = on_the_smallest(lesson)
    viewer = room.viewer
    assert viewer is not None
    fits = lesson.router._selection._offerings.current(lesson.router._layers(), lesson.now)
    largest = fits["camera"].options[-1].bitrate
    known = FixedEstimate(lesson.now, MARGIN_AGAIN * 1.02 * largest + VOICE_RATE)
    known.congested_at = lesson.now
    viewer.bandwidth = known
    viewer.hold = HoldOff()
    viewer.hold.stepped_up(lesson.now)
    viewer.hold.congested(lesson.now)
    lesson.advance(viewer.hold.hold - 1.0)
    assert wanted(room) != "f"
    lesson.advance(3.0)
    assert wanted(room) == "f"


def test_a_step_that_waits_is_not_given_up_because_its_proof_fades() -> None:
    lesson = Lesson(beat=BEAT)
    room = on_the_smallest(lesson)
    viewer = room.viewer
    assert viewer is not None
    hold(lesson, room, "f")
    assert viewer.is_unproven(lesson.now)
    viewer.bandwidth._delivery.proven = 240_000.0
    viewer.started = 0.0
    lesson.advance(2.5)
    assert wanted(room) == "f" != on(room)
    viewer.bandwidth._delivery.proven *= 0.7
    lesson.advance(1.2)
    assert wanted(room) == "f"
