"""What comes out of recordings that real devices and programs wrote, piece by piece.

Each is read to its end without a clock: how many pieces, and when they are shown.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from av.container import InputContainer

from classroom.host import reader
from classroom.host.outlet import Name, Outlet, Piece
from classroom.host.reader import MediaSource
from classroom.host.sources import Options, parse_address
from tests.fakes.recordings import write_recording

RATE = 15


def _open(path: Path, *, voice: bool, loop: bool = False) -> MediaSource:
    options = Options(size=(320, 180), video_bit_rate=300_000, loop=loop)
    return MediaSource(parse_address(str(path)), options, voice=voice, picture="camera")


async def _pieces(source: MediaSource, most: int = 10_000) -> dict[Name, list[Piece]]:
    """What the source puts until it ends, or until a track has `most`."""

    async def read(outlet: Outlet) -> list[Piece]:
        found: list[Piece] = []
        while len(found) < most and (piece := await outlet.get()) is not None:
            found.append(piece)
        return found

    source.start()
    try:
        async with asyncio.timeout(60):
            found = await asyncio.gather(*map(read, source.outlets))
    finally:
        source.stop()
    assert source.error is None
    return {outlet.name: pieces for outlet, pieces in zip(source.outlets, found, strict=True)}


def _steps(pieces: list[Piece]) -> set[float]:
    """The distances between neighbours, s, to the hundredth: a container may round to 1 ms."""
    return {round(after.time - before.time, 2) for before, after in itertools.pairwise(pieces)}


async def test_a_recording_that_does_not_say_how_long_it_is_is_read_like_any_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "from-a-browser.webm"
    write_recording(path, video="libvpx", audio="libopus", rate=RATE, as_it_comes=True)
    source = _open(path, voice=True)
    found = await _pieces(source)
    assert not source.live
    assert [len(found["camera"]), len(found["voice"])] == [2 * RATE, pytest.approx(100, abs=2)]
    assert _steps(found["camera"]) == {0.07}


@pytest.mark.parametrize(("b_frames", "how"), [(0, "copied"), (2, "coded")])
async def test_pictures_without_stamps_are_shown_at_their_rate(
    b_frames: int, how: str, tmp_path: Path
) -> None:
    path = write_recording(
        tmp_path / "bare.h264", audio=None, rate=25, keyframe_every=25, b_frames=b_frames
    )
    source = _open(path, voice=False)
    assert source.describe() == f"camera h264 ({how})"
    pictures = (await _pieces(source))["camera"]
    assert not source.live
    # What a decoder of several threads holds back to the end comes at one moment, and once.
    assert 45 <= len(pictures) <= 50
    assert _steps(pictures) == {0.04}


async def test_a_recording_that_cannot_be_wound_back_is_opened_again(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "bare.h264", audio=None, seconds=1.0, rate=25)
    pictures = (await _pieces(_open(path, voice=False, loop=True), most=60))["camera"]
    assert _steps(pictures) == {0.04}
    assert [pictures[0].data, pictures[24].data] == [pictures[25].data, pictures[49].data]


def test_rare_keyframes_are_noticed_without_stamps_too(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "bare.h264", audio=None, seconds=10.0, rate=25, keyframe_every=300
    )
    assert _open(path, voice=False).describe() == "camera h264 (coded)"


@pytest.mark.parametrize(("b_frames", "how"), [(0, "copied"), (2, "coded")])
async def test_time_goes_on_where_stamps_begin_elsewhere(
    b_frames: int, how: str, tmp_path: Path
) -> None:
    joined = tmp_path / "joined.ts"
    with joined.open("wb") as out:
        for start in (20.0, 3600.0, 0.0):
            part = tmp_path / "part.ts"
            write_recording(part, rate=RATE, b_frames=b_frames, start=start)
            out.write(part.read_bytes())
    source = _open(joined, voice=True)
    assert f"camera h264 ({how})" in source.describe()
    found = await _pieces(source)
    expected: list[tuple[Name, float, int]] = [("camera", 1 / RATE, RATE), ("voice", 0.02, 50)]
    for name, step, per_s in expected:
        pieces = found[name]
        steps = [after.time - before.time for before, after in itertools.pairwise(pieces)]
        # Of each part a decoder may hold back some pictures to the next, and drop them there.
        assert 0 < min(steps) <= max(steps) < 12 * step, name
        assert len(pieces) == pytest.approx(6 * per_s, abs=18), name
    ends = [pieces[-1].time for pieces in found.values()]
    assert ends == [pytest.approx(6.0, abs=0.2)] * 2
    assert abs(ends[0] - ends[1]) < 0.2


class _Stalled:
    """A capture device that has nothing ready, ever; what ffmpeg says of one that hangs.

    There is none on a test machine.
    """

    def __init__(self, container: InputContainer) -> None:
        self.streams = container.streams
        self.tries = 0

    def demux(self, *streams: object) -> Iterator[object]:
        self.tries += 1
        raise av.error.BlockingIOError(errno.EAGAIN, "nothing ready")

    def close(self) -> None:
        """As a container."""


def test_a_device_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _open(write_recording(tmp_path / "a.mp4", seconds=0.2), voice=False)
    stalled = _Stalled(source._container)
    monkeypatch.setattr(source, "_container", stalled)
    monkeypatch.setattr(reader, "READ_TIMEOUT_S", 0.05)
    asking = threading.Timer(20.0, source.stop)
    asking.start()
    try:
        with pytest.raises(TimeoutError):
            source._play(0.0)
    finally:
        asking.cancel()
    assert stalled.tries > 1
