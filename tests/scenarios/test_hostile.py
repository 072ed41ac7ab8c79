"""Bytes that nobody meant: whatever a publisher or a viewer sends, the router goes on.

Here: random bytes and mutated real packets into the router's three entrances, with a room looking
on. Not here: the parsers by themselves (tests/relay), what SRTP keeps out.
"""

from __future__ import annotations

import functools

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.media import rtcp_build, rtp
from relay.sfu.layer import CACHE_SECONDS
from relay.sfu.publisher import CHANGES_APART
from tests.fakes.lesson_wire import Lesson
from tests.fakes.rtcp_build import build_fir, build_remb
from tests.scenarios.story import CODECS, camera, continuous, single, voice

# A voice packet of RED with nothing in it, as padding is sent.
EMPTY_RED = bytes.fromhex("903f041400020490000004b1bede00023104864032000000")
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@functools.cache
def captured() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Real packets: media and control of a teacher, control of a room."""
    media: list[bytes] = []
    control: list[bytes] = []
    answers: list[bytes] = []
    for codec in CODECS:
        lesson = Lesson()

        def up(data: bytes) -> bool:
            (control if rtp.is_rtcp(data) else media).append(data)
            return len(media) % 50 == 49

        def back(data: bytes) -> bool:
            answers.append(data)
            return False

        lesson.teacher_up.drop = up
        lesson.publish(camera(codec), single("screen", codec), voice(red=True))
        lesson.advance(0.3)
        room = lesson.open_room("room")
        lesson.uplinks["room"].drop = back
        lesson.downlinks["room"].loss = 0.1
        lesson.advance(0.7)
        room.ask_picture("camera")
        lesson.advance(0.1)
    return media, control, answers


@st.composite
def mutated(draw: st.DrawFn, which: int) -> bytes:
    """A real packet with a few bytes changed, cut or doubled; or no packet at all."""
    data = bytearray(draw(st.sampled_from(captured()[which])))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case 1:
                del data[at:]
            case 2:
                data[at:at] = draw(st.binary(max_size=8))
            case _:
                # The head: numbers, types, extensions are there.
                data[at % 20 : at % 20 + 1] = bytes((draw(st.integers(0, 255)),))
    return (
        draw(st.one_of(st.just(bytes(data)), st.binary(max_size=120))) if not data else bytes(data)
    )


def lesson_with_rooms(codec: str) -> Lesson:
    lesson = Lesson()
    lesson.publish(camera(codec), single("screen", codec), voice(red=True))
    lesson.advance(0.2)
    lesson.open_room("room")
    lesson.advance(0.3)
    return lesson


@FUZZ
@example("vp8", [EMPTY_RED])
@given(st.sampled_from(CODECS), st.lists(mutated(0), min_size=1, max_size=40))
def test_media_of_a_publisher(codec: str, packets: list[bytes]) -> None:
    lesson = lesson_with_rooms(codec)
    for data in packets:
        lesson.router.receive_rtp(data, lesson.now)
    lesson.router.flush(lesson.now)
    lesson.advance(0.3)


@FUZZ
@given(st.sampled_from(CODECS), st.lists(mutated(1), min_size=1, max_size=20))
def test_control_of_a_publisher(codec: str, packets: list[bytes]) -> None:
    lesson = lesson_with_rooms(codec)
    for data in packets:
        lesson.router.receive_publisher_rtcp(data, lesson.now)
        lesson.advance(0.02)
    lesson.advance(1.2)


@FUZZ
@given(st.lists(mutated(2), min_size=1, max_size=40))
def test_control_of_a_room(packets: list[bytes]) -> None:
    """What one room says never reaches another, or the teacher."""
    lesson = lesson_with_rooms("vp8")
    other = lesson.open_room("other")
    viewer = lesson.rooms["room"].viewer
    assert viewer is not None
    assert lesson.publisher is not None
    for data in packets:
        lesson.router.receive_viewer_rtcp(viewer, data, lesson.now)
        lesson.advance(0.01)
    lesson.advance(0.5)
    assert lesson.publisher.requests == []
    continuous(other.shown("camera"), lesson.now - 0.3, lesson.now - 0.1, 0.3)


@FUZZ
@given(st.binary(max_size=200))
def test_random_bytes_at_every_entrance(data: bytes) -> None:
    lesson = lesson_with_rooms("vp9")
    viewer = lesson.rooms["room"].viewer
    assert viewer is not None
    lesson.router.receive_rtp(data, lesson.now)
    lesson.router.receive_publisher_rtcp(data, lesson.now)
    lesson.router.receive_viewer_rtcp(viewer, data, lesson.now)
    lesson.advance(0.1)


def test_feedback_about_packets_never_sent_moves_nothing_out_of_bounds() -> None:
    lesson = lesson_with_rooms("vp8")
    room = lesson.rooms["room"]
    assert room.viewer is not None
    for ssrc in (0, 11, 21, 31, 0xFFFFFFFF):
        room.uplink(rtcp_build.build_nack(1, ssrc, range(500)))
        room.uplink(rtcp_build.build_pli(1, ssrc))
        room.uplink(build_fir(1, [(ssrc, 1)]))
        room.uplink(build_remb(1, 10_000, [ssrc]))
    lesson.advance(1.0)
    assert room.viewer.bandwidth.bitrate > 0
    continuous(room.shown("camera"), lesson.now - 0.8, lesson.now - 0.1, 0.6)


def test_a_voice_that_begins_anew_all_the_time_costs_others_nothing() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera("vp8"), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    began = lesson.now
    for _ in range(100):
        outlet = teacher.outlet("voice")
        outlet.sequence = (outlet.sequence + 10_000) & 0xFFFF
        lesson.advance(0.04)
    voices = [source for source, _, _ in lesson.feed.tracks.values() if source == "voice"]
    assert len(voices) <= 2 + (lesson.now - began) / CHANGES_APART
    assert lesson.router.publisher is not None
    assert lesson.router.publisher.restless > 50
    continuous(room.shown("camera"), began + 0.5, lesson.now - 0.1, 0.3)


def test_a_picture_that_changes_its_codec_all_the_time_begins_anew_at_times() -> None:
    lesson = Lesson()
    plan = single(codec="vp8")
    teacher = lesson.publish(plan, voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    began = lesson.now
    for number in range(40):
        outlet = teacher.outlet("camera")
        assert outlet.encoder is not None
        plan.codec = outlet.encoder.codec = ("h264", "vp8")[number % 2]
        outlet.key_wanted = True
        lesson.advance(0.1)
    cameras = [source for source, _, _ in lesson.feed.tracks.values() if source == "camera"]
    assert len(cameras) <= 2 + (lesson.now - began) / CHANGES_APART
    lesson.advance(2.0)
    continuous(room.shown("voice"), began + 0.5, lesson.now - 0.1, 0.1)
    continuous(room.shown("camera"), lesson.now - 1.0, lesson.now - 0.2, 0.5)


def test_layers_that_get_no_packets_any_more_keep_none() -> None:
    lesson = lesson_with_rooms("vp8")
    assert lesson.router.publisher is not None
    layers = list(lesson.router.publisher.layers)
    assert all(layer.cached(layer.highest) is not None for layer in layers)
    for outlet in lesson.publisher.outlets if lesson.publisher is not None else ():
        outlet.sending = outlet.plan.source == "voice"
    lesson.advance(CACHE_SECONDS + 1.0)
    kept = {layer.track.source for layer in layers if layer.cached(layer.highest) is not None}
    assert kept == {"voice"}
    lesson.unpublish()
    assert all(layer.pictures.first is None for layer in layers)
    lesson.advance(CACHE_SECONDS + 1.0)
    assert not any(layer.cached(layer.highest) for layer in layers)
