"""A room joins in the middle of a lesson: a picture at once, then live, at no cost to anyone.

Here: joins from the cached group of pictures. Not here: changing layers, coming back after an
outage.
"""

from __future__ import annotations

import pytest

from tests.fakes.lesson_publisher import LayerPlan
from tests.fakes.lesson_wire import START, Lesson, Link
from tests.scenarios.story import (
    CODECS,
    STARTS,
    FixedEstimate,
    FixedHold,
    camera,
    continuous,
    flawless,
    guard,
    hold,
    rid_of,
    single,
    voice,
)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", STARTS)
def test_a_room_sees_the_first_picture_at_once_and_then_all_of_them(codec: str, start: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec), voice(), start=start)
    lesson.advance(5.31)
    room = lesson.open_room("room")
    joined = lesson.now
    lesson.advance(4.0)
    lesson.settle()
    flawless(room, "camera", "voice")
    shown = room.shown("camera")
    assert shown[0].key
    assert shown[0].arrived - joined < 0.05
    # Then live: after at most one turn of the temporal layers every frame is there.
    streams = {one.tag.stream for one in shown}
    assert len(streams) == 1
    (stream,) = streams
    live = [one.tag.frame for one in shown if one.tag.captured > joined + 0.6]
    sent = next(one.frames for one in teacher.outlets if one.ssrc == stream)
    assert live == [frame for frame, when in sent if when > joined + 0.6]
    # The teacher's keyframes: the first one, and the one of the beat.
    assert [one.keyframes for one in teacher.of("camera")] == [2, 2, 2]


@pytest.mark.parametrize("rooms", [1, 200])
def test_no_join_costs_the_teacher_a_keyframe(rooms: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(), voice())
    lesson.advance(3.0)
    names = [f"room-{number}" for number in range(rooms)]
    for name in names:
        lesson.open_room(name)
        lesson.advance(0.6 / rooms)
    lesson.advance(0.4)
    assert teacher.requests == []
    lesson.settle()
    for name in names:
        flawless(lesson.rooms[name], "camera", "voice")
        assert lesson.rooms[name].shown("camera")[0].key


