"""The host without a browser against a real WHIP peer: what it shows and says arrives.

Real sockets, DTLS, codecs and threads; the peer is stock aiortc. What the relay makes of a host
is tested with the relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiortc import RTCPeerConnection

from classroom.errors import Refused
from classroom.host import voice
from classroom.host.publisher import Publisher
from classroom.host.reader import MediaSource
from classroom.host.sources import GeneratedLesson, Options, Source, parse_address
from classroom.host.whip import Place
from tests import media
from tests.fakes.recordings import write_recording
from tests.fakes.whip_server import Arrived, WhipServer

SMALL = Options(size=(320, 180), rate=15, video_bit_rate=300_000)


@contextlib.asynccontextmanager
async def publishing(
    server: WhipServer, *sources: Source
) -> AsyncIterator[tuple[asyncio.Task[None], asyncio.Event]]:
    async def locate() -> Place:
        return Place(server.url, server.token)

    stop = asyncio.Event()
    for source in sources:
        source.start()
    task = asyncio.ensure_future(Publisher(list(sources), locate).run(stop))
    try:
        yield task, stop
    finally:
        stop.set()
        await task
        for source in sources:
            await asyncio.to_thread(source.stop)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`; the test's own patience, not a measurement."""
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110 what is waited for happens in aiortc, which tells no one
            await asyncio.sleep(0.05)


def mono(arrived: Arrived) -> media.Samples:
    return (np.concatenate(arrived.sound) / 32768).astype(np.float32)


def said(seconds: int) -> media.Samples:
    """What the generated voice says from its start, at 48 kHz."""
    low = np.frombuffer(b"".join(map(voice.second, range(seconds))), np.int16)
    places = np.arange(len(low) * 3) / 3
    return (np.interp(places, np.arange(len(low)), low) / 32768).astype(np.float32)


async def test_the_generated_lesson_is_seen_and_heard() -> None:
    async with WhipServer().running() as server:
        lesson = GeneratedLesson(SMALL, screen=True)
        async with publishing(server, lesson):
            await until(lambda: bool(server.sessions))
            arrived = server.sessions[0]
            await until(lambda: len(arrived.frames) == 2 and len(arrived.frames[1]) > 20)
        assert server.deleted == 1

    kinds = [line.split()[0] for line in server.offers[0].splitlines() if line[:2] == "m="]
    assert kinds == ["m=audio", "m=video", "m=video"]
    camera, screen = arrived.frames
    assert camera == list(range(len(camera)))
    assert screen == list(range(len(screen)))
    assert arrived.sizes == [{(320, 180)}, {(320, 180)}]
    matches = media.match_speech(mono(arrived), said(12))
    assert np.median([match.likeness for match in matches]) > 0.7
    offsets = [(match.sent_at - match.heard_at + 6) % 12 - 6 for match in matches]
    assert np.ptp(offsets) < 0.04


