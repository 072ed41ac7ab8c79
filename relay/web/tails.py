"""Finds what a recorder has written of its growing segments, for rooms that watch a lesson late.

Lives here: the files and the journal's word about them. Must not live here: what is listed
(`relay.record.tail`, `hls`). A growing segment is this relay's own and checked by nobody yet; its
parts are whole fragments, which are on the disk for good, and their bytes will not change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from classroom.archive.names import GROWING, JOURNAL, is_rendition, segment_name
from relay.record.tail import Tail, parts_of

# Bytes of the journal's end that hold the last `open` of every rendition: it has a line a second.
_JOURNAL_END: Final = 64 * 1024
# Whole segments whose parts are remembered: the newest of each rendition of some lessons.
_KEPT: Final = 64
# No segment of ours is larger; what is, is not read into memory.
_LARGEST: Final = 32 << 20


class Tails:
    """Blocking."""

    def __init__(self) -> None:
        self._kept: dict[Path, Tail] = {}

    def growing(self, directory: Path, rendition: str) -> Tail | None:
        """Of the archive in `directory`: what is whole of the segment that grows; None when none
        does."""
        opened = _opened(directory / JOURNAL, rendition)
        if opened is None:
            return None
        name = segment_name(opened["beat"], opened["part"])
        data = _read(directory / rendition / (name + GROWING))
        if data is None:
            return None
        return Tail(name, opened["init"], opened["take"], parts_of(data))

    def whole(self, file: Path, init: int, take: int) -> Tail | None:
        """A whole segment in parts, for players that have some of them already."""
        kept = self._kept.get(file)
        if kept is None:
            data = _read(file)
            if data is None:
                return None
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[file] = Tail(file.name, init, take, parts_of(data))
        return kept


def growing_file(directory: Path, rendition: str, name: str) -> Path | None:
    """The file of the segment `name` while a recorder here writes it, else None: what is being
    fetched has a file of such a name, too, and nobody has verified it."""
    opened = _opened(directory / JOURNAL, rendition) if is_rendition(rendition) else None
    if opened is None or name != segment_name(opened["beat"], opened["part"]):
        return None
    path = directory / rendition / (name + GROWING)
    return path if path.is_file() else None


def _opened(journal: Path, rendition: str) -> dict[str, int] | None:
    """The last `open` of the rendition, or None."""
    try:
        with journal.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _JOURNAL_END))
            lines = file.read(_JOURNAL_END).split(b"\n")
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        if b'"kind":"open"' not in line or f'"rendition":"{rendition}"'.encode() not in line:
            continue
        try:
            entry = json.loads(line)
            return {name: int(entry[name]) for name in ("beat", "part", "init", "take")}
        except (ValueError, KeyError, TypeError):
            return None  # torn
    return None


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:  # whole by now, or gone
        return None
