"""A process is killed in the middle of a lesson: the others go on, it comes back, one recording.

The host without a browser teaches, since its frame numbers and its spoken seconds say exactly
which moment of the lesson a recorded picture or word belongs to. What may be lost is what DESIGN
allows: at most a second of recording, and for the media process the time it was away.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np

from classroom.clock import monotonic
from classroom.host import voice
from tests import media
from tests.fakes.peer import LightViewer
from tests.live.recorded import Picture, archive_of, pictures, speech
from tests.live.rig import Demo, start_demo
from tests.live.test_signalling import until

RATE = 25  # the host's camera
SURE = 0.75  # likeness of a second of speech to itself after coding; to another one about 0.6
LOST_S = 1.0  # of a recording, beyond the time that the media process was away
RETURN_S = 15.0  # from a kill until rooms receive again, on two busy cores
QUIET = 0.01  # of full scale; what is said has at least ten times this
BLOCK = 480  # samples, 10 ms
STEP_S = 0.040  # camera and voice may be apart by this much


@contextlib.asynccontextmanager
async def _hosted(folder: Path) -> AsyncIterator[tuple[Demo, aiohttp.ClientSession]]:
    running = await start_demo(folder / "data", host=True)
    async with aiohttp.ClientSession() as http:
        try:
            yield running, http
        finally:
            await running.stop()


@contextlib.asynccontextmanager
async def _watching(demo: Demo, http: aiohttp.ClientSession) -> AsyncIterator[LightViewer]:
    viewer = LightViewer(http, demo.whep, demo.tokens["room"], keep_numbers=True)
    try:
        await viewer.connect()
        yield viewer
    finally:
        await viewer.vanish()


async def _api(
    demo: Demo, http: aiohttp.ClientSession, method: str, path: str
) -> dict[str, object]:
    """One call of the control plane, repeated while it is coming back."""
    headers = {"Authorization": f"Bearer {demo.tokens['teacher']}"}
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.request(method, demo.central + path, headers=headers) as answer:
                    if answer.status < 500:
                        body: dict[str, object] = await answer.json()
                        assert answer.status < 300, body
                        return body
            await asyncio.sleep(0.2)


async def _end(demo: Demo, http: aiohttp.ClientSession) -> Path:
    """End the lesson; returns its archive once it is closed and the control plane knows of it."""
    await _api(demo, http, "POST", f"/api/lessons/{demo.lesson}/end")
    lesson: dict[str, object] = {}
    async with asyncio.timeout(40):
        while lesson.get("state") != "published":
            await asyncio.sleep(0.2)
            lesson = await _api(demo, http, "GET", f"/api/lessons/{demo.lesson}")
    archives = [path.name for path in (demo.data / "relay" / "archives").iterdir()]
    assert archives == [demo.lesson]
    return archive_of(demo.data, demo.lesson)


async def _more(viewer: LightViewer, packets: int) -> None:
    """Wait until the viewer received that many more."""
    before = viewer.packets
    async with asyncio.timeout(40):
        while viewer.packets < before + packets:  # noqa: ASYNC110 packets tell no one
            await asyncio.sleep(0.05)


def _numbers(camera: list[Picture]) -> list[int]:
    numbers = [picture.number for picture in camera]
    found = [number for number in numbers if number is not None]
    assert len(found) == len(numbers)
    assert found == sorted(found)
    return found


def _missing(camera: list[Picture]) -> int:
    """The longest run of pictures that the recording lacks."""
    return max(after - before - 1 for before, after in itertools.pairwise(_numbers(camera)))


def _longest_silence(archive: Path) -> float:
    """Seconds of the longest stretch of the recorded voice in which nothing is heard."""
    _, heard = speech(archive)
    blocks = heard[: len(heard) // BLOCK * BLOCK].reshape(-1, BLOCK)
    loud = np.flatnonzero(np.sqrt((blocks**2).mean(axis=1)) > QUIET)
    assert len(loud) > 3 * media.VOICE_RATE // BLOCK, "there is hardly a voice"
    return float(np.diff(loud).max() - 1) * BLOCK / media.VOICE_RATE


def _said() -> media.Samples:
    """All that the voice can say, at its own rate."""
    return (np.frombuffer(b"".join(map(voice.second, range(100))), np.int16) / 32768).astype(
        np.float32
    )


def _assert_in_step(archive: Path, camera: list[Picture]) -> None:
    """Whenever words are heard in the recording, the picture of their moment is on."""
    started, heard = speech(archive)
    found = media.match_speech(heard[:: media.VOICE_RATE // voice.RATE], _said(), voice.RATE)
    # Seconds have their beep in common: a piece that is torn is a little like all of them.
    matches = [match for match in found if match.likeness > SURE]
    assert len(matches) >= 3
    for match in matches:
        now = started + match.heard_at
        picture = min(camera, key=lambda one: abs(one.time - now))
        if picture.number is None or abs(picture.time - now) > 1 / RATE:
            continue  # words without a picture: the camera came back a moment later
        seen = picture.number / RATE + now - picture.time
        apart = (match.sent_at - seen + 50) % 100 - 50
        assert abs(apart) < STEP_S, match


async def test_a_hosted_lesson_is_recorded_whole_and_in_step(tmp_path: Path) -> None:
    async with _hosted(tmp_path) as (demo, http):
        async with _watching(demo, http) as viewer:
            await _more(viewer, 1200)
            assert all(stream.stats.lost == 0 for stream in viewer.streams.values())
        archive = await _end(demo, http)
    camera = pictures(archive, "camera")
    assert _missing(camera) == 0
    _assert_in_step(archive, camera)


async def test_the_service_process_is_killed(tmp_path: Path) -> None:
    async with _hosted(tmp_path) as (demo, http):
        async with _watching(demo, http) as viewer:
            await _more(viewer, 600)
            demo.kill("-m relay service")
            await _more(viewer, 900)
            assert all(stream.stats.lost == 0 for stream in viewer.streams.values())
        archive = await _end(demo, http)
    camera = pictures(archive, "camera")
    assert _missing(camera) <= RATE
    _assert_in_step(archive, camera)


async def test_the_control_plane_is_killed(tmp_path: Path) -> None:
    async with _hosted(tmp_path) as (demo, http):
        async with _watching(demo, http) as viewer:
            await _more(viewer, 300)
            demo.kill("-m classroom serve")
            await _more(viewer, 900)
            assert all(stream.stats.lost == 0 for stream in viewer.streams.values())
        lesson = await _api(demo, http, "GET", f"/api/lessons/{demo.lesson}")
        assert lesson["state"] == "live"
        archive = await _end(demo, http)
    assert _missing(pictures(archive, "camera")) == 0


async def test_the_media_process_is_killed(tmp_path: Path) -> None:
    async with _hosted(tmp_path) as (demo, http):
        async with _watching(demo, http) as viewer:
            await _more(viewer, 600)
            killed = monotonic()
            demo.kill("-m relay media")
        # The host notices by itself and comes back; rooms do likewise in the page.
        async with asyncio.timeout(40):
            while True:
                await asyncio.sleep(0.1)
                with contextlib.suppress(Exception):  # refused or gone until it is back
                    async with _watching(demo, http) as viewer:
                        await _more(viewer, 1)
                        away = monotonic() - killed
                        await _more(viewer, 600)
                        break
        archive = await _end(demo, http)
    assert away <= RETURN_S
    camera = pictures(archive, "camera")
    assert _missing(camera) / RATE <= away + LOST_S
    assert _longest_silence(archive) <= away + LOST_S
    assert camera[-1].time - camera[0].time > 8
    _assert_in_step(archive, camera)


async def test_what_was_written_before_a_power_cut_plays(tmp_path: Path) -> None:
    demo = await start_demo(tmp_path / "data", host=True)
    try:
        archive = archive_of(demo.data, demo.lesson)
        async with aiohttp.ClientSession() as http, _watching(demo, http) as viewer:
            await _more(viewer, 500)
            # One beat is whole and the next one begun.
            await until(lambda: len([*archive.glob("camera/*.m4s")]) > 1, 40.0)
    finally:
        await demo.end_all()
    camera = pictures(archive, "camera")
    assert _missing(camera) == 0
    assert len(camera) > 3 * RATE
    _assert_in_step(archive, camera)
