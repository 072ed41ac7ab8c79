"""Taking turns at the archives: the service that fetches, and an import from a drive beside it.

Here: two lock files (flock, which the system lets go when a process dies). Whoever imports takes
the `wish`, which the service sees within a second: it ends what it fetches and lets the `turn` go.
Not
here: what is done in one's turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_WISH: Final = "import.wish"
_TURN: Final = "import.turn"


class Turn:
    """The service's side. Without a disk to lock on, it has always its turn."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._held: int | None = None

    def wished(self) -> bool:
        """Whether somebody else wants, or has, the turn."""
        try:
            with _locked(self._data / _WISH, fcntl.LOCK_SH | fcntl.LOCK_NB):
                return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def take(self) -> bool:
        """Take the turn, or keep it; whether it is ours."""
        if self._held is not None:
            return True
        try:
            descriptor = _open(self._data / _TURN)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._held = descriptor
        return True

    def give(self) -> None:
        """Let it go."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


@contextlib.contextmanager
def turn(data: Path) -> Iterator[None]:
    """The other side: wait for the turn, and have it until the block is left. Raises OSError."""
    with _locked(data / _WISH, fcntl.LOCK_EX), _locked(data / _TURN, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
