"""Rooms of all kinds: ones that vanish and return, that cannot decode, that count differently.

Here: what one viewer's session is due, whatever the others do. Not here: its link's rate.
"""

from __future__ import annotations

import pytest

from relay.media import rtp
from relay.media.pacer import Kind
from relay.sfu.group import Profile
from tests.fakes.lesson_viewer import Offer
from tests.fakes.lesson_wire import START, Lesson
from tests.scenarios.story import CODECS, camera, continuous, flawless, hold, single, voice


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("away", [0.7, 5.0, 100.0])
def test_a_room_whose_consent_lapses_and_returns(codec: str, away: float) -> None:
    """Same session, same numbers: what was not sent is no gap, and the picture is back at once."""
    lesson = Lesson(beat=1_000.0)
    teacher = lesson.publish(camera(codec, rate=5.0), voice(rate=10.0))
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(2.0)
    lesson.router.pause_viewer("room", lesson.now)
    before = room.received
    lesson.advance(away)
    assert room.received - before <= 30  # what was under way
    asked = len(teacher.requests)
    back = lesson.now
    lesson.router.resume_viewer("room", lesson.now)
    lesson.advance(0.5)
    assert len(teacher.requests) == asked
    lesson.advance(1.5)
    lesson.settle()
    flawless(room, "camera", "voice")
    after = [one for one in room.shown("camera") if one.arrived > back]
    assert after[0].key
    assert after[0].arrived - back < 0.05
    continuous(after, back + 0.1, back + 1.9, 1.0)


def test_what_a_paused_room_says_is_no_reason_to_send() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(1.0)
    lesson.router.pause_viewer("room", lesson.now)
    lesson.advance(0.1)
    before = lesson.fan_out.packets
    room.ask_picture("camera")
    room.ask_again("camera", [number & 0xFFFF for number in room.streams["camera"].held])
    lesson.advance(3.0)
    assert lesson.fan_out.packets == before


def test_nothing_waits_for_a_room_whose_consent_lapsed() -> None:
    """Its address may be somebody else's by now."""
    lesson = Lesson(beat=1_000.0)
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", bitrate=60_000.0)
    assert room.viewer is not None
    while not room.viewer.pace._pacer._queues[Kind.PADDING]:
        lesson.advance(0.01)
    lesson.router.pause_viewer("room", lesson.now)
    assert not room.viewer.pace.is_busy


def test_rooms_that_leave_in_the_middle_of_everything() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    staying = lesson.open_room("staying")
    for step in range(60):
        lesson.open_room(f"room-{step}")
        lesson.advance(0.013)
        lesson.close_room(f"room-{step}")
        if step % 7 == 0:
            lesson.router.remove_viewer("nobody", lesson.now)
    lesson.settle()
    flawless(staying, "camera", "voice")
    publisher = lesson.router.publisher
    assert publisher is not None
    assert staying.viewer is not None
    for layer in publisher.layers:
        assert all(leg in staying.viewer.legs.values() for leg in layer.joiners)
        assert all(group.legs for group in layer.groups.values())


def test_a_room_without_the_codec_hears_the_voice() -> None:
    lesson = Lesson()
    teacher = lesson.publish(camera("av1"), voice())
    room = lesson.open_room("room", Offer(types={"h264": 105}))
    lesson.advance(3.0)
    assert teacher.requests == []
    lesson.settle()
    flawless(room, "voice")
    assert room.shown("camera") == []
    assert len(room.shown("voice")) >= 149


def test_a_room_keeps_the_camera_when_it_cannot_decode_the_screen() -> None:
    lesson = Lesson()
    lesson.publish(camera("vp8"), single("screen", "av1"))
    offer = Offer(types={"vp8": 97}, slots=("voice", "programme"))
    room = lesson.open_room("room", offer)
    lesson.advance(1.0)
    later = lesson.open_room("later", offer)
    lesson.advance(2.0)
    lesson.settle()
    flawless(room, "programme")
    flawless(later, "programme")
    continuous(room.shown("programme"), START + 0.3, START + 2.8, 0.5)
    continuous(later.shown("programme"), START + 1.3, START + 2.8, 0.5)


