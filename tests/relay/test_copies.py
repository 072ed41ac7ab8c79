"""Copies for old devices: which there are, and that an independent player finds the same lesson."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from classroom.archive.canonical import digest
from classroom.archive.extras import Captions, Extras
from classroom.archive.manifest import Manifest, RenditionManifest
from relay.record import hls
from relay.record.cmaf_read import scan
from relay.record.copies import needed, scaled
from relay.record.copies_worker import make
from relay.record.fill import fill
from relay.record.hls_master import with_copies
from tests.relay.test_hls import GOLDEN, HEX, VOICE, lesson, rendition
from tests.relay.test_hls_master import LESSON, of

BEAT = (0, 8, 0, 0)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden archive with its copies made: VP9, two sizes of picture, holes."""
    path = tmp_path_factory.mktemp("archives") / "toan-7-golden"
    shutil.copytree(GOLDEN, path)
    captions = (Captions("vi", "Tiếng Việt", 9, HEX),)
    (path / "extras.json").write_bytes(Extras("toan-7-golden", "", captions).encode())
    make(path)
    return path


def joined(archive: Path, name: str, init: int | None = None) -> bytes:
    """A copy's segments (those with this initialisation file) behind it."""
    copy = Extras.decode((archive / "extras.json").read_bytes()).copy(name)
    assert copy is not None
    number = copy.inits[0].number if init is None else init
    parts = [(archive / name / f"init-{number}.mp4").read_bytes()]
    for one in copy.segments:
        if one.init == number:
            place = f"{one.beat}-{one.part}.m4s" if one.part else f"{one.beat}.m4s"
            parts.append((archive / name / place).read_bytes())
    return b"".join(parts)


def test_what_old_devices_do_not_play_is_copied() -> None:
    assert [(one.name, one.source.name) for one in needed(LESSON)] == [
        ("aac-voice", "voice"),
        ("h264-camera", "camera-f"),
        ("h264-screen", "screen"),
    ]
    plain = lesson(VOICE, rendition("camera-f", BEAT))
    assert [one.name for one in needed(plain)] == ["aac-voice"]
    assert needed(lesson(rendition("camera", BEAT))) == []


def _long(layers: list[RenditionManifest]) -> list[RenditionManifest]:
    """The same for two beats."""
    return [
        replace(one, segments=(*one.segments, replace(one.segments[0], start=one.end, beat=1)))
        for one in layers
    ]


def test_the_largest_layer_that_is_small_enough_is_copied() -> None:
    layers = []
    for name, height in (("camera-f", 720), ("camera-h", 360), ("camera-q", 180)):
        [one] = of("vp09.00.30.08", rendition(name, BEAT))
        inits = tuple(replace(init, height=height) for init in one.inits)
        layers.append(replace(one, inits=inits))
    assert [one.source.name for one in needed(lesson(*layers))] == ["camera-h"]
    assert [one.source.name for one in needed(lesson(layers[0]))] == ["camera-f"]
    assert [one.source.name for one in needed(lesson(*_long(layers[1:])))] == ["camera-h"]
    seldom = [layers[0], layers[1], *_long(layers[2:])]
    assert [one.source.name for one in needed(lesson(*seldom))] == ["camera-q"]
    assert scaled(1280, 720, 480) == (852, 480)
    assert scaled(321, 181, 480) == (320, 180)


def test_the_extras_name_what_is_on_disk_and_keep_the_captions(archive: Path) -> None:
    extras = Extras.decode((archive / "extras.json").read_bytes())
    assert extras.manifest == digest((archive / "manifest.json").read_bytes())
    assert [copy.name for copy in extras.copies] == ["aac-voice", "h264-camera"]
    assert [one.language for one in extras.captions] == ["vi"]
    files = extras.files()[1:]
    assert len(files) > 8
    for file in files:
        data = (archive / file.directory / file.name).read_bytes()
        assert (len(data), digest(data)) == (file.bytes, file.digest)
    named = {(file.directory, file.name) for file in files}
    found = {
        (path.parent.name, path.name)
        for path in archive.glob("*-*/*")
        if path.parent.name != "camera-q"
    }
    assert found == named


