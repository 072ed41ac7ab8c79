"""Packets get lost: on the teacher's side, on a room's side, for good. Who is asked, and for what.

Here: NACK, RTX, keyframe requests, and that rooms never cost the teacher anything that the relay
can give. Not here: loss as a sign of a full link (test_allocation).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from relay.media import rtp
from relay.sfu.leg import FIRST_SEQUENCE
from tests.fakes.lesson_publisher import PAYLOAD_TYPES
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import START, Lesson, Link
from tests.scenarios.story import (
    CODECS,
    STARTS,
    camera,
    continuous,
    flawless,
    guard,
    hold,
    single,
    voice,
)


def video_only(chance: float, seed: random.Random) -> Callable[[bytes], bool]:
    """Loses packets of the camera by chance, repairs included."""

    def drop(data: bytes) -> bool:
        return not rtp.is_rtcp(data) and len(data) > 100 and seed.random() < chance

    return drop


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", STARTS)
def test_loss_on_the_teachers_side_is_repaired_before_rooms_notice(codec: str, start: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec, rate=10.0), start=start)
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.teacher_up.drop = video_only(0.08, random.Random(3))
    lesson.advance(6.0)
    lesson.teacher_up.drop = None
    lesson.advance(0.5)
    assert teacher.nacks
    assert teacher.requests == []
    lesson.settle()
    flawless(room, "camera")
    assert len(lesson.feed.tracks) == 3


@pytest.mark.parametrize("rooms", [1, 60])
def test_a_loss_for_good_costs_one_keyframe_whatever_the_number_of_rooms(rooms: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera())
    lesson.advance(1.0)
    for number in range(rooms):
        lesson.open_room(f"room-{number}")
    lesson.advance(0.3)
    teacher.answers_nack = False
    lost: list[int] = []

    def one_of_each(data: bytes) -> bool:
        if rtp.is_rtcp(data):
            return False
        header = rtp.parse(data)
        if header.payload_type != PAYLOAD_TYPES["vp8"] or header.ssrc in lost:
            return False
        lost.append(header.ssrc)
        return True

    lesson.teacher_up.drop = one_of_each
    teacher.answers_pli = False
    lesson.advance(1.5)
    asked = []
    for _ in range(20):
        for room in lesson.rooms.values():
            room.ask_picture("camera")
        lesson.advance(0.1)
    asked = sorted(teacher.requests)
    # Each layer once an interval: given up after 1.3 s, then every 2 s.
    for ssrc in lost:
        times = [time for time, one in asked if one == ssrc]
        assert 1 <= len(times) <= 2
        assert all(b - a > 1.9 for a, b in pairwise(times))
    teacher.answers_pli = True
    lesson.advance(2.5)
    since = lesson.now
    lesson.advance(1.0)
    for room in lesson.rooms.values():
        continuous(room.shown("camera"), since + 0.1, since + 0.8, 0.5)


def test_a_lost_request_is_made_again() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(0.3)
    teacher.answers_nack = False
    count = 0

    def third(data: bytes) -> bool:
        nonlocal count
        count += not rtp.is_rtcp(data)
        return count == 3

    lesson.teacher_up.drop = third
    lesson.teacher_down.drop = lambda data: data[1] == 206  # PLI
    lesson.advance(2.0)
    assert teacher.requests == []
    lesson.teacher_down.drop = None
    lesson.advance(2.5)
    assert len(teacher.requests) == 1
    since = lesson.now
    lesson.advance(1.0)
    continuous(room.shown("camera"), since, since + 0.8, 0.3)


def test_without_nack_a_gap_is_a_loss() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single(nack=False))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.teacher_up.loss = 0.5
    lesson.advance(0.2)
    lesson.teacher_up.loss = 0.0
    since = lesson.now
    lesson.advance(1.5)
    assert teacher.nacks == []
    assert len(teacher.requests) == 1
    assert teacher.requests[0][0] < since + 0.4
    continuous(room.shown("camera"), since + 0.4, since + 1.4, 0.3)


def test_an_old_loss_behind_a_keyframe_asks_for_nothing() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera())
    lesson.advance(1.0)
    teacher.answers_nack = False
    lesson.teacher_up.up = False
    lesson.advance(0.2)
    lesson.teacher_up.up = True
    teacher.request("camera")
    lesson.advance(5.0)
    assert teacher.requests == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("repair", ["rtx", "same"])
@pytest.mark.parametrize("start", [0, 32767, 65535])
def test_loss_at_a_room_is_repaired_from_the_cache(codec: str, repair: str, start: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec), voice(), start=start)
    lesson.advance(1.0)
    room = lesson.open_room(
        "room",
        Offer(rtx=repair == "rtx"),
        down=Link(loss=0.05, delay=0.08, reorder=0.02),
        up=Link(loss=0.05, delay=0.05),
    )
    hold(lesson, room, "f")
    lesson.advance(6.0)
    lesson.downlinks["room"].loss = 0.0
    lesson.advance(0.5)  # the last losses show by what follows
    assert teacher.nacks == []
    assert teacher.requests == []
    assert room.viewer is not None
    assert room.viewer.legs["camera"].repaired > 5
    assert (room.streams["camera"].repaired > 5) is (repair == "rtx")
    lesson.settle()
    flawless(room, "camera", "voice")


@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1"])
@pytest.mark.parametrize("temporal", [0, 1])
def test_repairs_of_a_thinned_out_stream_are_what_was_sent(codec: str, temporal: int) -> None:
    lesson = Lesson()
    lesson.publish(camera(codec))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    assert leg.target is not None
    room.viewer.next_allocation = 1e12
    lesson.router._joining.want(leg, leg.target, temporal, lesson.now)
    lesson.downlinks["room"].loss = 0.1
    lesson.advance(5.0)
    lesson.downlinks["room"].loss = 0.0
    lesson.advance(0.5)
    lesson.settle()
    assert leg.repaired > 5
    flawless(room, "camera")


def test_a_picture_that_is_being_repaired_is_not_asked_for() -> None:
    lesson = Lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.5)  # the burst at the start is no answer any more
    lesson.teacher_down.delay = 0.15  # the relay's NACK is long under way
    lesson.teacher_up.up = False
    lesson.advance(0.07)
    lesson.teacher_up.up = True
    lesson.advance(0.1)
    room.ask_picture("camera")
    lesson.advance(1.0)
    assert teacher.nacks
    assert teacher.requests == []


def test_a_repair_is_sent_once_a_round_trip() -> None:
    lesson = Lesson()
    lesson.publish(single())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    newest = max(room.streams["camera"].held)
    before = lesson.fan_out.alone
    for _ in range(50):
        room.ask_again("camera", [newest & 0xFFFF])
    lesson.advance(0.05)
    assert lesson.fan_out.alone == before + 1
    assert room.streams["camera"].repeats == 1


def changed_layer(start: int, down: Link) -> tuple[Lesson, FakeViewer, float]:
    lesson = Lesson(beat=4.0)
    lesson.publish(camera("vp8"), start=start)
    lesson.advance(1.0)
    room = lesson.open_room("room", down=down)
    room.asks_again = False
    guard(lesson, room)  # while nobody knows how late it plays, nothing comes too late
    hold(lesson, room, "q")
    lesson.advance(1.5)
    hold(lesson, room, "f")
    lesson.advance(2.2)  # over the beat at 4 s
    return lesson, room, START + 4.0


@pytest.mark.parametrize("start", STARTS)
def test_a_nack_for_numbers_from_before_a_change_and_from_a_burst(start: int) -> None:
    """Every number that the leg ever used within the cache's time can be had again, unchanged."""
    lesson, room, beat = changed_layer(start, Link())
    stream = room.streams["camera"]
    numbers = sorted(stream.held)
    assert len({rtp.parse(stream.held[one][0]).timestamp for one in numbers}) > 20
    for first in range(0, len(numbers), 50):
        room.ask_again("camera", [one & 0xFFFF for one in numbers[first : first + 50]])
    lesson.advance(0.3)
    # FakeViewer holds every repair against what came first.
    assert stream.repeats > 0.9 * len(numbers)
    assert not stream.audit.faults
    assert beat < lesson.now


