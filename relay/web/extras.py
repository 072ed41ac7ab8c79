"""Captions and copies of an archive, over HTTP: reading `extras.json`, serving what it names.

Here: which extras belong to the lesson as it is now, captions' playlists and files. Not here: the
archive's own renditions (`archives`, which serves copies like these), making extras. What was made
after a lesson may be made again, so browsers ask each time whether theirs still holds.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Final

from classroom.archive.canonical import digest
from classroom.archive.extras import Extras
from classroom.archive.manifest import Manifest
from classroom.archive.names import EXTRAS, MANIFEST, parse_captions
from classroom.errors import Refused
from relay.record.hls_master import captions_playlist

_log: Final = logging.getLogger("relay.service")

_KEPT: Final = 64
"""Lessons whose extras are kept in memory: as many as a school watches at a time."""
_MAX_BYTES: Final = 32 << 20

_Stamp = tuple[int, int, int, int]


class ExtrasReader:
    """Reads extras and remembers them until their files change. For several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[_Stamp, Extras]] = OrderedDict()

    def read(self, archive: Path) -> Extras:
        """The extras of the lesson in `archive` that count now; none where there are none."""
        lesson = archive.name
        try:
            extras, manifest = (archive / EXTRAS).stat(), (archive / MANIFEST).stat()
        except OSError:
            return Extras(lesson)
        stamp = (extras.st_mtime_ns, extras.st_size, manifest.st_mtime_ns, manifest.st_size)
        kept = self._kept.get(lesson)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        found = _read(archive, max(extras.st_size, manifest.st_size))
        self._kept[lesson] = (stamp, found)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


def _read(archive: Path, size: int) -> Extras:
    try:
        if size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES} bytes")
        found = Extras.decode((archive / EXTRAS).read_bytes())
        if found.lesson != archive.name:
            raise ValueError(f"it belongs to {found.lesson}")
        # Only copies need the manifest's digest.
        now = digest((archive / MANIFEST).read_bytes()) if found.copies else ""
        return found.of(now)
    except (OSError, ValueError, Refused) as error:
        facts = {"lesson": archive.name, "reason": str(error)}
        _log.warning("extras-unreadable", extra=facts)
        return Extras(archive.name)


def captions_text(
    manifest: Manifest, extras: Extras, name: str, token: str | None
) -> tuple[str, str] | None:
    """Of a name in the directory of captions: a playlist's text and "", or "" and a file's digest;
    None if there is no such thing."""
    language, _, kind = name.rpartition(".")
    for one in extras.captions:
        if one.language == language and kind == "m3u8":
            return captions_playlist(manifest, one, token), ""
        if parse_captions(name) == one.language:
            return "", one.digest
    return None
