"""What a room receives follows what its link takes; the voice always gets through.

Here: real feedback over links with a rate. Not here: the estimator's own arithmetic
(tests/relay/test_bandwidth).
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.fakes.lesson_publisher import LayerPlan, SourcePlan
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import START, Lesson, Link
from tests.scenarios.story import camera, rid_of, voice

# About 60, 210 and 700 kbit/s.
HEAVY = (LayerPlan("q", 1, 280), LayerPlan("h", 2, 550), LayerPlan("f", 6, 650))


def heavy() -> SourcePlan:
    return camera(layers=HEAVY)


def spoken(lesson: Lesson, room: FakeViewer, since: float) -> float:
    """Share of the voice that arrived."""
    assert lesson.publisher is not None
    sent = [when for _, when in lesson.publisher.outlet("voice").frames if when >= since]
    heard = [one for one in room.shown("voice") if one.tag.captured >= since]
    return len(heard) / len(sent)


def now_shows(lesson: Lesson, room: FakeViewer, seconds: float = 2.0) -> set[str]:
    recent = [one for one in room.shown("camera") if one.arrived > lesson.now - seconds]
    return {rid_of(lesson, one.tag.stream) for one in recent}


def test_a_clean_wide_link_climbs_to_the_top() -> None:
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(rate=5e6), bitrate=150_000.0)
    lesson.advance(2.0)
    assert now_shows(lesson, room) == {"q"}
    lesson.advance(60.0)
    assert now_shows(lesson, room) == {"f"}
    assert spoken(lesson, room, START + 2.0) > 0.99


def test_an_offer_that_names_its_largest_layer_first_is_understood() -> None:
    lesson = Lesson()
    lesson.publish(camera(layers=HEAVY[::-1]), voice())
    lesson.advance(3.0)
    wide = lesson.open_room("wide", down=Link(rate=5e6), bitrate=150_000.0)
    narrow = lesson.open_room("narrow", down=Link(rate=130_000.0, queue=1.0), bitrate=100_000.0)
    lesson.advance(3.0)
    assert now_shows(lesson, wide) == {"q"}
    assert now_shows(lesson, narrow) == {"q"}
    lesson.advance(60.0)
    assert now_shows(lesson, wide) == {"f"}
    assert spoken(lesson, narrow, START + 5.0) > 0.97


def test_half_the_bandwidth_gone_falls_and_later_climbs_back() -> None:
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(rate=1.4e6), bitrate=2e6)
    lesson.advance(10.0)
    assert now_shows(lesson, room) == {"f"}
    lesson.downlinks["room"].rate = 400_000.0
    narrowed = lesson.now
    lesson.advance(20.0)
    assert "f" not in now_shows(lesson, room)
    assert spoken(lesson, room, narrowed + 12.0) > 0.97
    lesson.downlinks["room"].rate = 1.4e6
    lesson.advance(90.0)
    assert now_shows(lesson, room) == {"f"}


@pytest.mark.parametrize("rate", [70_000.0, 120_000.0, 300_000.0])
def test_the_voice_is_never_dropped(rate: float) -> None:
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room(
        "room", down=Link(rate=rate, delay=0.15, queue=1.0), up=Link(delay=0.15), bitrate=600_000.0
    )
    lesson.advance(60.0)
    late = [one for one in room.shown("voice") if one.tag.captured > START + 20.0]
    assert spoken(lesson, room, START + 20.0) > 0.93
    delays = sorted(one.arrived - one.tag.captured for one in late)
    assert delays[len(delays) // 2] < 0.45


def test_a_room_stays_on_the_layer_that_fits() -> None:
    """There is no larger one within reach: none is tried, and the one that fits is not left."""
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(rate=420_000.0, queue=1.0), bitrate=200_000.0)
    assert room.viewer is not None
    lesson.advance(25.0)
    seen = []
    for _ in range(240):
        lesson.advance(0.5)
        group = room.viewer.legs["camera"].group
        seen.append(group.layer.rid if group is not None else "")
    changes = sum(a != b for a, b in pairwise(seen))
    assert changes <= 4
    assert seen.count("h") > 0.9 * len(seen)
    assert "f" not in seen
    assert spoken(lesson, room, START + 2.0) > 0.97


def test_a_full_link_is_not_filled_with_repairs_of_its_own_losses() -> None:
    """The room asks every 100 ms for what waits a second in the queue, or was lost from it."""
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(rate=330_000.0, queue=1.0), bitrate=2e6)
    lesson.advance(12.0)
    assert room.viewer is not None
    repaired = sum(leg.repaired for leg in room.viewer.legs.values())
    assert repaired < 0.1 * room.received
    assert spoken(lesson, room, lesson.now - 5.0) > 0.97


def test_a_picture_that_was_given_up_comes_back() -> None:
    """Video was dropped altogether on a collapsed link; the link is well again.

    The voice alone proves little of what the link takes: the picture must be tried.
    """
    lesson = Lesson()
    lesson.publish(camera("h264", layers=(LayerPlan("q", 2, 900),)), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(rate=1e6), bitrate=600_000.0)
    lesson.advance(5.0)
    lesson.downlinks["room"].rate = 60_000.0
    lesson.advance(20.0)
    assert now_shows(lesson, room) == set()
    lesson.downlinks["room"].rate = 1e6
    lesson.advance(45.0)
    assert now_shows(lesson, room) != set()


def test_a_player_without_transport_feedback_falls_by_its_reports() -> None:
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room(
        "room", Offer(extensions={}), down=Link(rate=350_000.0, queue=0.2), bitrate=900_000.0
    )
    lesson.advance(40.0)
    assert room.viewer is not None
    assert not room.viewer.has_transport_feedback
    assert "f" not in now_shows(lesson, room)


def test_a_lesson_without_a_voice_is_seen_all_the_same() -> None:
    """Where nothing flows nothing is learnt of the link: the smallest picture is tried."""
    lesson = Lesson()
    lesson.publish(heavy())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(rate=5e6), bitrate=30_000.0)
    lesson.advance(10.0)
    assert now_shows(lesson, room) != set()


def test_after_an_outage_the_picture_comes_soon_after_the_voice() -> None:
    lesson = Lesson()
    lesson.publish(heavy(), voice())
    lesson.advance(1.0)
    room = lesson.open_room(
        "room", down=Link(rate=500_000.0, delay=0.1), up=Link(delay=0.1), bitrate=60_000.0
    )
    lesson.advance(30.0)
    assert room.shown("camera")
    links = lesson.downlinks["room"], lesson.uplinks["room"]
    for link in links:
        link.loss = 1.0
    lesson.advance(15.0)
    for link in links:
        link.loss = 0.0
    back = lesson.now
    lesson.advance(5.0)
    voices = [one.arrived for one in room.shown("voice") if one.arrived > back]
    pictures = [one.arrived for one in room.shown("camera") if one.arrived > back]
    assert voices[0] - back < 0.5
    assert pictures[0] - back < 2.0
