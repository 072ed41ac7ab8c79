"""The teacher comes back, changes something, or shares the screen; rooms notice a short pause.

Here: new streams in place of old ones. Not here: loss (test_loss), rooms that come back.
"""

from __future__ import annotations

import pytest

from tests.fakes.lesson_publisher import LayerPlan
from tests.fakes.lesson_viewer import Offer
from tests.fakes.lesson_wire import START, Lesson
from tests.scenarios.story import (
    CODECS,
    STARTS,
    camera,
    continuous,
    flawless,
    hold,
    single,
    voice,
)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", STARTS)
def test_a_page_that_was_reloaded(codec: str, start: int) -> None:
    """New SSRCs, numbers, timestamps and clock: for the room one unbroken stream."""
    lesson = Lesson()
    lesson.publish(camera(codec, rate=10.0), voice(), start=start)
    lesson.advance(2.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    lesson.unpublish()
    lesson.advance(1.5)
    again = lesson.publish(
        camera(codec, rate=10.0), voice(), start=9999 - start, timestamp=5, clock_offset=-400.0
    )
    lesson.advance(2.0)
    assert again.requests == []
    lesson.settle()
    flawless(room, "camera", "voice")
    late = [one for one in room.shown("camera") if one.tag.captured > START + 4.4]
    assert late[0].key
    assert late[0].arrived < START + 4.5 + 0.15
    continuous(late, START + 4.5, START + 6.4, 0.8)


@pytest.mark.parametrize("before", CODECS)
@pytest.mark.parametrize("after", CODECS)
def test_another_codec_and_another_size(before: str, after: str) -> None:
    lesson = Lesson()
    lesson.publish(camera(before), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    lesson.publish(single(codec=after), voice())
    lesson.advance(2.0)
    lesson.settle()
    flawless(room, "camera", "voice")
    continuous(room.shown("camera"), START + 1.2, START + 4.9, 0.6)


def test_a_codec_that_changes_in_mid_stream() -> None:
    """A browser may do so by itself (setParameters): same SSRC, other payload type."""
    lesson = Lesson()
    plan = single(codec="vp8")
    teacher = lesson.publish(plan)
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    outlet = teacher.outlet("camera")
    assert outlet.encoder is not None
    plan.codec = outlet.encoder.codec = "h264"
    outlet.key_wanted = True
    lesson.advance(2.0)
    lesson.settle()
    flawless(room, "camera")
    continuous(room.shown("camera"), START + 1.2, START + 3.9, 0.5)
    assert sorted(codec for _, _, codec in lesson.feed.tracks.values()) == ["h264", "vp8"]


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_replaced_under_a_new_ssrc(codec: str) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    for outlet in teacher.outlets:
        outlet.ssrc += 5000
        outlet.rtx_ssrc += 5000
        outlet.sequence = 40_000
        assert outlet.encoder is not None
        outlet.encoder.stream += 5000
        outlet.key_wanted = True
    lesson.advance(2.0)
    lesson.settle()
    flawless(room, "camera")
    continuous(room.shown("camera"), START + 1.2, START + 3.9, 0.5)


def test_two_streams_of_one_encoding_do_not_replace_each_other_for_ever() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single())
    outlet = teacher.outlet("camera")
    for number in range(40):
        outlet.ssrc = 1001 + number % 2
        lesson.advance(0.1)
    assert len(lesson.feed.tracks) == 2


def test_many_restarts_use_nothing_up() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single(rate=30.0))
    room = lesson.open_room("room")
    for _ in range(100):
        outlet = teacher.outlet("camera")
        outlet.ssrc += 1000
        outlet.rtx_ssrc += 1000
        outlet.key_wanted = True
        assert outlet.encoder is not None
        outlet.encoder.stream += 1000
        lesson.teacher_up.loss = 0.1
        lesson.advance(0.3)
    lesson.teacher_up.loss = 0.0
    since = lesson.now
    outlet.key_wanted = True
    lesson.advance(1.0)
    continuous(room.shown("camera"), since + 0.1, since + 0.9, 0.3)


@pytest.mark.parametrize("codec", CODECS)
def test_the_teachers_network_pauses(codec: str) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    hold(lesson, room, "h")
    lesson.advance(9.0)
    lesson.teacher_up.up = lesson.teacher_down.up = False
    lesson.advance(10.0)
    lesson.teacher_up.up = lesson.teacher_down.up = True
    back = lesson.now
    lesson.advance(4.0)
    asked = {round((time - START) % 8.0, 1) for time, _ in teacher.requests}
    assert len(asked) <= 2  # the beat, and once because of the pause
    lesson.settle()
    audit = room.audit("camera")
    assert not [
        one
        for one in audit.faults
        if "cut" not in one and "leans" not in one and "refers" not in one
    ]
    continuous(audit.shown, back + 1.5, back + 3.9, 0.6)
    spoken = [one for one in room.shown("voice") if one.tag.captured > back]
    assert spoken[0].tag.captured < back + 0.1
    assert not room.audit("voice").faults


