"""The recorder on a real socket and a real disk: acknowledged is durable, whatever happens to it.

Here: a media process's side of the feed, played by the test; the recorder in this process, or in
one that is killed. Virtual time is in the packets; the test waits for facts, never for moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from classroom.archive.canonical import digest
from classroom.archive.manifest import Manifest
from classroom.archive.names import segment_name
from classroom.errors import Refused
from relay.record.feed import AckParser, Hello, LessonEnd, Record, encode
from relay.record.recorder import Recorder, run_recorder
from relay.record.recording import RecorderSettings, RecordingState
from tests.fakes.rtp_media import lesson_records, numbered, track
from tests.relay.test_record_restart import Feed, files, record_whole

LESSON = "toan-7"
QUICK = RecorderSettings(beat_ms=4_000, commit_interval=0.02, retry_interval=0.05)


class Media:
    """The media process's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.acknowledged = 0
        self._parser = AckParser()

    async def open(self, feed: str = "feed") -> None:
        self.reader, self.writer = await asyncio.open_unix_connection(sock=self.connection)
        self.writer.write(encode(0, Hello(feed)))

    async def send(self, records: list[tuple[int, Record]]) -> None:
        for sequence, record in records:
            self.writer.write(encode(sequence, record))
            await self.writer.drain()

    async def until(self, sequence: int) -> None:
        """Wait until `sequence` is acknowledged."""
        while self.acknowledged < sequence:
            data = await self.reader.read(4096)
            assert data, "the recorder closed the connection"
            self.acknowledged = max(self.acknowledged, self._parser.receive(data) or 0)

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def connected(recorder: Recorder, feed: str = "feed") -> AsyncIterator[Media]:
    ours, theirs = socket.socketpair()
    media = Media(ours)
    await media.open(feed)
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(reader, writer))
        yield media
        media.close()
    writer.close()


def manifest_of(archives: Path) -> Manifest:
    manifest = Manifest.decode((archives / LESSON / "manifest.json").read_bytes())
    for rendition in manifest.renditions:
        for segment in rendition.segments:
            name = segment_name(segment.beat, segment.part)
            data = (archives / LESSON / rendition.name / name).read_bytes()
            assert (len(data), digest(data)) == (segment.bytes, segment.digest)
    return manifest


async def test_a_lesson_is_recorded_and_finished(tmp_path: Path) -> None:
    states: list[RecordingState] = []
    recorder = Recorder(tmp_path, settings=QUICK, on_state=lambda _, state: states.append(state))
    records = numbered([*lesson_records(10), LessonEnd(LESSON)])
    async with connected(recorder) as media:
        await media.send(records)
        await media.until(records[-1][0])
    await recorder.close()
    manifest = manifest_of(tmp_path)
    assert manifest.finished
    assert manifest.duration_ms == 10_000
    assert {r.name: sum(s.frames for s in r.segments) for r in manifest.renditions} == {
        "camera": 300,
        "voice": 500,
    }
    assert states[0].state in ("recording", "finished")
    assert states[-1] == RecordingState("finished", "", 10.0)
    assert recorder.state(LESSON) == states[-1]


async def test_what_is_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    records = numbered(lesson_records(10, ended=False))
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder) as media:
        await media.send(records)
        # All but what the last second and the wait for a following frame hold back.
        await media.until(len(records) - 120)
        acknowledged = media.acknowledged
    # A recorder that knows nothing of the first one gets the rest, and nothing is missing.
    again = Recorder(tmp_path, settings=QUICK)
    async with connected(again) as media:
        rest = Feed(records).again(acknowledged, len(records))
        end = len(records) + 1
        await media.send([*rest, (end, LessonEnd(LESSON))])
        await media.until(end)
    await again.close()
    assert files(tmp_path) == record_whole(tmp_path / "whole", records)


async def test_a_connection_lost_in_between_changes_nothing(tmp_path: Path) -> None:
    records = numbered(lesson_records(10, ended=False))
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder) as media:
        await media.send(records[:700])
        await media.until(400)
        acknowledged = media.acknowledged
    async with connected(recorder) as media:
        await media.send(Feed(records).again(acknowledged, len(records)))
        end = len(records) + 1
        await media.send([(end, LessonEnd(LESSON))])
        await media.until(end)
    await recorder.close()
    assert files(tmp_path) == record_whole(tmp_path / "whole", records)


async def test_a_media_process_that_comes_back_continues_the_lesson(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder, "first") as media:
        await media.send(numbered(lesson_records(6, ended=False)))
        await media.until(100)
    later = numbered([*lesson_records(6, start=20.0), LessonEnd(LESSON)])
    async with connected(recorder, "second") as media:
        await media.send(later)
        await media.until(later[-1][0])
    await recorder.close()
    manifest = manifest_of(tmp_path)
    camera = manifest.rendition("camera")
    assert camera is not None
    assert [(s.take, s.start // 90_000) for s in camera.segments] == [
        (0, 0),
        (0, 4),
        (1, 20),
        (1, 24),
    ]
    assert sum(s.frames for s in camera.segments) == 360
    assert [(g.end // 90_000, g.reason) for g in camera.gaps] == [(20, "away")]


async def test_a_damaged_archive_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "toan-6").mkdir()
    (tmp_path / "toan-6" / "lesson.json").write_bytes(b"")
    damaged = track(9, "voice", "opus", lesson="toan-6")
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder) as media:
        records = lesson_records(6)
        await media.send(numbered([damaged, *records, LessonEnd(LESSON)]))
        while recorder.state(LESSON).state != "finished":  # noqa: ASYNC110  # its only sign
            await asyncio.sleep(0.01)
        assert recorder.state("toan-6").state == "failing"
        assert recorder.state("toan-6").detail == "disk-failing"
    await recorder.close()
    assert manifest_of(tmp_path).finished


async def test_rubbish_instead_of_a_feed_is_refused(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"GET / HTTP/1.1\r\n\r\n")
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    with pytest.raises(Refused, match="feed"):
        await run_recorder(reader, writer, tmp_path)
    writer.close()
    ours.close()


async def test_a_recorder_killed_with_9_continues_where_it_was(tmp_path: Path) -> None:
    records = numbered([*lesson_records(18, ended=False), LessonEnd(LESSON)])
    archives = tmp_path / "archives"
    sent = acknowledged = 0
    for goal in (500, 900, len(records)):
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.live.recorder_process",
            str(archives),
            "1000000",
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "FEED_FD": str(theirs.fileno())},
        )
        theirs.close()
        media = Media(ours)
        await media.open()
        await media.send(Feed(records).again(acknowledged, sent))
        sent = goal
        await media.send([item for item in records if acknowledged < item[0] <= goal])
        await media.until(len(records) if goal == len(records) else goal - 300)
        acknowledged = media.acknowledged
        process.send_signal(signal.SIGKILL)
        await process.wait()
        media.close()
    expected = record_whole(tmp_path / "whole", records[:-1])
    assert files(archives) == expected
