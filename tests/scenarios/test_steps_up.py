"""When a room steps up, and what keeps it from it.

Here: steps for given estimates. Not here: what links take (test_allocation), what a room is told
meanwhile (test_rung_of_a_room).
"""

from __future__ import annotations

import pytest

from relay.sfu.allocation import FIRST_HOLD, MARGIN_AGAIN, HoldOff, Option, margin
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


def offered(lesson: Lesson, source: str) -> list[Option]:
    """What the source has to offer just now, the least first."""
    router = lesson.router
    return router._selection._offerings.current(router._layers(), lesson.now)[source].options


def on_the_smallest(lesson: Lesson, pictures: float = 15.0) -> FakeViewer:
    """A room that is there since before the second beat. pictures: a second."""
    lesson.publish(camera(rate=pictures), voice())
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
    largest = offered(lesson, "camera")[-1].bitrate
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


def test_moving_pictures_begin_only_where_they_will_last() -> None:
    """A room flickers between them and still ones otherwise."""
    lesson = Lesson(beat=BEAT)
    room = on_the_smallest(lesson)
    viewer = room.viewer
    assert viewer is not None
    spoken, least = (offered(lesson, source)[0].bitrate for source in ("voice", "camera"))
    for times, moves in ((0.5, False), (1.05, False), (1.5, True), (1.05, True), (0.5, False)):
        viewer.bandwidth = FixedEstimate(lesson.now, spoken + times * least)
        lesson.advance(3.0 * BEAT)
        assert (on(room) == "q") is moves, times


@pytest.mark.parametrize(("loses", "stays"), [(0.0, False), (0.05, True), (0.3, True)])
def test_less_is_ventured_on_a_link_that_loses_much(loses: float, stays: bool) -> None:
    """What makes up for the loss comes on top, and is not all known yet."""
    lesson = Lesson(beat=BEAT)
    room = on_the_smallest(lesson, pictures=45.0)
    viewer = room.viewer
    assert viewer is not None
    largest = offered(lesson, "camera")[-1].bitrate
    takes = margin(largest) * largest
    estimate = FixedEstimate(lesson.now, 10 * takes)
    estimate._losses.own = loses
    viewer.bandwidth = estimate
    viewer.started = 0.0
    for passed, ventures in ((0.85, not stays), (1.02, True)):
        estimate._delivery.proven = passed * (takes + VOICE_RATE)
        lesson.advance(1.2)
        assert viewer.is_unproven(lesson.now)
        assert (wanted(room) == "f") is ventures


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
