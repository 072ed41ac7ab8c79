"""The space that archives take: what each holds, what goes when room is needed, what is remembered.

Here: the index with its lock, looking at what is on disk, putting lessons out, the kept state. Not
here: what is in an archive (`cache`), in which order lessons go (`index`). The state is saved when
a lesson was taken over or put out, for uses at most every five minutes, so that a request costs no
write; without it only the order of use, pins and wants are lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive.manifest import Manifest
from classroom.archive.names import JOURNAL, MANIFEST, is_lesson
from classroom.clock import Clock
from classroom.errors import Absent, Refused
from relay.cache.files import (
    Stamp,
    free_bytes,
    remove_tree,
    stamp_of,
    sync_directory,
    tree_size,
    write_atomic,
)
from relay.cache.held import Claim, Held, Space
from relay.cache.index import Entry, Index
from relay.cache.reading import SOURCE, Reader
from relay.cache.trouble import Trouble

_log: Final = logging.getLogger("relay.cache")

_EVICTED: Final = ".evicted-"
"""Before the name of a lesson that is being removed: it is gone for everybody at once."""
_SAVE_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 0.2
"""How long one `tend` looks at archives whose size is not known; the rest waits for the next."""
_CLAIM_SHARE: Final = 4
"""Of the room of archives and claim together, one part in so many is kept free for the claim at the
most: on a disk that is smaller than somebody thought, recordings still have the most of it."""


class Room:
    """One per cache; for any thread. The order of locks: a reader's before ours."""

    def __init__(
        self,
        archives: Path,
        state: Path,
        *,
        root: bool,
        quota: int,
        floor: int,
        claim: Callable[[], Claim],
        live: Callable[[str], bool],
        reader: Reader,
        monotonic: Clock,
        free: Callable[[], int] | None,
    ) -> None:
        self._archives = archives
        self._state = state
        self.root = root
        self._quota = quota
        self._floor = floor
        self._claim = claim
        self._live = live
        self._reader = reader
        self._now = monotonic
        self._free = free or (lambda: free_bytes(archives))
        self._lock = threading.RLock()
        self._evicting = threading.Lock()
        self._index = self._load()
        self._saved_at = monotonic()
        self._urgent = False
        """Something to save that is not just another use."""
        self._unknown: set[str] = set()
        """Lessons here whose size is not known, or not known any more."""
        self._were_live: set[str] = set()
        self._trouble = Trouble()
        self._evictions = self._evicted_bytes = 0
        self._scan()

    def writing(self) -> AbstractContextManager[None]:
        """Turns an error of the disk into Absent with a sentence for people."""
        return self._trouble.writing()

    # What is known.

    def entry(self, lesson: str) -> Entry | None:
        """The lesson's entry; read only."""
        return self._index.entries.get(lesson)

    def begun(self, lesson: str, digest: str, manifest: Manifest) -> None:
        """A source's manifest is followed now."""
        with self._lock:
            entry = self._index.entry(lesson)
            entry.here, entry.settled, entry.recorded, entry.evicted = True, False, False, False
            entry.manifest, entry.total = digest, manifest.size
            entry.epoch = manifest.epoch_ms / 1000
        self._look(lesson)

    def settled(self, lesson: str, digest: str, total: int, top: str) -> None:
        """Everything is here and is the source's. top: digest of header, events and journal."""
        with self._lock:
            entry = self._index.entry(lesson)
            entry.settled, entry.recorded = True, False
            entry.manifest, entry.total, entry.top = digest, total, top
            self._urgent = True
        self._look(lesson)

    def unsettle(self, lesson: str) -> bool:
        """Something of it is not good any more; whether it was settled."""
        with self._lock:
            entry = self._index.entries.get(lesson)
            if entry is None or not entry.settled:
                return False
            entry.settled = False
            self._index.changed = self._urgent = True
            return True

    def grew(self, lesson: str, size: int) -> None:
        """The lesson takes `size` bytes more, or less."""
        with self._lock:
            if size and (entry := self._index.entries.get(lesson)) is not None:
                entry.size = max(0, entry.size + size)
                self._index.changed = True

    def verified(self, lesson: str, file: str, stamp: Stamp) -> str | None:
        """See `Index.verified`."""
        return self._index.verified(lesson, file, stamp)

    def verify(self, lesson: str, file: str, stamp: Stamp, digest: str) -> None:
        """See `Index.verify`."""
        with self._lock:
            self._index.verify(lesson, file, stamp, digest)

    def used(self, lesson: str) -> None:
        """Somebody watches it now."""
        with self._lock:
            self._index.use(lesson, self._now())

    def want(self, lesson: str, at: float | None) -> None:
        """The timetable wants it, or no longer."""
        with self._lock:
            self._index.want(lesson, at)

    def timetable(self, wants: Mapping[str, float]) -> None:
        """All that the timetable wants."""
        with self._lock:
            self._index.timetable(wants)

    def pin(self, lesson: str, on: bool) -> None:
        """Keep it, or no longer; saved at once, since a person asked for it."""
        with self._lock:
            self._index.pin(lesson, on)
        self.save()

    def held(self) -> list[Held]:
        """Every lesson here, in order of name."""
        with self._lock:
            return [
                _held(name, entry)
                for name, entry in sorted(self._index.entries.items())
                if entry.here
            ]

    def holding(self, lesson: str) -> Held | None:
        """One of `held`."""
        entry = self._index.entries.get(lesson)
        return _held(lesson, entry) if entry is not None and entry.here else None

    def space(self) -> Space:
        """How full it is."""
        with self._lock:
            held = self._index.held
        return Space(held, self._quota, self._free_now(), self._floor, self._trouble.full)

    def counters(self) -> dict[str, int]:
        """For metrics."""
        space = self.space()
        with self._lock:
            lessons = sum(entry.here for entry in self._index.entries.values())
        return {
            "held_bytes": space.held,
            "held_lessons": lessons,
            "quota_bytes": space.quota,
            "floor_bytes": space.floor,
            "free_bytes": space.free,
            "disk_full": int(space.full),
            "evictions": self._evictions,
            "evicted_bytes": self._evicted_bytes,
        }

    def _free_now(self) -> int:
        try:
            return self._free()
        except OSError:
            return 0

    # Putting out.

    def room_for(self, lesson: str, epoch: float = 0.0) -> int:
        """See `Cache.room_for`."""
        free = self._free_now()
        with self._lock:
            index = self._index
            names: list[str] = []
            claimed = self._claimed(free, lesson)
            if not self.root:
                names = index.candidates(self._now(), self._live, lesson, epoch)
            if claimed:
                names = self._with_copies(names)
            possible = sum(index.entries[name].size for name in names)
            room = free - self._floor - claimed
            if self._quota and not self.root:
                room = min(room, self._quota - index.held)
            return max(0, room + possible)

    def make_room(self, size: int, lesson: str | None) -> int:
        """See `Cache.make_room`."""
        if self.root:
            return 0
        with self._evicting:
            self._look_at_all()
            freed = 0
            # Blocks on disk are not bytes in files: look again, and never forever.
            for _ in range(4):
                victims = self._choose(size, lesson)
                if not victims:
                    break
                for victim in victims:
                    freed += self._evict(victim)
            return freed

    def _choose(self, size: int, lesson: str | None) -> list[str]:
        free = self._free_now()
        with self._lock:
            index = self._index
            claimed, whole = self._claimed(free, lesson), lesson is not None
            lacking, wished = (
                index.lacking(size, free=free, quota=self._quota, floor=floor)
                for floor in (self._floor, self._floor + claimed)
            )
            if not wished:
                return []
            names = index.candidates(self._now(), self._live, lesson)
            if claimed:
                chosen = index.choose(wished, self._with_copies(names), whole=whole)
                if whole or sum(index.entries[name].size for name in chosen) >= lacking:
                    return chosen
            return index.choose(lacking, names, whole=whole)

    def _claimed(self, free: int, lesson: str | None) -> int:
        """Bytes above the floor that stay free for the claim, whoever needs room; not so for a
        lesson that somebody pinned. Under the lock."""
        entry = self._index.entries.get(lesson) if lesson is not None else None
        claim = self._claim()
        if self.root or not claim.most or (entry is not None and entry.pinned):
            return 0
        both = max(0, free - self._floor + self._index.held + claim.taken)
        return max(0, min(claim.most, both // _CLAIM_SHARE) - claim.taken)

    def _with_copies(self, names: list[str]) -> list[str]:
        """Those of which somebody else has a copy, perhaps: for the claim no others go."""
        return [name for name in names if not self._index.entries[name].recorded]

    def _evict(self, lesson: str) -> int:
        path, gone = self._archives / lesson, self._archives / f"{_EVICTED}{lesson}"
        with self.writing():
            if gone.exists():
                remove_tree(gone)
            # One rename, durable before anything is removed: there is no half of a lesson.
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, gone)
            sync_directory(self._archives)
            self._reader.forget(lesson)
            with self._lock:
                size = self._index.remove(lesson, evicted=True)
                self._unknown.discard(lesson)
                self._urgent = True
            self._evictions += 1
            self._evicted_bytes += size
            _log.info("lesson-evicted", extra={"lesson": lesson, "bytes": size})
            if gone.exists():
                remove_tree(gone)
                sync_directory(self._archives)
        return size

    # What is on disk.

    def _scan(self) -> None:
        """Which lessons are here; what a crash left of lessons put out is removed."""
        try:
            entries = list(os.scandir(self._archives))
        except OSError as error:
            _log.warning("archives-unreadable", extra={"reason": str(error)})
            return
        here: set[str] = set()
        for each in entries:
            if each.name.startswith(_EVICTED):
                with contextlib.suppress(OSError):
                    remove_tree(Path(each.path))
            elif is_lesson(each.name) and each.is_dir(follow_symlinks=False):
                here.add(each.name)
        with self._lock:
            for name, entry in list(self._index.entries.items()):
                if (entry.here or entry.size) and name not in here:
                    self._index.remove(name, evicted=entry.evicted)
            for name in here:
                entry = self._index.entry(name)
                if not entry.here and not (entry.size and (entry.settled or self.root)):
                    self._unknown.add(name)
                entry.here = True

    def _is_here(self, lesson: str) -> bool:
        entry = self._index.entries.get(lesson)
        return entry is not None and entry.here

    def _look(self, lesson: str) -> None:
        """Measure one lesson, and see whose manifest it has."""
        path = self._archives / lesson
        size = tree_size(path)
        source = stamp_of(path / SOURCE) is not None
        manifest = path / (SOURCE if source else MANIFEST)
        recorded = stamp_of(path / JOURNAL) is not None and not source
        with self._lock:
            entry = self._index.entry(lesson)
            entry.size, entry.here = size, True
            self._unknown.discard(lesson)
            self._index.changed = True
            if entry.settled or self.root:
                return
            entry.recorded = recorded
        try:
            data = manifest.read_bytes()
            decoded = Manifest.decode(data)
        except (OSError, Refused):
            digest, total, epoch = "", 0, entry.epoch
        else:
            digest, total, epoch = canonical.digest(data), decoded.size, decoded.epoch_ms / 1000
        with self._lock:
            entry.manifest, entry.total, entry.epoch = digest, total, epoch

    def _look_at_all(self, seconds: float | None = None) -> None:
        until = self._now() + seconds if seconds is not None else None
        for lesson in sorted(self._unknown):
            with contextlib.suppress(OSError):
                self._look(lesson)
            if until is not None and self._now() > until:
                break

    def tend(self) -> None:
        """See `Cache.tend`."""
        self._scan()
        # Of 15,000 lessons this takes long enough to be noticed by whoever waits for the lock.
        live = {name for name in list(self._index.entries) if self._live(name)}
        with self._lock:
            self._unknown |= {name for name in live | self._were_live if self._is_here(name)}
            self._were_live = live
        self._look_at_all(_LOOK_SECONDS)
        if not self.root:
            try:
                self.make_room(0, None)
            except Absent as error:
                _log.warning("cache-room-not-made", extra={"reason": error.what})
        due = self._urgent or self._now() - self._saved_at >= _SAVE_SECONDS
        if self._index.changed and due:
            self.save()

    # What is remembered.

    def save(self) -> None:
        """Write the state; that it cannot be written costs nothing that is missed today."""
        with self._lock:
            self._index.changed = self._urgent = False
            self._saved_at = self._now()
        data = self._index.encode()
        try:
            write_atomic(self._state, data)
        except OSError as error:
            self._index.changed = True
            _log.warning("cache-state-not-kept", extra={"reason": str(error)})

    def _load(self) -> Index:
        try:
            return Index.decode(self._state.read_bytes())
        except FileNotFoundError:
            return Index()
        except (OSError, Refused) as error:
            _log.warning("cache-state-unusable", extra={"reason": str(error)})
            return Index()


def _held(lesson: str, entry: Entry) -> Held:
    return Held(
        lesson,
        entry.manifest,
        entry.size,
        entry.total,
        entry.settled,
        entry.recorded,
        entry.pinned,
        entry.wanted_at,
    )
