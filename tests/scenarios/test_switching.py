"""Rooms change layers as their links allow: on the beat, without a break that a decoder notices.

Here: simulcast layers up and down, temporal layers, packets that arrive late around a change.
Not here: why a room changes (test_allocation).
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.media import rtp
from tests.fakes.lesson_wire import START, Lesson, Link
from tests.scenarios.story import (
    CODECS,
    STARTS,
    camera,
    continuous,
    flawless,
    hold,
    layers,
    rid_of,
    voice,
)

WITH_LAYERS = ("vp8", "vp9", "av1")


@pytest.mark.parametrize("codec", CODECS)
def test_up_and_down_on_the_beat(codec: str) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec), voice())
    lesson.advance(4.0)
    room = lesson.open_room("room")
    wanted = ("q", "h", "f", "h", "q", "f")
    for rid in wanted:
        hold(lesson, room, rid)
        lesson.advance(8.0)
    lesson.settle()
    flawless(room, "camera", "voice")
    shown = room.shown("camera")
    # A cache without temporal layers is too heavy to begin again from: down may wait for the beat.
    continuous(shown, START + 4.5, START + 51.5, 4.5 if codec == "h264" else 0.6)
    for index, rid in enumerate(wanted):
        # Half a beat after it was decided, and for the half beat that follows.
        since = START + 8.0 * (index + 1) + 0.5
        during = [one for one in shown if since < one.arrived < since + 3.0]
        assert {rid_of(lesson, one.tag.stream) for one in during} == {rid}
    # Nothing but the beat was asked for, and up it went on the beat alone.
    assert len(teacher.requests) == 3 * 6
    changes = [b for a, b in pairwise(shown) if a.tag.stream != b.tag.stream]
    assert all(one.key for one in changes)
    up = [one for one in changes if rid_of(lesson, one.tag.stream) == "f"]
    assert all(0 <= (one.tag.captured - START) % 8.0 < 0.5 for one in up[1:])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", STARTS)
def test_changes_from_every_corner_of_the_numbers(codec: str, start: int) -> None:
    lesson = Lesson(beat=2.0)
    lesson.publish(
        camera(codec, rate=10.0), start=start, timestamp=(0xFFFF0000 + start) & 0xFFFFFFFF
    )
    lesson.advance(1.0)
    room = lesson.open_room("room")
    for rid in ("q", "f", "h", "q", "f"):
        hold(lesson, room, rid)
        lesson.advance(2.5)
    lesson.settle()
    flawless(room, "camera")
    assert layers(room.shown("camera"), lesson)[-5:] == ["q", "f", "h", "q", "f"]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", range(3))
def test_packets_that_overtake_each_other_around_changes(codec: str, seed: int) -> None:
    lesson = Lesson(seed, beat=2.0)
    lesson.teacher_up = Link(delay=0.02, reorder=0.15, jitter=0.01, repeat=0.02)
    lesson.publish(camera(codec, rate=10.0), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    for rid in ("q", "f", "h", "q", "f", "h"):
        hold(lesson, room, rid)
        lesson.advance(2.5)
    lesson.settle()
    audit = room.audit("camera")
    assert audit.missing == []
    # The last frame of the layer that is left may be unfinished when the keyframe comes.
    assert not [one for one in audit.faults if "is cut" not in one]
    assert len(audit.faults) <= 6
    continuous(audit.shown, START + 2.0, START + 14.0, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_late_packet_is_for_those_only_who_were_there(seed: int) -> None:
    """One room stays in its group while another keeps joining it; the teacher's packets cross."""
    lesson = Lesson(seed)
    lesson.teacher_up = Link(delay=0.02, reorder=0.3)
    lesson.publish(camera("vp9"), voice())
    lesson.advance(1.0)
    staying, coming = lesson.open_room("staying"), lesson.open_room("coming")
    for _ in range(25):
        lesson.advance(0.3)
        lesson.router.pause_viewer("coming", lesson.now)
        lesson.router.resume_viewer("coming", lesson.now)
    lesson.advance(0.5)
    lesson.settle()
    flawless(staying, "camera", "voice")
    audit = coming.audit("camera")
    assert not [one for one in audit.faults if "is cut" not in one]
    assert not coming.audit("voice").faults


@pytest.mark.parametrize("codec", WITH_LAYERS)
def test_temporal_layers_are_dropped_and_come_back(codec: str) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.5)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    layer = leg.target
    assert layer is not None
    joining = lesson.router._joining
    hold(lesson, room, "f")
    room.viewer.next_allocation = 1e12
    counts = []
    for temporal in (0, 1, 7, 1, 0, 7):
        joining.want(leg, layer, temporal, lesson.now)
        lesson.advance(1.0)
        counts.append((lesson.now, temporal))
        lesson.advance(1.0)
    lesson.settle()
    flawless(room, "camera")
    shown = room.shown("camera")
    for since, temporal in counts:
        got = {one.tag.temporal for one in shown if since < one.tag.captured < since + 1.0}
        assert got == set(range(min(temporal, 2) + 1))
    assert all(time > START + 7.9 for time, _ in teacher.requests)


