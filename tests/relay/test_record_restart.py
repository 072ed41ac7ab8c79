"""Killed at any moment, the recorder goes on with the same lesson, and with the same bytes.

The lesson's recorder and its files, driven by hand: what a killed process leaves is a directory,
and what the media process sends again is known from the feed's rules.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from classroom.archive.contents import read_journal
from classroom.archive.events import Event
from classroom.archive.manifest import Manifest
from relay.record.feed import End, LessonEnd, Packet, Record, Sync, Track
from relay.record.lesson import LessonRecorder
from relay.record.store import LessonStore
from tests.fakes.rtp_media import EPOCH, lesson_records, numbered

LESSON = "toan-7"
Numbered = list[tuple[int, Record]]


class Feed:
    """The media process's side: what it sends again after a reconnect."""

    def __init__(self, records: Numbered) -> None:
        self.records = records

    def again(self, acknowledged: int, sent: int) -> Numbered:
        """Everything up to `sent`, after a restart of the recorder that had acknowledged so far."""
        state: dict[tuple[type, int], tuple[int, Record]] = {}
        for sequence, record in self.records:
            if sequence > acknowledged:
                break
            if isinstance(record, Track | Sync):
                state[type(record), record.track] = (sequence, record)
            elif isinstance(record, End):
                state.pop((Track, record.track), None)
                state.pop((Sync, record.track), None)
        tracks = [item for (kind, _), item in state.items() if kind is Track]
        syncs = [item for (kind, _), item in state.items() if kind is Sync]
        rest = [item for item in self.records if acknowledged < item[0] <= sent]
        return tracks + syncs + rest


class Process:
    """A recorder process: opens the directory, takes records, commits, acknowledges."""

    def __init__(self, archives: Path) -> None:
        self.store = LessonStore(archives, LESSON)
        self.recorder = LessonRecorder(LESSON, beat_ms=4_000, hold=2.0, stored=self.store.stored)
        self.last = self.acknowledged = 0

    def take(self, records: Numbered) -> None:
        for sequence, record in records:
            assert isinstance(record, Track | Packet | Sync | End)
            self.recorder.receive("feed", sequence, record)
            self.last = max(self.last, sequence)

    def commit(self) -> None:
        self.store.commit(self.recorder.take_actions())
        needed = self.recorder.first_feed()
        self.acknowledged = self.last if needed is None else needed - 1

    def write_without_acknowledging(self, archives: Path, tear: int) -> None:
        """The kill came after the media and before the journal's mark; `tear` bytes are lost."""
        path = archives / LESSON / "journal.jsonl"
        journal = path.read_bytes() if path.exists() else b""
        durable = {each: each.stat().st_size for each in (archives / LESSON).glob("*/*.part")}
        self.store.commit(self.recorder.take_actions())
        after = path.read_bytes()
        lines = after[len(journal) :].splitlines(keepends=True)
        kept = journal + b"".join(line for line in lines if b'"mark"' not in line)
        path.write_bytes(kept + b'{"kind":"ma')
        for part in (archives / LESSON).glob("*/*.part"):
            data = part.read_bytes()
            part.write_bytes(data[: max(durable.get(part, 0), len(data) - tear)])

    def finish(self) -> None:
        self.recorder.finish(EPOCH + 20)
        self.commit()
        self.store.close()


def files(archives: Path) -> dict[str, bytes]:
    root = archives / LESSON
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in (".m4s", ".mp4") or path.name in ("manifest.json", "events.jsonl")
    }


def record_whole(archives: Path, records: Numbered) -> dict[str, bytes]:
    process = Process(archives)
    for at in range(0, len(records), 100):
        process.take(records[at : at + 100])
        process.commit()
    process.finish()
    return files(archives)


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
def test_a_killed_recording_has_the_bytes_of_an_undisturbed_one(codec: str, tmp_path: Path) -> None:
    records = numbered(lesson_records(18, codec=codec))
    expected = record_whole(tmp_path / "whole", records)
    feed = Feed(records)
    chance = random.Random(7)
    kills = 0
    for attempt in range(6):
        archives = tmp_path / f"killed-{attempt}"
        process = Process(archives)
        sent = acknowledged = 0
        while sent < len(records):
            step = chance.randint(1, 400)
            process.take(records[sent : sent + step])
            sent = min(len(records), sent + step)
            if chance.random() < 0.7:
                process.commit()
                acknowledged = process.acknowledged
            if chance.random() < 0.5:
                process.write_without_acknowledging(archives, 0 if attempt % 2 else 37)
                process.store.close()
                process = Process(archives)
                process.take(feed.again(acknowledged, sent))
                kills += 1
        process.finish()
        assert files(archives) == expected
    assert kills > 6


