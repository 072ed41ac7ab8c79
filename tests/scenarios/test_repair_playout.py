"""The playout delay that pictures tell: to those who take the extension, changed in mid-stream.

Here: what stands in the packets, that a change costs nothing, and that rooms with the same delay
share their packets. Not here: how long the delay is to be (tests/relay/test_playout.py).
"""

from __future__ import annotations

import pytest

from relay.media import playout, rtp
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson
from tests.scenarios.story import (
    CODECS,
    STARTS,
    FixedPlan,
    camera,
    continuous,
    flawless,
    hold,
    voice,
)

PLAYOUT = 6
WITH = Offer(extensions={rtp.TRANSPORT_CC: 5, rtp.DEPENDENCY_DESCRIPTOR: 9, rtp.PLAYOUT_DELAY: 6})


def tell(lesson: Lesson, room: FakeViewer, milliseconds: int | None) -> None:
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    room.viewer.plan = FixedPlan(lesson.now)
    leg.playout = milliseconds
    lesson.router._joining.reprofile(leg)


def told(room: FakeViewer) -> list[bytes | None]:
    """The extension of each packet of the camera that came, in order."""
    found: list[bytes | None] = []
    for _, (data, _) in sorted(room.streams["camera"].held.items()):
        at = rtp.find_extension(data, rtp.parse(data), PLAYOUT)
        found.append(data[at[0] : sum(at)] if at is not None else None)
    return found


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("start", STARTS)
def test_a_change_is_told_from_the_next_frame_on_and_costs_nothing(codec: str, start: int) -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(codec), voice(), start=start)
    lesson.advance(1.0)
    room = lesson.open_room("room", WITH)
    hold(lesson, room, "f")
    lesson.advance(1.0)
    began = lesson.now
    for milliseconds in (400, 800, None, 40):
        tell(lesson, room, milliseconds)
        lesson.advance(0.5)
        newest = told(room)[-1]
        assert newest == (None if milliseconds is None else playout.pack(milliseconds))
    lesson.settle()
    flawless(room, "camera", "voice")
    continuous(room.shown("camera"), began, began + 1.9, 0.1)
    assert teacher.requests == []


def test_repairs_say_what_the_packet_said() -> None:
    lesson = Lesson()
    lesson.publish(camera())
    lesson.advance(1.0)
    room = lesson.open_room("room", WITH)
    lesson.downlinks["room"].loss = 0.1
    for step in range(8):
        tell(lesson, room, 100 * step)
        lesson.advance(0.5)
    lesson.downlinks["room"].loss = 0.0
    lesson.advance(0.5)
    lesson.settle()
    assert room.streams["camera"].repaired > 5
    numbers = sorted(room.streams["camera"].held)[-10:]
    room.ask_again("camera", [one & 0xFFFF for one in numbers])
    lesson.advance(0.5)
    # FakeViewer holds what comes twice against what came first.
    assert room.streams["camera"].repeats > 5
    flawless(room, "camera")


def test_rooms_with_the_same_delay_share_their_packets() -> None:
    lesson = Lesson()
    lesson.publish(camera())
    lesson.advance(1.0)
    rooms = [lesson.open_room(f"room-{number}", WITH) for number in range(6)]
    plain = lesson.open_room("plain", Offer())
    lesson.advance(1.0)
    for number, room in enumerate([*rooms, plain]):
        tell(lesson, room, 400 if number % 2 else 300)
    lesson.advance(1.0)
    groups = {id(one.viewer.legs["camera"].group) for one in rooms if one.viewer is not None}
    assert len(groups) == 2
    assert set(told(plain)) == {None}
    lesson.settle()
    for room in (*rooms, plain):
        flawless(room, "camera")
