"""A lesson from plan to library: its states, who may move it when, and which relay carries it.

`lesson` is the state machine, `placement` the choice of a relay, `materials` the files that go
along. Pure: time is an argument, nothing here stores or sends.
"""

from classroom.lessons.lesson import (
    Archive,
    Lesson,
    end,
    is_forsaken,
    is_open,
    new_lesson_id,
    plan,
    publish,
    require_removable,
    start,
    unknown_lesson,
)
from classroom.lessons.placement import RelayChoice, place

__all__ = [
    "Archive",
    "Lesson",
    "RelayChoice",
    "end",
    "is_forsaken",
    "is_open",
    "new_lesson_id",
    "place",
    "plan",
    "publish",
    "require_removable",
    "start",
    "unknown_lesson",
]
