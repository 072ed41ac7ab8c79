"""A room on a link that is not known yet: its first pictures arrive when their timestamps say.

Here: what a browser's clock recovery sees of a join, with loss and resends. Not here: the rule
alone (tests/relay/test_first_pictures).
"""

from __future__ import annotations

import itertools

import pytest

from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson, Link
from tests.fakes.strict_receiver import Shown
from tests.scenarios.story import CODECS, camera, flawless, voice

RATE = 250_000.0


def _drift(shown: list[Shown]) -> float:
    """Seconds between the most punctual and the latest arrival, by the frames' own timestamps."""
    base = shown[0]
    late = [
        one.arrived - base.arrived - (one.timestamp - base.timestamp & 0xFFFFFFFF) / 90_000
        for one in shown
    ]
    return max(late) - min(late)


def _join(lesson: Lesson, codec: str, lost: int | None = None) -> tuple[FakeViewer, list[Shown]]:
    """A room that takes more than it is thought to; its `lost`th packet of pictures is lost once.

    The pictures of its first five seconds.
    """
    lesson.publish(camera(codec), voice())
    lesson.advance(6.0)
    pictures = itertools.count()

    def drop(data: bytes) -> bool:
        return data[1] & 0x7F in Offer().types.values() and next(pictures) == lost

    down = Link(rate=RATE, delay=0.15, drop=drop, queue=1.0)
    room = lesson.open_room("room", Offer(), down=down, up=Link(delay=0.15), bitrate=60e3)
    joined = lesson.now
    lesson.advance(6.0)
    lesson.settle()
    return room, [one for one in room.shown("camera") if one.arrived < joined + 5.0]


@pytest.mark.parametrize("codec", CODECS)
def test_a_join_bends_no_clock(codec: str) -> None:
    lesson = Lesson(3)
    room, shown = _join(lesson, codec)
    flawless(room, "camera")
    waited = [one for one in shown if 1.0 < one.arrived - one.tag.captured < 3.0]
    assert len(waited) > 5  # the link did hold them up, and that is what the present was late
    assert _drift(shown) < 0.25


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", [1, 3, 10, 20])
def test_what_is_sent_again_tells_the_same_time(codec: str, lost: int) -> None:
    lesson = Lesson(3)
    room, shown = _join(lesson, codec, lost)
    assert room.viewer is not None
    assert room.viewer.legs["camera"].repaired
    flawless(room, "camera")
    assert shown[0].key
