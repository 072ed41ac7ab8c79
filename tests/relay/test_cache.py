"""The cache with real files: taking a lesson over, keeping what was recorded, reading verified."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from classroom.archive.names import EVENTS, HEADER, JOURNAL, MANIFEST
from classroom.errors import Absent, Misuse, Refused
from relay.cache.cache import Cache
from relay.cache.files import tree_size
from relay.cache.held import Claim
from relay.cache.parts import Part
from relay.cache.reading import SOURCE
from tests.fakes.archives import LESSON, Made, make, read


class School:
    """A school relay's cache in a directory, that can be started again."""

    def __init__(self, directory: Path) -> None:
        self.archives = directory / "archives"
        self.archives.mkdir(exist_ok=True)
        self.state = directory / "cache.json"
        self.live: set[str] = set()
        self.now = 1000.0
        self.free = 10**12
        self.quota = self.floor = 0
        self.claim = Claim()
        self.disk: int | None = None
        """All its bytes; None for one on which always `free` are free."""
        self.root = False
        self.cache = self.start()

    def restart(self) -> Cache:
        """A new process after one that ended in order."""
        self.cache.close()
        return self.start()

    def start(self) -> Cache:
        """A new process: nothing is remembered but what is on the disk."""
        self.cache = Cache(
            self.archives,
            self.state,
            root=self.root,
            quota_bytes=self.quota,
            floor_bytes=self.floor,
            claim=lambda: self.claim,
            live=lambda lesson: lesson in self.live,
            monotonic=lambda: self.now,
            free=self.free_now,
        )
        self.cache.tend()
        return self.cache

    def free_now(self) -> int:
        """What is free on the disk."""
        if self.disk is None:
            return self.free
        return self.disk - tree_size(self.archives) - self.claim.taken

    def fetch(self, source: Made) -> list[Part]:
        """What is missing, fetched; returns it."""
        missing = self.cache.missing(source.lesson)
        for part in missing:
            self.cache.put(part, source.part(part.rendition, part.name))
        return missing

    def copy(self, source: Made) -> list[Part]:
        """The whole of a lesson; returns the parts that had to be fetched."""
        self.cache.begin(source.lesson, source.manifest)
        fetched = self.fetch(source)
        self.cache.finish(source.lesson, source.journal, source.events)
        return fetched

    def files(self, lesson: str = LESSON) -> dict[str, bytes]:
        return read(self.archives / lesson)


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path)


def names(parts: list[Part]) -> list[str]:
    return [f"{part.rendition}/{part.name}" for part in parts]


def test_a_copied_lesson_is_the_source_byte_for_byte(school: School) -> None:
    source = make()
    fetched = school.copy(source)
    assert len(fetched) == 3 * 5
    assert school.files() == source.files
    held = school.cache.holding(LESSON)
    assert held is not None
    assert held.settled
    assert held.total == source.decoded.size
    assert held.bytes == sum(map(len, source.files.values()))
    assert school.cache.missing(LESSON) == []


def test_parts_come_in_order_of_time_with_their_initialisation_first(school: School) -> None:
    source = make(beats=2)
    school.cache.begin(LESSON, source.manifest)
    missing = school.cache.missing(LESSON)
    assert names(missing[:3]) == ["camera-f/init-0.mp4", "camera-f/0.m4s", "camera-f/1.m4s"]
    assert [(part.start, part.end) for part in missing[:3]] == [(0, 0), (0, 8), (8, 16)]


def test_a_part_grows_over_restarts_from_where_it_was(school: School) -> None:
    source = make()
    school.cache.begin(LESSON, source.manifest)
    part = school.cache.missing(LESSON)[1]
    data = source.part(part.rendition, part.name)
    school.cache.append(part, 0, data[:1000])
    cache = school.start()
    assert cache.part_size(part) == 1000
    assert cache.open_verified(LESSON, part.rendition, part.name) is None
    with pytest.raises(Misuse, match="goes on at 1000"):
        cache.append(part, 0, data)
    cache.append(part, 1000, data[1000:])
    cache.complete(part)
    path = cache.open_verified(LESSON, part.rendition, part.name)
    assert path is not None
    assert path.read_bytes() == data
    assert part not in cache.missing(LESSON)


