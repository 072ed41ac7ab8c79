"""The list of lessons that relays below are told, made once for all of them.

Media and recordings change every second and concern no child; the list changes when a lesson is
planned, begins, ends or is taken back. Lives here: what is in the list and when it is another one.
Must not live here: sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from classroom.clock import Clock, wall
from classroom.wire import (
    LessonInfo,
    LessonState,
    ListChange,
    Recording,
    RelayLessons,
    fit_lessons,
    urgency,
)
from relay.web.lessons import KnownLessons


class Timetable:
    """Call `observe` to hear of changes."""

    def __init__(self, lessons: KnownLessons, now: Clock = wall) -> None:
        """now: Unix seconds."""
        self._lessons = lessons
        self._wall = now
        self._steady = {info.id: _steady(info) for info in lessons.all() if _is_open(info)}
        self._made: RelayLessons | None = None
        self._observers: set[Callable[[], None]] = set()
        lessons.observe(self._look)
        lessons.late.observe(lambda lesson: self._tell())

    def observe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` when a list is another one; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    @property
    def message(self) -> RelayLessons:
        """What can still be taught, live ones first, then the next. The same object while nothing
        changed."""
        if self._made is None:
            now = self._wall()

            def key(info: LessonInfo) -> tuple[tuple[int, float], str]:
                # One without a date may begin at any time.
                live = info.state is LessonState.LIVE
                return urgency(info.planned_at or now, now, live=live), info.id

            infos = [_steady(info) for info in self._lessons.all() if _is_open(info)]
            self._made = fit_lessons(sorted(infos, key=key))
        return self._made

    @property
    def late_lists(self) -> list[ListChange]:
        """Lists of materials that changed after their lesson, the newest first."""
        return self._lessons.late.all

    def ended(self, most: int) -> list[str]:
        """The last `most` lessons that ended, the newest first."""
        return [info.id for info in self._lessons.over(lambda _: True, most)]

    def _look(self, lesson: str) -> None:
        info = self._lessons.info(lesson)
        now = _steady(info) if info is not None and _is_open(info) else None
        over = info is not None and info.state is LessonState.ENDED
        if now == self._steady.get(lesson) and not over:
            return
        if now is None:
            self._steady.pop(lesson, None)
        else:
            self._steady[lesson] = now
        self._made = None
        self._tell()

    def _tell(self) -> None:
        for observer in list(self._observers):
            observer()


def _is_open(info: LessonInfo) -> bool:
    return info.state in (LessonState.PLANNED, LessonState.LIVE)


def _steady(info: LessonInfo) -> LessonInfo:
    """Without what changes by the second, which a child sees for itself."""
    return replace(info, rooms=0, recording=Recording(), sources=(), publishing=False)
