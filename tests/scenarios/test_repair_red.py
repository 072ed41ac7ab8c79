"""The voice as RED made by the relay: what each packet repeats, under loss and through changes.

Here: rooms that take RED with one or two earlier frames, whatever the teacher's browser sends. Not
here: whether a browser plays it (tests/bench), the format by itself (tests/relay/test_red.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from relay.media import red, rtp
from relay.media.seqno import Unwrapper
from relay.sfu.layer import CACHE_SECONDS
from relay.sfu.packet import Received
from tests.fakes.lesson_frames import Tag, read_tag
from tests.fakes.lesson_viewer import FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import STARTS, camera, flawless, guard, voice

OPUS, RED = 109, 63


@dataclass
class Heard:
    """What a room has of the voice. primary: frames that came by themselves.

    earlier: of each packet, how far before it (timestamp units) the frames are that it repeats.
    """

    primary: set[tuple[int, int]] = field(default_factory=set)
    repeated: set[tuple[int, int]] = field(default_factory=set)
    earlier: list[tuple[int, ...]] = field(default_factory=list)
    types: set[int] = field(default_factory=set)


def heard(room: FakeViewer) -> Heard:
    """Read all that was received; every frame must be at one timestamp, however often it comes."""
    result = Heard()
    times: dict[tuple[int, int], int] = {}
    clock = Unwrapper(32)
    for _, (data, _) in sorted(room.streams["voice"].held.items()):
        header = rtp.parse(data)
        if header.payload_end == header.payload_offset:
            continue
        result.types.add(header.payload_type)
        at = clock.unwrap(header.timestamp)
        blocks = [(OPUS, 0, data[header.payload_offset : header.payload_end])]
        if header.payload_type == RED:
            blocks = red.parse(data, header.payload_offset, header.payload_end)
        assert all(number == OPUS for number, _, _ in blocks)
        result.earlier.append(tuple(distance for _, distance, _ in blocks[:-1]))
        for _, distance, payload in blocks:
            tag = read_tag(payload)
            frame = (tag.stream, tag.frame)
            assert times.setdefault(frame, at - distance) == at - distance
            (result.repeated if distance else result.primary).add(frame)
    return result


def red_room(lesson: Lesson, depth: int, down: Link | None = None) -> FakeViewer:
    room = lesson.open_room("room", Offer(opus=OPUS, red=RED), down=down)
    set_depth(lesson, room, depth)
    return room


def set_depth(lesson: Lesson, room: FakeViewer, depth: int) -> None:
    guard(lesson, room, depth)


@pytest.mark.parametrize("sent_as_red", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_each_packet_repeats_so_many_frames(sent_as_red: bool, depth: int) -> None:
    lesson = Lesson()
    lesson.publish(voice(red=sent_as_red))
    room = red_room(lesson, depth)
    lesson.advance(2.0)
    got = heard(room)
    assert got.types == {RED if depth else OPUS}
    assert got.earlier[10:] == [(1920, 960)[2 - depth :]] * (len(got.earlier) - 10)
    assert len(got.primary) >= 99
    flawless(room, "voice")


def test_a_room_without_red_gets_plain_opus_beside_rooms_with_it() -> None:
    lesson = Lesson()
    lesson.publish(voice(red=True))
    rooms = [
        lesson.open_room(f"room-{number}", Offer(opus=OPUS, red=None if number == 2 else RED))
        for number in range(3)
    ]
    for depth, room in zip((0, 2, 2), rooms, strict=True):
        set_depth(lesson, room, depth)
    lesson.advance(2.0)
    assert [heard(room).types for room in rooms] == [{OPUS}, {RED}, {OPUS}]
    for room in rooms:
        flawless(room, "voice")


@pytest.mark.parametrize("start", STARTS)
def test_numbers_and_timestamps_that_wrap(start: int) -> None:
    lesson = Lesson()
    lesson.publish(voice(), start=start, timestamp=0xFFFFFFFF - 24_000 - 960 * start % 7)
    room = red_room(lesson, 2)
    lesson.advance(2.0)
    assert set(heard(room).earlier[3:]) == {(1920, 960)}
    flawless(room, "voice")


@pytest.mark.parametrize(("depth", "most"), [(0, 0.08), (1, 0.008), (2, 0.002)])
def test_loss_at_the_room_without_any_resend(depth: int, most: float) -> None:
    lesson = Lesson()
    lesson.publish(voice())
    room = red_room(lesson, depth, down=Link(loss=0.05))
    room.asks_again = False
    lesson.advance(30.0)
    got = heard(room)
    frames = range(min(got.primary)[1], max(got.primary)[1])
    missing = len(frames) - len({frame for _, frame in got.primary | got.repeated} & set(frames))
    assert missing / len(frames) <= most
    assert len(got.primary) < 0.97 * len(frames)


@pytest.mark.parametrize("sent_as_red", [False, True])
@pytest.mark.parametrize("depth", [0, 1])
def test_loss_at_the_teacher(sent_as_red: bool, depth: int) -> None:
    """The teacher's own RED brings back what was lost; without, it is left out of everything."""
    lesson = Lesson()
    lesson.publish(voice(red=sent_as_red))
    room = red_room(lesson, depth)
    lesson.teacher_up.loss = 0.05
    lesson.advance(20.0)
    lesson.teacher_up.loss = 0.0
    lesson.advance(0.1)
    got = heard(room)
    absent = _all(got) - got.primary
    if sent_as_red:
        assert len(absent) < 0.006 * len(_all(got))
    else:
        assert len(absent) > 25
        assert not absent & got.repeated
    # What stood before a gap is repeated in the stead of what is not there.
    assert ((1920,) in got.earlier) == (depth == 1)
    assert not room.audit("voice").faults


