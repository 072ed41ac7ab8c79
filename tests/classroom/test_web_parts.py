"""Parts of the HTTP side that need no socket: bodies, views, log lines, the command's registry."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom import lessons
from classroom.errors import Refused
from classroom.lessons import Archive
from classroom.store import RelayAlive, Report
from classroom.web.bodies import NewLesson, NewLink, checked
from classroom.web.logs import JsonFormatter
from classroom.web.views import view
from classroom.wire import Recording, RecordingState, Source

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["title", "subject", "grade", "school", "planned_at", "id", "role", "name", "days"]
)


@given(st.dictionaries(_NAMES, _JSON, max_size=5) | _JSON)
@settings(max_examples=200)
def test_any_json_is_a_body_or_refused_with_its_field(body: Any) -> None:
    for cls in (NewLesson, NewLink):
        try:
            read: object = checked(body, cls)
        except Refused as error:
            read = (error.status, error.code, bool(error.field))
        assert isinstance(read, cls) or read == (400, "field-invalid", True)


PLANNED = lessons.plan("toan-8", "Toán", teacher="Cô Hoa", owner="hoa", now=1.0)
LIVE = lessons.start(
    PLANNED, relay="root", relay_url="http://old", by="hoa", publishing=False, now=2.0
)
ROOT = RelayAlive("root", "http://new", "0.1.0", 400, since=1.0, seen_at=99.0)
REPORT = Report(
    lesson="toan-8",
    relay="root",
    publishing=True,
    sources=(Source.VOICE,),
    rooms=3,
    recording=Recording(RecordingState.RECORDING, "", 9.5),
    at=100.0,
)


def shown(lesson: lessons.Lesson, *reports: Report, now: float = 101.0) -> Any:
    return view(lesson, reports, [ROOT], now=now, fresh_s=15.0)


def test_a_lesson_shows_what_its_relay_reports_now() -> None:
    far = replace(REPORT, relay="tra-leng", publishing=False, rooms=2)
    now = shown(LIVE, REPORT, far)
    assert (now.publishing, now.rooms, now.sources) == (True, 5, (Source.VOICE,))
    assert now.relay_url == "http://new"
    assert now.recording.seconds == 9.5


def test_an_old_report_says_nothing_of_who_is_there_but_its_recording_stands() -> None:
    late = shown(LIVE, REPORT, now=115.0)
    assert (late.publishing, late.rooms, late.sources) == (False, 0, ())
    assert late.recording.seconds == 9.5


def test_another_relay_does_not_speak_for_the_lessons_own() -> None:
    other = shown(LIVE, replace(REPORT, relay="tra-leng"))
    assert not other.publishing
    assert other.recording == Recording()


def test_what_is_over_is_not_publishing_and_an_archive_is_finished() -> None:
    ended = lessons.end(LIVE, 100.5)
    assert not shown(ended, REPORT).publishing
    published = lessons.publish(ended, Archive(2700.5, 1, ()), 100.6)
    assert shown(published, REPORT).recording == Recording(RecordingState.FINISHED, "", 2700.5)
    assert shown(published).relay_url == "http://new"
    assert view(published, [], [], now=1.0, fresh_s=15.0).relay_url == "http://old"


def record(**facts: object) -> logging.LogRecord:
    made = logging.LogRecord("classroom", logging.INFO, "", 0, "lesson-live", (), None)
    made.created = 1_767_600_000.5
    made.facts = facts
    return made


def test_a_log_line_is_one_object() -> None:
    line = JsonFormatter().format(record(lesson="toan-8", reason="a\nb", by={1}))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-01-05T08:00:00.500+00:00",
        "level": "info",
        "event": "lesson-live",
        "lesson": "toan-8",
        "reason": "a\nb",
        "by": "{1}",
    }


def test_a_fault_is_logged_with_its_trace() -> None:
    failed = record()
    try:
        raise ValueError("broken")
    except ValueError:
        failed.exc_info = sys.exc_info()
    assert "ValueError: broken" in json.loads(JsonFormatter().format(failed))["exception"]


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x7f", "\ud800"])
def test_texts_are_plain_and_in_one_line(text: str) -> None:
    with pytest.raises(Refused) as caught:
        checked({"title": text}, NewLesson)
    assert caught.value.field == "title"
    assert checked({"title": " Toán 8 "}, NewLesson).title == "Toán 8"
