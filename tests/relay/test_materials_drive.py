"""Materials on a drive: there and back, cut short, damaged, without room."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from classroom.errors import Misuse
from relay.__main__ import main
from relay.cache.files import Stamp, hash_file
from relay.cache.materials import MaterialStore
from relay.sync import materials_drive
from tests.fakes.archives import make
from tests.fakes.materials import KB, fill, list_of, sha, some_bytes, take

ONE, TWO, THREE = some_bytes(1), some_bytes(2), some_bytes(3, 3000 * KB)


def store_of(folder: Path, quota_bytes: int = 0) -> MaterialStore:
    store = MaterialStore(folder / "materials", quota_bytes=quota_bytes)
    store.scan()
    return store


@pytest.fixture
def central(tmp_path: Path) -> MaterialStore:
    return store_of(tmp_path / "central")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "usb"
    folder.mkdir()
    return folder


def silent(lesson: str, done: int, total: int) -> None:
    pass


def test_lists_and_files_go_over_a_drive(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", ONE, TWO, at=5.0)
    fill(central, "ly-1", TWO)
    found = materials_drive.export(central, stick, [], silent)
    assert found.lessons == ["toan-1", "ly-1"]
    # What two lessons have is on the drive once.
    assert found.copied == len(ONE) + len(TWO)
    school = store_of(tmp_path / "school")
    found = materials_drive.bring(school, stick, [], silent)
    assert sorted(found.lessons) == ["ly-1", "toan-1"]
    held = school.held("toan-1")
    assert held is not None
    assert held.data == list_of("toan-1", ONE, TWO)
    path = school.find(sha(ONE))
    assert path is not None
    assert path.read_bytes() == ONE
    again = materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    assert again.copied == 0


def test_only_the_lessons_that_are_named(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", ONE)
    fill(central, "ly-1", TWO)
    assert materials_drive.export(central, stick, ["ly-1"], silent).lessons == ["ly-1"]
    fill(central, "ly-2", TWO)
    materials_drive.export(central, stick, [], silent)
    school = store_of(tmp_path / "school")
    assert materials_drive.bring(school, stick, ["ly-1"], silent).lessons == ["ly-1"]
    assert school.lessons() == ["ly-1"]


def test_a_drive_that_is_pulled_out_is_gone_on_with(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", ONE, TWO)

    def pull(lesson: str, done: int, total: int) -> None:
        if done < total:
            stick.rename(stick.with_name("pulled"))
            stick.mkdir()  # where a drive was, there is often an empty folder

    def put_back() -> None:
        shutil.rmtree(stick)
        stick.with_name("pulled").rename(stick)

    with pytest.raises(Misuse, match="put it in again"):
        materials_drive.export(central, stick, [], pull)
    put_back()
    found = materials_drive.export(central, stick, [], silent)
    assert (found.kept, found.copied) == (len(ONE), len(TWO))
    with pytest.raises(Misuse, match="put it in again"):
        materials_drive.bring(store_of(tmp_path / "school"), stick, [], pull)
    put_back()
    found = materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    assert (found.kept, found.copied) == (len(ONE), len(TWO))


def test_a_file_half_of_which_is_here_is_gone_on_with(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", THREE)
    materials_drive.export(central, stick, [], silent)
    school = store_of(tmp_path / "school")
    take(school, "toan-1", THREE)
    school.begin(school.missing("toan-1")[0])
    school.blobs.write(sha(THREE), 1000 * KB, THREE[1000 * KB : 2500 * KB])
    school.blobs.keep(sha(THREE))
    found = materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    assert (found.kept, found.copied) == (1500 * KB, 1500 * KB)
    path = store_of(tmp_path / "school").find(sha(THREE))
    assert path is not None
    assert path.read_bytes() == THREE


def test_what_is_damaged_on_the_drive_is_left_to_others(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", ONE, TWO)
    fill(central, "ly-1", THREE)
    materials_drive.export(central, stick, [], silent)
    folder = stick / "classroom" / "materials"
    (folder / "files" / sha(ONE)).write_bytes(bytes(len(ONE)))
    (folder / "lists" / "ly-1.json").write_bytes(b"{}")
    (folder / "lists" / "..json").write_bytes(b"{}")
    school = store_of(tmp_path / "school")
    found = materials_drive.bring(school, stick, [], silent)
    assert found.lessons == []
    assert found.left_out == {
        "toan-1": "1 of its materials are missing or damaged on the drive",
        "ly-1": "its list of materials is damaged on the drive",
    }
    assert [one.digest for one in school.missing("toan-1")] == [sha(ONE)]


def half_fetched(folder: Path) -> MaterialStore:
    """A school to which most of a file came over the link."""
    school = store_of(folder)
    take(school, "toan-1", THREE)
    school.begin(school.missing("toan-1")[0])
    school.blobs.write(sha(THREE), 0, THREE[: 2900 * KB])
    school.blobs.keep(sha(THREE))
    return school


def test_a_damaged_file_on_the_drive_costs_nothing_of_what_is_here(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", THREE)
    materials_drive.export(central, stick, [], silent)
    (stick / "classroom" / "materials" / "files" / sha(THREE)).write_bytes(bytes(len(THREE)))
    half_fetched(tmp_path / "school")
    found = materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    assert found.left_out == {"toan-1": "1 of its materials are missing or damaged on the drive"}
    school = store_of(tmp_path / "school")
    assert school.blobs.have(sha(THREE)) == ((0, 2900 * KB),)
    school.blobs.write(sha(THREE), 2900 * KB, THREE[2900 * KB :])
    school.blobs.complete(sha(THREE))
    assert not school.missing("toan-1")


@pytest.mark.parametrize("how", ["rotten", "unreadable"])
def test_what_is_spoilt_here_is_not_the_drives_fault(
    central: MaterialStore,
    stick: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    fill(central, "toan-1", THREE)
    materials_drive.export(central, stick, [], silent)
    school = half_fetched(tmp_path / "school")
    if how == "rotten":
        school.blobs.write(sha(THREE), 0, bytes(KB))
    else:
        sector = tmp_path / "sector"
        os.link(tmp_path / "school" / "materials" / "files" / f"{sha(THREE)}.fetch", sector)

        def read(path: Path) -> tuple[Stamp, str] | None:
            if path.samefile(sector):
                raise OSError(errno.EIO, "Input/output error")
            return hash_file(path)

        monkeypatch.setattr("relay.cache.blobs.hash_file", read)
    found = materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    assert found.lessons == ["toan-1"]
    assert not store_of(tmp_path / "school").missing("toan-1")


def test_what_is_half_here_is_counted_once_when_room_is_looked_for(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", THREE, ONE)
    materials_drive.export(central, stick, [], silent)
    half_fetched(tmp_path / "school").take(
        "toan-1", list_of("toan-1", THREE, ONE), sha(list_of("toan-1", THREE, ONE)), 0.0
    )
    # For the whole of both files and the list, and no more.
    room = len(THREE) + len(ONE) + len(list_of("toan-1", THREE, ONE))
    found = materials_drive.bring(store_of(tmp_path / "school", room - 1), stick, [], silent)
    assert found.left_out == {"toan-1": "there is no room for it on this relay"}
    found = materials_drive.bring(store_of(tmp_path / "school", room), stick, [], silent)
    assert found.lessons == ["toan-1"]


def test_the_list_that_is_here_counts(central: MaterialStore, stick: Path, tmp_path: Path) -> None:
    fill(central, "toan-1", ONE)
    materials_drive.export(central, stick, [], silent)
    school = store_of(tmp_path / "school")
    digest = take(school, "toan-1", ONE, TWO)
    found = materials_drive.bring(school, stick, [], silent)
    assert found.left_out == {"toan-1": "1 of its materials are missing or damaged on the drive"}
    held = school.held("toan-1")
    assert held is not None
    assert held.digest == digest
    assert [one.digest for one in school.missing("toan-1")] == [sha(TWO)]


def test_what_does_not_fit_is_left_out_and_puts_out_nothing(
    central: MaterialStore, stick: Path, tmp_path: Path
) -> None:
    fill(central, "toan-1", ONE)
    fill(central, "ly-1", THREE)
    free = (16 << 20) + 500 * KB
    found = materials_drive.export(central, stick, [], silent, free_on=lambda _: free)
    assert found.lessons == ["toan-1"]
    assert found.left_out == {"ly-1": "it does not fit on the drive any more"}
    materials_drive.export(central, stick, [], silent)
    school = store_of(tmp_path / "school", 250 * KB)
    fill(school, "cu-nhat", TWO)
    fill(central, "toan-2", some_bytes(8, 200 * KB))
    materials_drive.export(central, stick, [], silent)
    found = materials_drive.bring(school, stick, [], silent)
    assert found.lessons == ["toan-1"]
    why = "there is no room for it on this relay"
    assert found.left_out == {"ly-1": why, "toan-2": why}
    assert school.lessons() == ["cu-nhat", "toan-1"]


def test_what_came_before_the_disk_was_full_is_gone_on_with(
    central: MaterialStore, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(central, "toan-1", THREE)
    materials_drive.export(central, stick, [], silent)
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(Misuse, match="disk of this relay is full"):
            materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    found = materials_drive.bring(store_of(tmp_path / "school"), stick, [], silent)
    assert found.kept == 1 << 20


def test_what_is_not_whole_here_is_told(central: MaterialStore, stick: Path) -> None:
    fill(central, "toan-1", ONE)
    take(central, "toan-2", ONE, TWO)
    found = materials_drive.export(central, stick, [], silent)
    assert found.left_out == {"toan-2": "not all of its materials are here yet"}


def test_the_commands_take_materials_along(
    tmp_path: Path, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    central, school = tmp_path / "central", tmp_path / "school"
    for folder in (central, school):
        (folder / "archives").mkdir(parents=True)
    make("van-1").write(central / "archives")
    fill(store_of(central), "van-1", ONE)
    fill(store_of(central), "sap-day", TWO)

    def run(command: str, data: Path, *more: str) -> tuple[int, str]:
        status = main([command, str(stick), "--data", str(data), *more])
        return status, capsys.readouterr().out

    # A lesson to come has no recording, and is no failure.
    status, said = run("export", central, "--lesson", "sap-day")
    assert status == 0
    assert "Materials of 1 lessons are whole on the drive: 100.0 kB copied" in said
    assert run("import", school)[0] == 0
    assert store_of(school).lessons() == ["sap-day"]
    assert run("export", central)[0] == 0
    status, said = run("import", school)
    assert status == 0
    assert "Materials of 2 lessons are whole on this relay" in said
    assert sorted(os.listdir(school / "materials" / "files")) == sorted([sha(ONE), sha(TWO)])
