"""Files that survive a power cut: written whole or not at all, and on the disk when we say so.

Here: atomic writes, flushing directories, digests of files, removing directories, free space. Not
here: what the files mean. All calls block; call them from a worker thread. Every function raises
OSError as the system gives it. Whatever writes goes through `os`, so that tests can replay it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_CHUNK: Final = 256 * 1024


class Stamp(NamedTuple):
    """Equal only while a name stands for the same file with the same content."""

    inode: int
    size: int
    changed_ns: int


def stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def stamp_of(path: Path | str) -> Stamp | None:
    """The stamp of a file, None if there is none."""
    try:
        return stamp(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def size_of(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    found = stamp_of(path)
    return found.size if found is not None else 0


def hash_file(path: Path | str) -> tuple[Stamp, str] | None:
    """What is in the file now: its stamp and SHA-256; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        before = stamp(os.fstat(descriptor))
        total = hashlib.sha256()
        while data := os.read(descriptor, _CHUNK):
            total.update(data)
        return before, total.hexdigest()
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path`: after a crash there is either the old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except OSError:
        # A half on a full disk would keep it full.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; a full disk raises, whatever it took of them before."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make names in `path` durable: new, renamed and removed files."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make `path` and what is missing above it, durably."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_directory(each.parent)


def remove(path: Path) -> int:
    """Remove a file if it is there; returns its bytes."""
    size = size_of(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)
    return size


def files_below(path: Path) -> Iterator[os.DirEntry[str]]:
    """Every file below a directory, links among them, without following any."""
    try:
        entries = list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path))
        else:
            yield entry


def tree_size(path: Path) -> int:
    """Bytes of all files below a directory; one that goes away meanwhile counts nothing."""
    total = 0
    for entry in files_below(path):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat(follow_symlinks=False).st_size
    return total


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it; links are removed, not followed."""
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(Path(entry.path))
        else:
            os.unlink(entry.path)
    os.rmdir(path)


def free_bytes(path: Path) -> int:
    """What this process may still write on the disk of `path`."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def is_full(error: OSError) -> bool:
    """Whether a write failed for lack of space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
