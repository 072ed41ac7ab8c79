"""What a relay knows of its lessons: told, seen, remembered; with the control plane or without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from classroom.wire import (
    LessonInfo,
    LessonState,
    Recording,
    RecordingState,
    Source,
    fit_lessons,
)
from relay.web.lessons import KnownLessons, as_json


def info(name: str, state: LessonState = LessonState.LIVE, title: str = "Light") -> LessonInfo:
    return LessonInfo(name, title, "Ms Lan", state, False, (), 0, Recording(), 1000.0)


def seen(name: str, *, publishing: bool = True, rooms: int = 0) -> dict[str, object]:
    sources = ["voice", "camera"] if publishing else []
    return {"lesson": name, "publishing": publishing, "sources": sources, "rooms": rooms}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "lessons.msgpack"


def test_words_sight_and_recording_are_merged(kept: Path) -> None:
    lessons = KnownLessons(kept)
    lessons.told([info("physics", LessonState.PLANNED)])
    lessons.media(seen("physics", rooms=3))
    lessons.recording("physics", "recording", "", 12.0)
    found = lessons.info("physics")
    assert found is not None
    assert (found.title, found.state, found.publishing) == ("Light", LessonState.LIVE, True)
    assert (found.sources, found.rooms) == ((Source.VOICE, Source.CAMERA), 3)
    assert found.recording == Recording(RecordingState.RECORDING, "", 12.0)
    assert as_json(found)["recording"]["seconds"] == 12.0


def test_a_lesson_goes_on_under_its_name_while_the_control_plane_is_away(kept: Path) -> None:
    lessons = KnownLessons(kept)
    assert not lessons.is_known("physics")
    lessons.media(seen("physics"))
    assert lessons.is_known("physics")
    found = lessons.info("physics")
    assert found is not None
    assert (found.title, found.state) == ("physics", LessonState.LIVE)


def test_of_more_lessons_than_one_message_holds_those_to_come_are_kept(kept: Path) -> None:
    lessons = KnownLessons(kept)
    many = [info(f"om-{n:03d}", LessonState.PLANNED, "Định luật Ôm " * 15) for n in range(400)]
    held = fit_lessons([info("live"), info("early"), *many]).lessons
    assert len(held) < 400
    lessons.told(held)
    assert lessons.told(fit_lessons([info("early"), *many]).lessons) == ["live"]
    again = KnownLessons(kept)
    assert [one.id for one in again.all()] == [one.id for one in lessons.all()]
    # What ended is remembered as far as there is room, the last one first.
    lessons.told([info("early"), many[0]])
    lessons.ended("early")
    again = KnownLessons(kept)
    assert [one.id for one in again.over(lambda _: True, 9)] == ["early", "live"]
    assert [one.id for one in again.all()] == ["om-000"]


def test_a_name_that_nobody_taught_under_is_forgotten(kept: Path) -> None:
    lessons = KnownLessons(kept)
    for number in range(100):
        lessons.media(seen(f"try-{number}"))
        lessons.media(seen(f"try-{number}", publishing=False))
    assert lessons.all() == []
    assert lessons.info("try-1") is None
    assert len(lessons._media) == 0


def test_an_ended_lesson_is_told_as_ended_and_not_shown_any_more(kept: Path) -> None:
    lessons = KnownLessons(kept)
    lessons.told([info("physics"), info("history", LessonState.PLANNED)])
    lessons.media(seen("physics"))
    changes: list[str] = []
    lessons.observe(changes.append)
    lessons.ended("physics")
    assert changes == ["physics"]
    found = lessons.info("physics")
    assert found is not None
    assert (found.state, found.publishing, found.rooms) == (LessonState.ENDED, False, 0)
    assert [one.id for one in lessons.all()] == ["history"]
    assert not lessons.is_known("physics")
    # What the media process says while it ends does not bring it back.
    lessons.media(seen("physics", publishing=False))
    assert lessons.info("physics") == found


def test_a_live_lesson_that_leaves_the_list_has_ended(kept: Path) -> None:
    lessons = KnownLessons(kept)
    lessons.told([info("physics"), info("history", LessonState.PLANNED)])
    assert set(lessons.told([])) == {"physics", "history"}
    found = lessons.info("physics")
    assert found is not None
    assert found.state is LessonState.ENDED
    # A planned one may only have fallen off a long list.
    assert lessons.info("history") is None
    lessons.told([info("physics")])
    assert lessons.is_known("physics")


def test_a_relay_that_starts_alone_knows_its_lessons(kept: Path) -> None:
    first = KnownLessons(kept)
    first.told([info("physics"), info("history")])
    first.ended("history")
    again = KnownLessons(kept)
    assert again.is_known("physics")
    found = again.info("history")
    assert found is not None
    assert found.state is LessonState.ENDED


def test_a_spoilt_file_is_passed_over(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept.write_bytes(b"\xc1 rubbish")
    lessons = KnownLessons(kept)
    assert lessons.all() == []
    assert "kept-lessons-unusable" in caplog.text
    lessons.told([info("physics")])
    assert KnownLessons(kept).is_known("physics")


def test_memory_of_ended_lessons_is_bounded(kept: Path) -> None:
    lessons = KnownLessons(kept)
    for number in range(200):
        lessons.told([info(f"lesson-{number}")])
        lessons.ended(f"lesson-{number}")
    assert lessons.info("lesson-0") is None
    assert lessons.info("lesson-199") is not None


def test_a_room_is_shown_what_runs_before_what_waits(kept: Path) -> None:
    lessons = KnownLessons(kept)
    lessons.told([info("planned", LessonState.PLANNED), info("silent"), info("running")])
    lessons.media(seen("running"))

    def shown(*allowed: str) -> str | None:
        found = lessons.current(lambda name: name in allowed)
        return None if found is None else found.id

    assert shown("planned", "silent", "running") == "running"
    assert shown("planned", "silent") == "silent"
    assert shown("planned") == "planned"
    assert shown() is None


def test_of_the_lessons_to_come_a_room_waits_for_the_next(kept: Path) -> None:
    now = 1_800_000_000.0
    lessons = KnownLessons(kept, lambda: now)
    dates = {"again": 3600.0, "below": 600.0, "cave": 86_400.0, "atlas": -86_400.0, "aged": -9e6}
    lessons.told(
        [
            *(
                replace(info(name, LessonState.PLANNED), started_at=None, planned_at=now + ahead)
                for name, ahead in dates.items()
            ),
            replace(info("dateless", LessonState.PLANNED), started_at=None),
        ]
    )
    waiting = [*dates, "dateless"]
    order = []
    while (shown := lessons.current(waiting.__contains__)) is not None:
        order.append(shown.id)
        waiting.remove(shown.id)
    assert order == ["below", "again", "dateless", "cave", "atlas", "aged"]


def test_a_lost_media_process_publishes_nothing(kept: Path) -> None:
    lessons = KnownLessons(kept)
    lessons.told([info("physics")])
    lessons.media(seen("physics", rooms=2))
    lessons.media_lost()
    found = lessons.info("physics")
    assert found is not None
    assert (found.publishing, found.rooms, found.state) == (False, 0, LessonState.LIVE)
