"""A lesson over a trunk in virtual time: one copy, exact, in layers that fit, through bad
minutes."""

from __future__ import annotations

import itertools

import pytest

from relay.media import rtp
from relay.sfu.wants import Wants
from tests.fakes.lesson_trunk import Branch
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import CODECS, camera, continuous, flawless, layers, voice
from tests.scenarios.test_derived_layers import (
    VOICE,
    derived_lesson,
    layer_of,
    limit,
    need,
    streams,
)

WIDE = 5_000_000.0


def rids(branch: Branch) -> set[str]:
    """Layers of the camera that come now."""
    now = branch.lesson.now
    return {one.rid for one in branch.upstream.layers if one.rid and one.rate.is_active(now)}


@pytest.mark.parametrize("codec", CODECS)
def test_a_room_below_sees_and_hears_all_of_it(codec: str) -> None:
    lesson = Lesson(seed=3)
    lesson.publish(voice(), camera(codec))
    lesson.advance(3.0)
    branch = Branch(lesson, down=Link(delay=0.15), up=Link(delay=0.15), bitrate=WIDE)
    lesson.advance(1.0)
    room = branch.open_room("5A")
    began = lesson.now
    lesson.advance(20.0)
    flawless(room, "voice", "camera")
    continuous(room.shown("camera"), began, lesson.now - 1.0, 0.5)
    assert layers(room.shown("camera"), lesson)[-1] == "f"
    assert rids(branch) == {"f"}


def test_every_packet_is_as_the_teacher_sent_it_however_much_is_lost() -> None:
    lesson = Lesson(seed=5)
    teacher = lesson.publish(voice(), camera("vp8"), start=65_500)
    lesson.advance(2.0)
    lossy = Link(delay=0.15, loss=0.05, reorder=0.02, repeat=0.01)
    branch = Branch(lesson, down=lossy, up=Link(delay=0.15, loss=0.05), bitrate=WIDE)
    branch.open_room("5A")
    lesson.advance(20.0)
    lesson.settle()
    outlet = teacher.outlet("camera", "f")
    sent = {rtp.parse(one).timestamp: one for one in outlet.sent.values()}
    track = next(key for key, one in branch.feed.tracks.items() if one[:2] == ("camera", "f"))
    came = sorted(branch.feed.packets[track], key=lambda one: one.sequence)
    numbers = [one.sequence for one in came]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "something is missing"
    assert [one.timestamp for one in came if one.timestamp in sent][-1] == max(
        sent, key=lambda stamp: (stamp - outlet.timestamp) & 0xFFFFFFFF
    )
    for one in came[-200:]:
        payload = one.data[one.payload_offset : one.payload_end]
        assert any(data.endswith(payload) for data in outlet.sent.values())


def test_a_narrow_link_carries_the_layer_that_fits_and_the_voice() -> None:
    lesson = Lesson(seed=7)
    teacher = lesson.publish(voice(), camera("vp8"))
    narrow = Link(delay=0.15, rate=150_000.0, loss=0.03)
    branch = Branch(lesson, down=narrow, up=Link(delay=0.15), bitrate=60_000.0)
    room = branch.open_room("5A")
    lesson.advance(60.0)
    began = lesson.now
    lesson.advance(30.0)
    assert rids(branch) <= {"q", "h"}
    audit = room.audit("voice")
    assert len(audit.missing) < 0.03 * 50 * 90
    shown = room.shown("camera")
    assert sum(one.tag.captured > began for one in shown) > 10 * 30
    # The beat is the root's, and nobody below asked for anything besides.
    assert branch.router.keyframes.extra == 0
    asked = {round(at, 3) for at, _ in teacher.requests}
    assert len(asked) <= 90 / 8 + 3


def test_only_what_is_wanted_is_sent() -> None:
    lesson = Lesson(seed=9)
    lesson.publish(voice(), camera("vp8"))
    branch = Branch(lesson, bitrate=WIDE)
    lesson.advance(12.0)
    assert rids(branch) == {"f"}, "it is recorded"
    far = branch.open_room("far")
    assert far.viewer is not None
    far.viewer.wants = Wants({"camera": (1,)})
    lesson.advance(12.0)
    assert rids(branch) == {"h"}


def test_after_an_outage_rooms_go_on_with_the_beat_at_the_latest() -> None:
    lesson = Lesson(seed=11)
    teacher = lesson.publish(voice(), camera("vp8"))
    branch = Branch(lesson, down=Link(delay=0.15), up=Link(delay=0.15), bitrate=WIDE)
    room = branch.open_room("5A")
    lesson.advance(20.0)
    branch.down.up = branch.up.up = False
    lesson.advance(12.0)
    requests = len(teacher.requests)
    branch.down.up = branch.up.up = True
    back = lesson.now
    lesson.advance(20.0)
    shown = [one.tag.captured for one in room.shown("camera") if one.tag.captured > back]
    assert min(shown) < back + 8.5
    assert not room.audit("camera").faults
    assert not room.audit("voice").faults
    beats = {round(at, 2) for at, _ in teacher.requests[requests:]}
    assert len(beats) <= 4, "an outage of one school is no cost of all others"


def test_a_poorer_relay_below_has_a_smaller_layer_beside_the_large_one() -> None:
    lesson = Lesson(seed=13)
    lesson.publish(voice(), camera("vp8"))
    branch = Branch(lesson, bitrate=WIDE)
    branch.open_room("5A")
    # As a relay further down would say it.
    poor = branch.open_room("far")
    assert poor.viewer is not None
    poor.viewer.wants = Wants({"camera": (0,)}, 50_000.0)
    lesson.advance(20.0)
    assert rids(branch) == {"q", "f"}
    # The root hears of it, and derives what such links need where a source has none.
    assert branch.viewer.wants is not None
    assert branch.viewer.wants.lowest == 50_000.0


def test_a_derived_voice_that_ends_above_leaves_no_gap_below() -> None:
    lesson, worker = derived_lesson()
    lesson.publish(voice())
    branch = Branch(lesson, bitrate=WIDE)
    lesson.advance(1.0)
    room = branch.open_room("5A", bitrate=40_000.0)
    limit(lesson, room, 40_000.0)
    need(lesson, voice=True)
    lesson.advance(10.0)
    assert streams(lesson, room, "voice", 1.0) == {VOICE}
    worker.away = True
    lesson.router.derived.lost(layer_of(lesson, "voice"))
    lost = lesson.now
    lesson.advance(5.0)
    arrived = [one.arrived for one in room.shown("voice") if one.arrived > lost - 0.1]
    # A packet of the derived voice is 60 ms long; the next one is the teacher's own.
    assert max(after - before for before, after in itertools.pairwise(arrived)) < 0.15
