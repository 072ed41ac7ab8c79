"""Files kept by their SHA-256 in one directory, each written whole or not at all.

A file comes in under a name of its own (`.upload-…`), is flushed, and gets its digest as its name
only when its bytes are the digest's and a list is about to name it. Here: writing, finding and
removing. Not here: which digests count (`materials`), HTTP. All calls block; call them from a
worker thread. A full disk is Refused 507, any other trouble with the disk Absent.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from classroom.errors import Absent, Misuse, Refused

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_UPLOAD: Final = re.compile(r"\.upload-[0-9a-f]{16}")
# Stands beside a file that no list names, as old as that is known.
_MARK: Final = ".unnamed-"
# The records most often lie on the same disk; with this much they go on through a school year.
RESERVE_BYTES: Final = 200 * 10**6


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 as files are named here, and so safe as a file's name."""
    return _DIGEST.fullmatch(text) is not None


class Upload:
    """A file that is coming in. After `finish` comes `place`; `discard` ends it in any case.

    size: bytes so far.
    """

    def __init__(self, draft: Path) -> None:
        self._draft = draft
        self._total = hashlib.sha256()
        # Whoever waits for a write may be cancelled, and then discards while it still runs.
        self._lock = threading.Lock()
        self._descriptor: int | None = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        """Append `data`. Refused 507 disk-full, Absent."""
        with _disk(), self._lock:
            if self._descriptor is None:
                return
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._total.update(data)
            self.size += len(data)

    def finish(self) -> str:
        """Bring what was written to the disk; its SHA-256. Refused 507 disk-full, Absent."""
        with _disk(), self._lock:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
            self._close()
        return self._total.hexdigest()

    def place(self) -> None:
        """Give the finished file its name, that of its digest. Refused 507 disk-full, Absent."""
        with _disk():
            os.replace(self._draft, self._draft.with_name(self._total.hexdigest()))
            _sync(self._draft.parent)

    def discard(self) -> None:
        """Remove what did not come to its place. What cannot be removed is swept up later."""
        with self._lock:
            with contextlib.suppress(OSError):
                self._close()
            with contextlib.suppress(OSError):
                os.unlink(self._draft)

    def _close(self) -> None:
        if self._descriptor is not None:
            # Closed even when this raises.
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


class Blobs:
    """The files in `folder`, which is made if it is not there; Misuse if it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sync(folder.parent)
            # Made and removed again: a directory that cannot be written is told at start.
            Upload(self._draft()).discard()
        except OSError as error:
            raise Misuse(
                f"cannot keep lesson materials in {folder}: {error.strerror}; choose a directory "
                "that can be written with materials.dir"
            ) from error

    def path(self, digest: str) -> Path:
        """Where the file with this digest lies, whether it is there or not."""
        assert is_digest(digest)
        return self._folder / digest

    def has(self, digest: str, size: int) -> bool:
        """Whether the file is there in full length, `size` bytes."""
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def begin(self, most: int) -> Upload:
        """Take in a file of at most `most` bytes. Refused 507 disk-full, Absent."""
        with _disk():
            space = os.statvfs(self._folder)
            if space.f_bavail * space.f_frsize < most + RESERVE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return Upload(self._draft())

    def clear_uploads(self, before: float) -> int:
        """Remove what is left of uploads that broke off with the process, last written before
        `before` (unix seconds); how many. Absent."""
        with _disk():
            left = [name for name in self._older(before) if _UPLOAD.fullmatch(name)]
            return sum(self._remove(name, before) for name in left)

    def older(self, before: float) -> list[str]:
        """Digests of the files that were written before `before` (unix seconds). Absent."""
        with _disk():
            return [name for name in self._older(before) if is_digest(name)]

    def mark_unnamed(self, digests: Collection[str], now: float) -> dict[str, float]:
        """Note on the disk that no list names these files and that lists name all others; since
        when that is noted of each (unix seconds, `now` for those of which it is new). Absent."""
        with _disk():
            since = {}
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    digest = entry.name.removeprefix(_MARK)
                    if digest == entry.name or not is_digest(digest):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        if digest in digests:
                            since[digest] = entry.stat().st_mtime
                        else:
                            os.unlink(entry.path)
            for digest in digests:
                if digest not in since:
                    mark = self._folder / (_MARK + digest)
                    mark.touch(0o600)
                    os.utime(mark, (now, now))
                    since[digest] = now
            return since

    def remove(self, digests: Collection[str], before: float) -> int:
        """Remove those of these files that were written before `before` (unix seconds); how many.
        Absent."""
        with _disk():
            return sum(self._remove(digest, before) for digest in digests)

    def _draft(self) -> Path:
        return self._folder / f".upload-{secrets.token_hex(8)}"

    def _older(self, before: float) -> Iterator[str]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                # Another process that shares the directory may have been quicker.
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file() and entry.stat().st_mtime < before:
                        yield entry.name

    def _remove(self, name: str, before: float) -> int:
        path = self._folder / name
        try:
            if path.stat().st_mtime >= before:
                return 0
            path.unlink()
        except FileNotFoundError:
            return 0
        return 1


def _sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Refused(
                507,
                "disk-full",
                "There is no room on the server for this file.",
                fix="Ask your technician to free space on the server's disk; then send it again.",
            ) from error
        raise Absent(
            f"Lesson materials cannot be read or written now ({type(error).__name__}).",
            fix="Try again in a moment; if it stays so, ask your technician to look at the disk "
            "of the server.",
        ) from error
