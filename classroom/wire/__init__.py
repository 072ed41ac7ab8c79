"""CONTRACT: the messages between pages, the control plane and relays. PROTOCOL.md is the document.

`decode` and `encode` are the way in and out; the message classes are named as in the document.
Here is no state and no socket: what to answer belongs to `classroom.signalling`. Pure.
"""

from classroom.wire.codec import KINDS, MAX_BYTES, VERSION, decode, encode, fit_lessons, to_map
from classroom.wire.messages import (
    Error,
    Hello,
    LessonEnd,
    LessonInfo,
    Message,
    Ping,
    Pong,
    Recording,
    RelayArchive,
    RelayHello,
    RelayLesson,
    RelayLessons,
    Welcome,
)
from classroom.wire.names import (
    LESSON_ID_PATTERN,
    LessonState,
    Page,
    RecordingState,
    Source,
    is_lesson_id,
)

__all__ = [
    "KINDS",
    "LESSON_ID_PATTERN",
    "MAX_BYTES",
    "VERSION",
    "Error",
    "Hello",
    "LessonEnd",
    "LessonInfo",
    "LessonState",
    "Message",
    "Page",
    "Ping",
    "Pong",
    "Recording",
    "RecordingState",
    "RelayArchive",
    "RelayHello",
    "RelayLesson",
    "RelayLessons",
    "Source",
    "Welcome",
    "decode",
    "encode",
    "fit_lessons",
    "is_lesson_id",
    "to_map",
]
