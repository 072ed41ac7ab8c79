"""How a lesson is shown: joins what the records say with what relays report.

`LessonView` is the joined form; `as_json` is the API's Lesson, `as_info` the wire's LessonInfo.
Nothing here reads a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from classroom.lessons import Lesson
from classroom.store import RelayAlive, Report
from classroom.wire import LessonInfo, LessonState, Recording, RecordingState, Source, to_map


@dataclass(frozen=True, slots=True)
class LessonView:
    """A lesson with its live side; relay_url is where browsers reach its relay, or None."""

    lesson: Lesson
    relay_url: str | None
    publishing: bool
    sources: tuple[Source, ...]
    rooms: int
    recording: Recording

    def as_json(self, subject: str) -> dict[str, object]:
        """The API's Lesson, as it is shown to whoever's token has this subject."""
        lesson = self.lesson
        return {
            "id": lesson.id,
            "title": lesson.title,
            "subject": lesson.subject,
            "grade": lesson.grade,
            "school": lesson.school,
            "teacher": lesson.teacher,
            "mine": subject in (lesson.owner, lesson.started_by),
            "state": lesson.state.value,
            "planned_at": lesson.planned_at,
            "started_at": lesson.started_at,
            "ended_at": lesson.ended_at,
            "relay": self.relay_url,
            "publishing": self.publishing,
            "rooms": self.rooms,
            "recording": to_map(self.recording),
            "materials": lesson.materials,
        }

    def as_info(self) -> LessonInfo:
        """The wire's LessonInfo."""
        lesson = self.lesson
        return LessonInfo(
            id=lesson.id,
            title=lesson.title,
            teacher=lesson.teacher,
            state=lesson.state,
            publishing=self.publishing,
            sources=self.sources,
            rooms=self.rooms,
            recording=self.recording,
            started_at=lesson.started_at,
            subject=lesson.subject,
            grade=lesson.grade,
            planned_at=lesson.planned_at,
            school=lesson.school,
            materials=lesson.materials,
        )


def view(
    lesson: Lesson,
    reports: Iterable[Report],
    relays: Sequence[RelayAlive],
    *,
    now: float,
    fresh_s: float,
) -> LessonView:
    """`lesson` as it is shown at `now`.

    reports: those of this lesson. One older than fresh_s no longer says who is there, but its
    recording still stands: what is on disk does not go away with the connection.
    """
    carried = None
    rooms = 0
    for report in reports:
        if now - report.at < fresh_s:
            rooms += report.rooms
        if report.relay == lesson.relay:
            carried = report
    fresh = carried is not None and now - carried.at < fresh_s
    on_air = carried is not None and fresh and carried.publishing
    return LessonView(
        lesson=lesson,
        relay_url=next(
            (relay.url for relay in relays if relay.name == lesson.relay), lesson.relay_url
        ),
        publishing=on_air and lesson.state is LessonState.LIVE,
        sources=carried.sources if carried is not None and on_air else (),
        rooms=rooms,
        recording=_recording(lesson, carried),
    )


def _recording(lesson: Lesson, carried: Report | None) -> Recording:
    if lesson.archive is not None:
        return Recording(RecordingState.FINISHED, "", lesson.archive.duration)
    return carried.recording if carried is not None else Recording()