def test_packets_that_the_teachers_red_stood_in_for_come_later() -> None:
    lesson = Lesson()
    lesson.teacher_up = Link(reorder=0.3, delay=0.02)
    lesson.publish(voice(red=True))
    room = red_room(lesson, 0)
    lesson.advance(5.0)
    lesson.settle()
    flawless(room, "voice")
    stream = [one.sequence for one in next(iter(lesson.feed.packets.values()))]
    assert len(stream) == len(set(stream))


@pytest.mark.parametrize("start", STARTS)
def test_the_teachers_red_across_the_wrap(start: int) -> None:
    lesson = Lesson()
    lost = iter(range(10**9))
    lesson.publish(voice(red=True), start=start, timestamp=0xFFFFFFFF - 12_000)
    room = red_room(lesson, 0)
    lesson.teacher_up.drop = lambda data: not rtp.is_rtcp(data) and next(lost) % 3 == 2
    lesson.advance(1.0)
    lesson.teacher_up.drop = None
    lesson.advance(0.1)
    flawless(room, "voice")
    assert len(heard_all(room)) >= 54


def heard_all(room: FakeViewer) -> list[int]:
    return [one.tag.frame for one in room.audit("voice").shown]


def _all(got: Heard) -> set[tuple[int, int]]:
    first, last = min(got.primary), max(got.primary)
    return {(first[0], frame) for frame in range(first[1], last[1])}


def test_packet_times_and_silences_that_change() -> None:
    lesson = Lesson()
    microphone = voice()
    teacher = lesson.publish(microphone)
    room = red_room(lesson, 2)
    lesson.advance(1.0)
    microphone.rate = 1 / 0.06
    lesson.advance(1.0)
    assert heard(room).earlier[-1] == (5760, 2880)
    microphone.rate = 1 / 0.12
    lesson.advance(1.2)
    assert heard(room).earlier[-1] == (11520, 5760)
    microphone.rate = 50.0
    teacher.outlet("voice").sending = False
    lesson.advance(0.6)
    teacher.outlet("voice").sending = True
    lesson.advance(0.2)
    got = heard(room)
    # Nothing reaches back over a silence longer than 14 bits of 48 kHz.
    assert () in got.earlier[-12:]
    assert got.earlier[-1] == (1920, 960)
    assert all(0 < one <= red.MAX_TIMESTAMP_OFFSET for gaps in got.earlier for one in gaps)
    flawless(room, "voice")


