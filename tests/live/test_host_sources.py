"""What a school has plugged in: a sound card, an IP camera over RTSP, a stream over HTTP.

Real sockets and the real alsa library, against a WHIP peer of stock aiortc. A v4l2 camera needs a
kernel module that no test may load; its errors are tested beside the reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from classroom.errors import Misuse
from classroom.host.outlet import Name
from classroom.host.reader import MediaSource
from classroom.host.sources import Options, parse_address
from tests import media
from tests.fakes.recordings import write_recording
from tests.fakes.stream_servers import HttpStream, RtspCamera, VideoCodec
from tests.fakes.whip_server import Arrived, WhipServer
from tests.live.test_host import mono, publishing, said, until

SMALL = Options(size=(320, 180), rate=15, video_bit_rate=300_000)
TONE_HZ = 440.0


async def _open(address: str, picture: Name | None) -> MediaSource:
    """Opening waits for its server, which runs here."""
    parsed = parse_address(address)
    return await asyncio.to_thread(MediaSource, parsed, SMALL, voice=True, picture=picture)


def _pitch(arrived: Arrived) -> float:
    """The loudest frequency of the last second heard, Hz."""
    heard = mono(arrived)[-media.VOICE_RATE :]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    return float(np.argmax(spectrum) * media.VOICE_RATE / len(heard))


@pytest.mark.parametrize("channels", [1, 2])
async def test_a_microphone_of_the_sound_system_is_heard(
    channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = np.arange(media.VOICE_RATE * 60) / media.VOICE_RATE
    tone = (np.sin(2 * np.pi * TONE_HZ * times) * 8_000).astype("<i2")
    np.repeat(tone, channels).tofile(tmp_path / "tone.raw")
    # A device with just so many channels, which delivers what is in a file.
    bindings = "".join(f" bindings.{one} {{ slave a channel {one} }}" for one in range(channels))
    settings = tmp_path / "asound.conf"
    settings.write_text(
        "pcm.microphone { type file format raw file /dev/null"
        f' infile "{tmp_path / "tone.raw"}" slave.pcm {{ type multi'
        f" slaves.a {{ pcm {{ type null }} channels {channels} }}{bindings} }} }}"
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(settings))
    async with WhipServer().running() as server:
        source = await _open("alsa:microphone", None)
        async with publishing(server, source):
            await until(lambda: bool(server.sessions))
            arrived = server.sessions[0]
            await until(lambda: len(arrived.sound) > 100)
    assert source.live
    assert _pitch(arrived) == pytest.approx(TONE_HZ, abs=3.0)


async def test_an_ip_camera_is_seen_and_heard(tmp_path: Path) -> None:
    async with RtspCamera(tmp_path).running() as camera, WhipServer().running() as server:
        source = await _open(camera.url, "camera")
        assert source.describe() == "voice opus (coded), camera h264 (copied)"
        async with publishing(server, source):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            arrived = server.sessions[0]
            await until(lambda: len(arrived.frames[0]) > 60)
            await until(lambda: len(arrived.sound) > 250)
    assert all("TCP" in one for one in camera.transports)
    numbers = [number for number in arrived.frames[0] if number is not None]
    assert {(after - before) % 60 for before, after in pairwise(numbers)} == {1}
    # G.711 at 8 kHz: what is left is the words, not their upper half.
    likeness = [match.likeness for match in media.match_speech(mono(arrived), said(4))]
    assert np.median(likeness) > 0.5


async def _seen_after(
    camera: RtspCamera, arrived: Arrived, change: Callable[[], None]
) -> list[int | None]:
    """The pictures that came from `change` on until two seconds of them arrived."""
    await until(lambda: len(arrived.frames[0]) > 20)
    change()
    await until(lambda: camera.plays > 1)
    before = len(arrived.frames[0])
    await until(lambda: len(arrived.frames[0]) > before + 45)
    return arrived.frames[0][before + 15 :]


@pytest.mark.parametrize(
    ("size", "codec", "shown", "how"),
    [
        ((256, 144), "h264", (256, 144), "copied"),
        ((640, 360), "h264", (320, 180), "coded"),
        ((320, 180), "hevc", (320, 180), "coded"),
    ],
)
async def test_a_camera_that_comes_back_with_other_settings_is_seen_on(
    size: tuple[int, int],
    codec: VideoCodec,
    shown: tuple[int, int],
    how: str,
    tmp_path: Path,
) -> None:
    async with RtspCamera(tmp_path).running() as camera, WhipServer().running() as server:
        source = await _open(camera.url, "camera")
        async with publishing(server, source):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            arrived = server.sessions[0]
            numbers = await _seen_after(
                camera, arrived, lambda: camera.become(codec=codec, size=size)
            )
        assert source.describe() == f"voice opus (coded), camera h264 ({how})"
    assert len(server.sessions) == 1, "rooms stay in one session"
    assert None not in numbers, "each picture could be decoded and read"
    assert shown in arrived.sizes[0]
    steps = {(b - a) % 60 for a, b in pairwise(n for n in numbers if n is not None)}
    assert steps == {1}


async def test_a_camera_whose_sound_comes_first_now_is_seen_and_heard_on(tmp_path: Path) -> None:
    async with RtspCamera(tmp_path).running() as camera, WhipServer().running() as server:
        source = await _open(camera.url, "camera")
        async with publishing(server, source):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            arrived = server.sessions[0]
            numbers = await _seen_after(camera, arrived, lambda: camera.become(voice_first=True))
            heard = len(arrived.sound)
            await until(lambda: len(arrived.sound) > heard + 100)
    assert None not in numbers
    voice = np.concatenate(arrived.sound[-100:])
    assert float(np.abs(voice).max()) > 1_000


@pytest.mark.parametrize(
    ("become", "words"),
    [
        (lambda camera: camera.become(voice=False), "came back without its sound"),
        (lambda camera: camera.become(codec="unknown"), "coded in a way that cannot be read here"),
    ],
)
async def test_a_camera_that_cannot_go_on_ends_the_host_with_what_changed(
    become: Callable[[RtspCamera], None], words: str, tmp_path: Path
) -> None:
    async with RtspCamera(tmp_path).running() as camera, WhipServer().running() as server:
        source = await _open(camera.url, "camera")
        with pytest.raises(Misuse, match=words):
            await _until_it_ends(server, source, lambda: become(camera))


async def _until_it_ends(
    server: WhipServer, source: MediaSource, change: Callable[[], None]
) -> None:
    async with publishing(server, source) as (task, _):
        await until(lambda: bool(server.sessions and server.sessions[0].frames))
        change()
        async with asyncio.timeout(60):
            await task


async def test_a_stream_that_breaks_off_is_opened_again(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "live.ts", seconds=24.0)
    async with HttpStream(path, 24.0).running() as stream, WhipServer().running() as server:
        source = await _open(stream.url, "camera")
        async with publishing(server, source):
            await until(lambda: bool(server.sessions and server.sessions[0].frames))
            arrived = server.sessions[0]
            await until(lambda: stream.requests > 1 and 330 in arrived.frames[0])
        assert len(server.sessions) == 1, "the lesson waits for its source, in one session"
    assert source.live
    numbers = [number for number in arrived.frames[0] if number is not None]
    begun_again = [b for a, b in pairwise(numbers) if b < a]
    assert begun_again == [0]
    # What piled up while the stream was looked at may be left out at once, and nothing else.
    assert sum(b > a + 1 for a, b in pairwise(numbers)) <= 1
    assert numbers[-60:] == list(range(numbers[-60], numbers[-60] + 60))
