"""Lessons on a drive: there and back byte for byte, cut short, damaged, full of something else."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest

from classroom.errors import Misuse
from relay.__main__ import main
from relay.cache.cache import Cache
from relay.sync import drive
from relay.sync.turn import Turn, turn
from tests.fakes.archive_extras import add_extras
from tests.fakes.archives import make, read

LARGE = 10**15


class Relay:
    """A relay's directory, and its cache."""

    def __init__(self, folder: Path, *, root: bool) -> None:
        self.data = folder
        self.archives = folder / "archives"
        self.archives.mkdir(parents=True)
        self.cache = Cache(self.archives, folder / "cache.json", root=root)

    def export(self, stick: Path, *wanted: str, stop_at: int = LARGE) -> drive.Outcome:
        """stop_at: bytes after which the drive is pulled out."""

        def progress(lesson: str, done: int, total: int) -> None:
            if done >= stop_at and stick.exists():
                stick.rename(stick.with_name("pulled"))

        return drive.export(self.cache, self.archives, stick, wanted, progress)

    def bring(self, stick: Path, *wanted: str, stop_at: int = LARGE) -> drive.Outcome:
        def progress(lesson: str, done: int, total: int) -> None:
            if done >= stop_at and stick.exists():
                stick.rename(stick.with_name("pulled"))

        return drive.bring(self.cache, self.archives, stick, wanted, lambda lesson: False, progress)


@pytest.fixture
def central(tmp_path: Path) -> Relay:
    return Relay(tmp_path / "central", root=True)


@pytest.fixture
def school(tmp_path: Path) -> Relay:
    return Relay(tmp_path / "school", root=False)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "usb"
    folder.mkdir()
    return folder


def put_back(stick: Path) -> None:
    stick.with_name("pulled").rename(stick)


def test_lessons_go_over_a_drive_byte_for_byte(central: Relay, school: Relay, stick: Path) -> None:
    made = [make("toan-7"), make("van-8", seed=2)]
    for one in made:
        one.write(central.archives)
    assert sorted(central.export(stick).lessons) == ["toan-7", "van-8"]
    found = school.bring(stick)
    assert sorted(found.lessons) == ["toan-7", "van-8"]
    for one in made:
        here = read(school.archives / one.lesson)
        here.pop("about.json")
        assert here == one.files
        held = school.cache.holding(one.lesson)
        assert held is not None
        assert held.settled
    again = school.bring(stick)
    assert (again.copied, again.lessons) == (0, found.lessons)


def test_captions_and_copies_go_along_unless_they_are_spoilt(
    central: Relay, school: Relay, stick: Path
) -> None:
    root = make().write(central.archives)
    add_extras(root, {"vi": b"WEBVTT"}, beats=3)
    central.export(stick)
    file = stick / drive.FOLDER / "toan-7" / "aac-voice" / "1.m4s"
    whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))
    assert school.bring(stick).lessons == ["toan-7"]
    assert not (school.archives / "toan-7" / "extras.json").exists()
    file.write_bytes(whole)
    school.bring(stick)
    here = read(school.archives / "toan-7")
    here.pop("about.json")
    assert here == read(root)


def test_one_lesson_can_be_named(central: Relay, school: Relay, stick: Path) -> None:
    for name in ("toan-7", "van-8"):
        make(name).write(central.archives)
    found = central.export(stick, "van-8", "ly-9")
    assert found.lessons == ["van-8"]
    assert found.left_out == {"ly-9": "there is no finished recording of it here"}
    assert school.bring(stick).lessons == ["van-8"]


def test_a_drive_pulled_out_goes_on_where_it_was(
    central: Relay, school: Relay, stick: Path
) -> None:
    made = make(beats=20)
    made.write(central.archives)
    half = made.decoded.size // 2
    with pytest.raises(Misuse, match="put it in again"):
        central.export(stick, stop_at=half)
    put_back(stick)
    # What is whole of it counts already.
    found = school.bring(stick)
    assert "missing or damaged on the drive" in found.left_out["toan-7"]
    assert found.copied >= half
    again = central.export(stick)
    assert again.lessons == ["toan-7"]
    assert again.kept >= half
    assert again.copied + again.kept == made.decoded.size
    with pytest.raises(Misuse, match="put it in again"):
        school.bring(stick, stop_at=half + 5_000)
    put_back(stick)
    last = school.bring(stick)
    assert last.lessons == ["toan-7"]
    assert last.copied < half


def test_what_a_drive_spoils_is_not_taken(central: Relay, school: Relay, stick: Path) -> None:
    make().write(central.archives)
    central.export(stick)
    folder = stick / drive.FOLDER / "toan-7"
    file = folder / "voice" / "2.m4s"
    file.write_bytes(b"x" * file.stat().st_size)
    (folder / "voice" / "3.m4s").write_bytes(b"y" * 10_000)
    found = school.bring(stick)
    assert found.left_out == {"toan-7": "2 of its parts are missing or damaged on the drive"}
    assert [part.name for part in school.cache.missing("toan-7")] == ["2.m4s", "3.m4s"]


def test_a_manifest_that_lies_is_not_taken(central: Relay, school: Relay, stick: Path) -> None:
    make().write(central.archives)
    central.export(stick)
    folder = stick / drive.FOLDER
    (folder / "toan-7").rename(folder / "van-8")
    (folder / "..evil").mkdir()
    (folder / "ly-9").mkdir()
    (folder / "ly-9" / "manifest.json").write_bytes(b"[" * 100_000)
    with pytest.raises(Misuse, match="has no lessons"):
        school.bring(stick)
    assert read(school.archives) == {}


