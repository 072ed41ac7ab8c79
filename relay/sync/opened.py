"""A lesson whose manifest is here: what of it is missing, on its way, or refused for a while.

Here: the state between the plan, which knows lessons and renditions, and loads, which are parts.
Not
here: fetching, the cache. Lives on the event loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from classroom.archive.manifest import Manifest
from relay.cache.parts import Part, rendition_parts
from relay.sync.loads import Load, next_load, starts
from relay.sync.plan import Share

# A part whose digest was wrong so often is left alone for a while: it costs the link each time.
_TIMES: Final = 3
_REFUSED_S: Final = 6 * 3600.0


class Opened:
    """One lesson. manifest: SHA-256 of the manifest."""

    def __init__(
        self,
        manifest: str,
        document: Manifest,
        missing: Sequence[Part],
        part_size: Callable[[Part], int],
    ) -> None:
        """missing: as the cache told. part_size(part): bytes of it that are on disk. Blocks."""
        self.manifest = manifest
        self.lesson = document.lesson
        self._parts = {
            r.name: list(rendition_parts(document.lesson, r)) for r in document.renditions
        }
        self.begins = {name: starts(parts) for name, parts in self._parts.items()}
        self._missing: dict[str, dict[str, Part]] = {}
        self._here: dict[tuple[str, str], int] = {}
        for part in missing:
            self._missing.setdefault(part.rendition, {})[part.name] = part
            size = part_size(part)
            if size:
                self._here[part.rendition, part.name] = size
        self._busy: dict[str, set[str]] = {}
        self._wrong: Counter[tuple[str, str]] = Counter()
        self._refused: dict[tuple[str, str], float] = {}
        self.since = 0.0
        """Seconds of media time from which on a pupil watches it."""

    def shares(self) -> tuple[Share, ...]:
        """How much of each rendition is here."""
        found = []
        for name, parts in self._parts.items():
            total = sum(part.bytes for part in parts)
            missing = self._missing.get(name, {})
            left = sum(part.bytes - self._here.get((name, n), 0) for n, part in missing.items())
            # A rendition that lacks nothing but a part of size 0, or the end of one, is not whole.
            found.append(Share(name, total, total - left if left or not missing else total - 1))
        return tuple(found)

    def part(self, rendition: str, name: str) -> Part | None:
        """A part that is missing, None if it is not."""
        return self._missing.get(rendition, {}).get(name)

    def knows(self, rendition: str, name: str) -> bool:
        """Whether the lesson has such a part, here or missing."""
        return name in self.begins.get(rendition, ())

    @property
    def is_busy(self) -> bool:
        """Whether a load of it is under way."""
        return any(self._busy.values())

    def take_over(self, before: Opened) -> None:
        """This is `before`, looked at anew: what was known of its parts still holds."""
        self._busy = before._busy
        self._wrong = before._wrong
        self._refused = before._refused
        self.since = before.since

    def left(self, rendition: str) -> int:
        """Bytes that are missing of a rendition."""
        missing = self._missing.get(rendition, {})
        return sum(p.bytes - self._here.get((rendition, n), 0) for n, p in missing.items())

    def load(self, rendition: str, most: int, now: float) -> Load | None:
        """The next load of at most `most` bytes; it counts as under way until `release`."""
        for key in [key for key, until in self._refused.items() if until <= now]:
            del self._refused[key]
        busy = self._busy.setdefault(rendition, set())
        refused = {name for where, name in self._refused if where == rendition}
        here = {name: size for (where, name), size in self._here.items() if where == rendition}
        missing = list(self._missing.get(rendition, {}).values())
        load = next_load(missing, here, busy | refused, most, self.since)
        if load is not None:
            busy.update(piece.part.name for piece in load.pieces)
        return load

    def release(self, load: Load) -> None:
        """It is over."""
        self._busy[load.rendition].difference_update(piece.part.name for piece in load.pieces)

    def came(self, part: Part, size: int | None) -> None:
        """So many bytes of the part are on disk; None: it is whole."""
        key = part.rendition, part.name
        self._here.pop(key, None)
        if size is None:
            self._missing.get(part.rendition, {}).pop(part.name, None)
            self._wrong.pop(key, None)
        elif size:
            self._here[key] = size

    def wrong(self, part: Part, now: float) -> bool:
        """Its digest was wrong; whether it is left alone from now on."""
        key = part.rendition, part.name
        self._here.pop(key, None)
        self._wrong[key] += 1
        if self._wrong[key] < _TIMES:
            return False
        self._refused[key] = now + _REFUSED_S
        return True
