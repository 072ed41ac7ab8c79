"""A disk that is full or fails: what is said of it, and whether it is so now.

Here: errors of the system become sentences for people. Not here: what is tried again, and when.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from classroom.errors import Absent
from relay.cache.files import is_full

_log: Final = logging.getLogger("relay.cache")

_AGAIN_SECONDS: Final = 60.0


class Trouble:
    """One per disk. full: a write failed for lack of space, and none succeeded since."""

    def __init__(self) -> None:
        self.full = False

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Around writes: raises Absent for an OSError of theirs."""
        try:
            yield
        except FileNotFoundError as error:
            raise Absent(
                # A recording's part or a file of materials: to make room, or for a newer list.
                "What was being stored here was removed meanwhile.",
                fix="Nothing: it is fetched again when somebody needs it.",
                retry_after=_AGAIN_SECONDS,
            ) from error
        except OSError as error:
            raise self._told(error) from error
        self.full = False

    def _told(self, error: OSError) -> Absent:
        if is_full(error):
            if not self.full:
                _log.warning("cache-disk-full")
            self.full = True
            return Absent(
                "The disk of this relay is full.",
                fix="Wait while it makes room, or free space on its disk.",
                retry_after=_AGAIN_SECONDS,
            )
        _log.warning("cache-disk-failing", extra={"reason": str(error)})
        return Absent(
            f"The disk of this relay fails: {error.strerror or error}.",
            fix="Tell the technician: the disk or its cable may be broken.",
            retry_after=_AGAIN_SECONDS,
        )