async def test_a_file_is_copied_and_repeated(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.webm", video="libvpx", audio="libopus", seconds=1.0)
    options = Options(loop=True)
    async with WhipServer().running() as server:
        source = MediaSource(parse_address(str(path)), options, voice=True, picture="camera")
        assert "copied" in source.describe()
        assert "coded" not in source.describe()
        async with publishing(server, source):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            arrived = server.sessions[0]
            await until(lambda: len(arrived.frames[0]) > 40)
    numbers = arrived.frames[0]
    assert numbers == [number % 15 for number in range(len(numbers))]


async def test_a_file_with_b_frames_is_coded_in_the_order_of_showing(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.mp4", b_frames=2, seconds=2.0)
    async with WhipServer().running() as server:
        source = MediaSource(parse_address(str(path)), SMALL, voice=True, picture="camera")
        async with publishing(server, source) as (task, _):
            await task
            await asyncio.sleep(0.3)
        assert server.deleted == 1
    numbers = server.sessions[0].frames[0]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 25


async def test_two_sources_make_one_lesson(tmp_path: Path) -> None:
    picture = write_recording(tmp_path / "p.mp4", audio=None, seconds=3.0)
    talk = write_recording(tmp_path / "t.ogg", video=None, audio="libopus", seconds=3.0)
    async with WhipServer().running() as server:
        camera = MediaSource(parse_address(str(picture)), SMALL, voice=False, picture="camera")
        sound = MediaSource(parse_address(str(talk)), SMALL, voice=True, picture=None)
        async with publishing(server, camera, sound) as (task, _):
            await task
    assert server.offers[0].index("m=audio") < server.offers[0].index("m=video")
    assert len(server.sessions[0].frames[0]) > 30
    assert len(server.sessions[0].sound) > 100


async def test_when_the_relay_vanishes_the_lesson_goes_on_where_it_was() -> None:
    async with WhipServer().running() as server:
        lesson = GeneratedLesson(SMALL, screen=False)
        async with publishing(server, lesson):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            await until(lambda: len(server.sessions[0].frames[0]) > 10)
            await server.vanish()
            await until(lambda: len(server.sessions) > 1 and bool(server.sessions[1].frames))
            await until(lambda: len(server.sessions[1].frames[0]) > 10)
    first = [number for number in server.sessions[0].frames[0] if number is not None]
    second = [number for number in server.sessions[1].frames[0] if number is not None]
    assert second == list(range(second[0], second[0] + len(second)))
    assert second[0] > first[-1]


async def test_a_keyframe_request_is_answered() -> None:
    async with WhipServer().running() as server:
        lesson = GeneratedLesson(SMALL, screen=False)
        asked = 0
        camera = lesson.outlets[1]
        forward = camera.request_keyframe

        def count() -> None:
            nonlocal asked
            asked += 1
            forward()

        camera.request_keyframe = count
        async with publishing(server, lesson):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            await until(lambda: len(server.sessions[0].frames[0]) > 5)
            before = asked
            receiver = server.receivers[1]
            ssrc = next(iter(receiver.getSynchronizationSources())).source
            await server.request_keyframe(ssrc, receiver)
            await until(lambda: asked > before)


async def test_a_refusal_is_shown_in_the_relays_own_words() -> None:
    async with WhipServer("another").running() as server:

        async def locate() -> Place:
            return Place(server.url, "wrong")

        lesson = GeneratedLesson(SMALL, screen=False)
        with pytest.raises(Refused, match=r"The token is not known here\.") as caught:
            await Publisher([lesson], locate).run(asyncio.Event())
        assert caught.value.status == 401
        assert caught.value.fix == "Ask for a new link."


async def test_a_busy_relay_is_asked_again() -> None:
    async with WhipServer().running() as server:
        refusals = itertools.count()

        def refuse() -> web.Response:
            if next(refusals) >= 1:
                server.refuse = None
            return web.Response(status=503, text="The relay is full.")

        server.refuse = refuse
        async with publishing(server, GeneratedLesson(SMALL, screen=False)):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
        assert next(refusals) == 2


async def test_who_waits_for_another_teacher_publishes_once_that_one_stops() -> None:
    async with WhipServer().running() as server:
        refusals = itertools.count()

        def refuse() -> web.Response:
            if next(refusals) >= 1:
                server.refuse = None
            return conflict("lesson-taken", "Another teacher is live in this lesson.")

        server.refuse = refuse
        async with publishing(server, GeneratedLesson(SMALL, screen=False)):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
        assert next(refusals) == 2


async def test_the_command_ends_when_the_teacher_stopped_the_lesson() -> None:
    async with WhipServer().running() as server:
        hosting = await _start("test:", "--size", "320x180", "--whip", server.url)
        await until(lambda: bool(server.sessions and server.sessions[0].frames))
        server.refuse = lambda: conflict("lesson-ended", "This lesson has ended.")
        await server.vanish()
        async with asyncio.timeout(40):
            _, errors = await hosting.communicate()
    assert hosting.returncode == 1
    assert errors.decode().splitlines()[-1].endswith("This lesson has ended. Plan another.")


def conflict(code: str, detail: str) -> web.Response:
    """What a relay answers that knows why an offer cannot be taken now."""
    return web.json_response(
        {"type": f"urn:classroom:problem:{code}", "detail": detail, "fix": "Plan another."},
        status=409,
        content_type="application/problem+json",
    )


async def test_the_command_ends_cleanly_on_ctrl_c_and_answers_errors_in_a_sentence() -> None:
    async with WhipServer().running() as server:
        hosting = await _start("test:", "--size", "320x180", "--whip", server.url)
        await until(lambda: bool(server.sessions and server.sessions[0].frames))
        hosting.send_signal(signal.SIGINT)
        _, errors = await hosting.communicate()
        assert hosting.returncode == 0, errors
        assert b"Traceback" not in errors
        assert server.deleted == 1

        server.token = "changed"
        refused = await _start("test:", "--whip", server.url)
        _, errors = await refused.communicate()
        assert refused.returncode == 1
        assert (
            errors.decode()
            .splitlines()[-1]
            .endswith("The token is not known here. Ask for a new link.")
        )

    wrong = await _start("/nowhere.mp4", "--whip", server.url)
    _, errors = await wrong.communicate()
    assert wrong.returncode == 2
    assert "There is no file /nowhere.mp4; check the path." in errors.decode()


async def test_ctrl_c_while_it_connects_ends_the_command_cleanly() -> None:
    async with WhipServer().running() as server:
        server.without_dtls = True
        hosting = await _start("test:", "--size", "320x180", "--whip", server.url)
        await until(lambda: server.connected)
        await asyncio.sleep(0.5)  # until its side of ICE is through too
        hosting.send_signal(signal.SIGINT)
        _, errors = await hosting.communicate()
        assert hosting.returncode == 0, errors
        assert b"Traceback" not in errors
        assert server.deleted == 1


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "classroom", "host", *arguments, "--lesson", "physics-9"),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"CLASSROOM_TOKEN": "secret"},
    )


def test_what_we_use_of_aiortc_and_aioice_is_still_there() -> None:
    """Underscored or module-level names that `publisher` relies on."""
    import aioice.ice
    from aiortc import RTCRtpSender
    from aiortc.codecs import get_encoder
    from aiortc.rtcrtpparameters import RTCRtpCodecParameters

    assert callable(RTCRtpSender._send_keyframe)
    assert callable(aioice.ice.get_host_addresses)
    assert aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False) is not None
    assert callable(RTCPeerConnection.addTransceiver)
    for mime, rate in (("audio/opus", 48_000), ("video/H264", 90_000), ("video/VP8", 90_000)):
        assert callable(get_encoder(RTCRtpCodecParameters(mime, rate)).pack)