def test_a_nack_for_what_was_never_sent_is_ignored() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    before = lesson.fan_out.alone
    newest = max(room.streams["camera"].held)
    room.ask_again("camera", [newest + 50 + step & 0xFFFF for step in range(100)])
    first = min(room.streams["camera"].held)
    room.ask_again("camera", [first - 1 - step & 0xFFFF for step in range(100)])
    lesson.advance(0.2)
    assert lesson.fan_out.alone == before


@pytest.mark.parametrize("rooms", [1, 50])
def test_a_storm_of_requests_never_reaches_the_teacher(rooms: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(), voice())
    lesson.advance(1.0)
    for number in range(rooms):
        lesson.open_room(f"room-{number}")
    for _ in range(30):
        for room in lesson.rooms.values():
            room.ask_picture("camera")
            room.ask_picture("voice")
        lesson.advance(0.1)
    # Bursts are as rare: each room at most one a second besides its first.
    burst = lesson.fan_out.alone / rooms
    assert teacher.requests == []
    lesson.settle()
    for room in lesson.rooms.values():
        flawless(room, "camera", "voice")
    assert burst < 5 * 60


def test_a_first_picture_that_was_lost_comes_again_within_a_round_trip() -> None:
    """The end of the DTLS handshake was lost, so the browser had no keys for the first burst."""
    lesson = Lesson()
    teacher = lesson.publish(camera())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    lesson.downlinks["room"].up = False
    lesson.advance(0.1)
    lesson.downlinks["room"].up = True
    lesson.advance(0.22)
    room.ask_picture("camera")
    lesson.advance(0.05)
    assert room.shown("camera")[0].key
    assert teacher.requests == []


