"""Layers that a worker derives from a source are layers like any other, but for who makes them.

Here: the router with a worker that stamps packets of its own. Not here: real codecs and processes
(tests/relay/test_derive_*, tests/live/test_derived), who needs what (test_allocation).
"""

from __future__ import annotations

import pytest

from relay.media import rtp
from relay.sfu.derived import (
    KEEP_SECONDS,
    POLLS,
    SMALL,
    THIN,
    THIN_BELOW,
    DerivedLayers,
)
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.layer import Layer
from relay.sfu.packet import Received
from tests.fakes.lesson_frames import VP8_LAYERS, Encoder, Tag
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson
from tests.scenarios.story import FixedEstimate, FixedHold, camera, flawless, single, voice

PICTURES, VOICE = 9001, 9002
"""Streams of what is derived, in the tags."""


class FakeWorker:
    """Makes a small frame of each frame, and one voice packet of three. `away`: answers nothing."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.followed: dict[Layer, DerivedLayers] = {}
        self.asked: list[tuple[float, str]] = []
        self.away = False
        self.begun = 0
        self._key = True
        self._encoder = Encoder("vp8", PICTURES, VP8_LAYERS, 0)
        self._sequence = 0
        self._spoken: list[Received] = []
        self._words = 0

    def begin(self, owner: DerivedLayers, layer: Layer) -> None:
        self.begun += 1
        self.followed[layer] = owner
        self._key = True

    def end(self, layer: Layer) -> None:
        del self.followed[layer]

    def request_keyframe(self, layer: Layer, rid: str) -> None:
        self.asked.append((self.lesson.now, rid))
        self._key = True

    def packet(self, layer: Layer, packet: Received) -> None:
        if self.away:
            return
        if not layer.is_video:
            self._voice(layer, packet)
        elif packet.marker:
            key, self._key = self._key, False
            pieces = self._encoder.encode(key, 1, 60, self.lesson.now)
            for piece in pieces:
                self._send(layer, SMALL, piece.payload, packet.timestamp, piece is pieces[-1])

    def _voice(self, layer: Layer, packet: Received) -> None:
        self._spoken.append(packet)
        if len(self._spoken) == 3:
            tag = Tag(VOICE, self._words, 0, 1, 0, (), self.lesson.now).pack()
            self._words += 1
            self._send(layer, THIN, tag, self._spoken[0].timestamp, False)
            self._spoken.clear()

    def _send(self, layer: Layer, rid: str, payload: bytes, timestamp: int, marker: bool) -> None:
        self._sequence += 1
        data = rtp.build(96, marker, self._sequence, timestamp, 5, b"", payload)
        owner = self.followed[layer]
        # A moment later: the worker is another process.
        self.lesson.at(
            self.lesson.now + 0.005, lambda: owner.receive(layer, rid, data, self.lesson.now)
        )


def derived_lesson() -> tuple[Lesson, FakeWorker]:
    lesson = Lesson()
    worker = FakeWorker(lesson)
    lesson.router.derived.worker = worker
    return lesson, worker


def limit(lesson: Lesson, room: FakeViewer, bitrate: float) -> None:
    """All that is known of the room's link, from now on."""
    assert room.viewer is not None
    room.viewer.bandwidth = FixedEstimate(lesson.now, bitrate)
    room.viewer.hold = FixedHold()


def streams(lesson: Lesson, room: FakeViewer, slot: str, seconds: float) -> set[int]:
    """What was shown in the last seconds."""
    recent = [one for one in room.shown(slot) if one.arrived > lesson.now - seconds]
    return {one.tag.stream for one in recent}


def need(lesson: Lesson, *, voice: bool = False, video: bool = False) -> None:
    lesson.router.derived.need(voice=voice, video=video, now=lesson.now)


def layer_of(lesson: Lesson, source: str, rid: str = "") -> Layer:
    publisher = lesson.router.publisher
    assert publisher is not None
    return next(one for one in publisher.layers if (one.track.source, one.rid) == (source, rid))


