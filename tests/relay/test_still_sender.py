"""Still pictures on their way to rooms: what is made of which keyframe, and how slowly it is sent.

The pictures are made up; the pace runs on the test's own clock, and one test has a real TCP socket
whose other end does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from classroom.wire import LessonInfo, LessonState, Message, Recording, Source, Still, StillPart
from relay.record.stills import Keyframe, Keyframes
from relay.record.stills_maker import Picture, StillsMaker
from relay.web import stills
from relay.web.lessons import KnownLessons
from relay.web.rungs import Rungs
from relay.web.still_sender import StillSender, queued
from relay.web.stills import CLASSES, PART_OVERHEAD, NewStill, Stills, messages, size_class
from tests.eventually import eventually
from tests.relay.test_rungs import notice

LIVE = LessonInfo("toan-8", "Toán 8", "", LessonState.LIVE, False, (), 0, Recording(), 1e9)
BEAT = 8.0


class Frames(Keyframes):
    """The newest keyframe is what the test says."""

    frame: Keyframe | None = None

    def show(self, number: int, source: str = "camera") -> None:
        self.frame = Keyframe(number, "toan-8", source, "vp8", b"", b"", 1e9 + number, 640)

    def newest(self, lesson: str, sources: Any) -> Keyframe | None:
        return self.frame if self.frame and self.frame.source in sources else None


class Maker(StillsMaker):
    """Pictures of as many bytes as they may have; `same`: nothing has changed."""

    same = False
    fails = False

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, list[int], bool]] = []
        self.stopped = 0

    async def make(
        self, frame: Keyframe, budgets: Sequence[int], again: bool
    ) -> list[Picture] | None:
        self.asked.append((frame.number, list(budgets), again))
        if self.fails or (self.same and not again):
            return None
        return [
            Picture(size, "image/avif", 640, 360, bytes([frame.number]) * size) for size in budgets
        ]

    async def stop(self) -> None:
        self.stopped += 1


class World:
    """A lesson with rooms on stills, on a clock that sleeping moves."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 1_000.0
        self.rungs = Rungs(self.clock, self.clock)
        self.lessons = KnownLessons(tmp_path / "lessons")
        self.lessons.told([LIVE])
        self.send_sources("voice", "camera")
        self.frames, self.maker = Frames(), Maker()
        self.stills = Stills(self.rungs, self.lessons, self.frames, self.maker, BEAT, self.clock)
        self.sent: list[tuple[float, Message]] = []
        self.queue = (0, 0)
        self.pings: list[float] = []
        self.word = 0
        """Bytes that a ping adds to what is not acknowledged."""

    def clock(self) -> float:
        return self.now

    def send_sources(self, *names: str) -> None:
        self.lessons.media(
            {"lesson": "toan-8", "publishing": True, "sources": list(names), "rooms": 1}
        )

    async def look(self, seconds: float = 1.0) -> None:
        """What `Stills.run` does once in a while."""
        self.now += seconds
        await self.stills.look()

    def numbers(self) -> list[int]:
        return [message.still for _, message in self.sent if isinstance(message, Still)]

    async def send(self, message: Message) -> None:
        self.sent.append((self.now, message))

    async def ping(self) -> None:
        self.pings.append(self.now)
        self.queue = (0, self.queue[1] + self.word)

    @contextlib.asynccontextmanager
    async def sender(self) -> AsyncIterator[StillSender]:
        async def sleep(seconds: float) -> None:
            self.now += seconds
            await _yield()

        sender = StillSender(
            self.stills,
            lambda: self.rungs.of("toan-8", "room-1"),
            self.send,
            lambda: self.queue,
            self.ping,
            self.clock,
            sleep,
        )
        running = asyncio.ensure_future(sender.run())
        try:
            yield sender
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _yield() -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(ready.set_result, None)
    await ready


