"""What a relay holds of each lesson, how much it matters, and what goes first. PURE.

Here: sizes, pins, the timetable's wants, the order of use, what was verified since the start, the
sums of quota and free-space floor, the order of eviction, and the form in which all this is kept.
Not here: files, clocks, fetching.

No date of ours decides anything: small machines have no clock that survives a power cut, and one
that says 1970 or 2099 must not put out the wrong lesson. Uses are counted, not dated; wants are
withdrawn by whoever told them; only "served this minute" is a time, and it is monotonic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from classroom.archive.names import is_lesson
from classroom.errors import Refused

SERVED_SECONDS: Final = 60.0
"""How long after its last request a lesson counts as being served."""
_VERIFIED_FILES: Final = 16_000  # known to be good since the start: what 20 pupils watch; 8 MB
_EVICTED_KEPT: Final = 4096  # names of lessons put out; 200 kB at most
_FORMAT: Final = 1

_PINNED: Final = 1
_SETTLED: Final = 2
_RECORDED: Final = 4
_EVICTED: Final = 8


@dataclass(slots=True)
class Entry:
    """One lesson. A name without files is pinned or wanted, or was evicted.

    here: something of it is on disk. size: bytes on disk. manifest: digest of the manifest that it
    follows or has, "" for none. total: bytes when it is whole, 0 for unknown. used: number of its
    last use, counted over all lessons; 0 for never.
    wanted_at: unix seconds, only compared with others. epoch: unix seconds of its beginning.
    settled: whole and the source's bytes in every file; top: then the digest of its top. recorded:
    recorded here and not yet seen in a source's manifest, so perhaps the only copy. evicted: put
    out, and not asked for since.
    """

    here: bool = False
    size: int = 0
    manifest: str = ""
    total: int = 0
    used: int = 0
    pinned: bool = False
    wanted_at: float | None = None
    epoch: float = 0.0
    settled: bool = False
    top: str = ""
    recorded: bool = False
    evicted: bool = False
    served_at: float | None = None

    @property
    def rank(self) -> tuple[bool, bool, float, int, float]:
        """Lowest goes first: perhaps the only copy, wanted (soonest last to go), last used, newest.

        An order without ties between old and new, so that two lessons never put out each other in
        turn.
        """
        wanted = self.wanted_at is not None
        return (self.recorded, wanted, -(self.wanted_at or 0.0), self.used, self.epoch)

    @property
    def empty(self) -> bool:
        """Nothing worth remembering."""
        kept = self.pinned or self.wanted_at is not None or self.evicted
        return not (self.here or kept)


class Index:
    """Everything that is known of the lessons held. Not safe for threads by itself."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.uses = 0
        self.changed = False
        """Something to save. Being used is worth saving too, but never at once."""
        self._verified: dict[str, dict[str, tuple[object, str]]] = {}
        self._verified_files = 0

    def entry(self, lesson: str) -> Entry:
        """The lesson's entry, made if it is not there."""
        found = self.entries.get(lesson)
        if found is None:
            found = self.entries[lesson] = Entry()
        return found

    @property
    def held(self) -> int:
        """Bytes of all lessons."""
        return sum(entry.size for entry in self.entries.values())

    def use(self, lesson: str, now: float) -> None:
        """Somebody watches the lesson. now: monotonic seconds."""
        entry = self.entry(lesson)
        if entry.used != self.uses or not self.uses:
            self.uses += 1
            entry.used = self.uses
            self.changed = True
        entry.evicted = False
        entry.served_at = now

    def pin(self, lesson: str, on: bool) -> None:
        """Keep it whatever happens, or no longer."""
        entry = self.entry(lesson)
        self.changed |= entry.pinned != on
        entry.pinned = on

    def want(self, lesson: str, at: float | None) -> None:
        """The timetable wants it, or no longer."""
        if at is None and lesson not in self.entries:
            return
        entry = self.entry(lesson)
        self.changed |= entry.wanted_at != at
        entry.wanted_at = at
        if at is not None:
            entry.evicted = False

    def timetable(self, wants: Mapping[str, float]) -> None:
        """All that the timetable wants: what is not in it is wanted no longer."""
        for lesson, entry in self.entries.items():
            if entry.wanted_at is not None and lesson not in wants:
                self.want(lesson, None)
        for lesson, at in wants.items():
            self.want(lesson, at)

    def remove(self, lesson: str, *, evicted: bool) -> int:
        """Its files are gone; what people said of it stays. Returns the bytes that it had."""
        entry = self.entry(lesson)
        size = entry.size
        entry.here, entry.size, entry.manifest, entry.total = False, 0, "", 0
        entry.settled, entry.recorded, entry.evicted = False, False, evicted
        entry.served_at = None
        self._distrust(lesson)
        self.changed = True
        self._forget()
        return size

    def _forget(self) -> None:
        """Names without files are few: those put out longest ago are let go."""
        for lesson in [name for name, entry in self.entries.items() if entry.empty]:
            del self.entries[lesson]
        gone = [name for name, entry in self.entries.items() if not entry.here and entry.evicted]
        gone.sort(key=lambda name: self.entries[name].used)
        for lesson in gone[: max(0, len(gone) - _EVICTED_KEPT)]:
            entry = self.entries[lesson]
            entry.evicted = False
            if entry.empty:
                del self.entries[lesson]

    # What was verified since the start.

    def verified(self, lesson: str, file: str, stamp: object) -> str | None:
        """The digest that was found in the file since the start, None if nobody looked.

        file: "rendition/name". stamp: equal only while it is the same file with the same content.
        """
        found = self._verified.get(lesson, {}).get(file)
        return found[1] if found is not None and found[0] == stamp else None

    def verify(self, lesson: str, file: str, stamp: object, digest: str) -> None:
        """The file was read and has this digest."""
        files = self._verified.pop(lesson, {})
        self._verified_files += file not in files
        files[file] = (stamp, digest)
        self._verified[lesson] = files  # at the end: the first one is the one least read of
        while self._verified_files > _VERIFIED_FILES and len(self._verified) > 1:
            self._distrust(next(iter(self._verified)))

    def _distrust(self, lesson: str) -> None:
        self._verified_files -= len(self._verified.pop(lesson, ()))

    # Space.

    def lacking(self, size: int, *, free: int, quota: int, floor: int) -> int:
        """Bytes that must go before `size` more fit. quota: 0 for none."""
        over = self.held + size - quota if quota else 0
        return max(0, over, floor + size - free)

    def candidates(
        self,
        now: float,
        busy: Callable[[str], bool],
        lesson: str | None = None,
        epoch: float = 0.0,
    ) -> list[str]:
        """What may go, first one first. now: monotonic seconds. busy(lesson): live or recorded now.
        lesson: what needs the room; only what matters less than it may go. epoch: when it began
        (unix seconds), for one of which nothing is known here yet."""
        needy = self.entries.get(lesson) if lesson is not None else None
        needy = needy if needy is not None else Entry()
        if not needy.epoch:
            needy = replace(needy, epoch=epoch)
        bound = needy.rank if lesson is not None else None
        found = [
            (entry.rank, name)
            for name, entry in self.entries.items()
            if entry.here
            and not entry.pinned
            and name != lesson
            and (bound is None or entry.rank < bound or needy.pinned)
            and not (entry.served_at is not None and now - entry.served_at < SERVED_SECONDS)
            and not busy(name)
        ]
        return [name for _, name in sorted(found)]

    def choose(self, lacking: int, candidates: Iterable[str], *, whole: bool) -> list[str]:
        """The first candidates that make up for `lacking` bytes. whole: none at all, if they do not
        make up for it together."""
        chosen: list[str] = []
        for name in candidates:
            if lacking <= 0:
                break
            chosen.append(name)
            lacking -= self.entries[name].size
        return chosen if lacking <= 0 or not whole else []

    # Keeping it.

    def encode(self) -> bytes:
        """The state as it is kept on disk: a line for each lesson, so that making it of 15,000
        holds up nobody. Needs no lock."""
        head = {"format": _FORMAT, "uses": self.uses}
        lines = [json.dumps(head)]
        for name, entry in list(self.entries.items()):
            if not entry.empty:
                lines.append(json.dumps([name, *_values(entry)], separators=(",", ":")))
        return "\n".join([*lines, ""]).encode()

    @classmethod
    def decode(cls, data: bytes) -> Index:
        """What `encode` wrote. Raises Refused 400 `cache-state-malformed`."""
        index = cls()
        try:
            first, *lines = data.splitlines()
            head = json.loads(first)
            if head["format"] != _FORMAT:
                raise ValueError("another version wrote it")
            index.uses = _number(head["uses"])
            for line in lines:
                name, *values = json.loads(line)
                if not isinstance(name, str) or not is_lesson(name):
                    raise ValueError("a name is no lesson's")
                index.entries[name] = _entry(values, index.uses)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Refused(
                400,
                "cache-state-malformed",
                "The kept state of the recordings cannot be read.",
                fix="Nothing: it is made again; lessons that were pinned must be pinned again.",
            ) from error
        return index


def _values(entry: Entry) -> list[object]:
    flags = (
        _PINNED * entry.pinned
        + _SETTLED * entry.settled
        + _RECORDED * entry.recorded
        + _EVICTED * entry.evicted
    )
    kept: list[object] = [entry.size, entry.used, flags, entry.wanted_at, entry.epoch]
    return [*kept, entry.manifest, entry.total, entry.top]


def _entry(values: list[Any], uses: int) -> Entry:
    """Raises ValueError, TypeError."""
    size, used, flags, wanted_at, epoch, manifest, total, top = values
    if {type(manifest), type(top)} != {str}:
        raise ValueError("a digest is none")
    return Entry(
        size=_number(size),
        used=min(_number(used), uses),
        pinned=bool(_number(flags) & _PINNED),
        wanted_at=None if wanted_at is None else _date(wanted_at),
        epoch=_date(epoch),
        settled=bool(flags & _SETTLED),
        recorded=bool(flags & _RECORDED),
        evicted=bool(flags & _EVICTED),
        manifest=manifest,
        total=_number(total),
        top=top,
    )


def _date(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("not a date")
    return float(value)


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("not a whole number")
    return value
