"""A room that watches the recording is sent nothing live, and has live media again at once.

Here: what its session receives, and what is said of it. Not here: the page that decides
(client_web), and the message that asks for it (tests/live/test_relay_events).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from relay.sfu.viewer import Viewer
from relay.transport import behind
from relay.transport.peer import Peer
from relay.transport.rung_notices import RungNotices
from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import camera, flawless, hold, single, voice


@dataclass
class Session:
    """As much of a peer as is asked for."""

    router: Any
    viewer: Viewer[Any] | None
    identity: str = "room"
    lesson: str = "toan-8"
    subject: str = "room-1"
    behind: str = ""
    expects: None = field(default=None)


def opened(**link: Any) -> tuple[Lesson, FakeViewer, Peer]:
    lesson = Lesson(beat=8.0)
    lesson.publish(camera(), single("screen"), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room", down=Link(**link))
    lesson.advance(9.0)
    return lesson, room, cast("Peer", Session(lesson.router, room.viewer))


def test_nothing_is_sent_to_a_room_that_watches_the_recording() -> None:
    lesson, room, session = opened()
    notices = RungNotices()
    behind.put(session, "missed", lesson.now)
    lesson.advance(1.0)  # what was under way
    assert room.viewer is not None
    before, padded = room.received, room.viewer.padded
    told: list[tuple[str, str, float]] = []
    for second in range(90):
        lesson.advance(1.0)
        if second == 40:
            # Not even when other sources come.
            lesson.unpublish()
            lesson.publish(camera(), voice())
        for notice in notices.due([session], lesson.now):
            told.append((notice["rung"], notice["reason"], notice["stills_bitrate"]))
    assert (room.received, room.viewer.padded) == (before, padded)
    assert len(told) > 10
    assert set(told) == {("catch-up", "missed", 0.0)}


@pytest.mark.parametrize("seconds", [3.0, 60.0, 600.0])
def test_voice_and_picture_are_back_within_a_round_trip(seconds: float) -> None:
    lesson, room, session = opened(delay=0.3)
    hold(lesson, room, "f")
    lesson.advance(9.0)
    behind.put(session, "choice", lesson.now)
    lesson.advance(seconds)
    heard, seen = len(room.audit("voice").shown), len(room.audit("camera").shown)
    behind.put(session, "", lesson.now)
    lesson.advance(0.3 + 0.15)
    assert len(room.audit("voice").shown) > heard
    assert len(room.audit("camera").shown) > seen
    lesson.advance(5.0)
    flawless(room, "voice", "camera")
    assert room.viewer is not None
    assert room.viewer.rung is not None
    assert room.viewer.rung.rung == "full"


def test_a_room_that_stays_behind_through_an_outage_is_sent_nothing_when_it_is_back() -> None:
    lesson, room, session = opened()
    behind.put(session, "choice", lesson.now)
    lesson.advance(1.0)
    before = room.received
    lesson.router.pause_viewer("room", lesson.now)
    lesson.advance(5.0)
    lesson.router.resume_viewer("room", lesson.now)
    lesson.advance(5.0)
    assert room.received == before
    assert room.viewer is not None
    assert room.viewer.rung is not None
    assert room.viewer.rung.rung == "catch-up"


def test_what_is_said_before_the_path_stands_is_followed_when_it_does() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    session = Session(lesson.router, None)
    behind.put(cast("Peer", session), "paused", lesson.now)
    room = lesson.open_room("room")
    session.viewer = room.viewer
    behind.follow(cast("Peer", session), lesson.now)
    lesson.advance(5.0)
    assert room.viewer is not None
    assert room.viewer.rung is not None
    assert room.viewer.rung.reason == "paused"
    behind.put(cast("Peer", session), "choice", lesson.now)
    assert room.viewer.rung.reason == "choice"
