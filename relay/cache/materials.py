"""What teachers gave along with lessons, as it is kept here: a list for each lesson, and files.

Here: the lists (`materials.json`, see FORMAT.md), each with its lesson's date; the room that lists
and files take together; what goes when room is needed. Not here: the files by their digests
(`blobs`), bringing them (`relay.sync`), which lessons are to come.

    materials/lists/<lesson>.json    one line about the list (its digest, the lesson's date), then
                                     the list as it came: one write, so they can never differ
    materials/files/<digest>         see `blobs`; two lessons may name the same file

A file that no list names is removed. Everything blocks; for any thread.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from classroom.archive import canonical
from classroom.archive.materials import MAX_LIST_BYTES, Material, Materials
from classroom.archive.names import is_lesson
from classroom.errors import Absent, Refused
from relay.cache.blobs import Blobs
from relay.cache.files import free_bytes, make_directory, remove, sync_directory, write_atomic
from relay.cache.held import Claim
from relay.cache.trouble import Trouble

_log: Final = logging.getLogger("relay.cache")

FOLDER: Final = "materials"
"""Below a relay's data directory."""
_SUFFIX: Final = ".json"
_HEAD_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class HeldList:
    """digest: SHA-256 of `data`, which is what `materials` was read from. at: unix seconds for
    which the lesson was planned, 0 for not known; compared with others alone, never with a clock.
    """

    digest: str
    at: float
    data: bytes
    materials: Materials