def test_a_request_brings_a_keyframe_at_once() -> None:
    lesson = Lesson()
    lesson.publish(camera())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    before = [one.arrived for one in room.shown("camera") if one.key]
    asked = lesson.now
    room.ask_picture("camera")
    lesson.advance(0.5)
    keys = [one.arrived for one in room.shown("camera") if one.key]
    assert len(keys) == len(before) + 1
    assert keys[-1] - asked < 0.05


# What the frames are told that lean on one that is lost.
_LEANING = ("not shown", "never shown", "without a keyframe", "without its structure")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", [0, 4, 8, 58])
def test_a_bad_day(codec: str, seed: int) -> None:
    """Loss, jitter, reordering and repeats on all links at once, rooms that change layers."""
    lesson = Lesson(seed, beat=4.0)
    lesson.teacher_up = Link(loss=0.03, reorder=0.05, jitter=0.01, repeat=0.01, delay=0.03)
    lesson.teacher_down = Link(loss=0.03, delay=0.03)
    lesson.publish(camera(codec, rate=10.0), voice())
    lesson.advance(1.0)
    rooms = [
        lesson.open_room(
            f"room-{number}",
            Offer(rtx=number % 2 == 0),
            down=Link(loss=0.04, reorder=0.05, jitter=0.02, repeat=0.01, delay=0.05),
            up=Link(loss=0.04, delay=0.05),
        )
        for number in range(3)
    ]
    for rid in ("q", "f", "h", "q"):
        for room in rooms:
            hold(lesson, room, rid)
        lesson.advance(4.0)
    for link in (lesson.teacher_up, *lesson.downlinks.values(), *lesson.uplinks.values()):
        link.loss = 0.0
    lesson.advance(1.0)
    lesson.settle()
    for room in rooms:
        audit = room.audit("camera")
        # Besides a frame cut by a change: the picture id of a frame that came after later ones,
        # for a room that is not to have it, stays a gap. A packet lost in every repair too takes
        # along what leans on its frame, and so does the very first, which nobody knows to ask for.
        lost = audit.missing or audit.first != FIRST_SEQUENCE
        small = ["is cut", "picture id", *(_LEANING if lost else [])]
        grave = [one for one in audit.faults if not any(words in one for words in small)]
        assert not grave
        assert lost or len(audit.faults) <= 4
        assert len(audit.missing) <= 4
        continuous(audit.shown, START + 3.0, START + 16.8, 1.6)
