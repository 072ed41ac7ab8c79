"""Files by their digest on a real disk: whole or not there, swept up when nothing needs them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from classroom.errors import Absent, Misuse, Refused
from classroom.store import Blobs, Upload
from classroom.store.blobs import RESERVE_BYTES, is_digest

DATA = b"Dinh luat Om" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "materials")


def names(blobs: Blobs) -> list[str]:
    return sorted(path.name for path in blobs.path(DIGEST).parent.iterdir())


def written(blobs: Blobs, data: bytes = DATA) -> Upload:
    upload = blobs.begin(len(data))
    upload.write(data[:100])
    upload.write(data[100:])
    return upload


def keep(blobs: Blobs, data: bytes = DATA) -> str:
    upload = written(blobs, data)
    digest = upload.finish()
    upload.place()
    upload.discard()
    return digest


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_file_is_there_under_its_digest_once_it_came_to_its_place(blobs: Blobs) -> None:
    upload = written(blobs)
    assert upload.finish() == DIGEST
    assert upload.size == len(DATA)
    assert not blobs.has(DIGEST, len(DATA))
    upload.place()
    upload.discard()
    assert blobs.path(DIGEST).read_bytes() == DATA
    assert stat.S_IMODE(blobs.path(DIGEST).stat().st_mode) == 0o600
    assert blobs.has(DIGEST, len(DATA))
    assert not blobs.has(DIGEST, len(DATA) - 1)
    assert names(blobs) == [DIGEST]


def test_what_is_discarded_leaves_nothing(blobs: Blobs) -> None:
    for finished in (False, True):
        upload = written(blobs)
        if finished:
            upload.finish()
        upload.discard()
        upload.write(b"late")
        assert names(blobs) == []


def test_it_is_on_the_disk_before_it_has_its_name(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    keep(blobs)
    assert done == ["file", "name", "directory"]


def test_two_uploads_of_the_same_bytes_do_each_other_no_harm(blobs: Blobs) -> None:
    one, other = written(blobs), written(blobs)
    assert one.finish() == other.finish() == DIGEST
    one.place()
    one.discard()
    assert blobs.path(DIGEST).read_bytes() == DATA
    other.place()
    other.discard()
    assert blobs.path(DIGEST).read_bytes() == DATA
    assert names(blobs) == [DIGEST]


def test_a_damaged_file_is_mended_by_the_next_upload(blobs: Blobs) -> None:
    keep(blobs)
    blobs.path(DIGEST).write_bytes(b"\0" * len(DATA))
    keep(blobs)
    assert blobs.path(DIGEST).read_bytes() == DATA


async def test_a_write_that_nobody_waits_for_any_more_writes_into_no_other_file(
    blobs: Blobs,
) -> None:
    upload = blobs.begin(10**6)
    # Whoever waited was cancelled: the thread goes on while the upload is discarded.
    writes = [asyncio.to_thread(upload.write, b"x" * 100_000) for _ in range(8)]
    running = [asyncio.create_task(write) for write in writes]
    await asyncio.sleep(0)
    upload.discard()
    other = blobs.begin(10**6)
    await asyncio.gather(*running)
    assert other.finish() == hashlib.sha256(b"").hexdigest()
    other.discard()


def test_what_is_old_and_not_needed_is_removed(blobs: Blobs) -> None:
    digests = [keep(blobs, text) for text in (b"old", b"new")]
    broken = written(blobs)
    for name in names(blobs):
        if name != digests[1]:
            age(blobs.path(DIGEST).with_name(name), 7200)
    fresh = written(blobs)
    foreign = blobs.path(DIGEST).with_name("lost+found")
    foreign.mkdir()
    age(foreign, 7200)
    before = blobs.path(digests[1]).stat().st_mtime - 3600
    assert blobs.older(before) == [digests[0]]
    assert blobs.clear_uploads(before) == 1
    # One that was given again meanwhile is not old any more.
    assert blobs.remove({digests[1], "f" * 64}, before) == 0
    assert blobs.remove(set(digests), before) == 1
    left = names(blobs)
    assert len(left) == 3
    assert {digests[1], "lost+found"} < set(left)
    fresh.discard()
    broken.discard()
    assert names(blobs) == sorted([digests[1], "lost+found"])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system takes no more of a file, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_full_is_told_and_nothing_is_left(blobs: Blobs) -> None:
    upload = blobs.begin(len(DATA))
    with largest_file(8_000), pytest.raises(Refused) as caught:
        upload.write(DATA)
    assert (caught.value.status, caught.value.code) == (507, "disk-full")
    assert "free space" in caught.value.fix
    upload.discard()
    assert names(blobs) == []


def test_room_is_left_for_the_records(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 4096 * 100_000
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=100_000, f_frsize=4096))
    blobs.begin(free - RESERVE_BYTES).discard()
    with pytest.raises(Refused) as caught:
        blobs.begin(free - RESERVE_BYTES + 1)
    assert caught.value.code == "disk-full"
    assert names(blobs) == []


def test_a_disk_that_is_broken_is_absent(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = written(blobs)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(Absent) as caught:
        upload.finish()
    assert "disk" in caught.value.fix
    upload.discard()
    assert names(blobs) == []
    with pytest.raises(Absent):
        upload.place()


def test_a_directory_that_cannot_be_used_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misuse, match=r"materials\.dir"):
        Blobs(tmp_path / "file" / "materials")
    with pytest.raises(Misuse, match=r"materials\.dir"):
        Blobs(Path("/proc/materials"))


@pytest.mark.parametrize(
    "text", ["", "a" * 63, "a" * 65, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n", "\uff11" * 64]
)
def test_what_is_no_digest_names_no_file(text: str) -> None:
    assert is_digest("a" * 64)
    assert not is_digest(text)
