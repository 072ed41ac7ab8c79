"""The lessons that this relay knows: told by the control plane, seen live, or kept as archives.

One place merges what the control plane says (title, teacher, state), what the media process sees
(publishing, sources, rooms) and how the recording fares; pages and the control plane are told from
here. The control plane's list is kept on disk, so that a relay that starts without it still knows
its lessons. The last ones that ended are remembered with it, so that a room that was away meanwhile
hears that its lesson is over.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from classroom.clock import Clock, wall
from classroom.errors import Misuse, Refused
from classroom.wire import (
    LessonInfo,
    LessonState,
    Recording,
    RecordingState,
    RelayLessons,
    Source,
    decode,
    encode,
    fit_lessons,
)
from relay.web.late_lists import LateLists

_log: Final = logging.getLogger("relay.service")

# A page that waits for an ended lesson leaves it within the day; a school has a few lessons a day.
_OVER_KEPT: Final = 50
# A teacher may begin this late; after that a room waits for the next lesson instead.
_PAST_SECONDS: Final = 2 * 3600.0


class KnownLessons:
    """Call `observe` to hear of changes. Lives on the service's event loop."""

    def __init__(self, kept: Path, now: Clock = wall) -> None:
        """kept: file that holds the control plane's last list. now: unix seconds."""
        self._kept = kept
        self._wall = now
        self._told: dict[str, LessonInfo] = {}
        # Lessons that ended here, newest last, so that their pages are told and nobody goes on.
        self._over: dict[str, LessonInfo] = {}
        self._media: dict[str, dict[str, Any]] = {}
        self._recordings: dict[str, Recording] = {}
        self._observers: set[Callable[[str], None]] = set()
        self.late = LateLists(kept.with_name("late_lists.json"))
        """Lists of materials that changed after their lesson."""
        self._load()

    def observe(self, observer: Callable[[str], None]) -> Callable[[], None]:
        """Call `observer(lesson)` on every change; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def is_known(self, lesson: str) -> bool:
        """Whether rooms may wait for the lesson here."""
        return lesson in self._told or bool(self._media.get(lesson, {}).get("publishing"))

    def info(self, lesson: str) -> LessonInfo | None:
        """All that is known of a lesson, None when nothing is."""
        told = self._told.get(lesson)
        if told is None and (over := self._over.get(lesson)) is not None:
            late = self.late.of(lesson)
            materials = late.materials if late is not None else over.materials
            recording = self._recordings.get(lesson, Recording())
            return replace(over, materials=materials, recording=recording)
        media = self._media.get(lesson)
        recording = self._recordings.get(lesson, Recording())
        if told is None:
            if media is None or not media["publishing"]:
                return None
            # The control plane is away: the lesson goes on under its name alone.
            told = LessonInfo(lesson, lesson, "", LessonState.LIVE, False, (), 0, recording, None)
        if media is None:
            return replace(told, publishing=False, sources=(), rooms=0, recording=recording)
        state = told.state
        if media["publishing"] and state is LessonState.PLANNED:
            state = LessonState.LIVE
        return replace(
            told,
            state=state,
            publishing=media["publishing"],
            sources=tuple(Source(name) for name in media["sources"]),
            rooms=media["rooms"],
            recording=recording,
        )

    def all(self) -> list[LessonInfo]:
        """Every lesson that runs or is to come, live ones first, then the one begun last."""
        infos = [self.info(name) for name in {*self._told, *self._media}]
        return sorted(
            (info for info in infos if info is not None and info.id not in self._over),
            key=lambda info: (info.state is not LessonState.LIVE, -(info.started_at or 0), info.id),
        )

    def current(self, allowed: Callable[[str], bool]) -> LessonInfo | None:
        """The lesson that a room should show: live before planned, publishing before waiting, and
        of those to come the next one."""
        now = self._wall()
        shown = [
            info
            for info in self.all()
            if allowed(info.id) and info.state in (LessonState.LIVE, LessonState.PLANNED)
        ]
        return min(shown, key=lambda info: _turn(info, now), default=None)

    def standing(self) -> list[LessonInfo]:
        """The list as those above told it last."""
        return list(self._told.values())

    def materials(self, lesson: str) -> str | None:
        """Of a lesson to come or live, the digest of the list of its materials as those above told
        it last, "" for none; None where they tell nothing of it, or nothing any more."""
        told = self._told.get(lesson)
        return None if told is None else told.materials or ""

    def materials_at_end(self, lesson: str) -> str | None:
        """Of one of the last lessons that ended here, the same as it was then, None also where it
        is not known: it may have been known by its name alone."""
        over = self._over.get(lesson)
        return over.materials if over is not None else None

    def over(self, allowed: Callable[[str], bool], most: int) -> list[LessonInfo]:
        """The last `most` lessons that ended here, newest first."""
        names = [name for name in reversed(self._over) if allowed(name)]
        return [info for name in names[:most] if (info := self.info(name)) is not None]

    def told(self, lessons: Iterable[LessonInfo]) -> list[str]:
        """The control plane's list; returns lessons that were live and are not in it any more."""
        new = {info.id: info for info in lessons}
        gone = [name for name in self._told if name not in new]
        for name in gone:
            info = self.info(name)
            # A planned lesson may have moved elsewhere, or out of a long list.
            if info is not None and info.state is not LessonState.PLANNED:
                self._bury(info)
        for name in new:
            self._over.pop(name, None)
        self._told = new
        self._store()
        for name in {*new, *gone}:
            self._tell(name)
        return gone

    def ended(self, lesson: str) -> None:
        """The control plane says that the lesson is over."""
        info = self.info(lesson)
        self._told.pop(lesson, None)
        if info is not None:
            self._bury(info)
            self._store()
        self._media.pop(lesson, None)
        self._tell(lesson)

    def _bury(self, info: LessonInfo) -> None:
        ended = replace(info, state=LessonState.ENDED, publishing=False, sources=(), rooms=0)
        self._over[info.id] = ended
        if len(self._over) > _OVER_KEPT:
            del self._over[next(iter(self._over))]

    def media(self, status: dict[str, Any]) -> None:
        """What the media process sees of one lesson."""
        name = status["lesson"]
        if self._media.get(name) == status:
            return
        if status["publishing"] or status["rooms"] or name in self._told:
            self._media[name] = status
        else:
            self._media.pop(name, None)  # nobody's lesson: a name to forget
        self._tell(name)

    def media_lost(self) -> None:
        """The media process is gone: nobody publishes until it says otherwise."""
        for name in list(self._media):
            del self._media[name]
            self._tell(name)

    def recording(self, lesson: str, state: str, detail: str, seconds: float) -> None:
        """How the recording of a lesson fares."""
        self._recordings[lesson] = Recording(RecordingState(state), detail, seconds)
        self._tell(lesson)

    def recording_of(self, lesson: str) -> Recording:
        """The recording's last state."""
        return self._recordings.get(lesson, Recording())

    def status(self, lesson: str) -> Mapping[str, Any]:
        """The media process's last word on a lesson."""
        return self._media.get(
            lesson, {"lesson": lesson, "publishing": False, "sources": [], "rooms": 0}
        )

    def _tell(self, lesson: str) -> None:
        for observer in list(self._observers):
            observer(lesson)

    def _load(self) -> None:
        try:
            message = decode(self._kept.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, Refused) as error:
            _log.warning("kept-lessons-unusable", extra={"reason": str(error)})
            return
        if isinstance(message, RelayLessons):
            for info in reversed(message.lessons):
                if info.state is LessonState.ENDED:
                    self._over[info.id] = info
            for info in message.lessons:
                if info.state is not LessonState.ENDED:
                    self._told[info.id] = info

    def _store(self) -> None:
        temporary = self._kept.with_suffix(".tmp")
        try:
            # Lessons to come matter more than those that ended, if one message cannot hold all.
            kept = fit_lessons((*self._told.values(), *reversed(self._over.values())))
            temporary.write_bytes(encode(kept))
            os.replace(temporary, self._kept)
        except (OSError, Misuse) as error:
            _log.warning("lessons-not-kept", extra={"reason": str(error)})


def _turn(info: LessonInfo, now: float) -> tuple[bool, bool, bool, float]:
    """Sorts lessons by which a room should show first."""
    if info.state is LessonState.LIVE:
        return (False, not info.publishing, False, -(info.started_at or 0.0))
    # One without a date may begin at any time: it comes after those of the next two hours.
    late = now - info.planned_at if info.planned_at is not None else _PAST_SECONDS
    return (True, not info.publishing, late > _PAST_SECONDS, abs(late))


def as_json(info: LessonInfo) -> dict[str, Any]:
    """The lesson as `GET /api/lessons` gives it."""
    document: dict[str, Any] = json.loads(json.dumps(_plain(info)))
    return document


def _plain(info: LessonInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "title": info.title,
        "subject": info.subject,
        "grade": info.grade,
        "school": info.school,
        "teacher": info.teacher,
        "state": info.state,
        "publishing": info.publishing,
        "sources": list(info.sources),
        "rooms": info.rooms,
        "planned_at": info.planned_at,
        "started_at": info.started_at,
        "recording": {
            "state": info.recording.state,
            "detail": info.recording.detail,
            "seconds": info.recording.seconds,
        },
        "materials": info.materials,
    }