@pytest.mark.parametrize("content", ["photos", ""])
def test_a_drive_of_something_else_is_told(school: Relay, stick: Path, content: str) -> None:
    if content:
        (stick / content).mkdir()
    with pytest.raises(Misuse, match="there are no lessons on"):
        school.bring(stick)
    shutil.rmtree(stick)
    with pytest.raises(Misuse, match="there is no drive at"):
        school.bring(stick)


def test_a_file_where_the_folder_should_be_is_told(central: Relay, stick: Path) -> None:
    make().write(central.archives)
    (stick / "classroom").write_text("not a folder")
    with pytest.raises(Misuse, match="cannot be written"):
        central.export(stick)


def test_what_does_not_fit_on_the_drive_is_left_out(central: Relay, stick: Path) -> None:
    make("toan-7").write(central.archives)
    make("van-8", beats=9).write(central.archives)
    found = drive.export(
        central.cache,
        central.archives,
        *(stick, [], lambda *_: None),
        free_on=lambda _: (16 << 20) + make("toan-7").decoded.size,
    )
    assert found.lessons == ["toan-7"]
    assert found.left_out == {"van-8": "it does not fit on the drive any more"}


def test_what_is_on_a_full_drive_already_is_whole(central: Relay, stick: Path) -> None:
    make().write(central.archives)
    assert central.export(stick).lessons == ["toan-7"]
    given = central.cache, central.archives, stick
    found = drive.export(*given, [], lambda *_: None, free_on=lambda _: 10 << 20)
    assert (found.lessons, found.left_out, found.copied) == (["toan-7"], {}, 0)


def test_a_drive_that_takes_no_more_leaves_out_one_lesson_and_takes_others(
    central: Relay, stick: Path
) -> None:
    make("toan-7", sizes={"voice": 300}).write(central.archives)
    make("van-8", sizes={"voice": 9_000}, epoch_ms=1_770_000_000_000).write(central.archives)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system takes no more of a file, as a full drive does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, limits[1]))
    try:
        found = central.export(stick)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found.lessons == ["toan-7"]
    assert found.left_out == {"van-8": "it does not fit on the drive any more"}


def test_a_folder_on_the_relays_own_disk_leaves_it_room_to_record(
    central: Relay, stick: Path
) -> None:
    make("toan-7").write(central.archives)
    make("van-8").write(central.archives)
    size = make("toan-7").decoded.size
    cache = Cache(central.archives, central.data / "x.json", root=True, floor_bytes=10**9)
    given = cache, central.archives, stick
    free = 10**9 + (16 << 20) + size
    found = drive.export(*given, [], lambda *_: None, free_on=lambda _: free)
    assert found.own_disk
    assert (len(found.lessons), len(found.left_out)) == (1, 1)


def test_the_commands_tell_what_they_did(
    central: Relay, school: Relay, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make().write(central.archives)
    assert main(["export", str(stick), "--data", str(central.data)]) == 0
    told = capsys.readouterr()
    assert "1 lessons are whole on the drive" in told.out
    assert "is on the relay's own disk" in told.err
    assert main(["import", str(stick), "--data", str(school.data)]) == 0
    assert "1 lessons are whole on this relay" in capsys.readouterr().out
    assert main(["import", str(stick / "none"), "--data", str(school.data)]) == 2
    assert "there is no drive at" in capsys.readouterr().err
    assert main(["export", str(stick), "--data", str(stick / "none")]) == 2
    assert "is not a relay's directory" in capsys.readouterr().err
    assert main(["export", str(stick), "--data", str(central.data), "--lesson", "ly-9"]) == 1
    assert "Left out: ly-9" in capsys.readouterr().err


def test_a_running_relay_and_an_import_take_turns(tmp_path: Path) -> None:
    service = Turn(tmp_path)
    assert service.take()
    assert not service.wished()
    service.give()
    with turn(tmp_path):
        assert service.wished()
        assert not service.take()
    assert not service.wished()
    assert service.take()
    service.give()


@pytest.mark.parametrize("ended", [True, False])
def test_a_lesson_that_the_school_recorded_itself_comes_whole_over_a_drive(
    central: Relay, school: Relay, stick: Path, ended: bool
) -> None:
    """Below a parent no manifest is written; after a power cut the journal has no end either."""
    made = make(beats=9)
    made.write(central.archives)
    own = make(beats=9, feed="c3d4", lost={"voice": range(2, 5)}, finished=ended)
    root = own.write(school.archives, without=("manifest.json",))
    if not ended:
        os.utime(root / "journal.jsonl", (1_760_000_000, 1_760_000_000))
    central.export(stick)
    assert main(["import", str(stick), "--data", str(school.data)]) == 0
    here = read(root)
    here.pop("about.json")
    assert here == made.files


def test_a_lesson_that_goes_on_after_an_end_is_not_touched(
    central: Relay, school: Relay, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(beats=3).write(central.archives)
    root = make(beats=3, feed="c3d4").write(school.archives)
    going_on = make(beats=4, feed="c3d4", finished=False).journal.splitlines(keepends=True)
    with (root / "journal.jsonl").open("ab") as journal:
        journal.write(b"".join(line for line in going_on if b'"beat":3' in line))
    before = read(root)
    central.export(stick)
    assert main(["import", str(stick), "--data", str(school.data)]) == 1
    assert "it is being recorded here now" in capsys.readouterr().err
    assert read(root) == before
