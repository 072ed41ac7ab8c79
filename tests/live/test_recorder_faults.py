"""A record that the recorder cannot take costs its own track or its own lesson, never another's.

Here: the real recorder on a real socket and disk, two lessons on one feed; one of them brings what
was never thought of. A record that was not acknowledged comes again after every restart, so each
test ends with everything acknowledged.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from relay.record import lesson as recorder_of_a_lesson
from relay.record.feed import End, LessonEnd, Packet, Record, Sync, Track
from relay.record.pipeline import VideoPipeline, VoicePipeline
from relay.record.recorder import Recorder
from relay.record.recording import RecordingState
from tests.fakes.rtp_media import lesson_records, numbered
from tests.live.test_recorder import LESSON, QUICK, connected, manifest_of
from tests.relay.test_record_restart import files, record_whole

OTHER = "toan-6"
MANY_SETS = ",".join(
    base64.b64encode(b"\x67\x42\xc0" + bytes((number, 1))).decode() for number in range(40)
)


class Stumbling(VideoPipeline):
    """A pipeline with a bug that only some packets meet."""

    def packet(self, feed: int, packet: Packet) -> None:
        super().packet(feed, packet)
        if self.track.lesson == OTHER and feed > 300:
            raise ValueError("what no test thought of")


class Hopeless(VoicePipeline):
    """A pipeline that cannot say what it needs, so that nothing of its lesson can be durable."""

    def first_feed(self) -> int | None:
        if self.track.lesson == OTHER:
            raise ValueError("what no test thought of")
        return super().first_feed()


def beside(records: list[Record]) -> list[Record]:
    """The same media as the lesson OTHER, on tracks of its own."""
    return [_moved(record) for record in records]


def _moved(record: Record) -> Record:
    match record:
        case Track():
            return replace(record, lesson=OTHER, track=record.track + 10)
        case Packet() | Sync() | End():
            return replace(record, track=record.track + 10)
        case _:
            return record


def open_files(folder: Path) -> list[str]:
    """What this process holds open below `folder`."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own is gone already
            found.append(os.readlink(descriptor))
    return [name for name in found if name.startswith(str(folder))]


def interleaved(first: list[Record], second: list[Record]) -> list[Record]:
    pairs = zip(first, second, strict=True)
    return [record for pair in pairs for record in pair]


async def record_all(
    archives: Path, records: list[Record], states: list[RecordingState] | None = None
) -> None:
    """Send all over one connection and wait until everything is acknowledged."""

    def told(lesson: str, state: RecordingState) -> None:
        if states is not None and lesson == OTHER:
            states.append(state)

    recorder = Recorder(archives, settings=QUICK, on_state=told)
    async with connected(recorder) as media:
        sent = numbered(records)
        await media.send(sent[:1200])
        await media.until(600)  # committed in the middle
        await media.send(sent[1200:])
        await media.until(len(records))
    await recorder.close()


def of_other(archives: Path) -> dict[str, bytes]:
    root = archives / OTHER
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.m4s")}


@pytest.mark.parametrize("sprop", [MANY_SETS, "ảnh,Z0LAH9oBQBbsBEAAAAMAQA==", "=,,!"])
async def test_bad_parameter_sets_in_an_sdp_are_ignored(sprop: str, tmp_path: Path) -> None:
    ours = lesson_records(10)
    bad = [
        replace(record, fmtp={"sprop-parameter-sets": sprop})
        if isinstance(record, Track) and record.codec == "h264"
        else record
        for record in beside(ours)
    ]
    await record_all(tmp_path, [*interleaved(bad, ours), LessonEnd(LESSON), LessonEnd(OTHER)])
    assert manifest_of(tmp_path).duration_ms == 10_000
    # The stream brings its own sets, so that the lesson with the bad ones is whole, too.
    whole = files(tmp_path)
    assert of_other(tmp_path) == {name: whole[name] for name in whole if name.endswith(".m4s")}


async def test_a_record_that_cannot_be_read_is_acknowledged(tmp_path: Path) -> None:
    ours = lesson_records(10)
    bad: list[Record] = [
        replace(record, fmtp=dict.fromkeys(map(str, range(65)), ""))
        for record in ours
        if isinstance(record, Track)
    ]
    records = [*beside(bad), *ours, LessonEnd(LESSON)]
    recorder = Recorder(tmp_path, settings=QUICK)
    async with connected(recorder) as media:
        await media.send(numbered(records))
        await media.until(len(records))
    await recorder.close()
    assert recorder.skipped == 2
    assert files(tmp_path) == record_whole(tmp_path / "whole", numbered(ours))


async def test_a_track_that_meets_a_bug_is_dropped_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(recorder_of_a_lesson._PIPELINES, "h264", Stumbling)
    ours = lesson_records(10)
    records = [*interleaved(beside(ours), ours), LessonEnd(OTHER), LessonEnd(LESSON)]
    await record_all(tmp_path, records)
    assert [entry.message for entry in caplog.records if entry.levelno >= logging.ERROR] == [
        "track-not-recorded"
    ]
    expected = record_whole(tmp_path / "whole", numbered(ours))
    assert files(tmp_path) == expected
    # Its voice is whole, its pictures end where the bug was met, and the journal says so.
    kept = of_other(tmp_path)
    voice = {name: data for name, data in expected.items() if name.startswith("voice/")}
    assert voice.items() - {("voice/init-0.mp4", expected["voice/init-0.mp4"])} <= kept.items()
    assert any(name.startswith("camera/") for name in kept)
    journal = (tmp_path / OTHER / "journal.jsonl").read_text()
    assert "the camera is recorded no further" in journal


async def test_a_disk_too_slow_for_the_buffer_leaves_no_file_open(tmp_path: Path) -> None:
    records = numbered(lesson_records(10, ended=False))
    recorder = Recorder(tmp_path, settings=replace(QUICK, buffer_bytes=1_000))
    most = 0
    async with connected(recorder) as media:
        for at in range(0, len(records), 100):
            await media.send(records[at : at + 100])
            await media.until(records[: at + 100][-1][0])  # dropped, if it was not written
            most = max(most, len(open_files(tmp_path)))
    await recorder.close()
    assert "could not be kept" in (tmp_path / LESSON / "journal.jsonl").read_text()
    assert most <= 4  # the journal, the events and two renditions
    assert not open_files(tmp_path)


async def test_a_lesson_with_a_bug_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(recorder_of_a_lesson._PIPELINES, "opus", Hopeless)
    ours = lesson_records(10)
    states: list[RecordingState] = []
    records = [*interleaved(beside(ours), ours), LessonEnd(OTHER), LessonEnd(LESSON)]
    await record_all(tmp_path, records, states)
    assert manifest_of(tmp_path).duration_ms == 10_000
    assert files(tmp_path) == record_whole(tmp_path / "whole", numbered(ours))
    assert {(state.state, state.detail) for state in states} >= {("failing", "not-recorded")}
    errors = [entry.message for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert errors.count("lesson-not-recorded") >= 1
    assert not open_files(tmp_path)
