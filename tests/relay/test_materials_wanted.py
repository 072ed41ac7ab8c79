"""Which materials should be here: what was taken back, what makes room, what is told of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from classroom.wire import LessonInfo
from relay.cache.cache import Cache
from relay.cache.materials import MaterialStore
from relay.settings import RelaySettings
from relay.sync.materials_plan import next_fetches
from relay.sync.materials_wanted import Wanted
from relay.web.access import Access
from relay.web.lesson_materials import LessonMaterials
from relay.web.lessons import KnownLessons
from tests.fakes.materials import KB, coming, fill, some_bytes, take

DATE = 1_780_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR


class Here:
    """A relay's materials without a link. over: lessons that ended with their lists, as those above
    told. restart: another process of it."""

    def __init__(self, folder: Path, quota_bytes: int = 0) -> None:
        self.archives = folder / "archives"
        self._folder = folder / "materials"
        self._quota = quota_bytes
        self.pinned: set[str] = set()
        self.over: dict[str, str] = {}
        self.restart()

    def restart(self) -> None:
        self.store = MaterialStore(self._folder, quota_bytes=self._quota)
        self.wanted = Wanted(
            self.store, self.archives, list, self.pinned.__contains__, self.over.get
        )
        self.wanted.start()
        self.wanted.refresh(DATE)

    def tell(self, *lessons: LessonInfo) -> None:
        self.wanted.tell(lessons)
        self.wanted.refresh(DATE)

    def fetches(self) -> list[str]:
        """Lessons of which something is to be fetched, in order."""
        found = next_fetches(self.wanted.possible(0.0), (), DATE)
        return list(dict.fromkeys(fetch.lesson for fetch in found))

    def make_room(self, size: int, lesson: str) -> list[str] | None:
        """The lessons that go for it, None when there is no room."""
        went: list[str] = []
        if not self.store.make_room(size, self.wanted.giving_way(lesson), went.append):
            return None
        self.wanted.gone(went)
        self.wanted.refresh(DATE)
        return went

    def digest(self, lesson: str) -> str:
        """Of the list that is here."""
        held = self.store.held(lesson)
        assert held is not None
        return held.digest

    def archive(self, lesson: str, about: str = "{}") -> None:
        """Something of its recording is here."""
        (self.archives / lesson).mkdir(parents=True)
        (self.archives / lesson / "about.json").write_text(about)
        self.wanted.note(lesson)
        self.wanted.refresh(DATE)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path, 350 * KB)


def test_lessons_that_never_were_and_far_ones_make_room_for_the_next(here: Here) -> None:
    dates = {"fell": -365 * DAY, "far": 30 * DAY, "farther": 31 * DAY}
    told = []
    for seed, (name, in_s) in enumerate(dates.items()):
        at = DATE + in_s
        told.append(coming(name, fill(here.store, name, some_bytes(seed), at=at), at))
    soon = coming("soon", take(here.store, "soon", some_bytes(9)), DATE + HOUR)
    here.tell(*told, soon)
    assert here.make_room(100 * KB, "soon") == ["fell"]
    # What fell through comes again only when somebody asks for it, what is to come by itself.
    assert here.fetches() == ["soon"]
    assert here.make_room(200 * KB, "soon") == ["farther"]
    assert here.fetches() == ["soon", "farther"]
    # It puts out nothing that comes before it, and so waits.
    assert here.make_room(300 * KB, "farther") is None
    here.wanted.ask("fell", "", 0.0)
    here.wanted.refresh(DATE)
    assert here.fetches() == ["soon", "farther", "fell"]


def test_a_pinned_lesson_stays(here: Here) -> None:
    for seed, name in enumerate(("one", "two", "three")):
        fill(here.store, name, some_bytes(seed), at=float(seed))
    here.pinned.add("one")
    assert here.make_room(100 * KB, "four") is None
    here.archive("four", f'{{"materials": "{"a" * 64}", "planned_at": 9.0}}')
    assert here.make_room(100 * KB, "four") == ["two"]


def test_an_old_lesson_that_somebody_opened_is_not_put_out_by_a_newer_one(here: Here) -> None:
    for seed, name in enumerate(("old", "mid", "new"), 1):
        digest = fill(here.store, name, some_bytes(seed), at=float(seed))
        here.archive(name, f'{{"materials": "{digest}", "planned_at": {seed}.0}}')
    here.wanted.ask("old", "", 0.0)
    assert here.make_room(100 * KB, "new") == ["mid"]
    assert here.make_room(200 * KB, "new") is None
    assert here.make_room(200 * KB, "old") == ["new"]


def test_a_lesson_taken_back_is_due_no_more_and_goes_first(tmp_path: Path) -> None:
    here = Here(tmp_path, 350 * KB)
    for seed, name in enumerate(("over", "fell")):
        fill(here.store, name, some_bytes(seed), at=5.0)
    here.archive("over", f'{{"materials": "{here.digest("over")}", "planned_at": 5.0}}')
    fell = coming("fell", here.digest("fell"), DATE - 9 * DAY)
    at = DATE + DAY
    planned = coming("xoa", take(here.store, "xoa", some_bytes(2), some_bytes(3), at=at), at)
    here.tell(fell, planned)
    assert here.fetches() == ["xoa"]
    # Somebody looked at it before, which does not keep it.
    here.wanted.ask("xoa", "", 0.0)
    here.tell(fell)
    assert here.fetches() == []
    here.restart()
    here.tell(fell)
    assert here.fetches() == []
    # What is here of it stays while there is room: it may have moved, and come back.
    assert here.store.held("xoa") is not None
    here.tell(fell, planned)
    assert here.fetches() == ["xoa"]
    here.tell(fell)
    here.archive("moi", f'{{"materials": "{"a" * 64}", "planned_at": 9.0}}')
    assert list(here.wanted.giving_way("moi")) == ["xoa", "fell", "over"]


@pytest.mark.parametrize("archive_first", [False, True])
def test_a_lesson_that_was_held_is_due_whatever_is_heard_of_first(
    here: Here, archive_first: bool
) -> None:
    digest = take(here.store, "toan-1", some_bytes(1), at=DATE)
    info = coming("toan-1", digest, DATE)
    here.tell(info)
    # The school was cut off while it ran: all that it hears is that it is not to come any more.
    if not archive_first:
        here.tell()
        assert here.fetches() == []
    here.archive("toan-1", f'{{"materials": "{digest}", "planned_at": {DATE}}}')
    here.tell()
    assert here.fetches() == ["toan-1"]
    here.restart()
    here.wanted.note("toan-1")
    here.wanted.refresh(DATE)
    assert here.fetches() == ["toan-1"]


def test_a_lesson_that_ended_is_due_before_anything_of_its_recording_is_here(here: Here) -> None:
    info = coming("toan-1", take(here.store, "toan-1", some_bytes(1), at=DATE), DATE, live=True)
    here.tell(info)
    here.over["toan-1"] = info.materials or ""
    here.tell()
    assert here.fetches() == ["toan-1"]
    here.restart()
    assert here.fetches() == ["toan-1"]


def test_a_relay_tells_what_ended_from_what_was_taken_back_after_a_restart(tmp_path: Path) -> None:
    store = MaterialStore(tmp_path / "materials")
    store.scan()
    planned, live = (
        coming(name, take(store, name, some_bytes(1)), DATE, live=name == "toan-1")
        for name in ("xoa", "toan-1")
    )
    lessons = KnownLessons(tmp_path / "lessons.msgpack")
    lessons.told([planned, live])
    lessons.told([])
    lessons = KnownLessons(tmp_path / "lessons.msgpack")
    settings = RelaySettings(data=str(tmp_path))
    access = Access(lambda: "http://127.0.0.1:1", tmp_path / "keys.json")
    cache = Cache(tmp_path / "archives", tmp_path / "cache.json", root=True)
    wanted = LessonMaterials(settings, access, lessons, cache, None, lambda: "").sync.wanted
    wanted.start()
    wanted.refresh(DATE)
    assert list(wanted.dues()) == ["toan-1"]


def test_what_has_no_room_is_told_and_is_not_on_its_way(here: Here) -> None:
    one, two = some_bytes(1), some_bytes(2)
    lists = {name: take(here.store, name, one, two) for name in ("soon", "fell")}
    here.tell(
        coming("soon", lists["soon"], DATE + 2 * HOUR),
        coming("fell", lists["fell"], DATE - 2 * DAY),
    )
    digests = [digest for digest, _ in here.wanted.dues()["soon"].files or ()]
    here.wanted.lacks_room("soon", digests[0], 600.0)
    here.wanted.lacks_room("fell", digests[0], 600.0)
    assert here.wanted.waits_for_room("soon", digests[0], 599.0)
    assert not here.wanted.waits_for_room("soon", digests[1], 599.0)
    # What fell through is none that is to come.
    told = {
        "lessons": 1,
        "whole": 0,
        "lists_left": 0,
        "files_left": 2,
        "bytes_left": 200 * KB,
        "lessons_without_room": 1,
        "soon_without_room": 1,
        "files_without_room": 1,
        "bytes_without_room": 100 * KB,
    }
    assert here.wanted.progress() == told
    # Who waits makes it be looked for at once; that there is none is still so.
    here.wanted.ask("soon", digests[0], 5.0)
    assert not here.wanted.waits_for_room("soon", digests[0], 5.0)
    assert here.wanted.progress() == told
    here.wanted.has_room("soon", digests[0])
    assert here.wanted.progress()["files_without_room"] == 0


@contextmanager
def often_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def test_a_file_may_come_while_lessons_are_looked_at(here: Here) -> None:
    lessons = [coming(f"l-{number}", f"{number:064x}", DATE) for number in range(300)]
    without = [coming(info.id, None, DATE) for info in lessons]
    here.tell(*lessons)
    stopped = threading.Event()

    def look() -> None:
        while not stopped.is_set():
            here.tell(*without)
            here.tell(*lessons)

    thread = threading.Thread(target=look)
    with often_switching():
        thread.start()
        try:
            for _ in range(3000):
                here.wanted.came("f" * 64)
                here.wanted.possible(0.0)
                here.wanted.progress()
        finally:
            stopped.set()
            thread.join()
