"""Which materials should be here."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from classroom.wire import LessonInfo
from relay.cache.materials import MaterialStore
from relay.sync.materials_wanted import Wanted
from tests.fakes.materials import coming

DATE = 1_780_000_000.0


class Here:
    """A relay's materials without a link."""

    def __init__(self, folder: Path) -> None:
        self.store = MaterialStore(folder / "materials")
        self.wanted = Wanted(self.store, folder / "archives", list, lambda lesson: False)
        self.wanted.start()

    def tell(self, *lessons: LessonInfo) -> None:
        self.wanted.tell(lessons)
        self.wanted.refresh()


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


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
