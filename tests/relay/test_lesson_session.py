"""One lesson's recording as a session of the recorder: what it keeps of the feed, and for how long.

The session with its files, given records by hand. Not here: the feed's socket, what is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from classroom.archive.contents import read_journal
from classroom.archive.manifest import Manifest
from relay.record.awaited import LessonRecord
from relay.record.feed import End, LessonEnd, Packet
from relay.record.recording import RecorderSettings, RecordingState
from relay.record.session import LessonSession
from relay.record.transcode import Transcoder
from tests.fakes.rtp_media import Sender, encode_video, encode_voice, track

LESSON = "toan-7"
VOICE = encode_voice(50)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def session_of(
    archives: Path, executor: ThreadPoolExecutor, *, buffer_bytes: int = 16 * 2**20
) -> LessonSession:
    def ignore(lesson: str, state: RecordingState) -> None:
        """Pages are not here."""

    settings = RecorderSettings(beat_ms=1_000, buffer_bytes=buffer_bytes)
    return LessonSession(LESSON, archives, settings, executor, Transcoder(), ignore)


def spoken(voice: Sender, begin: int, end: int) -> list[Packet]:
    """The voice from the second `begin` to `end`."""
    return [p for n in range(begin * 50, end * 50) for p in voice.voice(VOICE[n % 50], n)]


async def test_a_camera_that_is_off_does_not_fill_the_memory(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    session = session_of(tmp_path, executor)
    voice, camera = Sender(track(1, "voice", "opus")), Sender(track(2, "camera", "vp9"))
    pictures = encode_video("vp9", 10, 10, rate=10)
    sequence = 0
    for sender in (voice, camera):
        for record in (sender.track, sender.sync(0.0)):
            sequence += 1
            session.receive("feed", sequence, record)
    for second in range(40):
        packets = spoken(voice, second, second + 1)
        if second < 10:
            packets += [p for f in pictures for p in camera.frame(f, second + f.number / 10)]
        for packet in sorted(packets, key=lambda one: one.arrival):
            sequence += 1
            session.receive("feed", sequence, packet)
        session.advance()
        await session.commit()
    needed = session.needed()
    assert needed is None or needed > sequence - 100
    session.close()


async def test_a_track_that_ended_stays_so_when_the_feed_connects_again(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    """The teacher's page was loaded anew; the feed was not told yet that all of it is durable."""
    session = session_of(tmp_path, executor)
    before = Sender(track(1, "voice", "opus"))
    after = Sender(track(2, "voice", "opus", epoch=1), ssrc=0x5678)
    records: list[LessonRecord] = [before.track, before.sync(0.0), *spoken(before, 0, 2)]
    records += [End(1, "gone"), after.track, after.sync(0.0), *spoken(after, 3, 5)]
    for sequence, record in enumerate(records, 1):
        session.receive("feed", sequence, record)
    session.advance()
    await session.commit()
    records += spoken(after, 5, 15)
    for sequence, record in enumerate(records, 1):
        session.receive("feed", sequence, record)
    session.advance()
    await session.commit()
    assert session.state.seconds >= 14
    session.close()


class Media:
    """A media process: it tells of one voice, and never again of what was before it."""

    def __init__(self, session: LessonSession, name: str, begin: int = 0) -> None:
        """begin: seconds."""
        self.session, self.name = session, name
        self.voice = Sender(track(1, "voice", "opus"))
        self.sequence = 0
        self.tell(self.voice.track, self.voice.sync(begin))

    def tell(self, *records: LessonRecord) -> None:
        for record in records:
            self.sequence += 1
            self.session.receive(self.name, self.sequence, record)

    async def teach(self, begin: int, end: int) -> None:
        """From second to second."""
        for second in range(begin, end):
            self.tell(*spoken(self.voice, second, second + 1))
            self.session.advance()
            await self.session.commit()


def voice_of(archives: Path) -> list[tuple[float, float]]:
    """What is recorded, in seconds."""
    manifest = Manifest.decode((archives / LESSON / "manifest.json").read_bytes())
    voice = manifest.rendition("voice")
    assert voice is not None
    return [(s.start / 48_000, (s.start + s.duration) / 48_000) for s in voice.segments]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("restarts", [1, 3])
async def test_what_a_media_process_left_is_kept_while_the_disk_fails(
    restarts: int, begun: bool, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    """begun: the lesson is on the disk before it fails."""
    archives, away = tmp_path / "archives", tmp_path / "away"
    session = session_of(archives, executor)
    media = Media(session, "feed-0")
    if begun:
        await media.teach(0, 2)
        assert session.state.state == "recording"
        archives.rename(away)
    archives.write_text("a disk that fails")
    await media.teach(2 if begun else 0, 4)
    for number in range(1, restarts + 1):
        media = Media(session, f"feed-{number}", number * 5)
        await media.teach(number * 5, number * 5 + 4)
        assert session.state.state == "failing"
    archives.unlink()
    if begun:
        away.rename(archives)
    await media.teach(restarts * 5 + 4, restarts * 5 + 9)
    assert session.state.state == "recording"
    needed = session.needed()
    assert needed is None or needed > 100, "this feed can let go"
    media.tell(LessonEnd(LESSON))
    await session.commit()
    assert session.ended
    spans = voice_of(archives)
    # What is not taught between two processes is a pause, and is filled.
    assert spans[0][0] == 0, spans
    assert all(a[1] == b[0] or b[0] % 5 == 0 for a, b in itertools.pairwise(spans)), spans
    assert spans[-1][1] == restarts * 5 + 9
    assert sum(end - begin for begin, end in spans) >= 4 * restarts + 9
    notes = read_journal((archives / LESSON / "journal.jsonl").read_bytes()).contents.notes
    assert not [note for note in notes if "could not be kept" in note.text]


async def test_a_lesson_that_ended_while_the_disk_failed_is_finished(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    archives = tmp_path / "archives"
    archives.write_text("a disk that fails")
    session = session_of(archives, executor)
    media = Media(session, "feed-0")
    await media.teach(0, 4)
    media.tell(LessonEnd(LESSON))
    session.change_feed("feed-1")
    archives.unlink()
    for _ in range(2):
        await session.commit()
    assert session.ended
    assert voice_of(archives)[-1][1] == 4


async def test_what_media_processes_leave_is_bounded(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    archives = tmp_path / "archives"
    archives.write_text("a disk that fails")
    session = session_of(archives, executor, buffer_bytes=60_000)
    for number in range(4):
        media = Media(session, f"feed-{number}", number * 4)
        await media.teach(number * 4, number * 4 + 2)
        session.drop_if_full()
    archives.unlink()
    await media.teach(14, 18)
    notes = read_journal((archives / LESSON / "journal.jsonl").read_bytes()).contents.notes
    assert [note.text for note in notes if "could not be kept" in note.text]
    assert session.state.state == "recording"
    session.close()
