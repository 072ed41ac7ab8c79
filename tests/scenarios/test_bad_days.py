"""Days on which everything happens: weak and lossy links, outages, a teacher who begins again.

Here: that what a room receives stays one stream in order, whatever meets. The seeds are of days on
which it did not, once. Not here: how much of the lesson is shown (test_loss, test_congestion).
"""

from __future__ import annotations

import random

import pytest

from relay.sfu.leg import FIRST_SEQUENCE
from tests.fakes.lesson_publisher import SourcePlan
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import camera, hold, single, voice

# Of what leans on a frame that a room never got, and of one that was cut on purpose.
_LEANING = (
    "not shown",
    "never shown",
    "without a keyframe",
    "without its structure",
    "TL0PICIDX moves",
)
_CUT = ("is cut", "picture id")


def _plans(codec: str, seeded: random.Random) -> list[SourcePlan]:
    coded = seeded.choice([codec, codec, "vp8", "h264"])
    plans = [camera(coded, rate=seeded.choice([5.0, 10.0, 15.0])), voice()]
    if seeded.random() < 0.5:
        plans.append(single("screen", codec, rate=5.0))
    return plans


def _open_rooms(lesson: Lesson, seeded: random.Random) -> list[FakeViewer]:
    rooms = []
    for number in range(3):
        delay = seeded.choice([0.02, 0.15, 0.3])
        offer = Offer(
            rtx=seeded.random() < 0.6, red=seeded.choice([None, 63]), fec=seeded.random() < 0.3
        )
        down = Link(
            rate=seeded.choice([100e3, 200e3, 400e3, 1e6, 5e6]),
            queue=seeded.choice([0.3, 1.0]),
            loss=seeded.choice([0, 0.02, 0.06]),
            reorder=0.02,
            jitter=seeded.choice([0, 0.02]),
            repeat=0.01,
            delay=delay,
        )
        up = Link(loss=seeded.choice([0, 0.04]), delay=delay)
        bitrate = seeded.choice([60e3, 300e3])
        rooms.append(lesson.open_room(f"room-{number}", offer, down=down, up=up, bitrate=bitrate))
        lesson.advance(seeded.uniform(0, 1))
    return rooms


def _something_happens(lesson: Lesson, codec: str, seeded: random.Random) -> None:
    chance = seeded.random()
    if chance < 0.15:
        lesson.downlinks[f"room-{seeded.randrange(3)}"].up = False
    elif chance < 0.3:
        lesson.unpublish()
        lesson.advance(seeded.uniform(0, 3))
        lesson.publish(
            *_plans(codec, seeded),
            start=seeded.randrange(65536),
            timestamp=seeded.randrange(2**32),
            clock_offset=seeded.uniform(-1e3, 1e3),
        )
    elif chance < 0.4:
        lesson.publish(*_plans(codec, seeded), start=seeded.randrange(65536))


def _faults(room: FakeViewer, slot: str) -> list[str]:
    audit = room.audit(slot)
    lost = audit.missing or audit.first != FIRST_SEQUENCE
    expected = (*_CUT, *(_LEANING if lost else ()))
    return [one for one in audit.faults if not any(words in one for words in expected)]


@pytest.mark.parametrize(
    ("codec", "seed"),
    [("vp8", 52), ("vp8", 56), ("vp8", 99), ("vp9", 52), ("vp9", 99), ("h264", 46), ("av1", 86)],
)
def test_whatever_happens_a_room_receives_one_stream_in_order(codec: str, seed: int) -> None:
    seeded = random.Random(seed * 13 + 5)
    lesson = Lesson(seed, beat=seeded.choice([2.0, 4.0, 8.0]))
    loss = seeded.choice([0, 0.02, 0.05])
    lesson.teacher_up = Link(
        loss=loss,
        reorder=seeded.choice([0, 0.05]),
        jitter=0.01,
        repeat=0.01,
        delay=seeded.choice([0.02, 0.1]),
    )
    lesson.teacher_down = Link(loss=0.02, delay=0.03)
    lesson.publish(*_plans(codec, seeded))
    lesson.advance(seeded.uniform(0.5, 5))
    rooms = _open_rooms(lesson, seeded)
    for _ in range(8):
        for room in rooms:
            if seeded.random() < 0.25:
                hold(lesson, room, seeded.choice("qhf"))
        _something_happens(lesson, codec, seeded)
        lesson.advance(seeded.uniform(0.5, 3))
        for link in lesson.downlinks.values():
            link.up = True
    for link in (lesson.teacher_up, *lesson.downlinks.values(), *lesson.uplinks.values()):
        link.loss = 0.0
    lesson.advance(3.0)
    lesson.settle()
    for room in rooms:
        for slot in ("camera", "voice", "screen"):
            assert not _faults(room, slot)
