"""What is in a file, once looked at and then trusted while it does not change; what is rotten.

Here: digests of parts since the start of this process, setting aside what is not what it should be,
and the tops of copied lessons. Not here: what a part should be (`reading`), fetching it again.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final

from classroom.archive.names import MANIFEST
from relay.cache import growing, settling
from relay.cache.files import hash_file, size_of, stamp_of, sync_directory, write_atomic
from relay.cache.parts import Part
from relay.cache.reading import SOURCE
from relay.cache.room import Room

_log: Final = logging.getLogger("relay.cache")

UNREADABLE: Final = "unreadable"
"""Instead of the digest of a file that cannot be read now: nobody knows what is in it, so it stays
where it is."""
LOST: Final = "lost"
"""Instead of the digest of a file that the disk gives back no more, and that a source has."""


class Verifier:
    """One per cache. counts: files hashed, and found rotten, since this process began."""

    def __init__(self, archives: Path, room: Room) -> None:
        self._archives = archives
        self._top = str(archives)
        self._room = room
        self.counts = {"verified": 0, "rotten": 0}

    def digest(self, part: Part) -> str:
        """See `digest_of`."""
        return self.digest_of(part.lesson, f"{part.rendition}/{part.name}")

    def digest_of(self, lesson: str, file: str) -> str:
        """The digest of what is in a file of the lesson ("rendition/name"), hashed once while it
        does not change; "" for no file; `UNREADABLE`, `LOST`. Raises OSError."""
        path = f"{self._top}/{lesson}/{file}"
        status = stamp_of(path)
        if status is None:
            return ""
        known = self._room.verified(lesson, file, status)
        if known is not None:
            return known
        try:
            found = hash_file(path)
        except OSError as error:
            extra = {"lesson": lesson, "file": file, "reason": str(error)}
            _log.warning("archive-part-unreadable", extra=extra)
            # A process without descriptors or memory left says nothing of the file. A disk that
            # fails does, and the only copy stays even then: it may be read another day.
            lost = error.errno == errno.EIO and self._has_source(lesson)
            return LOST if lost else UNREADABLE
        if found is None:
            return ""
        self.counts["verified"] += 1
        self._room.verify(lesson, file, *found)
        return found[1]

    def _has_source(self, lesson: str) -> bool:
        entry = self._room.entry(lesson)
        settled = entry is not None and entry.settled
        return not self._room.root and (
            settled or stamp_of(self._archives / lesson / SOURCE) is not None
        )

    def set_aside(self, lesson: str, file: str, wanted: str) -> None:
        """What is in the file is not `wanted`: nobody is to read it. Raises Absent."""
        path = self._archives / lesson / file
        status = stamp_of(path)
        known = self._room.verified(lesson, file, status) if status is not None else ""
        if status is None or known == wanted:
            return  # another thread was here before, or the part itself has come meanwhile
        _log.warning("archive-part-rotten", extra={"lesson": lesson, "file": file})
        entry = self._room.entry(lesson)
        with self._room.writing():
            if entry is not None and entry.settled:
                # It was whole: the same source's manifest is followed again, for this part alone.
                # First, and remembered, so that no power cut leaves a hole that nobody fills.
                top = self._archives / lesson
                write_atomic(top / SOURCE, (top / MANIFEST).read_bytes())
                self._room.unsettle(lesson)
                self._room.save()
            replaced = size_of(growing.rotten(path))
            os.replace(path, growing.rotten(path))
            sync_directory(path.parent)
            self.counts["rotten"] += 1
            self._room.grew(lesson, -replaced)

    def check_top(self, lesson: str) -> None:
        """A settled lesson's top is hashed when it is first read after a restart, as its parts are:
        it may have rotted, or the lesson went on here. What differs is to be taken over again."""
        entry = self._room.entry(lesson)
        if entry is None or not entry.settled:
            return
        if stamp_of(self._archives / lesson / SOURCE) is not None:
            self._room.unsettle(lesson)  # a part was set aside, and that was not remembered
            return
        try:
            same = settling.top_digest(self._archives / lesson) == entry.top
        except OSError:
            same = False
        if not same and self._room.unsettle(lesson):
            _log.warning("archive-top-differs", extra={"lesson": lesson})
