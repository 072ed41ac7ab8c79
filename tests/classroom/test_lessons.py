"""The states of a lesson, told as stories, and the choice of a relay. No clock, no storage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom import lessons
from classroom.errors import Absent, Refused
from classroom.lessons import Archive, Lesson, RelayChoice
from classroom.wire import LessonState, is_lesson_id

PLANNED = lessons.plan("vat-ly-9", "Định luật Ôm", teacher="Cô Hoa", owner="hoa", now=100.0)
ARCHIVE = Archive(2700.0, 10**9, ("voice", "camera-q"))


def start(lesson: Lesson, by: str | None = "hoa", *, publishing: bool = False) -> Lesson:
    return lessons.start(
        lesson, relay="root", relay_url="http://r", by=by, publishing=publishing, now=200.0
    )


LIVE = start(PLANNED)
ENDED = lessons.end(LIVE, 300.0)
PUBLISHED = lessons.publish(ENDED, ARCHIVE, 400.0)


def test_a_lesson_from_plan_to_library() -> None:
    assert [lesson.state for lesson in (PLANNED, LIVE, ENDED, PUBLISHED)] == list(LessonState)
    assert (LIVE.started_at, LIVE.started_by, LIVE.relay) == (200.0, "hoa", "root")
    assert (ENDED.ended_at, PUBLISHED.published_at) == (300.0, 400.0)
    assert PUBLISHED.archive == ARCHIVE
    assert [lessons.is_open(lesson) for lesson in (PLANNED, LIVE, ENDED, PUBLISHED)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_reloaded_page_starts_its_own_lesson_again_without_harm() -> None:
    assert start(LIVE, "hoa", publishing=True) is LIVE


def test_a_second_teacher_is_refused_while_the_first_is_on_air() -> None:
    with pytest.raises(Refused) as caught:
        start(LIVE, "minh", publishing=True)
    assert (caught.value.status, caught.value.code) == (409, "lesson-already-live")
    assert caught.value.fix


def test_a_colleague_can_take_over_when_the_first_laptop_died() -> None:
    taken = start(LIVE, "minh", publishing=False)
    assert (taken.state, taken.started_by) == (LessonState.LIVE, "minh")
    assert taken.started_at == LIVE.started_at


def test_media_that_nobody_announced_makes_it_live_and_any_teacher_may_join_it() -> None:
    by_obs = start(PLANNED, None, publishing=True)
    assert (by_obs.state, by_obs.started_by) == (LessonState.LIVE, None)
    assert start(by_obs, None, publishing=True) is by_obs
    assert start(by_obs, "hoa", publishing=True).started_by == "hoa"


@pytest.mark.parametrize("lesson", [ENDED, PUBLISHED])
def test_what_is_over_does_not_start_again(lesson: Lesson) -> None:
    with pytest.raises(Refused) as caught:
        start(lesson)
    assert (caught.value.status, caught.value.code) == (409, "lesson-ended")


def test_ending_twice_is_ending_once() -> None:
    assert lessons.end(ENDED, 999.0) is ENDED
    assert lessons.end(PUBLISHED, 999.0) is PUBLISHED


def test_a_lesson_that_has_not_begun_cannot_end_or_be_published() -> None:
    with pytest.raises(Refused) as ending:
        lessons.end(PLANNED, 1.0)
    with pytest.raises(Refused) as publishing:
        lessons.publish(PLANNED, ARCHIVE, 1.0)
    for caught in (ending, publishing):
        assert (caught.value.status, caught.value.code) == (409, "lesson-not-live")


def test_an_archive_reported_twice_changes_nothing_and_a_better_one_replaces_it() -> None:
    assert lessons.publish(PUBLISHED, ARCHIVE, 999.0) is PUBLISHED
    better = replace(ARCHIVE, duration=2701.0)
    assert lessons.publish(PUBLISHED, better, 999.0) == replace(PUBLISHED, archive=better)


def test_an_archive_closed_by_the_relay_ends_the_lesson_too() -> None:
    published = lessons.publish(LIVE, ARCHIVE, 500.0)
    assert (published.state, published.ended_at) == (LessonState.PUBLISHED, 500.0)


@given(st.lists(st.sampled_from(["start", "obs", "end", "publish"]), max_size=8))
def test_no_order_of_moves_leads_back(moves: list[str]) -> None:
    lesson = PLANNED
    order = list(LessonState)
    for now, move in enumerate(moves):
        try:
            if move == "start":
                after = start(lesson)
            elif move == "obs":
                after = start(lesson, None, publishing=True)
            elif move == "end":
                after = lessons.end(lesson, float(now))
            else:
                after = lessons.publish(lesson, ARCHIVE, float(now))
        except Refused as error:
            after, status = lesson, error.status
        else:
            status = 409
        assert status == 409
        assert order.index(after.state) >= order.index(lesson.state)
        lesson = after


def forsaken(lesson: Lesson, heard_at: float, published_at: float, now: float) -> bool:
    return lessons.is_forsaken(
        lesson,
        heard_at=heard_at,
        published_at=published_at,
        now=now,
        idle_end_s=900.0,
        silent_end_s=14400.0,
    )


def test_a_lesson_that_nobody_teaches_ends_and_one_out_of_touch_goes_on() -> None:
    assert not forsaken(LIVE, heard_at=1099.0, published_at=200.0, now=1100.0)
    assert forsaken(LIVE, heard_at=1100.0, published_at=200.0, now=1100.0)
    # The relay fell silent while media was arriving: it may well be teaching on.
    assert not forsaken(LIVE, heard_at=1100.0, published_at=1100.0, now=15000.0)
    assert forsaken(LIVE, heard_at=1100.0, published_at=1100.0, now=15500.0)
    assert not forsaken(ENDED, heard_at=1100.0, published_at=0.0, now=99999.0)
    assert not forsaken(PLANNED, heard_at=1100.0, published_at=0.0, now=99999.0)


def test_the_least_busy_relay_is_chosen() -> None:
    relays = [
        RelayChoice("a", "http://a", lessons=2, viewers_max=100),
        RelayChoice("b", "http://b", lessons=3, viewers_max=400),
        RelayChoice("c", "http://c", lessons=3, viewers_max=400),
    ]
    assert lessons.place(PLANNED, relays).name == "b"


def test_a_lesson_stays_on_the_relay_that_records_it() -> None:
    idle = RelayChoice("a", "http://a", lessons=0, viewers_max=400)
    root = RelayChoice("root", "http://r", lessons=9, viewers_max=400)
    assert lessons.place(LIVE, [idle, root]) == root
    with pytest.raises(Absent, match="root"):
        lessons.place(LIVE, [idle])


def test_without_a_relay_the_teacher_is_told_what_to_do() -> None:
    with pytest.raises(Absent) as caught:
        lessons.place(PLANNED, [])
    assert "classroom-relay" in caught.value.fix


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Vật lý 9: Định luật Ôm", "vat-ly-9-dinh-luat-om-k3f9"),
        ("  Đường  thẳng ", "duong-thang-k3f9"),
        ("数学", "lesson-k3f9"),
        ("!!!", "lesson-k3f9"),
        ("x" * 90, "x" * 32 + "-k3f9"),
    ],
)
def test_lesson_ids_can_be_read(title: str, expected: str) -> None:
    assert lessons.new_lesson_id(title, "k3f9") == expected


@given(st.text(min_size=1, max_size=200))
def test_any_title_gives_a_lesson_id(title: str) -> None:
    assert is_lesson_id(lessons.new_lesson_id(title, "k3f9xyz"))