@pytest.mark.parametrize("opus", [111, 109])
@pytest.mark.parametrize("red", [None, 63, 120])
def test_red_and_rooms_with_and_without_it(opus: int, red: int | None) -> None:
    """Until a room is to have RED, it gets the newest block alone: see test_repair_red."""
    lesson = Lesson()
    lesson.publish(voice(red=True))
    room = lesson.open_room("room", Offer(opus=opus, red=red))
    lesson.advance(3.0)
    lesson.settle()
    sizes = {len(data) for data, _ in room.streams["voice"].held.values()}
    types = {data[1] & 0x7F for data, _ in room.streams["voice"].held.values()}
    flawless(room, "voice")
    assert len(room.shown("voice")) >= 149
    assert types == {opus}
    assert max(sizes) < 70


def test_voice_between_red_and_plain() -> None:
    lesson = Lesson()
    microphone = voice(red=True)
    lesson.publish(microphone)
    room = lesson.open_room("room", Offer(red=63))
    for step in range(10):
        microphone.red = step % 2 == 1
        lesson.advance(0.5)
    lesson.settle()
    flawless(room, "voice")
    assert len(lesson.feed.tracks) == 1


@pytest.mark.parametrize("codec", CODECS)
def test_every_room_gets_its_own_payload_types_and_extension_numbers(codec: str) -> None:
    offers = [
        Offer(),
        Offer(types={"vp8": 120, "vp9": 122, "h264": 124, "av1": 126}),
        Offer(extensions={rtp.TRANSPORT_CC: 1}),
        Offer(extensions={rtp.TRANSPORT_CC: 14, rtp.DEPENDENCY_DESCRIPTOR: 1}),
        Offer(extensions={rtp.TRANSPORT_CC: 20, rtp.DEPENDENCY_DESCRIPTOR: 255}),
        Offer(extensions={rtp.TRANSPORT_CC: 200}),
        Offer(extensions={rtp.DEPENDENCY_DESCRIPTOR: 3}),
        Offer(extensions={}),
    ]
    lesson = Lesson()
    lesson.publish(camera(codec), voice())
    lesson.advance(1.0)
    rooms = [lesson.open_room(f"room-{index}", offer) for index, offer in enumerate(offers)]
    for rid in ("q", "f"):
        for room in rooms:
            hold(lesson, room, rid)
        lesson.downlinks["room-4"].loss = lesson.downlinks["room-5"].loss = 0.03
        lesson.advance(5.0)
    lesson.downlinks["room-4"].loss = lesson.downlinks["room-5"].loss = 0.0
    lesson.advance(0.5)
    lesson.settle()
    for room in rooms:
        flawless(room, "camera", "voice")
        assert len(room.shown("camera")) > 100


def test_rooms_that_can_the_same_share_their_packets() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    for number in range(20):
        lesson.open_room(f"room-{number}")
    lesson.advance(2.0)
    publisher = lesson.router.publisher
    assert publisher is not None
    groups = [group for layer in publisher.layers for group in layer.groups.values()]
    assert sorted(len(group.legs) for group in groups) == [20, 20]
    assert all(isinstance(group.profile, Profile) for group in groups)


def test_counts_in_sender_reports_are_those_of_the_leg() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room")
    lesson.advance(4.0)
    lesson.settle()
    lesson.advance(1.1)
    for slot in ("camera", "voice"):
        stream = room.streams[slot]
        headers = [(rtp.parse(data), data) for data, _ in stream.held.values()]
        octets = sum(head.payload_end - head.payload_offset for head, _ in headers)
        report = stream.reports[-1]
        assert (report.packet_count, report.octet_count) == (len(headers), octets)
