"""Files known by their digests: growing in any order, whole, verified before they are read.

Here: bytes written where they belong, what of them is surely on the disk, putting a whole one in
place, finding what is rotten. Not here: which files are wanted, and room for them (`materials`).

    <digest>          a whole file: it got this name after its digest was right
    <digest>.fetch    one that grows, in stretches side by side, so it may have holes
    <digest>.have     which stretches of it are on the disk, written after they were flushed: what a
                      power cut leaves is gone on with, and never has a byte in it that was lost

Everything blocks; for any thread. OSError goes to the caller, as the system gives it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from classroom.errors import Absent, Misuse, Refused
from relay.cache.files import (
    Stamp,
    hash_file,
    make_directory,
    remove,
    size_of,
    stamp_of,
    sync_directory,
    sync_file,
    write_atomic,
)
from relay.cache.stretches import Stretch, added, total

_log: Final = logging.getLogger("relay.cache")

_GROWING: Final = ".fetch"
_HAVE: Final = ".have"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class _Growing:
    """size: bytes that it will have. have: stretches that were written. kept: as `have` when it was
    last flushed and remembered."""

    size: int
    have: list[Stretch] = field(default_factory=list)
    kept: list[Stretch] = field(default_factory=list)


class Blobs:
    """One per directory and process. counts: files hashed, and found rotten, since then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole: dict[str, int] = {}
        self._growing: dict[str, _Growing] = {}
        self._verified: dict[str, Stamp] = {}
        self._lock = threading.RLock()
        # Apart from the lock of what is known, which must not be held while a disk is slow.
        self._hashing = threading.Lock()
        self._keeping = threading.Lock()
        self.counts = {"verified": 0, "rotten": 0}

    def scan(self, *, mend: bool = True) -> None:
        """See what is on the disk, which alone counts: another process may have written there, and
        here nobody writes meanwhile. mend: what can be of no use there is removed; not for who only
        looks while another process writes. Raises OSError."""
        make_directory(self._folder)
        entries = list(os.scandir(self._folder))
        whole = {
            entry.name: entry.stat().st_size for entry in entries if _DIGEST.fullmatch(entry.name)
        }
        growing: dict[str, _Growing] = {}
        for entry in entries:
            digest = entry.name.removesuffix(_HAVE)
            if entry.name == digest or not _DIGEST.fullmatch(digest) or digest in whole:
                continue
            known = _read_have(Path(entry.path), size_of(self._place(digest, _GROWING)))
            if known is not None:
                growing[digest] = known
        with self._lock:
            self._whole, self._growing = whole, growing
            for entry in entries if mend else ():
                digest = entry.name.partition(".")[0]
                if entry.name not in whole and digest not in self._growing:
                    remove(Path(entry.path))

    # What is here.

    def has(self, digest: str) -> bool:
        """Whether a whole file is here; it is verified when it is read."""
        return digest in self._whole

    def size(self, digest: str) -> int:
        """Bytes that a file takes, or will once it is whole; 0 for none."""
        growing = self._growing.get(digest)
        return growing.size if growing is not None else self._whole.get(digest, 0)

    def have(self, digest: str) -> Sequence[Stretch]:
        """The stretches that are here of a file that grows."""
        growing = self._growing.get(digest)
        return tuple(growing.have) if growing is not None else ()

    def all(self) -> set[str]:
        """Digests of everything, whole and growing."""
        with self._lock:
            return {*self._whole, *self._growing}

    @property
    def held(self) -> int:
        """Bytes of everything, those that are still to come of what grows among them."""
        growing = sum(one.size for one in list(self._growing.values()))
        return growing + sum(list(self._whole.values()))

    @property
    def due(self) -> int:
        """Bytes that are still to come of what grows."""
        return sum(one.size - total(one.have) for one in list(self._growing.values()))

    def open_verified(self, digest: str) -> Path | None:
        """The whole file once its digest is known to be right; None when it is not here, be it that
        it was rotten just now. Raises Absent when it cannot be read now."""
        path = self._place(digest)
        if self._is_verified(digest, path):
            return path
        with self._hashing:
            if self._is_verified(digest, path):
                return path
            try:
                found = hash_file(path)
            except OSError as error:
                facts = {"digest": digest, "reason": str(error)}
                _log.warning("material-unreadable", extra=facts)
                if error.errno == errno.EIO:
                    # The disk gives it back no more: another takes its place. A process that has
                    # no descriptors left, though, says nothing of the file.
                    self._whole.pop(digest, None)
                raise Absent(
                    "This file cannot be read just now.", fix="Try again in a minute."
                ) from error
            if found is None:
                self._whole.pop(digest, None)
                return None
            self.counts["verified"] += 1
            if found[1] != digest:
                self._set_aside(digest, path)
                return None
            self._verified[digest] = found[0]
            self._whole[digest] = found[0].size
            return path

    def is_verified(self, digest: str) -> bool:
        """Whether the whole file was hashed, and has not changed since."""
        return self._is_verified(digest, self._place(digest))

    def _is_verified(self, digest: str, path: Path) -> bool:
        known = self._verified.get(digest)
        return known is not None and stamp_of(path) == known

    def _set_aside(self, digest: str, path: Path) -> None:
        _log.warning("material-rotten", extra={"digest": digest})
        self.counts["rotten"] += 1
        self._whole.pop(digest, None)
        with contextlib.suppress(OSError):  # a disk that takes no change: nobody is given it anyway
            remove(path)
            sync_directory(self._folder)

    # Growing.

    def begin(self, digest: str, size: int) -> None:
        """A file of `size` bytes is wanted; what is here of it counts. Raises OSError, Misuse."""
        if not _DIGEST.fullmatch(digest):
            raise Misuse(f"{digest} is no digest")
        make_directory(self._folder)
        with self._lock:
            known = self._growing.get(digest)
            if digest in self._whole or (known is not None and known.size == size):
                return
            self.drop(digest)
            self._growing[digest] = _Growing(size)

    def write(self, digest: str, offset: int, data: bytes) -> None:
        """Bytes of a file that was begun came. Raises Refused 409 `material-unwanted` when it is
        not wanted any more, Refused 502 when they lie outside of it, OSError."""
        growing = self._growing.get(digest)
        if growing is None:
            raise unwanted()
        if offset < 0 or offset + len(data) > growing.size:
            raise Refused(
                502, "material-too-long", "More came than the file has.", fix="Ask another source."
            )
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._place(digest, _GROWING), flags, 0o644)
        try:
            view, at = memoryview(data), offset
            while view:
                written = os.pwrite(descriptor, view, at)
                view, at = view[written:], at + written
        finally:
            os.close(descriptor)
        with self._lock:
            growing.have = added(growing.have, offset, offset + len(data))

    def keep(self, digest: str) -> None:
        """Make what came of it survive a power cut. Raises OSError."""
        with self._keeping:
            growing = self._growing.get(digest)
            if growing is None or growing.have == growing.kept:
                return
            have = growing.have
            sync_file(self._place(digest, _GROWING))
            document = {"size": growing.size, "have": have}
            write_atomic(self._place(digest, _HAVE), json.dumps(document).encode())
            growing.kept = have

    def complete(self, digest: str) -> None:
        """Everything of it came: verify it, and put it in place. Raises Refused 502
        `material-digest-wrong` and Unreadable, and then nothing of it is here any more; 409
        `material-unwanted`; OSError."""
        growing = self._growing.get(digest)
        if growing is None:
            raise unwanted()
        path, file = self._place(digest), self._place(digest, _GROWING)
        try:
            found = hash_file(file)
        except OSError as error:
            if error.errno != errno.EIO:
                raise  # a process that has no descriptors left, as in `open_verified`
            _log.warning("material-unreadable", extra={"digest": digest, "reason": str(error)})
            self.drop(digest)
            raise Unreadable(
                "The disk of this relay does not give back what was written to it.",
                fix="Nothing: it is fetched again. Should it happen often, replace the disk.",
            ) from error
        if found is None or found[0].size != growing.size or found[1] != digest:
            self.drop(digest)
            raise Refused(
                502,
                "material-digest-wrong",
                "A file came whole, and is not what its digest says.",
                fix="Another source is asked.",
            )
        sync_file(file)
        with self._lock:
            if self._growing.get(digest) is not growing:
                raise unwanted()
            os.replace(file, path)
            sync_directory(self._folder)
            del self._growing[digest]
            self._whole[digest] = growing.size
            self._verified[digest] = found[0]
            remove(self._place(digest, _HAVE))

    def drop(self, digest: str) -> int:
        """Remove it, whole or not; bytes that it took or had claimed. Raises OSError."""
        with self._lock:
            size = self.size(digest)
            self._growing.pop(digest, None)
            self._whole.pop(digest, None)
            self._verified.pop(digest, None)
            # First what says that there is something of it.
            for suffix in (_HAVE, _GROWING, ""):
                remove(self._place(digest, suffix))
            return size

    def _place(self, digest: str, suffix: str = "") -> Path:
        return self._folder / f"{digest}{suffix}"


class Unreadable(Absent):
    """What came of a file cannot be read back from here: no source's fault."""


def unwanted() -> Refused:
    """It was dropped while it came."""
    return Refused(409, "material-unwanted", "Nobody needs this file any more.", fix="Nothing.")


def _read_have(path: Path, on_disk: int) -> _Growing | None:
    """What was flushed of a growing file; None when that cannot be told. Raises no OSError."""
    try:
        document: Any = json.loads(path.read_bytes())
        size = document["size"]
        have: list[Stretch] = []
        for first, end in document["have"]:
            if not 0 <= first < end <= min(size, on_disk):
                raise ValueError("outside of the file")
            have = added(have, first, end)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return _Growing(size, have, list(have))
