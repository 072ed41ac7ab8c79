"""The power is cut at every instant of recording, fetching and putting out; nothing good is lost.
The same for files that go along with lessons.

After each call that changes the disk, and for each way in which a file system may forget what was
not flushed, a new process begins on what is left: whatever was verified and told is still there,
nothing corrupt is given out, and the archive ends up whole by going on.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from classroom.errors import Refused
from relay.cache.blobs import Blobs
from relay.cache.cache import Cache
from relay.cache.index import SERVED_SECONDS
from relay.cache.parts import Part, parts
from relay.cache.stretches import Stretch, holes
from tests.fakes.archives import LESSON, Made, make
from tests.fakes.power_cut import KINDS, Disk, Instant
from tests.fakes.rtp_media import lesson_records, numbered
from tests.relay.test_cache import School
from tests.relay.test_record_restart import Feed, Process, files, record_whole

SMALL = {"voice": 60, "camera-q": 90}


@contextmanager
def after(instant: Instant, directory: Path) -> Iterator[Path]:
    """What is left after the cut, in a directory of its own."""
    root = directory / "left"
    instant.make(root)
    try:
        yield root
    except BaseException as error:
        error.add_note(f"power cut after call {instant.number} ({instant.what}): {instant.kind}")
        raise
    finally:
        shutil.rmtree(root)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done after the cut need not be flushed."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def given_out(cache: Cache, lesson: str) -> dict[str, bytes]:
    """Everything of a lesson that a pupil can get."""
    found: dict[str, bytes] = {}
    try:
        manifest, _ = cache.view(lesson)
    except Refused:
        return found
    for part in parts(manifest):
        path = cache.open_verified(lesson, part.rendition, part.name)
        if path is not None:
            found[f"{part.rendition}/{part.name}"] = path.read_bytes()
    return found


def kinds(disk: Disk) -> set[str]:
    return {instant.kind for instant in disk.instants}


def test_a_cut_while_a_lesson_is_fetched_costs_what_was_in_flight(tmp_path: Path) -> None:
    source = make(beats=2, sizes=SMALL)
    school = School(tmp_path)
    disk = Disk(school.archives)
    done: list[Part] = []
    with disk.watch():
        school.cache.begin(LESSON, source.manifest)
        for part in school.cache.missing(LESSON):
            data = source.part(part.rendition, part.name)
            for at in range(0, len(data), 40):
                school.cache.append(part, at, data[at : at + 40])
            school.cache.complete(part)
            done.append(part)
            disk.mark()
        school.cache.finish(LESSON, source.journal, source.events)
    assert len(disk.instants) > 100
    assert kinds(disk) == set(KINDS)
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            _goes_on(left, source, done[: instant.marks])


def _goes_on(left: Path, source: Made, done: list[Part]) -> None:
    (left / "archives").mkdir()
    for each in list(left.iterdir()):
        if each.name != "archives":
            each.rename(left / "archives" / each.name)
    school = School(left)
    good = given_out(school.cache, LESSON)
    assert all(source.files[name] == data for name, data in good.items())
    assert {f"{part.rendition}/{part.name}" for part in done} <= set(good)
    fetched = school.copy(source)
    assert not set(fetched) & set(done)
    assert school.files() == source.files


def test_a_cut_while_a_recorded_lesson_is_completed_loses_nothing(tmp_path: Path) -> None:
    source = make(beats=3, sizes=SMALL)
    own = make(beats=3, sizes=SMALL, feed="ours", lost={"voice": [1]}, spoilt={"camera-q": [1]})
    own.files["camera-x/0.m4s"] = b"stray"
    school = School(tmp_path)
    own.write(school.archives)
    school.start()
    disk = Disk(school.archives)
    with disk.watch():
        school.cache.begin(LESSON, source.manifest)
        school.fetch(source)
        disk.mark()
        school.cache.finish(LESSON, source.journal, source.events)
        disk.mark()
    same = {name for name in own.files if own.files[name] == source.files.get(name)}
    assert len(disk.instants) > 50
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            (left / LESSON).rename(left / "lesson")
            (left / "archives").mkdir()
            (left / "lesson").rename(left / "archives" / LESSON)
            again = School(left)
            good = given_out(again.cache, LESSON)
            for name, data in good.items():
                assert data in (source.files.get(name), own.files.get(name)), name
            # The recording can be watched at every instant, with what it had and what came.
            assert set(good) >= {name for name in same if name.endswith((".m4s", ".mp4"))}
            if instant.marks:
                assert good == {name: source.files[name] for name in good}
                assert len(good) == len(list(parts(source.decoded)))
            fetched = again.copy(source)
            assert not {f"{part.rendition}/{part.name}" for part in fetched} & same
            assert again.files() == source.files


def test_a_cut_while_a_lesson_is_put_out_leaves_it_whole_or_gone(tmp_path: Path) -> None:
    school = School(tmp_path)
    sources = {name: make(name, beats=1, sizes=SMALL) for name in ("lesson-1", "lesson-2")}
    for source in sources.values():
        school.copy(source)
    school.cache.pin("lesson-2")
    disk = Disk(school.archives)
    with disk.watch():
        school.cache.make_room(10**15)
    assert len(disk.instants) > 10
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            left.rename(tmp_path / "archives-left")
            left.mkdir()
            (tmp_path / "archives-left").rename(left / "archives")
            again = School(left)
            names = [held.lesson for held in again.cache.held()]
            assert names in (["lesson-1", "lesson-2"], ["lesson-2"])
            for name in names:
                assert again.files(name) == sources[name].files
            assert sorted(path.name for path in again.archives.iterdir()) == names


def test_a_cut_while_a_rotten_part_is_healed_never_gives_it_out(tmp_path: Path) -> None:
    source = make(beats=2, sizes=SMALL)
    school = School(tmp_path)
    school.copy(source)
    (school.archives / LESSON / "voice" / "1.m4s").write_bytes(b"\0" * 61)
    school.restart()
    disk = Disk(school.archives)
    with disk.watch():
        assert len(given_out(school.cache, LESSON)) == 5
        school.fetch(source)
        disk.mark()
        school.cache.finish(LESSON, None, None)
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            _goes_on(left, source, [])


def test_a_cut_after_a_rotten_part_was_found_leaves_no_hole_that_nobody_fills(
    tmp_path: Path,
) -> None:
    source = make(beats=1, sizes=SMALL)
    folder = tmp_path / "school"
    folder.mkdir()
    school = School(folder)
    school.copy(source)
    file = school.archives / LESSON / "voice" / "0.m4s"
    file.write_bytes(bytes(file.stat().st_size))
    school.restart()
    disk = Disk(folder)
    with disk.watch():
        assert school.cache.open_verified(LESSON, "voice", "0.m4s") is None
    assert len(disk.instants) > 10
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            again = School(left)
            held = again.cache.holding(LESSON)
            assert held is not None
            # Either it is known to be missing, or it is where it is found again.
            missing = {f"{part.rendition}/{part.name}" for part in again.cache.missing(LESSON)}
            assert (missing, held.settled) == ({"voice/0.m4s"}, False) or (
                again.archives / LESSON / "voice" / "0.m4s"
            ).exists()
            assert again.cache.open_verified(LESSON, "voice", "0.m4s") is None
            assert len(again.fetch(source)) == 1
            again.cache.finish(LESSON, source.journal, source.events)
            assert again.files() == source.files


def test_a_cut_while_a_lesson_is_recorded_costs_no_frame(tmp_path: Path) -> None:
    """The media process sends again what was not acknowledged, so that the bytes come out alike."""
    records = numbered(lesson_records(7))
    expected = record_whole(tmp_path / "whole", records)
    feed = Feed(records)
    archives = tmp_path / "archives"
    archives.mkdir()
    disk = Disk(archives)
    sent, acknowledged = [0], [0]
    with disk.watch():
        process = Process(archives)
        for at in range(0, len(records), 60):
            process.take(records[at : at + 60])
            sent[-1] = min(len(records), at + 60)
            process.commit()
            disk.mark()
            sent.append(sent[-1])
            acknowledged.append(process.acknowledged)
        process.finish()
    assert kinds(disk) == set(KINDS)
    assert len(disk.instants) > 100
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            process = Process(left)
            process.take(feed.again(acknowledged[instant.marks], sent[instant.marks]))
            process.take(records[sent[instant.marks] :])
            process.finish()
            assert files(left) == expected


def test_the_clock_of_a_minute_is_all_that_eviction_reads(tmp_path: Path) -> None:
    """A machine without a clock that survives a cut: monotonic time begins again at any number."""
    school = School(tmp_path)
    for name in ("lesson-1", "lesson-2"):
        school.copy(make(name, beats=1, sizes=SMALL))
    assert school.cache.open_verified("lesson-1", "voice", "0.m4s") is not None
    for now in (0.0, 4e9, 5.0):
        school.now = now
        school.restart()
        school.now += SERVED_SECONDS + 1
        assert school.cache.room_for("lesson-1") > school.cache.room_for("lesson-2")


def test_a_cut_while_a_lessons_files_are_fetched_costs_what_was_not_flushed(tmp_path: Path) -> None:
    made = [random.Random(seed).randbytes(400) for seed in range(2)]
    sources = {hashlib.sha256(data).hexdigest(): data for data in made}
    folder = tmp_path / "materials"
    blobs = Blobs(folder)
    blobs.scan()
    disk = Disk(folder)
    # What is surely there, by mark: stretches that were kept, files that were whole.
    sure: list[dict[str, list[Stretch]]] = [{}]
    with disk.watch():
        for digest in sources:
            blobs.begin(digest, 400)
        # In stretches side by side, of both files in turns.
        for first in (0, 240, 80, 320, 160):
            for digest, data in sources.items():
                blobs.write(digest, first, data[first : first + 40])
                blobs.write(digest, first + 40, data[first + 40 : first + 80])
                if first == 160:
                    continue  # the last ones are flushed by who puts the file in place
                blobs.keep(digest)
                sure.append(sure[-1] | {digest: list(blobs.have(digest))})
                disk.mark()
        for digest in sources:
            blobs.complete(digest)
            sure.append(sure[-1] | {digest: [(0, 400)]})
            disk.mark()
    assert len(disk.instants) > 100
    assert kinds(disk) == set(KINDS)
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            again = Blobs(left)
            again.scan()
            for digest, data in sources.items():
                whole = again.open_verified(digest)
                if whole is None:
                    again.begin(digest, 400)
                    lacks = holes(again.have(digest), 400)
                    kept = sure[instant.marks].get(digest, [])
                    assert not [
                        one for one in lacks for had in kept if one[0] < had[1] and had[0] < one[1]
                    ]
                    for first, end in lacks:
                        again.write(digest, first, data[first:end])
                    # Raises when a byte is counted as here that the cut took.
                    again.complete(digest)
                    whole = again.open_verified(digest)
                assert whole is not None
                assert whole.read_bytes() == data
            assert sorted(path.name for path in left.iterdir()) == sorted(sources)


def test_a_cut_while_a_lessons_file_is_put_out_leaves_it_whole_or_gone(tmp_path: Path) -> None:
    whole, growing = (random.Random(seed).randbytes(400) for seed in range(2))
    names = [hashlib.sha256(data).hexdigest() for data in (whole, growing)]
    folder = tmp_path / "materials"
    blobs = Blobs(folder)
    blobs.scan()
    for name, data, size in ((names[0], whole, 400), (names[1], growing, 200)):
        blobs.begin(name, 400)
        blobs.write(name, 0, data[:size])
        blobs.keep(name)
    blobs.complete(names[0])
    disk = Disk(folder)
    with disk.watch():
        for name in names:
            blobs.drop(name)
    assert len(disk.instants) > 4
    for instant in disk.instants:
        with after(instant, tmp_path) as left:
            again = Blobs(left)
            again.scan()
            if again.has(names[0]):
                found = again.open_verified(names[0])
                assert found is not None
                assert found.read_bytes() == whole
            assert list(again.have(names[1])) in ([], [(0, 200)])
            again.begin(names[1], 400)
            at = 200 if again.have(names[1]) else 0
            again.write(names[1], at, growing[at:])
            again.complete(names[1])
            assert {path.name for path in left.iterdir()} <= set(names)