def test_a_part_that_lies_is_dropped_alone(school: School) -> None:
    source = make()
    school.cache.begin(LESSON, source.manifest)
    first, second, *_ = school.cache.missing(LESSON)
    data = source.part(first.rendition, first.name)
    with pytest.raises(Refused) as lie:
        school.cache.put(first, data[:-1] + b"!")
    assert lie.value.code == "part-digest-wrong"
    with pytest.raises(Refused):
        school.cache.put(first, data[:-1])
    with pytest.raises(Refused) as long:
        school.cache.append(first, 0, data + b"!")
    assert long.value.code == "part-too-long"
    assert school.cache.part_size(first) == 0
    school.cache.put(second, source.part(second.rendition, second.name))
    assert first in school.cache.missing(LESSON)
    assert second not in school.cache.missing(LESSON)
    assert school.cache.counters()["refused"] == 3


def test_what_was_recorded_whole_is_not_fetched_again(school: School) -> None:
    source = make(beats=6)
    lost = {name: [2, 3] for name in ("voice", "camera-q", "camera-f")}
    own = make(beats=6, feed="ours", lost=lost, spoilt={"camera-f": [4], "camera-q": [5]})
    own.write(school.archives)
    school.start()
    held = school.cache.holding(LESSON)
    assert held is not None
    assert held.recorded
    fetched = school.copy(source)
    assert sorted(names(fetched)) == sorted(
        [f"{name}/{beat}.m4s" for name in lost for beat in (2, 3)]
        + ["camera-f/4.m4s", "camera-q/5.m4s"]
    )
    assert school.files() == source.files
    assert school.cache.counters()["adopted"] == 3 * 7 - 8


def test_what_was_recorded_stays_until_everything_is_there(school: School) -> None:
    source = make(beats=3)
    own = make(beats=3, feed="ours", spoilt={"camera-f": [1]})
    own.files["camera-x/0.m4s"] = b"a layer that the source does not have"
    own.write(school.archives)
    cache = school.start()
    cache.begin(LESSON, source.manifest)
    with pytest.raises(Refused) as early:
        cache.finish(LESSON, source.journal, source.events)
    assert early.value.code == "archive-incomplete"
    kept = school.files()
    assert {name: kept[name] for name in own.files} == own.files
    # Until the part itself is here, what was recorded of that moment can be watched.
    found = cache.find(LESSON, "camera-f", "1.m4s")
    assert found is not None
    assert found.path is None
    assert found.stand_in is not None
    assert found.stand_in[0].read_bytes() == own.part("camera-f", "1.m4s")
    school.fetch(source)
    cache.finish(LESSON, source.journal, source.events)
    assert school.files() == source.files


def test_a_live_lesson_is_neither_finished_nor_swept(school: School) -> None:
    source, own = make(beats=3), make(beats=3, feed="ours")
    own.write(school.archives)
    school.live.add(LESSON)
    with pytest.raises(Refused) as early:
        school.cache.begin(LESSON, source.manifest)
    assert early.value.code == "lesson-live"
    school.live.clear()
    school.cache.begin(LESSON, source.manifest)
    school.live.add(LESSON)
    with pytest.raises(Refused) as late:
        school.cache.verify(LESSON)
    assert late.value.code == "lesson-live"
    with pytest.raises(Refused):
        school.cache.finish(LESSON, source.journal, source.events)
    assert JOURNAL in school.files()


def test_the_hole_of_a_running_lesson_can_be_filled(school: School) -> None:
    school.live.add(LESSON)
    lost = {name: [1, 2] for name in ("voice", "camera-q", "camera-f")}
    own = make(beats=5, feed="ours", lost=lost, finished=False)
    own.write(school.archives, without=[MANIFEST])
    source = make(beats=4, finished=False)
    school.cache.begin(LESSON, source.manifest)
    manifest, _ = school.cache.view(LESSON)
    assert not manifest.finished
    assert {len(rendition.segments) for rendition in manifest.renditions} == {5}
    assert len(school.fetch(source)) == 6
    for rendition in manifest.renditions:
        for beat in range(5):
            path = school.cache.open_verified(LESSON, rendition.name, f"{beat}.m4s")
            assert path is not None
    # The recorder's own files are as they were.
    assert {name: school.files()[name] for name in own.files if name != MANIFEST} == {
        name: data for name, data in own.files.items() if name != MANIFEST
    }


def test_a_segment_that_is_being_recorded_is_not_fetched(school: School) -> None:
    school.live.add(LESSON)
    own = make(beats=3, feed="ours", lost={"camera-f": [2]}, finished=False)
    root = own.write(school.archives, without=[MANIFEST])
    (root / "camera-f" / "2.m4s.part").write_bytes(b"growing")
    school.cache.begin(LESSON, make(beats=3, finished=False).manifest)
    assert school.cache.missing(LESSON) == []