def test_a_narrow_room_sees_the_derived_picture_and_a_wide_one_the_source() -> None:
    lesson, _ = derived_lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    wide = lesson.open_room("wide")
    narrow = lesson.open_room("narrow", bitrate=90_000.0)
    limit(lesson, narrow, 90_000.0)
    need(lesson, video=True)
    lesson.advance(20.0)
    assert streams(lesson, wide, "camera", 5.0) == {teacher.outlet("camera").ssrc}
    assert streams(lesson, narrow, "camera", 5.0) == {PICTURES}
    flawless(wide, "camera")
    flawless(narrow, "camera")
    small = layer_of(lesson, "camera", SMALL)
    origin = layer_of(lesson, "camera")
    assert (small.index, origin.index) == (0, 1)
    assert 0 < small.rate.rate(7, lesson.now) < origin.rate.rate(7, lesson.now) / 3
    assert small.pictures.is_whole()
    # And up again, to the source, as its link allows.
    limit(lesson, narrow, 5e6)
    lesson.advance(3.5)
    assert streams(lesson, narrow, "camera", 1.0) == {teacher.outlet("camera").ssrc}
    flawless(narrow, "camera")


def test_rooms_that_go_up_to_one_encoding_ask_for_no_more_keyframes_than_a_beat() -> None:
    lesson, _ = derived_lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    rooms = [lesson.open_room(f"room-{number}", bitrate=90_000.0) for number in range(10)]
    poor = lesson.open_room("poor", bitrate=90_000.0)
    for room in (*rooms, poor):
        limit(lesson, room, 90_000.0)
    need(lesson, video=True)
    lesson.advance(20.0)
    teacher.requests.clear()
    for room in rooms:
        limit(lesson, room, 5e6)
        need(lesson, video=True)
        lesson.advance(3.0)
    lesson.advance(6.0)
    for room in rooms:
        assert streams(lesson, room, "camera", 1.0) == {teacher.outlet("camera").ssrc}
    assert 3 <= len(teacher.requests) <= 36 / 8 + 1


def test_the_worker_is_asked_on_the_beat_and_the_teacher_is_not() -> None:
    lesson, worker = derived_lesson()
    teacher = lesson.publish(single(), voice())
    lesson.advance(1.0)
    need(lesson, video=True, voice=True)
    room = lesson.open_room("room", bitrate=60_000.0)
    limit(lesson, room, 110_000.0)
    lesson.advance(25.0)
    asked = [when for when, rid in worker.asked if rid == SMALL]
    assert 3 <= len(asked) <= 4
    assert not [ssrc for _, ssrc in teacher.requests if ssrc == teacher.outlet("camera").ssrc]
    assert lesson.router.keyframes.beats == 0
    room.ask_picture("camera")
    lesson.advance(1.0)
    assert not teacher.requests


def test_nothing_derived_is_recorded_and_lips_stay_in_time() -> None:
    lesson, _ = derived_lesson()
    lesson.publish(single(), voice())
    lesson.advance(1.0)
    need(lesson, video=True, voice=True)
    lesson.advance(5.0)
    assert {(source, rid) for source, rid, _ in lesson.feed.tracks.values()} == {
        ("camera", ""),
        ("voice", ""),
    }
    recorded = [one.data for packets in lesson.feed.packets.values() for one in packets]
    assert not [data for data in recorded if rtp.parse(data).ssrc == 5]
    thin, spoken = layer_of(lesson, "voice", THIN), layer_of(lesson, "voice")
    assert thin.timeline is spoken.timeline
    assert thin.slot_offset == spoken.slot_offset
    spoken.slot_offset += 480  # as a sender report corrects it before any room listens
    lesson.advance(0.2)
    assert thin.slot_offset == spoken.slot_offset
    assert thin.payload_type == spoken.payload_type
    assert thin.index < spoken.index


