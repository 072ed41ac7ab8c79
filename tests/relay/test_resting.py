"""A source that pauses while its track stays: the lesson goes on without it, and so do those who
watch it late.

The lesson's recorder and its files, with real pictures; virtual time. Playlists are what a relay
would answer at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from classroom.archive.contents import Rendition, read_journal
from classroom.archive.manifest import Manifest
from relay.cache.cache import Cache
from relay.record import hls
from relay.record.feed import Packet, Sync, Track
from relay.record.lesson import LessonRecorder
from relay.record.store import LessonStore
from tests.fakes.rtp_media import EPOCH, Sender, encode_video, encode_voice, track
from tests.relay.test_hls import entries

LESSON = "toan-7"
RATE = 5  # pictures a second
CAMERA = encode_video("vp9", 8 * RATE, 8 * RATE, rate=RATE)
VOICE = encode_voice(50)


class Desk:
    """A teacher's voice and camera, recorded in steps of 0.2 s.

    rid: the camera's only layer. closes: time passes for the recorder besides what it receives.
    """

    def __init__(self, tmp_path: Path, rid: str | None = None, *, closes: bool = True) -> None:
        self.name = "camera" if rid is None else f"camera-{rid}"
        self.archives = tmp_path / "archives"
        self.store = LessonStore(self.archives, LESSON)
        self.recorder = LessonRecorder(LESSON, beat_ms=8_000, hold=2.0, stored=None)
        self.cache = Cache(self.archives, tmp_path / "cache.json", root=True)
        self.voice = Sender(track(1, "voice", "opus"))
        self.camera = Sender(track(2, "camera", "vp9", rid=rid))
        self.step = self.sequence = 0
        self.closes = closes
        for sender in (self.voice, self.camera):
            self._give(sender.track)
            self._give(sender.sync(0.0))

    def _give(self, record: Track | Packet | Sync) -> None:
        self.sequence += 1
        self.recorder.receive("feed", self.sequence, record)

    def _packets(self, sources: str) -> Iterator[Packet]:
        if "voice" in sources:
            for number in range(self.step * 10, self.step * 10 + 10):
                yield from self.voice.voice(VOICE[number % len(VOICE)], number)
        if "camera" in sources:
            yield from self.camera.frame(CAMERA[self.step % len(CAMERA)], self.step / RATE)

    def run(self, until: float, sources: str = "voice camera") -> None:
        while self.step < until * RATE:
            for packet in self._packets(sources):
                self._give(packet)
            self.step += 1
            if self.closes:
                self.recorder.advance(EPOCH + self.step / RATE)
            self.store.commit(self.recorder.take_actions())

    def listed(self, name: str | None = None) -> list[str]:
        """The addresses in a playlist now."""
        manifest, growing = self.cache.view(LESSON)
        return [a for _, _, a in entries(hls.media(manifest, name or self.name, growing=growing))]

    def seconds(self, name: str | None = None) -> float:
        manifest, growing = self.cache.view(LESSON)
        text = hls.media(manifest, name or self.name, growing=growing)
        return sum(length for length, _, _ in entries(text))

    def rendition(self, name: str) -> Rendition:
        journal = (self.archives / LESSON / "journal.jsonl").read_bytes()
        return read_journal(journal).contents.rendition(name)

    def finish(self) -> dict[str, bytes]:
        """The files that the lesson consists of."""
        self.recorder.finish(EPOCH + self.step / RATE)
        self.store.commit(self.recorder.take_actions())
        self.store.close()
        root = self.archives / LESSON
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.m*"))}


@pytest.mark.parametrize("rid", [None, "h"])
def test_those_who_watch_late_get_past_a_camera_that_was_switched_off(
    rid: str | None, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, rid)
    desk.run(20)
    before = desk.listed()
    for until in range(24, 57, 4):
        desk.run(until, "voice")
        now = desk.listed()
        assert now[: len(before)] == before, "it only grows"
        before = now
        assert desk.seconds() >= until - 16.1, f"at {until} s"
    assert f"{desk.name}/2.m4s" in before, "what was taught before is there"
    desk.run(72)
    now = desk.listed()
    assert now[: len(before)] == before
    assert f"{desk.name}/7.m4s" in now, "and what came afterwards"


def test_a_silent_voice_ends_no_playlist_either(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(20)
    desk.run(60, "camera")
    assert desk.seconds("voice") >= 44


def test_the_bytes_are_the_same_however_soon_a_resting_segment_is_closed(tmp_path: Path) -> None:
    made: list[dict[str, bytes]] = []
    for closes in (True, False):
        desk = Desk(tmp_path / str(closes), closes=closes)
        desk.run(20)
        # It comes back without a keyframe: nobody can begin with such pictures.
        desk.run(34, "voice")
        desk.run(60)
        desk.run(63, "voice")
        desk.run(80)
        made.append(desk.finish())
    assert made[0] == made[1]
    manifest = Manifest.decode((desk.archives / LESSON / "manifest.json").read_bytes())
    camera = manifest.rendition("camera")
    assert camera is not None
    found = [(s.start / 90_000, (s.start + s.duration) / 90_000) for s in camera.segments]
    assert found == [(0, 8), (8, 16), (16, 20), (40, 48), (48, 56), (56, 64), (64, 72), (72, 80)]


def test_a_camera_that_a_power_cut_left_open_ends_no_playlist(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(20)
    desk.store.close()
    desk.store = LessonStore(desk.archives, LESSON)
    desk.recorder = LessonRecorder(LESSON, beat_ms=8_000, hold=2.0, stored=desk.store.stored)
    # Another media process, and a teacher without a camera.
    desk.recorder.receive("another", 1, desk.voice.track)
    desk.recorder.receive("another", 2, desk.voice.sync(0.0))
    desk.run(60, "voice")
    assert desk.rendition("camera").opened is None
    assert desk.seconds() >= 44