@pytest.mark.parametrize("minutes", [1, 6, 11])
def test_a_pause_in_which_the_numbers_went_half_round(minutes: int) -> None:
    """The teacher's page kept sending; 32,768 packets later old and new look alike."""
    lesson = Lesson()
    plan = single()
    teacher = lesson.publish(plan, voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    outlets = teacher.outlets
    lesson.teacher_up.up = False
    lesson.advance(3.0)
    for outlet in outlets:
        outlet.sequence = (outlet.sequence + minutes * 60 * 100) & 0xFFFF
    lesson.teacher_up.up = True
    back = lesson.now
    lesson.advance(5.0)
    lesson.settle()
    for slot in ("camera", "voice"):
        late = [one for one in room.shown(slot) if one.tag.captured > back + 1.5]
        continuous(late, back + 1.5, back + 4.9, 0.3)
    faults = room.audit("camera").faults
    assert not [one for one in faults if "cut" not in one and "never shown" not in one]
    assert len(room.audit("voice").missing) < 700  # what 11 minutes look like: 464, and 3 s


def test_a_source_that_falls_silent_and_speaks_again_costs_nothing() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    alone = lesson.fan_out.alone
    for outlet in teacher.outlets:
        outlet.sending = False
    lesson.advance(4.0)
    for outlet in teacher.outlets:
        outlet.sending = True
    back = lesson.now
    lesson.advance(0.9)
    assert lesson.fan_out.alone == alone
    assert teacher.requests == []
    lesson.settle()
    flawless(room, "camera", "voice")
    continuous(room.shown("camera"), back + 0.1, back + 0.8, 0.3)


def test_a_layer_that_its_encoder_pauses_is_left_for_another() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    teacher.outlet("camera", "f").sending = False
    lesson.advance(4.5)
    assert all(time > START + 7.9 for time, _ in teacher.requests)
    lesson.settle()
    flawless(room, "camera")
    # 2.5 s until a silent layer counts as paused, then the next one at once from its cache.
    shown = [one for one in room.shown("camera") if one.arrived > START + 5.8]
    continuous(shown, START + 6.2, START + 7.4, 0.6)


# Screen sharing

STOCK = Offer(slots=("voice", "programme"))


@pytest.mark.parametrize("codec", CODECS)
def test_a_screen_begins_and_ends_beside_the_camera(codec: str) -> None:
    lesson = Lesson()
    screen = single("screen", codec, rate=5.0)
    teacher = lesson.publish(camera(codec), screen, voice())
    shared = teacher.outlet("screen")
    shared.sending = False
    lesson.advance(1.0)
    room = lesson.open_room("room")
    for _ in range(2):
        lesson.advance(2.0)
        shared.sending, shared.key_wanted = True, True
        lesson.advance(4.0)
        shared.sending = False
    lesson.advance(1.0)
    lesson.settle()
    flawless(room, "camera", "screen", "voice")
    screens = room.shown("screen")
    began = [one for one in screens if one.key]
    assert [one.arrived - one.tag.captured < 0.15 for one in began] == [True, True]
    assert len(screens) >= 2 * 20 - 8  # the first turn of the temporal layers is thinned out
    continuous(room.shown("camera"), START + 1.2, START + 13.9, 0.6)
    assert {ssrc for _, ssrc in teacher.requests}.isdisjoint({shared.ssrc})


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("simulcast", [False, True])
def test_one_video_shows_the_camera_then_the_screen_then_the_camera(
    codec: str, simulcast: bool
) -> None:
    lesson = Lesson()
    screen = single("screen", codec, rate=5.0)
    if simulcast:
        screen.layers = (LayerPlan("h", 1, 500), LayerPlan("f", 2, 900))
    teacher = lesson.publish(camera(codec), screen, voice())
    for shared in teacher.of("screen"):
        shared.sending = False
    lesson.advance(1.0)
    room = lesson.open_room("room", STOCK)
    lesson.advance(2.0)
    for shared in teacher.of("screen"):
        shared.sending = shared.key_wanted = True
    lesson.advance(4.0)
    for shared in teacher.of("screen"):
        shared.sending = False
    lesson.advance(6.0)
    lesson.settle()
    flawless(room, "programme", "voice")
    shown = room.shown("programme")
    screens = {one.ssrc for one in teacher.of("screen")}
    what = [one.tag.stream in screens for one in shown]
    first, last = what.index(True), len(what) - 1 - what[::-1].index(True)
    assert all(what[first : last + 1])
    assert shown[first].arrived < START + 3.0 + 0.3
    assert shown[last + 1].arrived < START + 7.0 + 3.2
    continuous(shown[:first], START + 1.2, START + 2.9, 0.6)
    continuous(shown[last + 1 :], START + 10.2, START + 12.9, 0.6)
