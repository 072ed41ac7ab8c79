"""The recorder on a disk that takes no more, and then does again.

A limit on the size of files, set from outside on the running recorder, makes real writes fail in
the middle of a fragment, as a full disk does; it needs no rights and leaves the machine's disk
alone. What a page would show is read from the process.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from classroom.archive.contents import read_journal
from classroom.archive.events import Event
from relay.record.feed import LessonEnd, Packet, Record
from tests.fakes.rtp_media import lesson_records, numbered
from tests.live.test_recorder import LESSON, Media, manifest_of
from tests.relay.test_record_restart import files, record_whole

FULL = "disk-full"
BUFFER = 600_000
AMPLE = 64 * 2**20


class Running:
    """A recorder process, its feed and its disk."""

    def __init__(self, media: Media, process: asyncio.subprocess.Process) -> None:
        self.media = media
        self._process = process

    def limit(self, size: int) -> None:
        """No file of the process may grow beyond `size` bytes."""
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def free(self) -> None:
        hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    async def until(self, state: str) -> str:
        """Wait for a state; returns its sentence."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            found, detail = line.decode().rstrip("\n").split("\t")
            if found == state:
                return detail
        raise AssertionError(f"the recorder ended before it was {state}")


@asynccontextmanager
async def running(archives: Path, buffer_bytes: int) -> AsyncIterator[Running]:
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.live.recorder_process",
        str(archives),
        str(buffer_bytes),
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[theirs.fileno()],
        env={**os.environ, "FEED_FD": str(theirs.fileno())},
    )
    theirs.close()
    media = Media(ours)
    await media.open()
    try:
        yield Running(media, process)
    finally:
        media.close()
        await process.wait()


async def test_a_disk_full_for_a_while_costs_nothing(tmp_path: Path) -> None:
    archives = tmp_path / "archives"
    records = numbered([*lesson_records(14, ended=False), LessonEnd(LESSON)])
    async with running(archives, AMPLE) as recorder:
        await recorder.media.send(records[:400])
        await recorder.until("recording")
        recorder.limit(20_000)
        await recorder.media.send(records[400:900])
        assert await recorder.until("failing") == FULL
        acknowledged = recorder.media.acknowledged
        recorder.free()
        assert await recorder.until("recording") == ""
        await recorder.media.send(records[900:])
        await recorder.media.until(len(records))
        await recorder.until("finished")
    assert acknowledged < 600
    assert files(archives) == record_whole(tmp_path / "whole", records[:-1])


async def test_a_disk_full_for_long_costs_only_that_time(tmp_path: Path) -> None:
    archives = tmp_path / "archives"
    records = numbered([*lesson_records(60, ended=False), LessonEnd(LESSON)])
    async with running(archives, BUFFER) as recorder:
        await recorder.media.send(records[:700])
        await recorder.until("recording")
        await recorder.media.until(500)
        kept = manifest_bytes(archives)
        recorder.limit(4_000)
        await recorder.media.send(records[700:4_000])
        await recorder.until("failing")
        # The lesson goes on: what cannot be kept is let go, and the media process is told.
        await recorder.media.until(_overflow(records, 500))
        recorder.free()
        await recorder.until("recording")
        await recorder.media.send(records[4_000:])
        await recorder.media.until(len(records))
        await recorder.until("finished")
    manifest = manifest_of(archives)
    assert manifest.finished
    assert manifest.duration_ms == 60_000
    for rendition in manifest.renditions:
        recorded = sum(segment.duration for segment in rendition.segments)
        # The first 7 s, and the last 11 from a keyframe on, are there; and what the buffer held.
        assert recorded / rendition.timescale > 7 + 8
    camera = manifest.rendition("camera")
    assert camera is not None
    assert camera.segments[0].frames == 120
    assert camera.gaps
    # What was whole before is as it was.
    assert all((archives / LESSON / name).read_bytes() == data for name, data in kept.items())
    # However often the archive was opened in between, everything happened once.
    log = (archives / LESSON / "events.jsonl").read_bytes().splitlines()
    happened = [(event.kind, *event.body.values()) for event in map(Event.decode, log)]
    assert happened == [
        ("recording",),
        ("source", True, "camera"),
        ("source", True, "voice"),
        ("source", False, "the lesson ended", "camera"),
        ("source", False, "the lesson ended", "voice"),
        ("ended",),
    ]
    notes = read_journal((archives / LESSON / "journal.jsonl").read_bytes()).contents.notes
    assert any("packets could not be kept" in note.text for note in notes)


def _overflow(records: list[tuple[int, Record]], first: int) -> int:
    """A record that a buffer beginning with `first`, or later, holds when it is first full."""
    size = 0
    for sequence, record in records[first:]:
        # More than a record can count, so that the buffer is full here at the earliest.
        size += len(record.packet) + 250 if isinstance(record, Packet) else 250
        if size > BUFFER:
            return sequence
    raise AssertionError("the lesson is too short for this test")


def manifest_bytes(archives: Path) -> dict[str, bytes]:
    """The whole segments there are now."""
    root = archives / LESSON
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.glob("*/*.m4s"))}