class MaterialStore:
    """One per data directory and process. Call `scan` before anything is taken or removed; what is
    read before that is read from the disk."""

    def __init__(
        self,
        folder: Path,
        *,
        quota_bytes: int = 0,
        floor_bytes: int = 0,
        free: Callable[[], int] | None = None,
    ) -> None:
        """quota_bytes: of lists and files together, 0 for none. floor_bytes: what stays free on the
        disk. free(): bytes free there."""
        self._folder = folder
        self._lists_folder = folder / "lists"
        self.blobs = Blobs(folder / "files")
        self._quota = quota_bytes
        self._floor = floor_bytes
        self._free = free or (lambda: free_bytes(folder))
        self._lists: dict[str, HeldList] = {}
        self._scanned = False
        self._lock = threading.RLock()
        self._trouble = Trouble()
        self._evicted = 0

    def writing(self) -> AbstractContextManager[None]:
        """Turns an error of the disk into Absent with a sentence for people."""
        return self._trouble.writing()

    def scan(self, *, mend: bool = True) -> None:
        """See what is on the disk, at the start and when somebody else wrote there. mend: what can
        be of no use there is removed; not for who only looks beside a running relay. Raises Absent.
        """
        with self.writing():
            make_directory(self._lists_folder)
            found = {}
            for entry in os.scandir(self._lists_folder):
                lesson = entry.name.removesuffix(_SUFFIX)
                one = self._read(lesson) if entry.name == f"{lesson}{_SUFFIX}" else None
                if one is not None:
                    found[lesson] = one
                elif mend:
                    # Rotten, or half of a write that a power cut ended: it is asked for again.
                    remove(Path(entry.path))
            self.blobs.scan(mend=mend)
            with self._lock:
                self._lists = found
                self._scanned = True
            if mend:
                self.tidy()

    # What is here.

    def held(self, lesson: str) -> HeldList | None:
        """The lesson's list, None when none is here."""
        found = self._lists.get(lesson)
        if found is None and not self._scanned:
            found = self._read(lesson)
        return found

    def lessons(self) -> list[str]:
        """Those of which a list is here."""
        with self._lock:
            return sorted(self._lists)

    def missing(self, lesson: str) -> list[Material]:
        """Files of the lesson's list that are not whole here, in the list's order."""
        found = self.held(lesson)
        if found is None:
            return []
        return [one for one in found.materials.materials if not self.blobs.has(one.digest)]

    def left(self, material: Material) -> int:
        """Bytes of a file that are still to come."""
        if self.blobs.has(material.digest):
            return 0
        have = self.blobs.have(material.digest)
        return material.bytes - sum(end - first for first, end in have)

    def counters(self) -> dict[str, int]:
        """For metrics."""
        return {
            "lists": len(self._lists),
            "bytes": self._held(),
            "quota_bytes": self._quota,
            "evicted": self._evicted,
            **self.blobs.counts,
        }

    def claim(self) -> Claim:
        """What recordings leave to materials; nothing before `scan`. For any thread."""
        if not self._scanned:
            return Claim()
        return Claim(self._quota, self._held() - self.blobs.due)

    def _held(self) -> int:
        return self.blobs.held + sum(len(one.data) for one in list(self._lists.values()))

    # Lists.

    def take(self, lesson: str, data: bytes, digest: str, at: float) -> Materials:
        """The lesson's list came: it stands in the place of another one, whose files go unless they
        are in this one too. Raises Refused 400, 502; Absent."""
        if canonical.digest(data) != digest:
            raise Refused(
                502,
                "material-digest-wrong",
                "A list of materials is not what its digest says.",
                fix="Another source is asked.",
            )
        materials = Materials.decode(data)
        if not is_lesson(lesson) or materials.lesson != lesson:
            raise canonical.malformed("materials.lesson", "it is of another lesson")
        self._write(lesson, HeldList(digest, at, data, materials))
        self.tidy()
        return materials

    def date(self, lesson: str, at: float) -> None:
        """The lesson is planned for another time. Raises Absent."""
        found = self._lists.get(lesson)
        if found is not None and found.at != at:
            self._write(lesson, replace(found, at=at))

    def drop(self, lesson: str) -> None:
        """The lesson has no list any more. Raises Absent."""
        with self.writing(), self._lock:
            if self._lists.pop(lesson, None) is not None:
                remove(self._path(lesson))
                sync_directory(self._lists_folder)
                self.tidy()

    def tidy(self) -> None:
        """Remove files that no list names. Raises Absent."""
        with self.writing(), self._lock:
            if not self._scanned:
                return
            for digest in self.blobs.all().difference(self._named(self._lists.values())):
                self.blobs.drop(digest)

    def _write(self, lesson: str, held: HeldList) -> None:
        head = json.dumps({"at": held.at, "digest": held.digest}).encode()
        with self.writing(), self._lock:
            make_directory(self._lists_folder)
            write_atomic(self._path(lesson), head + b"\n" + held.data)
            self._lists[lesson] = held

    def _read(self, lesson: str) -> HeldList | None:
        """The list as it is on the disk, None for none that can be used."""
        if not is_lesson(lesson):
            return None
        try:
            with self._path(lesson).open("rb") as file:
                head, _, data = file.read(_HEAD_BYTES + MAX_LIST_BYTES).partition(b"\n")
            about: Any = json.loads(head)
            at = float(about["at"])
            if canonical.digest(data) != about["digest"] or not math.isfinite(at):
                raise ValueError("it is not what its digest says")
            materials = Materials.decode(data)
            if materials.lesson != lesson:
                raise ValueError(f"it is of {materials.lesson}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError, Refused) as error:
            facts = {"lesson": lesson, "reason": str(error)}
            _log.warning("materials-list-unusable", extra=facts)
            return None
        return HeldList(about["digest"], at, data, materials)

    def _path(self, lesson: str) -> Path:
        return self._lists_folder / f"{lesson}{_SUFFIX}"

    # Room.

    def make_room(
        self,
        size: int,
        candidates: Iterable[str] = (),
        gone: Callable[[str], object] = lambda lesson: None,
    ) -> bool:
        """Whether `size` more bytes fit, once lists have made room, and their files with them.
        Nothing goes when that would not do. candidates: lessons whose lists may go, the first one
        first; looked at only when there is no room. gone(lesson): its list went. Raises Absent."""
        with self.writing(), self._lock:
            lacking = self._lacking(size)
            if lacking <= 0:
                return True
            chosen: list[str] = []
            naming = Counter(self._named(self._lists.values()))
            for name in candidates:
                held = self._lists.get(name)
                if held is None:
                    continue
                chosen.append(name)
                lacking -= len(held.data)
                for digest in self._named([held]):
                    naming[digest] -= 1
                    if not naming[digest]:
                        lacking -= self.blobs.size(digest)
                if lacking <= 0:
                    break
            if lacking > 0:
                return False
            for name in chosen:
                _log.info("materials-evicted", extra={"lesson": name})
                del self._lists[name]
                remove(self._path(name))
                self._evicted += 1
                gone(name)
            sync_directory(self._lists_folder)
            self.tidy()
            return self._lacking(size) <= 0

    def _lacking(self, size: int) -> int:
        try:
            free = self._free()
        except OSError:
            free = 0
        lacking = size + self.blobs.due - (free - self._floor)
        if self._quota:
            lacking = max(lacking, self._held() + size - self._quota)
        return lacking

    @staticmethod
    def _named(lists: Iterable[HeldList]) -> Iterator[str]:
        """Digests of files, as often as lists name them."""
        return (one.digest for held in lists for one in held.materials.materials)

    def begin(self, material: Material) -> None:
        """A file of a list is to be brought. Raises Absent."""
        with self.writing():
            self.blobs.begin(material.digest, material.bytes)

    def find(self, digest: str) -> Path | None:
        """See `Blobs.open_verified`."""
        try:
            return self.blobs.open_verified(digest)
        except OSError as error:
            raise Absent("This file cannot be read just now.", fix="Try again soon.") from error
