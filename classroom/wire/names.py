"""Names that every part agrees on: lesson ids, sources, rungs, states of a lesson and a recording.

Here live only words that travel between processes. What may be done in a state belongs to
`classroom.lessons`; how a word is packed belongs to `codec`. Pure.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

LESSON_ID_PATTERN: Final = "[a-z0-9][a-z0-9-]{2,39}"
_LESSON_ID = re.compile(LESSON_ID_PATTERN)


def is_lesson_id(text: str) -> bool:
    """Whether `text` can name a lesson; such an id is safe as a path segment and a file name."""
    return _LESSON_ID.fullmatch(text) is not None


class LessonState(StrEnum):
    """Where a lesson stands; it only ever moves down this list."""

    PLANNED = "planned"
    LIVE = "live"
    ENDED = "ended"
    PUBLISHED = "published"


class RecordingState(StrEnum):
    """What the recorder of a lesson is doing; `failing` means the disk refuses, the lesson not."""

    NONE = "none"
    RECORDING = "recording"
    FAILING = "failing"
    FINISHED = "finished"


class Source(StrEnum):
    """What a teacher can send."""

    VOICE = "voice"
    CAMERA = "camera"
    SCREEN = "screen"


class RungName(StrEnum):
    """What a room receives now, from most to least; `catch-up` is behind the lesson."""

    FULL = "full"
    MEDIUM = "medium"
    SMALL = "small"
    STILLS = "stills"
    VOICE = "voice"
    CATCH_UP = "catch-up"


class Page(StrEnum):
    """Which page opened an events WebSocket."""

    TEACH = "teach"
    ROOM = "room"
    LIBRARY = "library"
