"""Materials on a relay's own disk: whole or not at all, gone on with, within their room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from classroom.errors import Absent, Refused
from relay.cache.held import Claim
from relay.cache.materials import MaterialStore
from tests.fakes.materials import KB, bring, fill, list_of, material, sha, some_bytes, take


def begun(folder: Path, quota_bytes: int = 0) -> MaterialStore:
    store = MaterialStore(folder, quota_bytes=quota_bytes)
    store.scan()
    return store


def test_a_list_and_its_files_outlive_the_process(tmp_path: Path) -> None:
    one, two = some_bytes(1), some_bytes(2)
    fill(begun(tmp_path), "toan-1", one, two, at=7.0)
    store = MaterialStore(tmp_path)
    # Before it has looked at everything, too: pages ask at once.
    held = store.held("toan-1")
    assert held is not None
    assert held.data == list_of("toan-1", one, two)
    assert held.at == 7.0
    path = store.find(sha(one))
    assert path is not None
    assert path.read_bytes() == one
    store.scan()
    assert store.lessons() == ["toan-1"]
    assert not store.missing("toan-1")


def test_stretches_that_were_kept_are_gone_on_with(tmp_path: Path) -> None:
    data = some_bytes(1)
    store = begun(tmp_path)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 60 * KB, data[60 * KB : 80 * KB])
    store.blobs.write(sha(data), 0, data[: 20 * KB])
    store.blobs.keep(sha(data))
    # What came after the last flush may be lost in a power cut, and so counts as lost.
    store.blobs.write(sha(data), 20 * KB, bytes(10 * KB))
    store = begun(tmp_path)
    assert store.blobs.have(sha(data)) == ((0, 20 * KB), (60 * KB, 80 * KB))
    assert store.left(material(data, "x.pdf")) == 60 * KB
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 20 * KB, data[20 * KB : 60 * KB])
    store.blobs.write(sha(data), 80 * KB, data[80 * KB :])
    store.blobs.complete(sha(data))
    assert not store.missing("toan-1")
    assert sorted(os.listdir(tmp_path / "files")) == [sha(data)]


def test_what_says_more_than_the_disk_has_counts_for_nothing(tmp_path: Path) -> None:
    data = some_bytes(1)
    store = begun(tmp_path)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 0, data[: 20 * KB])
    store.blobs.keep(sha(data))
    os.truncate(tmp_path / "files" / f"{sha(data)}.fetch", 5 * KB)
    store = begun(tmp_path)
    assert store.blobs.have(sha(data)) == ()
    assert os.listdir(tmp_path / "files") == []


def test_other_bytes_never_get_the_name(tmp_path: Path) -> None:
    data = some_bytes(1)
    store = begun(tmp_path)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 0, bytes(len(data)))
    with pytest.raises(Refused, match="not what its digest says"):
        store.blobs.complete(sha(data))
    assert store.find(sha(data)) is None
    assert store.left(material(data, "x.pdf")) == len(data)
    store.begin(material(data, "x.pdf"))
    with pytest.raises(Refused, match="More came"):
        store.blobs.write(sha(data), 99 * KB, bytes(2 * KB))


def test_what_rots_is_not_given_out_and_missing_alone(tmp_path: Path) -> None:
    one, two = some_bytes(1), some_bytes(2)
    fill(begun(tmp_path), "toan-1", one, two)
    path = tmp_path / "files" / sha(one)
    path.write_bytes(one[:-1] + bytes([one[-1] ^ 1]))
    store = begun(tmp_path)
    assert not store.missing("toan-1")
    assert store.find(sha(one)) is None
    assert [one.digest for one in store.missing("toan-1")] == [sha(one)]
    assert store.find(sha(two)) is not None
    assert store.counters()["rotten"] == 1
    # While the process runs, a change is seen by its date.
    bring(store, one)
    assert store.find(sha(one)) == path
    path.write_bytes(bytes(len(one)))
    assert store.find(sha(one)) is None


def test_a_rotten_list_is_none(tmp_path: Path) -> None:
    one = some_bytes(1)
    fill(begun(tmp_path), "toan-1", one)
    path = tmp_path / "lists" / "toan-1.json"
    path.write_bytes(path.read_bytes().replace(b"b\xc3\xa0i 0", b"b\xc3\xa0i 9"))
    assert MaterialStore(tmp_path).held("toan-1") is None
    store = begun(tmp_path)
    assert store.held("toan-1") is None
    assert not path.exists()
    # Nobody names its file any more.
    assert store.find(sha(one)) is None


def test_a_list_must_be_what_was_told(tmp_path: Path) -> None:
    store = begun(tmp_path)
    data = list_of("toan-1", some_bytes(1))
    with pytest.raises(Refused, match="digest"):
        store.take("toan-1", data, sha(b"other"), 0.0)
    with pytest.raises(Refused, match="another lesson"):
        store.take("ly-1", data, sha(data), 0.0)
    huge = data + b" " * 100_000
    with pytest.raises(Refused, match="more than"):
        store.take("toan-1", huge, sha(huge), 0.0)
    assert store.held("toan-1") is None
    assert store.lessons() == []


def test_files_stay_while_a_list_names_them(tmp_path: Path) -> None:
    one, two, three = some_bytes(1), some_bytes(2), some_bytes(3)
    store = begun(tmp_path)
    fill(store, "toan-1", one, two)
    fill(store, "toan-2", two)
    take(store, "toan-1", two, three)
    assert store.find(sha(one)) is None
    assert [each.digest for each in store.missing("toan-1")] == [sha(three)]
    store.begin(material(three, "x.pdf"))
    store.drop("toan-1")
    assert store.find(sha(two)) is not None
    with pytest.raises(Refused, match="Nobody needs"):
        store.blobs.write(sha(three), 0, three)
    store.drop("toan-2")
    assert os.listdir(tmp_path / "files") == []
    assert os.listdir(tmp_path / "lists") == []


def test_lists_go_in_the_order_that_is_told_and_others_never(tmp_path: Path) -> None:
    store = begun(tmp_path, 350 * KB)
    shared = some_bytes(9)
    fill(store, "cu-nhat", shared, at=1.0)
    fill(store, "cu-nhi", some_bytes(2), at=2.0)
    fill(store, "sap-day", shared, at=9.0)
    gone: list[str] = []
    # While it fits nothing goes, and after that no more than it takes.
    assert store.make_room(50 * KB, ["cu-nhi"], gone.append)
    assert gone == []
    # The first list has no file of its own, so it goes in vain but for its own bytes.
    assert store.make_room(200 * KB, ["cu-nhat", "not-here", "cu-nhi", "sap-day"], gone.append)
    assert gone == ["cu-nhat", "cu-nhi"]
    assert store.lessons() == ["sap-day"]
    assert store.find(sha(shared)) is not None
    # Nothing goes for what does not fit all the same.
    fill(store, "cu-nhat", some_bytes(3), at=1.0)
    assert not store.make_room(300 * KB, ["cu-nhat"])
    assert store.lessons() == ["cu-nhat", "sap-day"]
    assert not store.make_room(200 * KB)
    assert store.make_room(200 * KB, ["cu-nhat"])


def test_what_grows_has_its_room_already(tmp_path: Path) -> None:
    store = begun(tmp_path, 150 * KB)
    data = some_bytes(1)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    assert not store.make_room(100 * KB)


def test_recordings_leave_what_is_not_taken_yet(tmp_path: Path) -> None:
    # Before it looked, nobody knows how much is taken, and nothing is put out for it.
    assert MaterialStore(tmp_path, quota_bytes=300 * KB).claim() == Claim()
    store = begun(tmp_path, 300 * KB)
    data = some_bytes(1)
    listed = len(list_of("toan-1", data))
    take(store, "toan-1", data)
    assert store.claim() == Claim(most=300 * KB, taken=listed)
    # What grows takes what came of it.
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 0, data[: 20 * KB])
    assert store.claim().taken == listed + 20 * KB


def test_the_floor_of_the_disk_counts(tmp_path: Path) -> None:
    free = 500 * KB
    store = MaterialStore(tmp_path, floor_bytes=450 * KB, free=lambda: free)
    store.scan()
    assert store.make_room(50 * KB)
    assert not store.make_room(51 * KB)
    # What is still to come of a file that grows has its room already.
    data = some_bytes(1, 40 * KB)
    take(store, "toan-1", data)
    store.begin(material(data))
    assert not store.make_room(11 * KB)
    assert store.make_room(9 * KB)


def test_a_full_disk_is_told_and_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(tmp_path)
    data = list_of("toan-1", some_bytes(1))

    def full(descriptor: int, view: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Absent, match="full"):
            store.take("toan-1", data, sha(data), 0.0)
    assert os.listdir(tmp_path / "lists") == []
    store.take("toan-1", data, sha(data), 0.0)
    assert store.lessons() == ["toan-1"]


def test_who_only_looks_changes_nothing(tmp_path: Path) -> None:
    store = begun(tmp_path)
    data = some_bytes(1)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 0, data[:KB])
    MaterialStore(tmp_path).scan(mend=False)
    store.blobs.write(sha(data), KB, data[KB:])
    store.blobs.complete(sha(data))
    assert not store.missing("toan-1")


def test_a_date_that_changes_is_remembered(tmp_path: Path) -> None:
    store = begun(tmp_path)
    take(store, "toan-1", some_bytes(1), at=5.0)
    store.date("toan-1", 8.0)
    held = begun(tmp_path).held("toan-1")
    assert held is not None
    assert held.at == 8.0


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_only_what_the_disk_gives_back_no_more_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    data = some_bytes(1)
    store = begun(tmp_path)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 0, data)
    store.blobs.keep(sha(data))

    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("relay.cache.blobs.hash_file", fail)
        with pytest.raises(Absent if number == errno.EIO else OSError):
            store.blobs.complete(sha(data))
    # A process that has no descriptors left says nothing of the file.
    assert store.blobs.have(sha(data)) == (() if number == errno.EIO else ((0, len(data)),))
    assert bool(os.listdir(tmp_path / "files")) == (number != errno.EIO)


def test_a_file_that_is_removed_while_it_is_kept_is_told_as_what_it_is(tmp_path: Path) -> None:
    data = some_bytes(1)
    store = begun(tmp_path)
    take(store, "toan-1", data)
    store.begin(material(data, "x.pdf"))
    store.blobs.write(sha(data), 0, data[:KB])
    os.unlink(tmp_path / "files" / f"{sha(data)}.fetch")
    with pytest.raises(Absent, match="was removed meanwhile") as told, store.writing():
        store.blobs.keep(sha(data))
    assert "recording" not in told.value.what
