"""Voice and picture stay together: what sender reports say of timestamps, for rooms and recorder.

Here: capture instants as a room works them out (RFC 3550 §6.4.1), over layer changes, restarts,
drifting clocks and a whole day. Not here: jitter buffers.
"""

from __future__ import annotations

import pytest

from relay.media import rtp
from relay.media.seqno import delta32
from relay.media.timeline import STEP_SHARE, VOICE_STEP
from tests.fakes.lesson_frames import read_tag
from tests.fakes.lesson_publisher import LayerPlan
from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import START, Lesson, Link
from tests.scenarios.story import camera, flawless, hold, single, voice

TOGETHER = 0.005  # seconds


def apart(room: FakeViewer) -> float:
    """How far the room would place the newest voice from the newest picture of the same time."""
    offsets = []
    for slot in ("voice", "camera"):
        data, _ = room.streams[slot].held[max(room.streams[slot].held)]
        header = rtp.parse(data)
        tag = read_tag(data[header.payload_offset : header.payload_end])
        offsets.append(room.capture_time(slot, header.timestamp) - tag.captured)
    return offsets[0] - offsets[1]


def test_from_the_first_reports_on() -> None:
    lesson = Lesson()
    lesson.teacher_up = Link(delay=0.05, jitter=0.04)
    lesson.publish(camera(), voice(), timestamp=0xFFFFF000)
    lesson.advance(2.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    assert abs(apart(room)) < TOGETHER


@pytest.mark.parametrize("seed", range(3))
def test_over_changes_of_layers_and_jitter(seed: int) -> None:
    lesson = Lesson(seed, beat=4.0)
    lesson.teacher_up = Link(delay=0.05, jitter=0.06, loss=0.01)
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    for rid in ("q", "h", "f", "q"):
        hold(lesson, room, rid)
        lesson.advance(4.0)
        lesson.advance(1.5)  # the report after a change
        assert abs(apart(room)) < TOGETHER


def test_after_a_restart_of_the_teacher() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice(), clock_offset=50.0)
    room = lesson.open_room("room")
    lesson.advance(3.0)
    lesson.publish(camera(), voice(), clock_offset=-7_000.0, timestamp=77, start=4)
    lesson.advance(3.0)
    assert abs(apart(room)) < TOGETHER


@pytest.mark.parametrize(("drift", "voice_drift"), [(1e-4, -1e-4), (-1e-4, 1e-4), (0.0, 2e-4)])
def test_drifting_clocks(drift: float, voice_drift: float) -> None:
    """A sound card 100 ppm off pulls away 6 ms a minute; a whole system clock does the same."""
    lesson = Lesson(beat=1_000.0)
    lesson.teacher_up = Link(delay=0.03, jitter=0.02)
    lesson.publish(single(rate=5.0), voice(rate=5.0), drift=drift, voice_drift=voice_drift)
    lesson.advance(1.0)
    room = lesson.open_room("room")
    worst = 0.0
    for _ in range(120):
        lesson.advance(5.0)
        worst = max(worst, abs(apart(room)))
    assert worst < TOGETHER
    # And what the recorder is told agrees, but for the voice's whole packets.
    ends = {}
    for track, (source, _, _) in lesson.feed.tracks.items():
        packet = lesson.feed.packets[track][-1]
        anchor = lesson.feed.anchors[track][-1]
        rate = 48_000 if source == "voice" else 90_000
        wall = anchor.wall + delta32(packet.timestamp, anchor.rtp_timestamp) / rate
        tag = read_tag(packet.data[packet.payload_offset : packet.payload_end])
        ends[source] = wall - tag.captured
    assert abs(ends["voice"] - ends["camera"]) < STEP_SHARE * VOICE_STEP + TOGETHER


def test_a_teachers_clock_that_is_set_during_the_lesson() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera(), voice())
    room = lesson.open_room("room")
    lesson.advance(5.0)
    teacher._clock_offset += 3_600.0
    lesson.advance(3.0)
    assert abs(apart(room)) < TOGETHER


def test_a_day_of_lesson() -> None:
    """24 hours: timestamps wrap three times over, transport-wide numbers too, clocks drift."""
    lesson = Lesson(beat=1_000_000.0, grain=2.0)
    lesson.feed.keep = False
    lesson.publish(
        single(rate=0.25, layers=(LayerPlan("", 1, 100),)),
        voice(rate=0.53),
        drift=5e-5,
        voice_drift=-5e-5,
        timestamp=0xFFFF0000,
        report_interval=10.0,
    )
    lesson.advance(1.0)
    room = lesson.open_room("room")
    room.asks_again = False
    assert room.wire is not None
    for _ in range(24):
        lesson.advance(3_600.0)
        assert abs(apart(room)) < TOGETHER
        for slot in ("voice", "camera"):
            audit = room.audit(slot, keep_last=5)
            assert not audit.faults, audit.faults
            assert not audit.missing
            audit.shown.clear()
    assert room.wire.transport_sequence > 65_536
    assert lesson.now - START > 86_000
    flawless(room, "voice", "camera")
