"""The rung that a room is told is what it receives, and it does not leave it in haste.

Here: what a rung names while pictures are waited for, and what follows from a link that pushed back
for a moment. Not here: real estimates over links with a rate (test_allocation).
"""

from __future__ import annotations

import pytest

from relay.sfu import rungs
from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import Lesson
from tests.scenarios.story import VOICE_RATE, FixedEstimate, FixedHold, camera, hold, voice


def rung_of(room: FakeViewer) -> tuple[str, float]:
    assert room.viewer is not None
    assert room.viewer.rung is not None
    return room.viewer.rung.rung, room.viewer.rung.stills_bitrate


def test_until_the_first_picture_flows_the_rung_is_stills() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    hold(lesson, room, "f")
    assert room.viewer is not None
    room.viewer.legs["camera"].leave()
    room.viewer.legs["camera"].burst_layer = None
    lesson.router._selection.allocate(room.viewer, lesson.router._layers(), lesson.now)
    assert rung_of(room)[0] == rungs.STILLS
    lesson.advance(10.0)
    assert rung_of(room) == (rungs.FULL, 0.0)


def test_a_room_on_its_way_up_is_told_what_it_sees() -> None:
    lesson = Lesson(beat=8.0)
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    hold(lesson, room, "q")
    lesson.advance(9.0)
    assert rung_of(room)[0] == rungs.SMALL
    hold(lesson, room, "f")
    lesson.advance(1.2)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    assert leg.target is not None
    assert leg.target.rid == "f"
    assert rung_of(room)[0] == rungs.SMALL
    lesson.advance(9.0)
    assert rung_of(room)[0] == rungs.FULL


@pytest.mark.parametrize(("left", "stays"), [(0.85, True), (0.5, False)])
def test_the_first_guess_after_a_push_back_is_not_believed_at_once(
    left: float, stays: bool
) -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    assert room.viewer is not None
    hold(lesson, room, "f")
    lesson.advance(10.0)
    layer = room.viewer.legs["camera"].target
    assert layer is not None
    takes = layer.rate.rate(7, lesson.now)
    guess = FixedEstimate(lesson.now, takes * left + VOICE_RATE)
    guess.congested_at = lesson.now
    room.viewer.bandwidth, room.viewer.hold = guess, FixedHold()
    lesson.advance(0.6)
    assert (room.viewer.legs["camera"].target is layer) is stays
    # A better guess came, or else it is time to believe.
    room.viewer.bandwidth = FixedEstimate(lesson.now, takes * left + VOICE_RATE)
    lesson.advance(3.0)
    assert room.viewer.legs["camera"].target is not layer


def test_what_the_teachers_browser_repeats_is_not_set_aside_for_a_room() -> None:
    def allotted(sent_as_red: bool) -> float:
        lesson = Lesson()
        lesson.publish(voice(red=sent_as_red))
        lesson.advance(5.0)
        room = lesson.open_room("room")
        lesson.advance(3.0)
        assert room.viewer is not None
        return room.viewer.allotted

    assert allotted(True) == pytest.approx(allotted(False), rel=0.02)
