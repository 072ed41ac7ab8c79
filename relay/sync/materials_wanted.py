"""Of which lessons materials should be here, and what of them is not.

Here: the lessons that those above tell of, those of archives here, what somebody waits for, what
waits for room. Not here: in which order they come and go (`materials_plan`), fetching
(`materials`). `tell`, `note` and `came` are for any thread. `start` and `refresh` block, and are
called by one thread at a time, which alone changes what is known of lessons; all else is for the
event loop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from classroom.archive.materials import Material
from classroom.wire import LessonInfo, LessonState
from relay.cache.materials import MaterialStore
from relay.sync.materials_plan import Due, Held, fell_through, giving_way
from relay.sync.offer import about_of, list_in

_log: Final = logging.getLogger("relay.sync")

# Who asked and did not ask again for so long (s) waits no more; pages ask every few seconds.
_ASKED_S: Final = 60.0
_ASKED_MOST: Final = 64
# Lessons of which it is known that somebody asked; the others go first when room is needed.
_USED_MOST: Final = 4096
# For a lesson that begins within so long (s) somebody should see to it that there is room.
_NEAR_S: Final = 24 * 3600.0

# Lessons looked at in one go: at the start there are as many as a library has, and the link waits.
_CONSIDERED: Final = 200

_Key = tuple[str, str]
_NOTHING: Final = dict.fromkeys(
    (
        *("files_left", "bytes_left"),
        *("lessons_without_room", "soon_without_room"),
        *("files_without_room", "bytes_without_room"),
    ),
    0,
)


class Wanted:
    """One per `MaterialSync`."""

    def __init__(
        self,
        store: MaterialStore,
        archives: Path,
        held: Callable[[], Iterable[str]],
        is_pinned: Callable[[str], bool],
        list_told: Callable[[str], str | None] = lambda lesson: None,
    ) -> None:
        """archives: their directory. held(): lessons of which something is there.
        is_pinned(lesson): it is kept whatever else needs its room. list_told(lesson): of one that
        is over, the digest of the list that it should have, "" for none, None where that is not
        known. All for any thread."""
        self._store = store
        self._archives = archives
        self._held = held
        self._is_pinned = is_pinned
        self._list_told = list_told
        # What is told, noted, due and used is changed and gone through under it.
        self._lock = threading.Lock()
        self._told: tuple[LessonInfo, ...] | None = None
        self._noted: set[str] = set()
        self._coming: dict[str, LessonInfo] = {}
        # Digest of the list and date, of lessons that are over.
        self._past: dict[str, tuple[str, float]] = {}
        self._asked: dict[_Key, float] = {}
        # Number of the last time that something of a lesson was asked for.
        self._used: dict[str, int] = {}
        self._uses = 0
        self._put_off: dict[str, float] = {}
        # Files for which there was no room, and when that is looked at again.
        self._no_room: dict[_Key, float] = {}
        self._is_known = False
        self._date: float | None = None
        # Lessons of which something is not here.
        self._dues: dict[str, Due] = {}

    # What others tell.

    def tell(self, lessons: Iterable[LessonInfo]) -> None:
        """The lessons that are planned or live, all of them. One that is not among them any more
        and is not over was taken back, or moved elsewhere."""
        known = tuple(lessons)
        with self._lock:
            self._told = known

    def note(self, *lessons: str) -> None:
        """Something about them may have changed: an archive, or a file that was found rotten."""
        with self._lock:
            self._noted.update(lessons)

    def came(self, digest: str) -> None:
        """A file is here, for every lesson that has it."""
        with self._lock:
            for lesson, due in self._dues.items():
                if any(digest == one for one, _ in due.files or ()):
                    self._noted.add(lesson)

    def ask(self, lesson: str, digest: str, now: float, seconds: float = _ASKED_S) -> None:
        """Somebody waits for a file, "" for the list, for so many seconds yet at the most."""
        key = lesson, digest
        if len(self._asked) < _ASKED_MOST or key in self._asked:
            until = now + min(seconds, _ASKED_S)
            self._asked[key] = max(until, self._asked.get(key, until))
            self._put_off.pop(lesson, None)
            if key in self._no_room:
                self._no_room[key] = now
            self._uses += 1
            with self._lock:
                self._used.pop(lesson, None)
                self._used[lesson] = self._uses
                if len(self._used) > _USED_MOST:
                    del self._used[next(iter(self._used))]
            self.note(lesson)

    def put_off(self, lesson: str, until: float) -> None:
        """Nothing can be done for it before `until`."""
        self._put_off[lesson] = until

    def lacks_room(self, lesson: str, digest: str, until: float) -> None:
        """There is no room for the file; that is looked at again at `until`."""
        dues = self.dues()
        self._no_room = {key: at for key, at in self._no_room.items() if key[0] in dues}
        self._no_room[lesson, digest] = until

    def has_room(self, lesson: str, digest: str) -> None:
        """There is room for the file."""
        self._no_room.pop((lesson, digest), None)

    def gone(self, lessons: Iterable[str]) -> None:
        """Their lists made room for others. What is to come will be needed again; what is over, or
        fell through, comes again when somebody asks for it."""
        for lesson in lessons:
            if self._is_to_come(lesson):
                self.note(lesson)
            else:
                with self._lock:
                    self._dues.pop(lesson, None)

    # What follows from it.

    def asked(self, now: float) -> Collection[_Key]:
        """What somebody waits for."""
        for key in [key for key, until in self._asked.items() if until <= now]:
            del self._asked[key]
        return self._asked

    def waits(self, lesson: str, digest: str, now: float) -> float:
        """For how long somebody waits for it yet (s), not above 0 where nobody does."""
        return self._asked.get((lesson, digest), now) - now

    def possible(self, now: float) -> list[Due]:
        """Lessons of which something is not here, but those that are put off."""
        for lesson in [name for name, until in self._put_off.items() if until <= now]:
            del self._put_off[lesson]
        return [due for name, due in self.dues().items() if name not in self._put_off]

    def waits_for_room(self, lesson: str, digest: str, now: float) -> bool:
        """Whether there was no room for the file, and it is too early to look again."""
        return self._no_room.get((lesson, digest), now) > now

    def dues(self) -> dict[str, Due]:
        """Lessons of which something is not here; for any thread."""
        with self._lock:
            return dict(self._dues)

    @property
    def is_dated(self) -> bool:
        """Whether the date was known at the last `refresh`."""
        return self._date is not None

    def is_kept(self, lesson: str) -> bool:
        """Whether a class is to have it, or somebody pinned it; for any thread."""
        return lesson in self._coming or self._is_pinned(lesson)

    def giving_way(self, lesson: str) -> Iterator[str]:
        """Lessons whose lists may go for the lesson, first one first; for any thread."""
        names = [name for name in self._store.lessons() if not self._is_pinned(name)]
        others = [self._as_held(name) for name in names]
        yield from giving_way(self._as_held(lesson), others, self._date)

    def _as_held(self, lesson: str) -> Held:
        info, held = self._coming.get(lesson), self._store.held(lesson)
        used = self._used.get(lesson, 0)
        if info is not None:
            live = info.state is LessonState.LIVE
            return Held(lesson, info.planned_at, coming=True, live=live, used=used)
        at = self.at(lesson) or (held.at if held is not None else 0.0)
        return Held(lesson, at, over=lesson in self._past, used=used)

    def _is_to_come(self, lesson: str) -> bool:
        """Whether it is told of, and did not fall through."""
        info, date = self._coming.get(lesson), self._date
        live = info is not None and info.state is LessonState.LIVE
        return info is not None and (
            date is None or not fell_through(info.planned_at, date, live=live)
        )

    def at(self, lesson: str) -> float:
        """The lesson's date, 0 for not known."""
        info = self._coming.get(lesson)
        if info is not None:
            return info.planned_at or info.started_at or 0.0
        return self._past.get(lesson, ("", 0.0))[1]

    def list_digest(self, lesson: str) -> str:
        """Digest of the list that it should have, "" for none."""
        info = self._coming.get(lesson)
        if info is not None:
            return info.materials or ""
        return self._past.get(lesson, ("", 0.0))[0]

    def material(self, lesson: str, digest: str) -> Material | None:
        """A file of the list that is here."""
        held = self._store.held(lesson)
        return held.materials.find(digest) if held is not None else None

    def start(self) -> None:
        """Look at everything: at the start, and when somebody else wrote into the store. Raises
        Absent. Blocks."""
        self._store.scan()
        for lesson in self._store.lessons():
            held = self._store.held(lesson)
            if held is not None and lesson not in self._coming:
                self._past.setdefault(lesson, (held.digest, held.at))
        self.note(*self._held(), *self._past, *self._coming)

    def refresh(self, date: float | None) -> None:
        """Take in what was told and noted. date: now, unix seconds; None where none can be relied
        on. Raises Absent. Blocks."""
        self._date = date
        with self._lock:
            told, self._told = self._told, None
        if told is not None:
            self._take_told(told)
        with self._lock:
            coming = self._noted.intersection(self._coming)
            self._noted -= coming
        for lesson in coming:
            self._consider(lesson)
        self._is_known = True
        with self._lock:
            others = list(islice(self._noted, _CONSIDERED))
            self._noted.difference_update(others)
        for lesson in others:
            self._consider(lesson)

    def _take_told(self, told: tuple[LessonInfo, ...]) -> None:
        coming = {info.id: info for info in told if info.state is not LessonState.ENDED}
        for lesson, before in self._coming.items():
            if lesson not in coming:
                # Over, moved elsewhere or taken back: `_look_back` sees which.
                if before.materials:
                    self._past[lesson] = before.materials, self.at(lesson)
                with self._lock:
                    self._used.pop(lesson, None)
                    self._noted.add(lesson)
        changed = {name for name, info in coming.items() if info != self._coming.get(name)}
        self._coming = coming
        for lesson in changed:
            self._past.pop(lesson, None)
            if coming[lesson].materials is None:
                self._store.drop(lesson)
            else:
                self._store.date(lesson, self.at(lesson))
        self.note(*changed)

    def _look_back(self, lesson: str) -> None:
        """See whether a lesson that is not to come is over, and what it has then. What was taken
        back before it began left no archive, and nobody told that it ended; what is here of it
        stays while there is room, for it may be told of again."""
        directory = self._archives / lesson
        about, held = about_of(directory), self._store.held(lesson)
        told = self._list_told(lesson)
        if told is None:
            told, _ = list_in(about)
        if told == "":
            # Its teacher took the last file back.
            self._past.pop(lesson, None)
            self._store.drop(lesson)
        elif told is not None:
            at = about.get("planned_at") or about.get("started_at") or self.at(lesson)
            self._past[lesson] = told, at if isinstance(at, float) else 0.0
        elif not directory.is_dir() and lesson not in self._used:
            self._past.pop(lesson, None)
        elif held is not None:
            self._past.setdefault(lesson, (held.digest, held.at))
        if at := self.at(lesson):
            self._store.date(lesson, at)

    def _consider(self, lesson: str) -> None:
        """Whether something of it is to come."""
        if lesson not in self._coming:
            self._look_back(lesson)
        due = self._due(lesson)
        with self._lock:
            if due is not None:
                self._dues[lesson] = due
            else:
                self._dues.pop(lesson, None)

    def _due(self, lesson: str) -> Due | None:
        digest = self.list_digest(lesson)
        if not digest:
            return None
        info, held = self._coming.get(lesson), self._store.held(lesson)
        files: tuple[tuple[str, int], ...] | None = None
        if held is not None and held.digest == digest:
            missing = self._store.missing(lesson)
            files = tuple((one.digest, self._store.left(one)) for one in missing)
        if files == ():
            return None
        live = info is not None and info.state is LessonState.LIVE
        planned_at = info.planned_at if info is not None else self.at(lesson)
        older = files is None and held is not None
        return Due(lesson, digest, planned_at, info is not None, live, files, older)

    def progress(self) -> dict[str, int]:
        """lessons: to come, that have materials. whole: of these, with everything here. lists_left,
        files_left, bytes_left: still to come of the others. lessons_without_room,
        files_without_room, bytes_without_room: for which of these there is no room now;
        soon_without_room: lessons of them that run or begin within a day."""
        coming = list(self._coming.items())
        lessons = [name for name, info in coming if info.materials and self._is_to_come(name)]
        if not self._is_known:
            lists = len(lessons)
            return {"lessons": lists, "whole": 0, "lists_left": lists} | _NOTHING
        found = self.dues()
        dues = [due for name in lessons if (due := found.get(name)) is not None]
        files = {digest: size for due in dues for digest, size in due.files or ()}
        without = [
            (due, digest, size)
            for due in dues
            for digest, size in due.files or ()
            if (due.lesson, digest) in self._no_room
        ]
        shut = {digest: size for _, digest, size in without}
        return {
            "lessons": len(lessons),
            "whole": len(lessons) - len(dues),
            "lists_left": sum(due.files is None for due in dues),
            "files_left": len(files),
            "bytes_left": sum(files.values()),
            "lessons_without_room": len({due.lesson for due, _, _ in without}),
            "soon_without_room": len({due.lesson for due, _, _ in without if self._is_near(due)}),
            "files_without_room": len(shut),
            "bytes_without_room": sum(shut.values()),
        }

    def _is_near(self, due: Due) -> bool:
        if due.live or due.planned_at is None:
            return True
        return self._date is not None and due.planned_at - self._date <= _NEAR_S
