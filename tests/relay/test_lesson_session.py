"""One lesson's recording as a session of the recorder: what it keeps of the feed, and for how long.

The session with its files, given records by hand. Not here: the feed's socket, what is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.record.session import LessonSession, RecorderSettings, RecordingState
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
        packets = [p for n in range(50) for p in voice.voice(VOICE[n], second * 50 + n)]
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
