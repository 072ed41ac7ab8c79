"""Rooms that have all there is, on links that take more, are thought about seldom.

Here: how often, and how soon it ends. Not here: what is decided (test_allocation).
"""

from __future__ import annotations

from typing import Any

import pytest

from relay.media import ntp
from relay.media.rtcp import ReportBlock
from relay.media.rtcp_build import build_nack, build_rr
from relay.sfu import rungs
from relay.sfu.selection import ALLOCATION_INTERVAL, EASY_INTERVAL
from relay.sfu.viewer import LONGEST_TRIP
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import camera, voice


def at_ease(down: Link, monkeypatch: pytest.MonkeyPatch) -> tuple[Lesson, FakeViewer, list[float]]:
    """A room with everything, and when it was thought about."""
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=down, bitrate=2e6)
    allocate, times = lesson.router._selection.allocate, []

    def counted(*arguments: Any) -> None:
        times.append(lesson.now)
        allocate(*arguments)

    monkeypatch.setattr(lesson.router._selection, "allocate", counted)
    lesson.advance(30.0)
    assert room.viewer is not None
    assert room.viewer.is_easy
    return lesson, room, times


def test_they_are_thought_about_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, _, times = at_ease(Link(), monkeypatch)
    before = len(times)
    lesson.advance(30.0)
    assert len(times) - before <= 30.0 / EASY_INTERVAL + 1


def test_most_reports_of_theirs_get_but_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, room, _ = at_ease(Link(), monkeypatch)
    assert room.viewer is not None
    read, glanced = 0, 0
    receive, look = room.viewer.receive_transport_feedback, room.viewer.receive_calm_feedback

    def counted(*arguments: Any) -> None:
        nonlocal read
        read += 1
        receive(*arguments)

    def seen(*arguments: Any) -> bool:
        nonlocal glanced
        enough = look(*arguments)
        glanced += enough
        return enough

    monkeypatch.setattr(room.viewer, "receive_transport_feedback", counted)
    monkeypatch.setattr(room.viewer, "receive_calm_feedback", seen)
    lesson.advance(20.0)
    assert read + glanced > 150
    assert 4 * read < glanced
    assert room.viewer.is_easy
    assert room.viewer.bandwidth.is_satisfied


def test_what_a_glance_finds_out_makes_it_think_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, room, times = at_ease(Link(), monkeypatch)
    viewer = room.viewer
    assert viewer is not None

    def found(*arguments: Any) -> bool:
        viewer.bandwidth.congested_at = lesson.now  # losses of before that are ours after all
        return True

    monkeypatch.setattr(viewer, "receive_calm_feedback", found)
    lesson.router.receive_viewer_rtcp(viewer, b"", lesson.now)
    assert times[-1] == lesson.now


def test_of_their_receiver_reports_one_in_four_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, room, _ = at_ease(Link(), monkeypatch)
    assert room.viewer is not None
    look = room.viewer.receive_calm_feedback
    alone = build_rr(1, [ReportBlock(room.slots[0].ssrc, 0.0, 0, 0, 0, 0, 0)])
    assert [look(alone, lesson.now) for _ in range(8)].count(True) == 6
    # What asks for something comes behind one.
    assert not any(look(alone + build_nack(1, 2, [3]), lesson.now) for _ in range(8))
    assert not look(alone[:4], lesson.now)
    trip = room.viewer.rtt
    lesson.downlinks["room"].delay = lesson.uplinks["room"].delay = 0.1
    lesson.advance(30.0)
    assert room.viewer.rtt > trip + 0.1


@pytest.mark.parametrize("delay", [0.005, 0.05, 0.15])
def test_a_halved_link_is_followed_within_two_round_trips_and_half_a_second(delay: float) -> None:
    times = []
    for turn in range(8):
        down = Link(delay=delay, jitter=0.005, rate=5e6, queue=1.0)
        lesson = Lesson(turn)
        lesson.publish(camera(), voice())
        lesson.advance(1.0)
        room = lesson.open_room("room", down=down, bitrate=3e6)
        # At another moment between two reports that are read to their end.
        lesson.advance(30.0 + 0.11 * turn)
        assert room.viewer is not None
        assert room.viewer.is_easy
        down.rate = room.viewer.allotted / 2
        began = lesson.now
        while room.viewer.bandwidth.bitrate > 1.05 * down.rate and lesson.now < began + 5.0:
            lesson.advance(0.02)
        times.append(lesson.now - began)
    assert max(times) <= 4 * delay + 0.5


def test_a_link_that_becomes_narrow_makes_it_think_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    down = Link()
    lesson, room, times = at_ease(down, monkeypatch)
    assert room.viewer is not None
    down.rate, down.queue = 100_000.0, 2.0
    for _ in range(200):
        lesson.advance(0.01)
        if room.viewer.bandwidth.congested_at > lesson.now - 0.1:
            break
    assert times[-1] == room.viewer.bandwidth.congested_at
    assert not room.viewer.is_easy


def test_so_does_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, room, times = at_ease(Link(), monkeypatch)
    assert room.viewer is not None
    before = room.viewer.bandwidth.bitrate
    lesson.uplinks["room"].up = False
    lesson.advance(3.0)
    assert room.viewer.bandwidth.bitrate < before
    assert not room.viewer.is_easy
    assert room.viewer.bandwidth.congested_at in times
    lesson.advance(5.0)
    assert lesson.now - times[-1] < ALLOCATION_INTERVAL + 0.11


def test_losses_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    down = Link()
    lesson, room, _ = at_ease(down, monkeypatch)
    down.loss = 0.05
    lesson.advance(6.0)
    assert room.viewer is not None
    assert not room.viewer.is_easy
    assert room.viewer.plan.red_depth > 0


def test_a_player_that_sends_reports_alone_is_thought_about_as_ever() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", Offer(extensions={}), bitrate=2e6)
    lesson.advance(20.0)
    viewer = room.viewer
    assert viewer is not None
    assert viewer.rung is not None
    assert viewer.rung.rung == rungs.FULL
    assert not viewer.is_easy
    # And when it falls silent, that is noticed.
    before = viewer.bandwidth.bitrate
    lesson.uplinks["room"].up = False
    lesson.advance(20.0)
    assert viewer.bandwidth.bitrate < before


def test_round_trips_that_no_link_has_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, room, _ = at_ease(Link(), monkeypatch)
    viewer = room.viewer
    assert viewer is not None
    ssrc = room.slots[0].ssrc
    middle = ntp.middle(ntp.from_unix(lesson.now))
    for _ in range(20):
        long_ago = middle - (3_500 << 16) & 0xFFFFFFFF
        viewer.receive_report(ReportBlock(ssrc, 0.0, 0, 0, 0, long_ago, 0), lesson.now)
    assert viewer.rtt <= LONGEST_TRIP