@pytest.mark.parametrize("sent_as_red", [False, True])
@pytest.mark.parametrize("start", STARTS)
def test_what_is_sent_again_is_what_was_sent(start: int, sent_as_red: bool) -> None:
    """With packets that overtake each other on the way in and are lost on the way out."""
    lesson = Lesson()
    lesson.teacher_up = Link(loss=0.05, reorder=0.2, delay=0.03)
    microphone = voice(red=sent_as_red)
    lesson.publish(microphone, start=start)
    room = red_room(lesson, 2, down=Link(loss=0.1, delay=0.08))
    assert room.viewer is not None
    for step in range(12):
        microphone.red = sent_as_red and step % 3 != 2
        set_depth(lesson, room, (2, 1, 0, 2)[step % 4])
        room.viewer.repairs.delay = 10.0  # nothing comes too late
        lesson.advance(0.5)
    lesson.downlinks["room"].loss = 0.0
    lesson.advance(0.5)
    stream = room.streams["voice"]
    recent = [number for number, (_, at) in stream.held.items() if at > lesson.now - 3.0]
    assert len(recent) > 100
    before = stream.repeats
    for first in range(0, len(recent), 40):
        room.ask_again("voice", [one & 0xFFFF for one in recent[first : first + 40]])
        lesson.advance(0.4)
    # FakeViewer holds every repeat against what came first.
    assert stream.repeats - before > 0.3 * len(recent)
    assert not stream.audit.faults
    heard(room)


def test_what_was_never_sent_to_a_group_is_the_same_each_time_it_is_asked_for() -> None:
    """A packet that comes after the leg's group was left has its number there all the same."""
    lesson = Lesson()
    lesson.publish(voice())
    room = red_room(lesson, 1)
    lesson.advance(0.5)
    held: list[bytes] = []

    def hold_one(data: bytes) -> bool:
        if not held and not rtp.is_rtcp(data):
            held.append(data)
            return True
        return False

    lesson.teacher_up.drop = hold_one
    lesson.advance(0.1)
    set_depth(lesson, room, 2)
    lesson.advance(0.1)
    stream = room.streams["voice"]
    missing = set(range(min(stream.held), max(stream.held))) - set(stream.held)
    assert len(missing) == 1
    lesson.router.receive_rtp(held[0], lesson.now)
    lesson.advance(0.05)
    for _ in range(3):
        room.ask_again("voice", [one & 0xFFFF for one in missing])
        lesson.advance(0.5)
    assert stream.repeats >= 1
    assert not stream.audit.faults
    assert missing <= set(stream.held)


def test_a_teacher_who_begins_again() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice(red=True))
    room = red_room(lesson, 2)
    lesson.advance(1.0)
    lesson.unpublish()
    lesson.advance(0.3)
    lesson.publish(camera(), voice(), timestamp=5)
    lesson.advance(1.0)
    teacher = lesson.publisher
    assert teacher is not None
    outlet = teacher.outlet("voice")
    outlet.sequence = (outlet.sequence + 9_000) & 0xFFFF  # the browser counts from elsewhere
    lesson.advance(1.2)
    got = heard(room)
    assert len({stream for stream, _ in got.primary}) == 2
    assert got.earlier[-1] == (1920, 960)
    flawless(room, "voice")


def test_long_frames_are_not_repeated_beyond_what_a_datagram_and_a_block_hold() -> None:
    lesson = Lesson()
    lesson.publish(voice())
    room = red_room(lesson, 2)
    lesson.advance(0.2)
    assert room.viewer is not None
    group = room.viewer.legs["voice"].group
    assert group is not None
    layer, newest = group.layer, group.layer.highest

    def packet(sequence: int, size: int) -> Received:
        data = rtp.build(111, False, sequence & 0xFFFF, sequence * 960, 1, b"", bytes(size))
        before = layer.cached(newest)
        assert before is not None
        header = rtp.parse(data)
        return Received(
            sequence,
            data,
            111,
            False,
            header.timestamp,
            header.payload_offset,
            header.payload_end,
            0,
            before.info,
            lesson.now,
        )

    sizes = (1_030, 500, 500, 500, 200)
    layers = []
    for index, size in enumerate(sizes):
        one = packet(newest + 1_000 + index, size)
        layer.store(one)
        out = group.build(one, 0)
        start = len(out.data) - out.payload_size
        layers.append([len(block) for _, _, block in red.parse(out.data, start, len(out.data))])
    assert layers == [[1_030], [500], [500, 500], [500, 500], [500, 200]]


