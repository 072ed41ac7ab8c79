"""What a SOURCE argument may be, what is said about one that cannot be, and copy or coding.

Every refusal is one sentence that names the source and tells what to do.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Misuse
from classroom.host.reader import MediaSource
from classroom.host.sources import Address, Options, parse_address
from tests.fakes.recordings import write_recording


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("test:", "test", ""),
        ("lesson.mp4", "file", "lesson.mp4"),
        ("/a/b: c.mp4", "file", "/a/b: c.mp4"),
        ("file:///a/b.mp4", "file", "/a/b.mp4"),
        ("file:///a/B%C3%A0i%201.mp4", "file", "/a/Bài 1.mp4"),
        ("file://localhost/a/b.mp4", "file", "/a/b.mp4"),
        ("v4l2:/dev/video0", "camera-device", "/dev/video0"),
        ("alsa:hw:0", "sound-device", "hw:0"),
        ("rtsp://camera/1", "stream", "rtsp://camera/1"),
        ("https://school/live.m3u8", "stream", "https://school/live.m3u8"),
    ],
)
def test_addresses(text: str, kind: str, target: str) -> None:
    address = parse_address(text)
    assert (address.kind, address.target) == (kind, target)


@pytest.mark.parametrize("text", ["", "  ", "v4l2:", "alsa:", "gopher://x"])
def test_addresses_that_name_nothing(text: str) -> None:
    with pytest.raises(Misuse):
        parse_address(text)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_misuse(text: str) -> None:
    with contextlib.suppress(Misuse):
        assert isinstance(parse_address(text), Address)


def test_passwords_are_not_shown() -> None:
    address = parse_address("rtsp://admin:secret@camera/1")
    assert "secret" not in address.shown
    assert "camera/1" in address.shown


def _open(target: str | Path, *, voice: bool = True) -> MediaSource:
    return MediaSource(parse_address(str(target)), Options(), voice=voice, picture="camera")


def _tracks(source: MediaSource) -> str:
    source.stop()
    return source.describe()


def test_h264_is_copied_and_other_sound_is_coded(tmp_path: Path) -> None:
    source = _open(write_recording(tmp_path / "a.mp4"))
    assert _tracks(source) == "camera h264 (copied), voice opus (coded)" or (
        _tracks(source) == "voice opus (coded), camera h264 (copied)"
    )


def test_vp8_and_opus_are_copied(tmp_path: Path) -> None:
    source = _open(write_recording(tmp_path / "a.webm", video="libvpx", audio="libopus"))
    assert "camera vp8 (copied)" in _tracks(source)
    assert "voice opus (copied)" in source.describe()


@pytest.mark.parametrize(
    ("why", "made"),
    [
        ("b-frames", {"b_frames": 2}),
        ("rare keyframes", {"keyframe_every": 300, "seconds": 10.0, "rate": 10}),
        ("too large", {"size": (1920, 1080), "seconds": 0.3}),
        ("another codec", {"video": "mpeg4"}),
    ],
)
def test_what_cannot_be_sent_is_coded_anew(
    tmp_path: Path, why: str, made: dict[str, object]
) -> None:
    source = _open(write_recording(tmp_path / "a.mp4", **made))  # type: ignore[arg-type]  # rows of different options
    assert "camera h264 (coded)" in _tracks(source), why


def test_a_file_with_a_colon_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(tmp_path / "a.mp4", seconds=0.2).rename(tmp_path / "bai1:ohm.mp4")
    monkeypatch.chdir(tmp_path)
    assert "camera h264 (copied)" in _tracks(_open("bai1:ohm.mp4"))


def test_a_missing_file() -> None:
    with pytest.raises(Misuse, match=r"There is no file /nowhere/a\.mp4; check the path\."):
        _open("/nowhere/a.mp4")


def test_a_missing_camera() -> None:
    with pytest.raises(Misuse, match="There is no device /dev/video77; is it plugged in"):
        _open("v4l2:/dev/video77", voice=False)


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is a folder"):
        _open(tmp_path)


def test_a_file_that_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("these are notes" * 1000)
    with pytest.raises(Misuse, match="not a video or sound recording, or it is damaged"):
        _open(path)


def test_a_recording_without_sound(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "silent.mp4", audio=None)
    with pytest.raises(Misuse, match="has no sound, and a lesson needs a voice; add one with"):
        _open(path)
    assert _tracks(_open(path, voice=False)) == "camera h264 (copied)"


def test_a_recording_without_picture(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "talk.ogg", video=None, audio="libopus")
    with pytest.raises(Misuse, match="has no picture, so it cannot be the camera"):
        _open(path)


def test_a_stream_that_nobody_serves() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Misuse, match="Nobody answers at"):
        _open(f"http://127.0.0.1:{port}/a.mp4")


def test_a_cut_off_recording_is_refused_with_a_sentence(tmp_path: Path) -> None:
    whole = write_recording(tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])  # the index at its end is missing
    with pytest.raises(Misuse, match="damaged"):
        _open(path)