async def settle() -> None:
    for _ in range(2_000):
        await _yield()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("source", "share", "size"), [(Source.SCREEN, 0.75, 5_000), (Source.CAMERA, 0.19, 1_500)]
)
def test_a_slide_is_there_before_the_next_beat_and_a_face_soon(
    source: Source, share: float, size: int
) -> None:
    for bitrate in (10_000.0, 20_000.0, 40_000.0):
        found = size_class(bitrate, BEAT, source)
        parts = -(-found // 800)
        assert (found + (parts + 2) * PART_OVERHEAD) * 8 / bitrate < BEAT * share
    assert size_class(100.0, BEAT, source) == CLASSES[0]
    assert size_class(10_000.0, BEAT, source) == size
    assert size_class(1e9, BEAT, source) == CLASSES[-1]


def test_a_picture_is_cut_into_parts_that_fit_a_packet() -> None:
    picture = Picture(2_500, "image/avif", 640, 360, bytes(range(200)) * 10 + b"end")
    frame = Keyframe(1, "toan-8", "screen", "vp8", b"", b"", 1e9, 640)
    head, *parts = messages(NewStill(3, frame, 1e9, {}), picture)
    assert isinstance(head, Still)
    assert (head.still, head.parts, head.bytes) == (3, 3, 2_003)
    assert b"".join(each.data for each in parts if isinstance(each, StillPart)) == picture.data


async def test_nothing_is_made_until_a_room_needs_it(world: World) -> None:
    world.frames.show(1)
    world.rungs.receive(notice(rung="small"))
    await world.look()
    world.rungs.receive(notice(rung="stills", stills_bitrate=0.0))
    await world.look()
    assert world.maker.asked == []
    world.rungs.receive(notice(rung="stills"))
    await world.look()
    assert world.maker.asked == [(1, [1_500], True)]


async def test_at_most_one_per_beat_and_none_that_shows_the_same(world: World) -> None:
    world.rungs.receive(notice(rung="stills"))
    for second in range(24):
        # A publisher that makes a keyframe every second.
        world.frames.show(second)
        world.maker.same = second > 10
        await world.look()
    assert [number for number, *_ in world.maker.asked] == [0, 6, 12, 18]
    (state,) = world.rungs.states()
    found = world.stills.of(state)
    assert found is not None
    assert (found[0].number, found[0].captured, found[1].data[0]) == (2, 1e9 + 18, 6)


async def test_a_room_that_comes_in_the_middle_of_a_beat_has_the_next_still_in_time(
    world: World,
) -> None:
    world.frames.show(0)
    world.now += 5.0
    world.rungs.receive(notice(rung="stills"))
    await world.look()
    world.now += 3.1
    world.frames.show(8)
    await world.look()
    assert [number for number, *_ in world.maker.asked] == [0, 8]


async def test_rooms_of_one_size_share_a_picture_and_a_new_size_is_no_news(world: World) -> None:
    world.frames.show(1)
    for number in range(5):
        world.rungs.receive(notice(f"room-{number}", "stills"))
    world.rungs.receive(notice("room-9", "stills", stills_bitrate=40_000.0))
    await world.look()
    assert world.maker.asked == [(1, [1_500, 3_500], True)]
    world.rungs.receive(notice("room-8", "stills", stills_bitrate=28_000.0))
    await world.look()
    assert world.maker.asked[1:] == [(1, [2_500], True)]
    shown = [world.stills.of(state) for state in world.rungs.states()]
    assert {found and found[0].number for found in shown} == {1}


async def test_a_size_that_cannot_be_made_is_not_asked_for_without_end(world: World) -> None:
    world.frames.show(1)
    world.rungs.receive(notice("room-1", "stills"))
    world.maker.fails = True
    for _ in range(5):
        await world.look()
    assert len(world.maker.asked) == 1
    world.maker.fails = False
    world.frames.show(9)
    await world.look(BEAT)
    world.maker.fails = True
    world.rungs.receive(notice("room-2", "stills", stills_bitrate=40_000.0))
    for _ in range(5):
        await world.look()
    assert len(world.maker.asked) == 3


async def test_slides_that_are_put_away_leave_no_picture_of_themselves(world: World) -> None:
    world.send_sources("voice", "camera", "screen")
    world.frames.show(1, "screen")
    world.rungs.receive(notice(rung="stills"))
    await world.look()
    (state,) = world.rungs.states()
    assert world.stills.of(state) is not None
    world.send_sources("voice", "camera")
    assert world.stills.of(state) is None


async def test_a_room_with_hardly_room_for_the_voice_gets_slides_and_no_face(
    world: World,
) -> None:
    world.frames.show(1)
    world.rungs.receive(notice(rung="voice", stills_bitrate=4_000.0))
    await world.look()
    assert world.maker.asked == []
    world.rungs.receive(notice("room-2", "stills"))
    await world.look()
    voice, stills = (world.rungs.of("toan-8", name) for name in ("room-1", "room-2"))
    assert voice is not None
    assert stills is not None
    assert world.stills.of(voice) is None
    assert world.stills.of(stills) is not None
    world.send_sources("voice", "camera", "screen")
    # Slides that begin just after a beat are not made to wait for the next.
    world.frames.show(2, "screen")
    await world.look(0.5)
    assert world.maker.asked[-1] == (2, [1_500, 5_000], True)
    found = world.stills.of(voice)
    assert found is not None
    assert len(found[1].data) == 1_500


async def test_parts_leave_at_the_rooms_pace(world: World) -> None:
    world.frames.show(1)
    world.rungs.receive(notice(rung="stills", stills_bitrate=8_000.0))
    await world.look()
    async with world.sender() as sender:
        began = world.now
        sender.wake()
        await settle()
        size = size_class(8_000.0, BEAT, Source.CAMERA)
        parts = [(at, message) for at, message in world.sent if isinstance(message, StillPart)]
        assert b"".join(message.data for _, message in parts) == b"\x01" * size
        sent = 0
        for at, message in parts:
            # What went before it, but for what may go at once.
            assert sent * 8 / 8_000.0 <= at - began + 0.3 + 0.01
            sent += len(message.data) + PART_OVERHEAD
        assert parts[-1][0] > began
        assert parts[-1][0] - began < BEAT
        # The same picture is not sent again.
        sender.wake()
        await settle()
        assert world.numbers() == [1]


async def test_a_word_behind_a_picture_shows_that_its_end_was_lost(world: World) -> None:
    world.frames.show(1)
    world.rungs.receive(notice(rung="stills", round_trip=0.8))
    await world.look()
    world.queue = (0, 900)  # under way
    async with world.sender() as sender:
        sender.wake()
        await settle()
        # A quarter of a round trip after it; then, for what is sent again is lost too, every half;
        # but not for ever.
        after = [at - world.sent[-1][0] for at in world.pings]
        assert after == pytest.approx([0.2 + 0.4 * number for number in range(12)])
        # What has arrived needs none.
        world.queue = (0, 0)
        world.frames.show(9)
        await world.look(BEAT)
        world.rungs.receive(notice(rung="stills"))
        sender.wake()
        await settle()
        assert world.numbers() == [1, 2]
        assert len(world.pings) == 12


async def test_words_end_when_nothing_but_them_is_under_way(world: World) -> None:
    world.frames.show(1)
    world.rungs.receive(notice(rung="stills", round_trip=0.8))
    await world.look()
    world.queue, world.word = (0, 900), 8
    async with world.sender() as sender:
        sender.wake()
        while len(world.pings) < 3:
            await _yield()
        world.queue = (0, 2 * world.word)  # the picture and the first word were acknowledged
        await settle()
    assert len(world.pings) == 3


async def test_a_keyframe_is_looked_at_when_it_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stills, "_LOOK_SECONDS", 1e6)
    monkeypatch.setattr(stills, "_TOGETHER_SECONDS", 0.0)
    world.rungs.receive(notice(rung="stills"))
    running = asyncio.ensure_future(world.stills.run())
    await settle()
    world.frames.show(1)
    await settle()
    assert world.maker.asked == []
    world.frames.came()
    await eventually(lambda: world.maker.asked)
    running.cancel()
    await asyncio.wait((running,))