@pytest.mark.parametrize("codec", WITH_LAYERS)
def test_a_late_packet_of_a_dropped_layer_becomes_padding(codec: str) -> None:
    lesson = Lesson()
    lesson.publish(camera(codec))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    hold(lesson, room, "f")
    lesson.advance(2.0)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    assert leg.target is not None
    room.viewer.next_allocation = 1e12
    lesson.router._joining.want(leg, leg.target, 0, lesson.now)
    lesson.advance(1.0)
    room.asks_again = False
    lesson.teacher_up = Link(delay=0.02, reorder=0.3)
    lesson.advance(2.0)
    lesson.teacher_up = Link(delay=0.02)
    lesson.advance(0.5)
    lesson.settle()
    audit = room.audit("camera")
    assert audit.missing == []
    assert audit.padding > 0
    # Only picture ids of VP8 may show that something was there.
    assert not [one for one in audit.faults if "picture id" not in one]
    assert room.streams["camera"].nack.missing == 0


def test_the_lost_padding_of_a_dropped_packet_is_sent_again() -> None:
    lesson = Lesson()
    lesson.publish(camera("vp9"))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    hold(lesson, room, "f")
    lesson.advance(2.0)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    assert leg.target is not None
    room.viewer.next_allocation = 1e12
    lesson.router._joining.want(leg, leg.target, 0, lesson.now)
    lesson.advance(1.0)
    lesson.teacher_up = Link(delay=0.02, reorder=0.3)

    def empty(data: bytes) -> bool:
        header = None if rtp.is_rtcp(data) else rtp.parse(data)
        if header is None or header.payload_end > header.payload_offset:
            return False
        lost.append(header.sequence_number)
        return lost.count(header.sequence_number) == 1

    lost: list[int] = []
    lesson.downlinks["room"].drop = empty
    lesson.advance(2.0)
    lesson.teacher_up = Link(delay=0.02)
    lesson.advance(0.5)
    lesson.settle()
    assert lost
    flawless(room, "camera")


def test_going_down_sheds_the_upper_layers_until_the_beat() -> None:
    lesson = Lesson()
    lesson.publish(camera())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    hold(lesson, room, "f")
    lesson.advance(1.0)
    assert room.viewer is not None
    room.viewer.bandwidth.bitrate = 130_000.0  # the lowest layer of f alone fits
    lesson.advance(2.0)
    since = lesson.now - 0.5
    lesson.settle()
    flawless(room, "camera")
    shown = [one for one in room.shown("camera") if one.tag.captured > since]
    assert {rid_of(lesson, one.tag.stream) for one in shown} == {"f"}
    assert {one.tag.temporal for one in shown} == {0}


def test_going_down_far_leaves_at_once() -> None:
    """What does not fit at all would only stand in the way of the voice."""
    lesson = Lesson()
    plan = camera()
    plan.layers = (plan.layers[0], plan.layers[1], plan.layers[2].__class__("f", 8, 1100))
    lesson.publish(plan, voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(3.0)
    hold(lesson, room, "q")
    lesson.advance(1.2)
    lesson.settle()
    flawless(room, "camera", "voice")
    late = [one for one in room.shown("camera") if one.tag.captured > START + 5.15]
    assert {rid_of(lesson, one.tag.stream) for one in late} == {"q"}


def test_padding_of_the_teacher_leaves_no_hole() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    hold(lesson, room, "h")
    for _ in range(20):
        lesson.advance(0.31)
        for rid in ("q", "h", "f"):
            teacher.padding("camera", rid, lesson.now)
    later = lesson.open_room("later")
    lesson.advance(1.0)
    lesson.settle()
    flawless(room, "camera")
    flawless(later, "camera")
    assert room.audit("camera").padding > 10


@pytest.mark.parametrize("delimiter", [False, True])
def test_h264_keyframes_whose_first_packet_does_not_say_so(delimiter: bool) -> None:
    """GStreamer and x264 begin a keyframe with a delimiter in a packet of its own."""
    lesson = Lesson(beat=2.0)
    lesson.publish(camera("h264", delimiter=delimiter))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    first = lesson.now
    for rid in ("q", "f", "h"):
        hold(lesson, room, rid)
        lesson.advance(2.5)
    lesson.settle()
    flawless(room, "camera")
    assert room.shown("camera")[0].arrived - first < 0.05
    assert layers(room.shown("camera"), lesson)[-3:] == ["q", "f", "h"]


def test_trains_never_outgrow_what_the_fan_out_holds() -> None:
    """FakeFanOut refuses trains above 12 packets or 16 KiB; big packets come from other tools."""
    lesson = Lesson()
    plan = camera()
    plan.layers = (plan.layers[0], plan.layers[1], plan.layers[2].__class__("f", 40, 1400))
    lesson.publish(plan)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    lesson.settle()
    flawless(room, "camera")
    assert 1 < lesson.fan_out.largest_train <= 11
