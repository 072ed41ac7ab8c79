"""The worker that derives layers, as a real process: from packets to layers, killed, and back.

Here: its socket, its start by the keeper and its end, and a room of a real relay that sees what it
made. Not here: sound and pictures (tests/relay/test_derive_*), routing (tests/scenarios).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from relay.derive.keeper import WorkerKeeper
from relay.media import rtp, vp8
from relay.sfu.derived import MEDIUM, SMALL, THIN
from relay.sfu.layer import Layer
from relay.sfu.negotiated import TrackSpec
from relay.sfu.router import Router
from relay.transport.derived import Derived
from tests.fakes.lesson_publisher import CODECS
from tests.fakes.lesson_viewer import FakeWire
from tests.fakes.lesson_wire import FakeFanOut
from tests.fakes.light_lesson import LightLesson
from tests.fakes.light_sdp import VP8
from tests.fakes.rtp_media import Sender, encode_video, encode_voice, track
from tests.live.relay_alone import LESSON, relay_alone

FRAME_RATE = 15


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Look again until it is true."""
    async with asyncio.timeout(seconds):
        while True:
            if true():
                return
            await asyncio.sleep(0.02)


class LiveLesson:
    """A router, a real worker beside it, and a teacher's real packets in real time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.router: Router[FakeWire] = Router(
            LESSON, FakeFanOut(), None, beat=8.0, now=time.time()
        )
        self.derived = Derived(time.time, self.router.flush)
        self.router.derived.worker = self.derived
        self.keeper = WorkerKeeper(str(path))
        tracks = [
            TrackSpec("voice", "0", "audio", {111: CODECS["opus"]}, ssrcs=(1,)),
            TrackSpec("camera", "1", "video", {96: CODECS["vp8"]}, ssrcs=(2,)),
        ]
        self.router.publish("teacher", "ms-lan", tracks, time.time())
        self.voice_sent = 0

    async def run(self) -> None:
        """Teach and serve until cancelled."""
        server = await asyncio.start_unix_server(self.derived.serve, self.path)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.keeper.run())
                tasks.create_task(self._teach())
        finally:
            self.derived.detach()
            server.close()
            if self.keeper.process is not None:
                await self.keeper.process.wait()

    async def _teach(self) -> None:
        voice = Sender(track(1, "voice", "opus"), ssrc=1)
        camera = Sender(track(2, "camera", "vp8"), ssrc=2)
        words = encode_voice(100)
        pictures = encode_video("vp8", 30, 30, 560, 432)
        began, shown = time.monotonic(), 0
        while True:
            now = time.time()
            elapsed = time.monotonic() - began
            while self.voice_sent / 50 <= elapsed:
                for packet in voice.voice(words[self.voice_sent % 100], self.voice_sent):
                    self.router.receive_rtp(packet.packet, now)
                self.voice_sent += 1
            while shown / FRAME_RATE <= elapsed:
                for packet in camera.frame(pictures[shown % 30], shown / FRAME_RATE):
                    self.router.receive_rtp(packet.packet, now)
                shown += 1
            self.router.handle_timer(now)
            self.router.derived.need(voice=True, video=True, now=now)
            self.derived.handle_timer(now)
            self.derived.flush()
            if self.derived.missing:
                self.keeper.start()
            await asyncio.sleep(0.01)

    def made(self) -> dict[str, Layer]:
        assert self.router.publisher is not None
        return {one.rid: one for one in self.router.publisher.layers if one.origin is not None}


@contextlib.asynccontextmanager
async def live_lesson(folder: Path) -> AsyncIterator[LiveLesson]:
    lesson = LiveLesson(folder / "derived.sock")
    running = asyncio.ensure_future(lesson.run())
    try:
        yield lesson
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def test_a_killed_worker_costs_its_layers_until_the_next_one(tmp_path: Path) -> None:
    async with live_lesson(tmp_path) as lesson:
        await until(lambda: set(lesson.made()) == {THIN, SMALL, MEDIUM})
        first = lesson.keeper.process
        assert first is not None
        thin = lesson.made()[THIN]
        await until(lambda: thin.highest - (1 << 16) > 10)
        packet = thin.cached(thin.highest)
        assert packet is not None
        # On the source's own clock.
        began = Sender(track(1, "voice", "opus")).offset
        assert (packet.timestamp - began & 0xFFFFFFFF) % 960 == 0
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: not lesson.made(), 2.0)
        sent = lesson.voice_sent
        await until(lambda: set(lesson.made()) == {THIN, SMALL, MEDIUM})
        assert lesson.voice_sent > sent
        assert lesson.keeper.process is not first
        assert lesson.derived.lost == 1
        small = lesson.made()[SMALL]
        assert small is not thin
        await until(lambda: small.keyframes and small.rate.temporal_layers() == 2)
        last = lesson.keeper.process
        lesson.derived.detach()
        assert last is not None
        # It ends by itself when it is not wanted any more.
        assert await asyncio.wait_for(last.wait(), 10.0) == 0


class Screen:
    """Decodes what a light viewer gets of VP8."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        """Of each picture shown."""
        decoder = CodecContext.create("vp8", "r")
        assert isinstance(decoder, VideoCodecContext)
        self._decoder = decoder
        self._frame = b""

    def receive(self, packet: bytes, _: float) -> None:
        header = rtp.parse(packet)
        start, end = header.payload_offset, header.payload_end
        if header.payload_type != VP8 or start == end:
            return
        self._frame += packet[vp8.frame_offset(packet, start, end) : end]
        if header.marker:
            shown = self._decoder.decode(av.Packet(self._frame))
            self.sizes += [(one.width, one.height) for one in shown]
            self._frame = b""


async def test_rooms_on_weak_links_see_a_small_picture_of_a_single_encoding(
    tmp_path: Path,
) -> None:
    # The source sends 500 kbit/s; a room that says nothing of its link is held to its start.
    async with relay_alone(tmp_path / "relay", start_bitrate=250_000.0) as relay:
        teacher = relay.publisher()
        await teacher.connect()
        teaching = asyncio.ensure_future(LightLesson(teacher).run(60.0))
        first = relay.viewer("room-1", reports=False, feedback=False)
        await first.connect()
        # The worker begins when a room has shown that it needs it; the next ones find its layers.
        rooms, screen = [first], Screen()
        async with asyncio.timeout(20.0):
            while not screen.sizes:
                await asyncio.sleep(1.0)
                rooms.append(relay.viewer(f"room-{len(rooms) + 1}", reports=False, feedback=False))
                screen = Screen()
                rooms[-1]._on_packet = screen.receive
                await rooms[-1].connect()
                await asyncio.sleep(0.5)
        assert set(screen.sizes) == {(320, 180)}
        # The teacher was never asked for a picture on their account.
        assert teacher.keyframe_requests == 0
        teaching.cancel()
        for link in (*rooms, teacher):
            await link.leave()
        assert relay.faults() == []
