"""The beat: keyframes of all layers together, on time for hours, whoever publishes.

Here: when the teacher is asked for keyframes though nothing was lost. Not here: losses.
"""

from __future__ import annotations

import pytest

from tests.fakes.lesson_publisher import LayerPlan, SourcePlan
from tests.fakes.lesson_wire import START, Lesson
from tests.scenarios.story import camera, single, voice


def beats(requests: list[tuple[float, int]]) -> list[float]:
    return sorted({round(time - START, 2) for time, _ in requests})


def test_all_layers_are_asked_together_every_eight_seconds() -> None:
    lesson = Lesson()
    screen = single("screen", rate=5.0)
    screen.layers = (LayerPlan("h", 1, 300), LayerPlan("f", 1, 600))
    teacher = lesson.publish(camera(rate=5.0), screen, voice(rate=5.0))
    lesson.advance(81.0)
    assert beats(teacher.requests) == [pytest.approx(8 * n + 0.02, abs=0.02) for n in range(1, 11)]
    assert len(teacher.requests) == 5 * 10
    # In one datagram, so that the encoders make them in one go.
    by_time: dict[float, set[int]] = {}
    for time, ssrc in teacher.requests:
        by_time.setdefault(time, set()).add(ssrc)
    video = {one.ssrc for one in teacher.outlets if one.plan.source != "voice"}
    assert all(asked == video for asked in by_time.values())


def test_a_source_with_one_encoding_keeps_its_own_rhythm() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single(), voice())
    lesson.open_room("room")
    lesson.advance(40.0)
    assert teacher.requests == []


def test_a_layer_that_is_not_sent_is_not_asked() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(), voice())
    lesson.advance(1.0)
    teacher.outlet("camera", "f").sending = False
    lesson.advance(8.0)
    assert {ssrc for _, ssrc in teacher.requests} == {1001, 1011}


@pytest.mark.parametrize("source", [camera(), single()], ids=["simulcast", "single"])
def test_a_camera_that_was_off_is_asked_as_soon_as_it_is_back(source: SourcePlan) -> None:
    lesson = Lesson()
    teacher = lesson.publish(source, voice())
    lesson.advance(1.0)
    for off in (3.0, 10.0):
        for outlet in teacher.of("camera"):
            outlet.sending = False
        lesson.advance(off)
        teacher.requests.clear()
        for outlet in teacher.of("camera"):
            outlet.sending = True
        lesson.advance(0.5)
        asked = {ssrc for _, ssrc in teacher.requests}
        assert asked == ({one.ssrc for one in teacher.of("camera")} if off > 8 else set())


def test_beats_go_on_across_a_restart_of_the_teacher() -> None:
    lesson = Lesson()
    lesson.publish(camera(rate=5.0))
    lesson.advance(19.3)
    lesson.unpublish()
    lesson.advance(9.1)
    again = lesson.publish(camera(rate=5.0))
    lesson.advance(20.0)
    assert beats(again.requests) == [pytest.approx(n + 0.02, abs=0.02) for n in (32, 40, 48)]


def test_no_beat_is_asked_twice_or_left_out_in_a_day() -> None:
    """Unix time in a float steps by a quarter microsecond: sums of beats must not drift."""
    lesson = Lesson(beat=7.3)
    teacher = lesson.publish(camera(rate=0.5, layers=(LayerPlan("q", 1, 80),)), reports=False)
    lesson.feed.keep = False
    lesson.advance(7_300.0)
    times = [time - START for time, _ in teacher.requests]
    assert len(times) == 999 or len(times) == 1000
    assert all(abs(time - 7.3 * n) < 0.05 for n, time in enumerate(times, 1))


def test_a_publisher_that_takes_no_requests_is_sent_none() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(pli=False))
    room = lesson.open_room("room")
    lesson.teacher_up.loss = 0.05
    for _ in range(20):
        lesson.advance(0.5)
        room.ask_picture("camera")
    assert teacher.requests == []