def test_a_rotten_part_is_never_served_and_fetched_alone(school: School) -> None:
    source = make()
    school.copy(source)
    path = school.archives / LESSON / "camera-q" / "2.m4s"
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\0" + data[101:])
    cache = school.restart()
    assert cache.open_verified(LESSON, "camera-q", "2.m4s") is None
    assert cache.counters()["rotten"] == 1
    held = cache.holding(LESSON)
    assert held is not None
    assert not held.settled
    assert names(cache.missing(LESSON)) == ["camera-q/2.m4s"]
    school.fetch(source)
    assert cache.top_digest(LESSON, JOURNAL) != ""
    cache.finish(LESSON, None, None)
    assert school.files() == source.files


def test_a_rotten_part_is_healed_without_the_kept_state(school: School) -> None:
    source = make()
    school.copy(source)
    (school.archives / LESSON / "camera-q" / "2.m4s").write_bytes(b"\0" * 902)
    cache = school.start()
    assert cache.open_verified(LESSON, "camera-q", "2.m4s") is None
    cache.begin(LESSON, source.manifest)
    assert names(school.fetch(source)) == ["camera-q/2.m4s"]
    cache.finish(LESSON, None, None)
    assert school.files() == source.files


@contextmanager
def without_descriptors() -> Iterator[None]:
    """No file can be opened, as when too many connections stand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("root", [True, False])
def test_a_part_that_cannot_be_opened_now_stays(school: School, root: bool) -> None:
    source = make()
    school.copy(source)
    school.root = root
    cache = school.restart()
    cache.view(LESSON)
    with without_descriptors(), pytest.raises(Absent, match="cannot be read"):
        cache.find(LESSON, "voice", "1.m4s")
    assert cache.counters()["rotten"] == 0
    assert cache.open_verified(LESSON, "voice", "1.m4s") is not None
    assert school.files() == source.files


def spoil(path: Path) -> None:
    """The disk gives the file back no more: reading fails with EIO, as it does here."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def test_what_the_disk_gives_back_no_more_comes_again_where_a_source_has_it(
    school: School,
) -> None:
    source = make()
    school.copy(source)
    spoil(school.archives / LESSON / "voice" / "1.m4s")
    cache = school.restart()
    assert cache.open_verified(LESSON, "voice", "1.m4s") is None
    assert names(school.fetch(source)) == ["voice/1.m4s"]
    cache.finish(LESSON, None, None)
    assert school.files() == source.files


def test_what_the_disk_gives_back_no_more_stays_where_it_is_the_only_copy(school: School) -> None:
    own = make(feed="ours")
    own.write(school.archives)
    file = school.archives / LESSON / "voice" / "1.m4s"
    spoil(file)
    cache = school.restart()
    with pytest.raises(Absent, match="cannot be read"):
        cache.open_verified(LESSON, "voice", "1.m4s")
    # Another day it can be read.
    file.unlink()
    file.write_bytes(own.part("voice", "1.m4s"))
    assert cache.open_verified(LESSON, "voice", "1.m4s") is not None


def test_a_torn_part_is_found_by_its_size(school: School) -> None:
    source = make()
    school.copy(source)
    path = school.archives / LESSON / "voice" / "0.m4s"
    os.truncate(path, 10)
    school.restart()
    assert school.cache.open_verified(LESSON, "voice", "0.m4s") is None
    assert names(school.cache.missing(LESSON)) == ["voice/0.m4s"]


def test_a_file_is_hashed_once(school: School) -> None:
    school.copy(make())
    cache = school.start()
    for _ in range(5):
        assert cache.open_verified(LESSON, "voice", "1.m4s") is not None
    assert cache.counters()["verified"] == 1
    path = school.archives / LESSON / "voice" / "1.m4s"
    path.write_bytes(b"\0" * path.stat().st_size)
    assert cache.open_verified(LESSON, "voice", "1.m4s") is None


def test_nothing_is_opened_by_a_name_that_no_archive_has(school: School) -> None:
    school.copy(make())
    (school.archives / "secret.m4s").write_bytes(b"secret")
    for lesson, rendition, name in (
        (LESSON, "..", "secret.m4s"),
        (LESSON, "voice", "../../secret.m4s"),
        (LESSON, "voice", "0.m4s.rotten"),
        (LESSON, "voice/../voice", "0.m4s"),
    ):
        assert school.cache.open_verified(lesson, rendition, name) is None
    for lesson in ("..", "../archives", ".evicted-toan-7", "toan-7/voice"):
        with pytest.raises(Refused):
            school.cache.open_verified(lesson, "voice", "0.m4s")
    part = Part(LESSON, "voice", "../../../x.m4s", 1, "0" * 64, 0, 0)
    with pytest.raises(Misuse):
        school.cache.append(part, 0, b"x")


