"""One lesson's recording as a session of the recorder: what it keeps of the feed, and for how long.

The session with its files, given records by hand. Not here: the feed's socket, what is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.record.awaited import LessonRecord
from relay.record.feed import End, Packet
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


def session_of(archives: Path, executor: ThreadPoolExecutor) -> LessonSession:
    def ignore(lesson: str, state: RecordingState) -> None:
        """Pages are not here."""

    return LessonSession(LESSON, archives, RecorderSettings(), executor, Transcoder(), ignore)


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