def test_copies_stand_where_what_was_recorded_stands(archive: Path) -> None:
    manifest = Manifest.decode((archive / "manifest.json").read_bytes())
    extras = Extras.decode((archive / "extras.json").read_bytes())
    for name, source, most in (("aac-voice", "voice", 1_023), ("h264-camera", "camera-q", 0)):
        copy, recorded = extras.copy(name), manifest.rendition(source)
        assert copy is not None
        assert recorded is not None
        assert [(one.beat, one.part, one.take) for one in copy.segments] == [
            (one.beat, one.part, one.take) for one in recorded.segments
        ]
        for one, of_it in zip(copy.segments, recorded.segments, strict=True):
            assert 0 <= one.start - of_it.start <= most
            data = (
                archive / name / (f"{one.beat}-{one.part}.m4s" if one.part else f"{one.beat}.m4s")
            )
            read = scan(data.read_bytes())
            assert (read.start, read.end) == (one.start, one.start + one.duration)
            assert read.size == one.bytes
    assert with_copies(manifest, extras).duration_ms == manifest.duration_ms
    assert hls.media(with_copies(manifest, extras), "aac-voice") is not None


def test_the_pictures_are_the_same_and_h264(archive: Path) -> None:
    copy = Extras.decode((archive / "extras.json").read_bytes()).copy("h264-camera")
    manifest = Manifest.decode((archive / "manifest.json").read_bytes())
    recorded = manifest.rendition("camera-q")
    assert copy is not None
    assert recorded is not None
    assert [i.codec[:5] for i in copy.inits] == ["avc1."] * len(recorded.inits)
    assert [(i.width, i.height) for i in copy.inits] == [
        (i.width, i.height) for i in recorded.inits
    ]
    for init, of_it in zip(copy.inits, recorded.inits, strict=True):
        head = (archive / "camera-q" / f"init-{of_it.number}.mp4").read_bytes()
        was = [(archive / "camera-q" / f"{one.beat}.m4s").read_bytes()
               for one in recorded.segments if one.init == of_it.number]  # fmt: skip
        pairs = zip(
            decoded(joined(archive, "h264-camera", init.number)),
            decoded(head + b"".join(was)),
            strict=True,
        )
        for (time, picture), (time_then, picture_then) in pairs:
            assert time == time_then
            assert float(np.abs(picture - picture_then).mean()) < 6


def decoded(data: bytes) -> list[tuple[float, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]]:
    with av.open(io.BytesIO(data), "r") as container:
        return [
            (frame.time or 0.0, frame.to_ndarray(format="gray").astype(np.float64))
            for frame in container.decode(video=0)
        ]


def test_the_voice_is_the_same_and_in_its_place(archive: Path) -> None:
    recorded = b"".join(
        (archive / "voice" / name).read_bytes() for name in ("init-0.mp4", "0.m4s", "1.m4s")
    )
    first, then = sound(joined(archive, "aac-voice")), sound(recorded)
    assert len(first) >= 96_000
    one, other = first[4_800:91_200], then[4_800:91_200]
    # The best agreement of both is where they lie one on the other, to a millisecond.
    shifts = range(-480, 481, 48)
    agreement = [
        float(np.dot(one[480:-480], other[480 + n : len(other) - 480 + n])) for n in shifts
    ]
    assert shifts[int(np.argmax(agreement))] == 0


def sound(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Decoded to one channel at 48 kHz, from the lesson's beginning on."""
    out = np.zeros(48_000 * 60)
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler("fltp", "mono", 48_000)
        for frame in container.decode(audio=0):
            at = round((frame.time or 0.0) * 48_000)
            for even in resampler.resample(frame):
                block = even.to_ndarray()[0]
                out[at : at + len(block)] = block
    return out


def test_the_silence_of_a_hole_decodes_behind_the_copys_own_head(archive: Path) -> None:
    model = (archive / "aac-voice" / "0.m4s").read_bytes()
    data = fill(model, 0, 48_000, name="aac-voice")
    assert data is not None
    heard = sound((archive / "aac-voice" / "init-0.mp4").read_bytes() + data)
    assert float(np.abs(heard).max()) == 0.0


def test_a_lost_segment_leaves_a_hole_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "toan-7-golden"
    shutil.copytree(GOLDEN, path)
    (path / "camera-q" / "1.m4s").write_bytes(os.urandom(5_000))
    extras = make(path)
    copy = extras.copy("h264-camera")
    assert copy is not None
    assert [one.beat for one in copy.segments] == [0, 2, 3]


def test_a_picture_larger_than_any_camera_or_screen_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "toan-7-golden"
    shutil.copytree(GOLDEN, path)
    monkeypatch.setattr("relay.record.copies_worker.MAX_PIXELS", 160 * 96 // 2)
    assert [copy.name for copy in make(path).copies] == ["aac-voice"]