def test_frames_sent_again_that_are_durable_already_are_not_written_twice(tmp_path: Path) -> None:
    records = numbered(lesson_records(10, ended=False))
    process = Process(tmp_path)
    process.take(records)
    process.commit()
    process.store.close()
    # The acknowledgement never arrived: everything comes again from the beginning.
    process = Process(tmp_path)
    process.take(records)
    process.finish()
    manifest = Manifest.decode((tmp_path / LESSON / "manifest.json").read_bytes())
    assert {r.name: sum(s.frames for s in r.segments) for r in manifest.renditions} == {
        "camera": 300,
        "voice": 500,
    }


def test_a_tear_anywhere_in_the_last_fragment_is_cut_off(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.take(numbered(lesson_records(3, ended=False)))
    process.commit()
    process.store.close()
    path = tmp_path / LESSON / "voice" / "0.m4s.part"
    whole = path.read_bytes()
    fragments = whole.split(b"moof")
    last = len(whole) - len(fragments[-1]) - 8
    # Every byte is tried in test_cmaf.py, without a disk.
    for size in {*range(last, len(whole), 61), last + 1, len(whole) - 1}:
        path.write_bytes(whole[:size])
        store = LessonStore(tmp_path, LESSON)
        assert store.stored is not None
        assert store.stored.growing["voice"] == whole[:last]
        assert path.read_bytes() == whole[:last]
        store.close()


def test_a_segment_renamed_but_not_journaled_is_taken_up(tmp_path: Path) -> None:
    records = numbered(lesson_records(10, ended=False))
    process = Process(tmp_path)
    process.take(records)
    process.commit()
    process.store.close()
    root = tmp_path / LESSON
    journal = root / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(
        b"".join(x for x in lines if not (b'"beat":2' in x and b'"open"' in x and b"camera" in x))
    )
    opened = [x for x in lines if b'"open"' in x and b"camera" in x][-1]
    assert b'"beat":2' in opened
    cut = [x for x in lines if not (b'"camera"' in x and (b'"segment"' in x or b'"beat":2' in x))]
    journal.write_bytes(b"".join(cut))
    store = LessonStore(tmp_path, LESSON)
    store.close()
    contents = read_journal(journal.read_bytes()).contents
    # Beat 1 was the last known to be open: it is on disk, whole, and so it is listed again.
    assert [s.beat for s in contents.renditions["camera"].segments] == [1]
    assert not list(root.glob("camera/*.part"))


def test_a_lesson_that_comes_back_after_its_end_goes_on_in_the_same_archive(
    tmp_path: Path,
) -> None:
    process = Process(tmp_path)
    process.take(numbered(lesson_records(5)))
    process.finish()
    process = Process(tmp_path)
    later = lesson_records(5, first_track=11, epoch=1, start=60.0)
    for sequence, record in numbered(later):
        assert not isinstance(record, LessonEnd)
        process.take([(sequence, record)])
    process.finish()
    manifest = Manifest.decode((tmp_path / LESSON / "manifest.json").read_bytes())
    camera = manifest.rendition("camera")
    assert camera is not None
    assert [(s.start // 90_000, s.take) for s in camera.segments] == [
        (0, 0),
        (4, 0),
        (60, 1),
        (64, 1),
    ]
    assert len(camera.inits) == 1
    assert manifest.duration_ms == 65_000


def test_a_source_that_is_on_already_is_not_told_again(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.take(numbered(lesson_records(5, ended=False)))
    process.commit()
    process.store.close()
    # Both processes were killed: other tracks, later, and nobody said that the first had ended.
    process = Process(tmp_path)
    process.take(numbered(lesson_records(5, first_track=11, epoch=1, start=20.0)))
    process.finish()
    log = (tmp_path / LESSON / "events.jsonl").read_bytes().splitlines()
    happened = [(event.kind, event.body.get("source")) for event in map(Event.decode, log)]
    sources = [("source", "camera"), ("source", "voice")]
    assert happened == [("recording", None), *sources, *sources, ("ended", None)]