async def test_of_pictures_made_meanwhile_the_newest_is_next(world: World) -> None:
    world.rungs.receive(notice(rung="stills"))
    async with world.sender() as sender:
        world.frames.show(1)
        await world.look()
        world.queue = (800, 800)
        sender.wake()
        for _ in range(20):
            await _yield()
        for number in (9, 17):
            world.frames.show(number)
            await world.look(BEAT)
            world.rungs.receive(notice(rung="stills"))
        assert world.sent == []
        world.queue = (0, 0)
        sender.wake()
        await settle()
        assert world.numbers()[-1] == 3
        assert 2 not in world.numbers()


async def test_a_room_that_has_video_again_is_sent_no_more_of_a_picture(world: World) -> None:
    world.frames.show(1)
    world.rungs.receive(notice(rung="stills", stills_bitrate=4_000.0))
    await world.look()
    async with world.sender() as sender:
        sender.wake()
        while len(world.sent) < 2:
            await _yield()
        world.rungs.receive(notice(rung="small"))
        await settle()
        assert len(world.sent) <= 3
        # On stills once more it gets the whole picture, for its page has put it away.
        world.rungs.receive(notice(rung="stills", stills_bitrate=4_000.0))
        world.sent.clear()
        sender.wake()
        await settle()
        parts = [message for _, message in world.sent if isinstance(message, StillPart)]
        assert sum(len(part.data) for part in parts) == 1_500


async def test_what_a_socket_has_not_sent_is_known() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with listener, socket.create_connection(listener.getsockname()) as sender:
        accepted, _ = listener.accept()
        with accepted:
            sender.setblocking(False)
            assert queued(sender.fileno()) == (0, 0)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.send(bytes(65_536))
            unsent, unacknowledged = queued(sender.fileno())
            assert 0 < unsent <= unacknowledged
    assert queued(sender.fileno()) == (0, 0)