def test_a_burst_shows_the_present_not_the_past() -> None:
    lesson = Lesson()
    lesson.publish(camera())
    lesson.advance(6.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    shown = room.shown("camera")
    burst = [one for one in shown if one.tag.captured < START + 6.0]
    assert len(burst) > 20
    # Six seconds of lesson, squeezed into the time it takes to decode them.
    squeezed = (burst[-1].timestamp - burst[0].timestamp & 0xFFFFFFFF) / 90_000
    assert squeezed < 0.05
    live = [one for one in shown if one.tag.captured >= START + 6.0]
    continuous(live, START + 6.1, START + 6.9, 0.5)


def test_a_room_on_a_thin_link_gets_the_smallest_picture_first() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(5.0)
    room = lesson.open_room("room", bitrate=130_000.0)
    lesson.advance(1.0)
    first = room.shown("camera")[0]
    assert lesson.publisher is not None
    assert first.tag.stream == lesson.publisher.outlet("camera", "q").ssrc


def test_a_join_while_the_keyframe_is_coming_in_waits_for_no_beat() -> None:
    lesson = Lesson()
    lesson.publish(single())
    # The first keyframe has six packets; only half of them are here when the room joins.
    taken: list[bytes] = []

    def late(data: bytes) -> bool:
        taken.append(data)
        return 3 <= len(taken) <= 6

    lesson.teacher_up.drop = late
    lesson.advance(0.011)
    lesson.teacher_up.drop = None
    assert lesson.router.publisher is not None
    room = lesson.open_room("room")
    lesson.advance(1.0)
    lesson.settle()
    flawless(room, "camera")
    continuous(room.shown("camera"), START + 0.3, START + 0.9, 0.3)


def test_a_room_that_waits_before_the_lesson_sees_it_begin() -> None:
    lesson = Lesson()
    room = lesson.open_room("room")
    lesson.advance(3.0)
    teacher = lesson.publish(camera(), voice())
    lesson.advance(2.0)
    assert teacher.requests == []
    lesson.settle()
    flawless(room, "camera", "voice")
    continuous(room.shown("camera"), START + 3.0, START + 4.9, 0.6)
    assert room.shown("voice")[0].tag.captured < START + 3.2


@pytest.mark.parametrize("codec", CODECS)
def test_a_source_with_one_encoding_is_asked_once_when_nothing_is_cached(codec: str) -> None:
    """Its own keyframe was an hour ago and the cache has let go of it."""
    lesson = Lesson()
    plan = single(codec=codec)
    plan.layers = (plan.layers[0].__class__("", 40, 1100),)
    teacher = lesson.publish(plan)
    lesson.advance(6.0)  # 44 kB a frame: the group outgrew its bound
    assert teacher.requests == []
    rooms = [lesson.open_room(f"room-{number}") for number in range(5)]
    lesson.advance(1.0)
    assert len(teacher.requests) == 1
    lesson.settle()
    for room in rooms:
        flawless(room, "camera")
        continuous(room.shown("camera"), START + 6.2, START + 6.9, 0.3)


def test_a_burst_that_would_clog_the_link_is_left_out() -> None:
    """Down to a smaller layer late in the group: the beat brings it, not seconds of old frames."""
    lesson = Lesson()
    plan = camera()
    plan.layers = tuple(
        one.__class__(one.rid, packets, size)
        for one, packets, size in zip(plan.layers, (1, 2, 6), (600, 900, 1100), strict=True)
    )
    lesson.publish(plan, voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(6.0)
    hold(lesson, room, "q")
    lesson.advance(0.9)
    assert room.viewer is not None
    assert room.viewer.legs["camera"].spans[-1].burst is None


def test_what_waits_for_newcomers_is_held_once() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(6.0)
    waiting = []
    for name in ("one", "two"):
        room = lesson.open_room(name, down=Link(rate=200_000.0), bitrate=60_000)
        assert room.viewer is not None
        waiting.append(
            [item.data for queue in room.viewer.pace._pacer._queues for _, item in queue]
        )
    assert len(waiting[0]) > 20
    assert all(mine is theirs for mine, theirs in zip(*waiting, strict=True))
    lesson.advance(10.0)
    flawless(lesson.rooms["one"], "camera", "voice")
    flawless(lesson.rooms["two"], "camera", "voice")


def test_the_pictures_that_a_room_began_with_are_not_kept_for_it_for_ever() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(6.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    span = next(one for one in leg.spans if one.burst is not None)
    assert span.burst
    assert leg.find(span.first & 0xFFFF) is span.burst[0]
    lesson.advance(12.0)
    assert span in leg.spans
    assert not span.burst
    assert leg.find(span.first & 0xFFFF) is None
    flawless(room, "camera", "voice")


def test_a_browser_that_plays_late_and_asks_meanwhile_is_not_sent_it_all_again() -> None:
    """Five times a second it asks for a keyframe, until it has shown the one that it has."""
    lesson = Lesson(beat=1_000.0)
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    guard(lesson, room, playout=650)
    lesson.advance(0.2)
    for _ in range(2):
        room.ask_picture("camera")
        lesson.advance(0.2)
    assert [one.key for one in room.shown("camera")].count(True) == 1
    # Later it has lost its picture for once.
    lesson.advance(2.0)
    room.ask_picture("camera")
    lesson.advance(0.2)
    assert [one.key for one in room.shown("camera")].count(True) == 2


@pytest.mark.parametrize("rate", [3e6, 20e6])
def test_a_room_that_lost_its_picture_for_good_gets_one_of_a_source_without_beat(
    rate: float,
) -> None:
    """Its cached pictures are too many to catch up with by then, or more than are cached."""
    lesson = Lesson()
    teacher = lesson.publish(single("camera", layers=(LayerPlan("", 2, 3_000),)), voice())
    lesson.advance(1.0)
    room = lesson.open_room(
        "room", down=Link(delay=0.15, rate=rate, queue=1.0), up=Link(delay=0.15), bitrate=rate
    )
    lesson.advance(120.0)
    teacher.requests.clear()
    links = lesson.downlinks["room"], lesson.uplinks["room"]
    for link in links:
        link.up = False
    lesson.advance(4.5)  # longer than lost packets are kept for, shorter than it takes to be gone
    for link in links:
        link.up = True
    began = lesson.now
    for _ in range(3):
        lesson.advance(1.0)
        room.ask_picture("camera")
    lesson.advance(17.0)
    shown = {one.tag.frame for one in room.shown("camera") if one.tag.captured > began}
    assert len(shown) > 240
    assert len(teacher.requests) <= 20 / 8 + 1


def test_a_picture_that_is_under_way_is_not_sent_again() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(delay=0.15), up=Link(delay=0.15))
    lesson.advance(10.0)
    began = lesson.now
    teacher.request("camera")
    for _ in range(3):
        lesson.advance(0.08)
        room.ask_picture("camera")
    lesson.advance(1.0)
    assert [one.key for one in room.shown("camera") if one.arrived > began].count(True) == 1


def test_cached_pictures_are_not_begun_again_before_they_have_left() -> None:
    lesson = Lesson()
    lesson.publish(single("camera", layers=(LayerPlan("", 2, 300),)), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", bitrate=300e3)
    assert room.viewer is not None
    room.viewer.bandwidth, room.viewer.hold = FixedEstimate(lesson.now, 250e3), FixedHold()
    lesson.advance(5.0)
    began = lesson.now
    for _ in range(5):
        room.ask_picture("camera")
        lesson.advance(0.25)
    # They took 1.3 s to leave.
    keys = [one.arrived - began for one in room.shown("camera") if one.key and one.arrived > began]
    assert len(keys) == 1


def test_a_picture_that_is_lost_while_a_larger_one_is_waited_for_is_mended_as_it_was() -> None:
    lesson = Lesson(beat=8.0)
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    hold(lesson, room, "q")
    lesson.advance(7.0)
    hold(lesson, room, "f")
    lesson.advance(1.2)
    asked = lesson.now
    room.ask_picture("camera")
    lesson.advance(0.8)
    mended = [one for one in room.shown("camera") if one.arrived > asked]
    assert any(one.key for one in mended)
    assert {rid_of(lesson, one.tag.stream) for one in mended} == {"q"}
    lesson.advance(8.0)
    assert rid_of(lesson, room.shown("camera")[-1].tag.stream) == "f"
    flawless(room, "camera", "voice")


@pytest.mark.parametrize(("loss", "delay"), [(0.05, 0.3), (0.1, 0.4)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_newcomer_waits_not_for_ever_where_something_is_always_missing(
    loss: float, delay: float, seed: int
) -> None:
    lesson = Lesson(seed)
    lesson.teacher_up = lesson.teacher_down = Link(loss=loss, delay=delay)
    # One encoding, of which no beat brings keyframes.
    teacher = lesson.publish(voice(), single())
    lesson.advance(20.0)
    teacher.requests.clear()
    room = lesson.open_room("late")
    joined = lesson.now
    assert room.viewer is not None
    while room.viewer.legs["camera"].group is None:
        lesson.advance(0.1)
        assert lesson.now - joined < 8.0
    assert len(teacher.requests) <= 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_room_that_lost_its_picture_gets_one_where_something_is_always_missing(
    seed: int,
) -> None:
    lesson = Lesson(seed)
    teacher = lesson.publish(voice(), single())
    room = lesson.open_room("room")
    lesson.advance(3.0)
    lesson.teacher_up = lesson.teacher_down = Link(loss=0.15, delay=0.4)
    lesson.advance(12.0)
    teacher.requests.clear()
    before = teacher.outlets[1].keyframes
    for _ in range(16):
        room.ask_picture("camera")
        lesson.advance(0.5)
    assert teacher.outlets[1].keyframes > before
    assert len(teacher.requests) <= 3
