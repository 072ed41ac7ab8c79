"""The state machine of a lesson: planned → live → ended → published, never back.

Every move is a function from a lesson to the lesson after it; a move that changes nothing gives
back the same lesson, so that a request repeated over a weak link does no harm. A move that is
not allowed raises Refused 409. Who may ask is decided by tokens; here stands only what the state
allows. Times are unix seconds. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from classroom.errors import Refused
from classroom.library import fold
from classroom.wire import LessonState

# Leaves room for a dash and the tail within the 40 characters of a lesson id.
_SLUG_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class Archive:
    """What is recorded: seconds, bytes on disk, names of the renditions."""

    duration: float
    bytes: int
    renditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson as the records keep it.

    school: the one that teaches. teacher: the name on screen.
    owner: subject of the token that planned it.
    started_by: subject of the token that went live, None if media came without the page.
    relay, relay_url: name and public address of the relay that carries or carried it.
    materials: digest of the list of files that go along with it, None without any.
    """

    id: str
    title: str
    subject: str | None
    grade: str | None
    teacher: str
    owner: str
    created_at: float
    school: str | None = None
    planned_at: float | None = None
    state: LessonState = LessonState.PLANNED
    started_at: float | None = None
    started_by: str | None = None
    ended_at: float | None = None
    published_at: float | None = None
    relay: str | None = None
    relay_url: str | None = None
    archive: Archive | None = None
    materials: str | None = None


def plan(
    lesson_id: str,
    title: str,
    *,
    teacher: str,
    owner: str,
    now: float,
    subject: str | None = None,
    grade: str | None = None,
    school: str | None = None,
    planned_at: float | None = None,
) -> Lesson:
    """A new lesson; the caller has checked the texts."""
    return Lesson(
        id=lesson_id,
        title=title,
        subject=subject,
        grade=grade,
        teacher=teacher,
        owner=owner,
        created_at=now,
        school=school,
        planned_at=planned_at,
    )


def start(
    lesson: Lesson, *, relay: str, relay_url: str, by: str | None, publishing: bool, now: float
) -> Lesson:
    """`lesson` live on `relay`.

    by: subject of the teacher's token; None when the relay reports media nobody announced.
    publishing: whether media of this lesson arrives now. Then only the teacher who started it may
    start it again (a reloaded page); without media anyone who may teach it can take it over.
    Raises Refused 409 lesson-ended or lesson-already-live.
    """
    if lesson.state in (LessonState.ENDED, LessonState.PUBLISHED):
        raise Refused(
            409,
            "lesson-ended",
            f"The lesson “{lesson.title}” is over.",
            fix="Plan a new lesson and start that one.",
            field="lesson",
        )
    if lesson.state is LessonState.LIVE:
        if by is None or by == lesson.started_by:
            return lesson
        if publishing and lesson.started_by is not None:
            raise Refused(
                409,
                "lesson-already-live",
                f"The lesson “{lesson.title}” is being taught from another device.",
                fix="Stop it on the other device first, or wait until that one is gone.",
                field="lesson",
            )
        return replace(lesson, started_by=by)
    return replace(
        lesson,
        state=LessonState.LIVE,
        started_at=now,
        started_by=by,
        relay=relay,
        relay_url=relay_url,
    )


def end(lesson: Lesson, now: float) -> Lesson:
    """`lesson` ended; one that has ended stays as it is. Refused 409 lesson-not-live if planned."""
    if lesson.state is LessonState.PLANNED:
        raise Refused(
            409,
            "lesson-not-live",
            f"The lesson “{lesson.title}” has not begun.",
            fix="Start the lesson before you end it.",
            field="lesson",
        )
    if lesson.state is not LessonState.LIVE:
        return lesson
    return replace(lesson, state=LessonState.ENDED, ended_at=now)


def publish(lesson: Lesson, archive: Archive, now: float) -> Lesson:
    """`lesson` in the library. A live one is ended first: its relay has closed the archive.

    Refused 409 lesson-not-live if planned: nothing can have been recorded.
    """
    lesson = end(lesson, now)
    if lesson.state is LessonState.PUBLISHED:
        return lesson if lesson.archive == archive else replace(lesson, archive=archive)
    return replace(lesson, state=LessonState.PUBLISHED, published_at=now, archive=archive)


def require_removable(lesson: Lesson) -> None:
    """Raise Refused 409 lesson-not-planned unless the lesson may be taken back: nobody has seen
    anything of it."""
    if lesson.state is not LessonState.PLANNED:
        raise Refused(
            409,
            "lesson-not-planned",
            f"The lesson “{lesson.title}” has begun, so it stays.",
            fix="Remove only lessons that have not begun.",
            field="lesson",
        )


def is_open(lesson: Lesson) -> bool:
    """Whether it can still be taught: planned or live. Relays are told of these."""
    return lesson.state in (LessonState.PLANNED, LessonState.LIVE)


def is_forsaken(
    lesson: Lesson,
    *,
    heard_at: float,
    published_at: float,
    now: float,
    idle_end_s: float,
    silent_end_s: float,
) -> bool:
    """Whether a live lesson should be ended because nobody teaches it.

    heard_at: when its relay last said anything of it; published_at: when media last arrived. Use
    the later of the lesson's start and this process's start where nothing was heard yet.
    A relay that is only out of touch may carry the lesson on, so silence gets a longer time than
    a relay that says that nobody publishes.
    """
    if lesson.state is not LessonState.LIVE:
        return False
    in_touch_since_idle = heard_at - published_at >= idle_end_s
    return in_touch_since_idle or now - heard_at >= silent_end_s


def new_lesson_id(title: str, tail: str) -> str:
    """A lesson id that people can read: the title in plain letters and `tail` to make it unique.

    tail: 4 to 7 characters of a-z and 0-9.
    """
    plain = "".join(
        character if character.isascii() and character.isalnum() else " "
        for character in unicodedata.normalize("NFKD", fold(title))
    )
    slug = "-".join(plain.split())[:_SLUG_CHARS].strip("-")
    return f"{slug or 'lesson'}-{tail}"


def unknown_lesson(lesson_id: str, known: Sequence[str] = ()) -> Refused:
    """Refused 404 for a lesson that is not there; `known` are ids to offer instead."""
    fix = "Check the address, or ask the teacher for the link."
    if known:
        fix = "The lessons are " + ", ".join(known[:5]) + "."
    detail = f"There is no lesson {lesson_id!r}."
    return Refused(404, "lesson-unknown", detail, fix=fix, field="lesson")