def test_a_thin_voice_that_is_the_larger_one_in_a_pause_stays_the_thin_one() -> None:
    lesson, _ = derived_lesson()
    lesson.publish(voice(rate=2.0))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    need(lesson, voice=True)
    lesson.advance(8.0)
    thin, spoken = layer_of(lesson, "voice", THIN), layer_of(lesson, "voice")
    for _ in range(300):
        thin.rate.receive(500, 0, lesson.now)
        lesson.advance(0.01)
    assert thin.rate.rate(7, lesson.now) > 2 * spoken.rate.rate(7, lesson.now)
    assert thin.index < spoken.index
    leg = room.viewer.legs["voice"] if room.viewer is not None else None
    assert leg is not None
    assert leg.target is spoken


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_room_goes_to_the_thin_voice_and_back_without_a_hole(depth: int) -> None:
    lesson, _ = derived_lesson()
    teacher = lesson.publish(voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", Offer(red=63 if depth else None))
    need(lesson, voice=True)
    lesson.advance(1.0)
    assert room.viewer is not None
    room.viewer.next_allocation = lesson.now + 100.0  # it is moved by hand
    leg = room.viewer.legs["voice"]
    leg.red_depth = depth
    joining = lesson.router._joining
    joining.want(leg, layer_of(lesson, "voice", THIN), ALL_TEMPORAL, lesson.now)
    before = room.bytes
    lesson.advance(3.0)
    assert streams(lesson, room, "voice", 2.0) == {VOICE}
    thin_bytes, before = room.bytes - before, room.bytes
    joining.want(leg, layer_of(lesson, "voice"), ALL_TEMPORAL, lesson.now)
    lesson.advance(3.0)
    assert streams(lesson, room, "voice", 2.0) == {teacher.outlet("voice").ssrc}
    assert room.bytes - before > 2 * thin_bytes
    flawless(room, "voice")


def test_a_room_with_the_thin_voice_keeps_room_for_the_full_one_before_pictures_move() -> None:
    """Or the full voice, which comes first, would put an end to them as the link is found."""
    lesson, _ = derived_lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    room = lesson.open_room("room")
    need(lesson, voice=True)
    lesson.advance(10.0)
    found = lesson.router._selection._offerings.current(lesson.router._layers(), lesson.now)
    thin, full = (one.bitrate for one in found["voice"].options)
    least = 1.6 * found["camera"].options[0].bitrate
    for bitrate, moves in ((thin, False), (thin + least, False), (full + least, True)):
        need(lesson, voice=True)
        limit(lesson, room, bitrate)
        lesson.advance(20.0)
        assert streams(lesson, room, "voice", 2.0) == {VOICE}
        assert bool(streams(lesson, room, "camera", 2.0)) is moves


def test_without_its_worker_a_room_goes_back_to_the_source_and_on_when_one_is_back() -> None:
    lesson, worker = derived_lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    room = lesson.open_room("room", bitrate=90_000.0)
    limit(lesson, room, 90_000.0)
    need(lesson, video=True)
    lesson.advance(10.0)
    origin = layer_of(lesson, "camera")
    worker.away = True
    lesson.router.derived.lost(origin)
    assert [one.rid for one in lesson.router._layers()] == [""]
    assert origin.index == 0
    assert origin in lesson.router.derived.sources
    limit(lesson, room, 5e6)
    lesson.advance(3.0)
    assert streams(lesson, room, "camera", 1.0) == {teacher.outlet("camera").ssrc}
    worker.away = False
    lesson.advance(0.5)
    limit(lesson, room, 90_000.0)
    lesson.advance(12.0)
    assert streams(lesson, room, "camera", 1.0) == {PICTURES}
    flawless(room, "camera")


def test_derived_layers_end_with_their_source_and_begin_with_the_next() -> None:
    lesson, worker = derived_lesson()
    lesson.publish(single(), voice())
    lesson.advance(1.0)
    need(lesson, video=True, voice=True)
    lesson.advance(2.0)
    assert len(worker.followed) == 2
    lesson.publish(single(), voice(), start=5000)
    assert not worker.followed
    lesson.advance(1.0)
    need(lesson, video=True, voice=True)
    lesson.advance(2.0)
    assert len(worker.followed) == 2
    assert sorted(one.rid for one in lesson.router._layers()) == ["", "", SMALL, THIN]
    lesson.unpublish()
    assert not worker.followed
    assert not lesson.router.derived.sources


def test_a_need_is_served_on_for_a_while_and_then_no_more() -> None:
    lesson, worker = derived_lesson()
    lesson.publish(camera(), single("screen"), voice())
    lesson.advance(1.0)
    need(lesson, video=True)
    # The simulcast camera has its ladder, and nobody needs the voice.
    assert [one.track.source for one in worker.followed] == ["screen"]
    lesson.advance(KEEP_SECONDS - 1.0)
    need(lesson)
    assert worker.followed
    lesson.advance(2.0)
    need(lesson)
    assert not worker.followed
    assert not [one for one in lesson.router._layers() if one.origin is not None]
    assert worker.begun == 1


def test_links_that_stay_poor_are_a_need_and_a_start_is_none() -> None:
    lesson, worker = derived_lesson()
    lesson.publish(single(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")

    def poll(seconds: int, bitrate: float) -> set[str]:
        limit(lesson, room, bitrate)
        for _ in range(10 * seconds):
            lesson.advance(0.1)
            lesson.router.derived.poll(lesson.router.viewers.values(), lesson.now)
        return {one.track.source for one in worker.followed}

    assert poll(5, 5e6) == set()
    assert poll(POLLS - 1, THIN_BELOW + 1.0) == set()
    assert poll(5, 5e6) == set()
    assert poll(POLLS + 2, THIN_BELOW + 1.0) == {"camera"}
    assert poll(POLLS + 1, THIN_BELOW - 1.0) == {"camera", "voice"}
    # A room that went away needs nothing.
    lesson.router.pause_viewer("room", lesson.now)
    assert poll(round(KEEP_SECONDS) + 2, 60_000.0) == set()


def test_what_the_worker_says_too_late_or_wrong_is_left_out() -> None:
    lesson, _ = derived_lesson()
    lesson.publish(single())
    lesson.advance(1.0)
    origin = layer_of(lesson, "camera")
    derived = lesson.router.derived
    good = rtp.build(96, True, 1, 1, 5, b"", b"\x10\0\0")
    derived.receive(origin, SMALL, good, lesson.now)
    need(lesson, video=True)
    derived.receive(origin, "huge", good, lesson.now)
    derived.receive(origin, SMALL, b"", lesson.now)
    derived.receive(origin, SMALL, rtp.build(96, True, 1, 1, 5, b"", b"\x10"), lesson.now)
    assert derived.malformed == 2
    assert [one.rid for one in lesson.router._layers()] == [""]


def test_one_hungry_worker_makes_no_storm_of_requests() -> None:
    lesson, _ = derived_lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    need(lesson, video=True)
    before = len(teacher.requests)
    for _ in range(100):
        lesson.router.derived.starve(layer_of(lesson, "camera"), lesson.now)
        lesson.advance(0.01)
    assert len(teacher.requests) == before + 1


def test_a_free_room_finds_its_way_up_from_a_derived_layer() -> None:
    """The stories above hold rooms still; a free room must know the derived layers as well."""
    lesson, _ = derived_lesson()
    teacher = lesson.publish(single())
    lesson.advance(1.0)
    need(lesson, video=True)
    lesson.advance(1.0)
    room = lesson.open_room("room", bitrate=90_000.0)
    assert room.viewer is not None
    lesson.advance(2.0)
    assert streams(lesson, room, "camera", 1.0) == {PICTURES}
    for _ in range(3):
        lesson.advance(20.0)
        need(lesson, video=True)
        teacher.request("camera")
    assert streams(lesson, room, "camera", 1.0) == {teacher.outlet("camera").ssrc}