@pytest.mark.parametrize("change", ["lesson", "rubbish", "spaces", "huge"])
def test_a_manifest_that_cannot_be_is_refused(school: School, change: str) -> None:
    source = make()
    data = {
        "lesson": make("other-1").manifest,
        "rubbish": b"<html>Sign in to the network</html>",
        "spaces": source.manifest.replace(b",", b", "),
        "huge": b" " * (17 << 20),
    }[change]
    with pytest.raises(Refused) as refused:
        school.cache.begin(LESSON, data)
    assert refused.value.code == "archive-malformed"
    assert not (school.archives / LESSON).exists()
    assert school.cache.missing(LESSON) == []


def test_a_journal_of_something_else_is_refused(school: School) -> None:
    source = make()
    school.cache.begin(LESSON, source.manifest)
    school.fetch(source)
    for journal, events in (
        (make(beats=3).journal, source.events),
        (source.journal[:-20], source.events),
        (source.journal, source.events + b"{"),
        (source.journal, b"<html>\n"),
        (None, None),
    ):
        with pytest.raises(Refused) as refused:
            school.cache.finish(LESSON, journal, events)
        assert refused.value.code == "archive-malformed"
    school.cache.finish(LESSON, source.journal, source.events)
    assert school.files() == source.files


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("name", [HEADER, JOURNAL, MANIFEST, EVENTS])
def test_a_damaged_file_of_the_top_is_healed_by_the_source(
    school: School, name: str, remembered: bool
) -> None:
    source = make()
    school.copy(source)
    if remembered:
        school.cache.close()
    path = school.archives / LESSON / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\0" * 20 + data[len(data) // 2 + 20 :])
    cache = school.start()
    # It can be watched meanwhile.
    assert cache.open_verified(LESSON, "camera-q", "1.m4s") is not None
    held = cache.holding(LESSON)
    assert held is not None
    assert not held.settled
    school.cache.begin(LESSON, source.manifest)
    assert school.fetch(source) == []
    school.cache.finish(LESSON, source.journal, source.events)
    assert school.files() == source.files


def test_a_damaged_source_manifest_leaves_what_was_recorded(school: School) -> None:
    own, source = make(feed="ours", spoilt={"voice": [1]}), make()
    own.write(school.archives)
    school.cache.begin(LESSON, source.manifest)
    (school.archives / LESSON / SOURCE).write_bytes(b"\0" * 50)
    cache = school.start()
    assert cache.open_verified(LESSON, "voice", "1.m4s") is not None
    school.copy(source)
    assert school.files() == source.files


def test_a_full_disk_breaks_nothing(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make()
    school.cache.begin(LESSON, source.manifest)
    part = school.cache.missing(LESSON)[1]
    data = source.part(part.rendition, part.name)
    write = os.write
    left = 500

    def full(descriptor: int, data: bytes) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(28, "No space left on device")
        taken = write(descriptor, bytes(data)[:left])
        left -= taken
        return taken

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Absent, match="full"):
        school.cache.append(part, 0, data)
    assert school.cache.space().full
    with pytest.raises(Absent):
        school.cache.begin("other-1", make("other-1").manifest)
    school.cache.tend()
    school.cache.close()
    monkeypatch.undo()
    size = school.cache.part_size(part)
    assert size == 500
    school.cache.append(part, size, data[size:])
    school.cache.complete(part)
    assert not school.cache.space().full
    # What could not be written left nothing behind.
    assert not list(school.archives.rglob("*.tmp"))
    school.copy(source)
    assert school.files() == source.files


def test_the_manifest_of_a_lesson_that_went_on_is_not_its_last_word(school: School) -> None:
    """The power was cut after the second end was in the journal, and before its manifest."""
    first, whole = make(beats=40, feed="ours"), make(beats=60, feed="ours")
    root = whole.write(school.archives)
    (root / MANIFEST).write_bytes(first.manifest)
    manifest, _ = school.cache.view(LESSON)
    assert manifest == whole.decoded
    (root / MANIFEST).write_bytes(whole.manifest)
    manifest, _ = school.cache.view(LESSON)
    assert manifest == whole.decoded


def test_a_lesson_that_goes_on_after_its_end_is_read_on(school: School) -> None:
    first, whole = make(beats=40, feed="ours"), make(beats=41, feed="ours", finished=False)
    root = first.write(school.archives)
    assert school.cache.view(LESSON)[0].finished
    with (root / JOURNAL).open("ab") as journal:
        tail = [line for line in whole.journal.splitlines(keepends=True) if b'"beat":40' in line]
        journal.write(b"".join(tail))
    manifest, _ = school.cache.view(LESSON)
    assert not manifest.finished
    assert {len(rendition.segments) for rendition in manifest.renditions} == {41}
