"""A lesson as one file: what goes in, that common players play it, what a rotten archive gives."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import av
import pytest

from classroom.archive.extras import Extras
from classroom.archive.manifest import Manifest
from relay.record.copies_worker import make
from relay.record.single_file import choose
from relay.record.single_file_worker import NotWholeError, write
from tests.relay.test_hls import GOLDEN, VOICE, lesson, rendition
from tests.relay.test_hls_master import BEATS, EXTRAS, LESSON, SCREEN, VP9

NONE = Extras("toan-7")


def picked(manifest: Manifest, extras: Extras, picture: str = "auto") -> tuple[str, ...] | None:
    choice = choose(manifest, extras, picture)
    if choice is None:
        return None
    return (choice.picture_of, *(part.rendition.name for part in choice.parts))


def test_the_picture_is_what_the_lesson_was_followed_on() -> None:
    long = [rendition("screen", *BEATS)]
    assert picked(LESSON, EXTRAS) == ("camera", "h264-camera", "aac-voice")
    assert picked(lesson(VOICE, *VP9, *long), NONE) == ("screen", "screen", "voice")
    assert picked(LESSON, EXTRAS, "screen") == ("screen", "h264-screen", "aac-voice")
    assert picked(LESSON, EXTRAS, "none") == ("none", "aac-voice")
    assert picked(lesson(VOICE), NONE) == ("none", "voice")
    assert picked(lesson(VOICE), NONE, "camera") is None
    assert picked(lesson(*SCREEN), NONE, "none") is None
    assert picked(lesson(*SCREEN), NONE) == ("screen", "screen")


def test_what_plays_everywhere_goes_first() -> None:
    both = choose(LESSON, EXTRAS, "camera")
    bare = choose(LESSON, NONE, "camera")
    assert both is not None
    assert bare is not None
    assert (both.plays_everywhere, bare.plays_everywhere) == (True, False)
    assert both.key() != bare.key()
    recorded = lesson(VOICE, rendition("camera-f", *BEATS))
    assert picked(recorded, NONE, "camera") == ("camera", "camera-f", "voice")


def test_a_layer_that_was_seldom_sent_stands_for_no_lesson() -> None:
    seldom, small = rendition("camera-f", BEATS[0]), rendition("camera-q", *BEATS)
    assert picked(lesson(VOICE, seldom, small), NONE, "camera") == ("camera", "camera-q", "voice")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archives") / "toan-7-golden"
    shutil.copytree(GOLDEN, path)
    return path


@pytest.mark.parametrize("copies", [False, True])
def test_the_file_plays_from_its_front_and_holds_the_lesson(
    archive: Path, tmp_path: Path, copies: bool
) -> None:
    if copies:
        make(archive)
    target = tmp_path / "lesson.mp4"
    write(archive, "camera", target)
    manifest = Manifest.decode((archive / "manifest.json").read_bytes())
    data = target.read_bytes()
    kinds, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from("!I4s", data, at)
        kinds.append(kind)
        at += size
    # Progressive: the index before the media, and no fragments, which old players do not know.
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert b"moof" not in kinds
    with av.open(str(target)) as container:
        names = [stream.codec_context.name for stream in container.streams]
        assert names == (["h264", "aac"] if copies else ["vp9", "opus"])
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(manifest.duration_ms / 1000, abs=0.1)
        voice = container.streams.audio[0]
        heard = [frame.time for frame in container.decode(voice)]
    assert heard[0] == pytest.approx(0.0, abs=0.03)
    assert None not in heard


def test_a_segment_that_is_rotten_or_missing_is_never_put_in(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "toan-7-golden"
    shutil.copytree(GOLDEN, path)
    segment = path / "voice" / "2.m4s"
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    with pytest.raises(NotWholeError):
        write(path, "none", tmp_path / "out.mp4")
    segment.unlink()
    with pytest.raises(NotWholeError):
        write(path, "none", tmp_path / "out.mp4")
    (path / "voice" / "init-0.mp4").unlink()
    with pytest.raises(NotWholeError):
        write(path, "none", tmp_path / "out.mp4")