def test_what_was_made_is_forgotten_with_the_packets() -> None:
    lesson = Lesson()
    lesson.publish(voice())
    room = red_room(lesson, 2)
    lesson.advance(30.0)
    assert room.viewer is not None
    group = room.viewer.legs["voice"].group
    assert group is not None
    assert group._redundancy is not None
    assert len(group._redundancy) <= 50 * CACHE_SECONDS + 2


@pytest.mark.parametrize("start", [1_000, 65_534])
@pytest.mark.parametrize("distance", [1, 2, 3])
def test_a_sender_that_repeats_older_frames_fills_their_numbers(start: int, distance: int) -> None:
    """Some encoders repeat the one before the last (rtpredenc's `distance`), over bursts."""
    lesson = Lesson()
    publisher = lesson.publish(voice(red=True))
    room = red_room(lesson, 0)
    publisher.outlet("voice").sending = False
    frames = [Tag(1_001, number, 0, 1, 0, (), lesson.now).pack() for number in range(12)]
    for number, frame in enumerate(frames):
        blocks = [(111, 0, frame)]
        if number >= distance:
            blocks.insert(0, (111, 960 * distance, frames[number - distance]))
        data = red.build(blocks)
        if not 5 <= number < 5 + distance:
            lesson.router.receive_rtp(
                rtp.build(63, False, start + number, 5_000 + 960 * number, 1_001, b"", data),
                lesson.now,
            )
    lesson.advance(0.1)
    shown = [one.tag.frame for one in room.audit("voice").shown]
    # The newest lost ones came too late to be put before what followed; they fill their numbers.
    assert set(shown) >= {0, 1, 2, 3, 4, 5, 5 + distance, 11}
    assert shown == sorted(shown)
    assert not room.audit("voice").faults


def test_one_packet_never_becomes_many() -> None:
    """A hostile packet with hundreds of blocks after a jump in its numbers."""
    lesson = Lesson()
    teacher = lesson.publish(voice(red=True))
    room = red_room(lesson, 0)
    lesson.advance(0.5)
    teacher.outlet("voice").sending = False
    lesson.advance(0.1)
    before = room.received
    blocks = [(111, 10 * number, b"x") for number in range(300, 0, -1)]
    number = teacher.outlet("voice").sequence + 1_000
    timestamp = 90_000 + 48_000
    data = red.build([*blocks, (111, 0, Tag(1_001, 999, 0, 1, 0, (), 0.0).pack())])
    packet = rtp.build(63, False, number, timestamp, 1_001, b"", data)
    lesson.router.receive_rtp(packet, lesson.now)
    lesson.advance(0.1)
    assert 1 < room.received - before <= 5


def test_rooms_that_change_places_between_two_packets_both_go_on() -> None:
    lesson = Lesson()
    lesson.publish(voice())
    rooms = [lesson.open_room(name, Offer(red=RED)) for name in "ab"]
    joining = lesson.router._joining
    viewers = [room.viewer for room in rooms if room.viewer is not None]
    legs = [viewer.legs["voice"] for viewer in viewers]

    def repeat(*depths: int) -> None:
        for leg, depth in zip(legs, depths, strict=True):
            leg.red_depth = depth
            joining.reprofile(leg)

    for viewer in viewers:
        viewer.next_plan = 1e18  # nobody else says what they repeat
    lesson.advance(2.0)
    repeat(0, 1)
    lesson.advance(1.0)
    repeat(1, 0)  # each leaves its group as the last one and joins the other's
    before = [len(room.streams["voice"].held) for room in rooms]
    lesson.advance(4.0)
    for room, had in zip(rooms, before, strict=True):
        assert len(room.streams["voice"].held) - had > 190
    assert joining.joined == {}
