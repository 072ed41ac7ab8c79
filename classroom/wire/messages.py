"""One frozen dataclass per kind of message, as PROTOCOL.md lists them.

Fields are declared, never checked here: `fields` reads the marks. A field added later gets a
default, so that an older sender is still understood. Dates are unix seconds, durations seconds,
both float. `None` means "not known" or "not yet". Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from classroom.wire.fields import Items, Number, Text, Whole
from classroom.wire.names import LESSON_ID_PATTERN, LessonState, Page, RecordingState, Source

LessonId = Annotated[str, Text(40, 3, LESSON_ID_PATTERN)]
Title = Annotated[str, Text(200, 1)]
PersonName = Annotated[str, Text(100)]
Label = Annotated[str, Text(60)]
Sentence = Annotated[str, Text(1000)]
Code = Annotated[str, Text(60, 1, "[a-z0-9-]+")]
RelayName = Annotated[str, Text(60, 1)]
Url = Annotated[str, Text(500, 8, r"https?://[!-~]+")]
# The roles of `classroom.tokens`; a test holds the two lists together.
RoleName = Annotated[str, Text(10, 1, "teacher|room|viewer|relay")]
Seconds = Annotated[float, Number()]
Date = Annotated[float, Number()]
Count = Annotated[int, Whole()]
# A source appears once; three are all there are.
Sources = Annotated[tuple[Source, ...], Items(3)]


@dataclass(frozen=True, slots=True)
class Recording:
    """How the recording of a lesson fares; `seconds` are those safe on disk."""

    state: RecordingState = RecordingState.NONE
    detail: Sentence = ""
    seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class LessonInfo:
    """A lesson as pages and relays see it. As a message of its own its kind is `lesson`."""

    kind: ClassVar[str] = "lesson"
    id: LessonId
    title: Title
    teacher: PersonName
    state: LessonState
    publishing: bool
    sources: Sources
    rooms: Count
    recording: Recording
    started_at: Date | None
    subject: Label | None = None
    grade: Label | None = None
    planned_at: Date | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """Page: the first message on an events WebSocket. `lesson` may narrow a "*" token."""

    kind: ClassVar[str] = "hello"
    page: Page
    lang: Annotated[str, Text(35, 2, "[A-Za-z0-9-]+")]
    lesson: LessonId | None


@dataclass(frozen=True, slots=True)
class Ping:
    """Page or relay: alive; `t` is the sender's own clock and comes back unchanged."""

    kind: ClassVar[str] = "ping"
    t: Annotated[float, Number(-1e15, 1e15)]


@dataclass(frozen=True, slots=True)
class Pong:
    """Server: the answer to `ping`."""

    kind: ClassVar[str] = "pong"
    t: Annotated[float, Number(-1e15, 1e15)]
    server_time: Date


@dataclass(frozen=True, slots=True)
class Welcome:
    """Server: the answer to `hello`; `lesson` is None while there is none to show."""

    kind: ClassVar[str] = "welcome"
    name: PersonName
    role: RoleName
    lesson: LessonInfo | None
    server_time: Date


@dataclass(frozen=True, slots=True)
class Error:
    """Server: what was refused, in a sentence for people, and what to do now."""

    kind: ClassVar[str] = "error"
    code: Code
    detail: Sentence
    fix: Sentence


@dataclass(frozen=True, slots=True)
class RelayHello:
    """Relay: the first message. `url` is where browsers reach it, without a slash at the end."""

    kind: ClassVar[str] = "relay-hello"
    relay: RelayName
    url: Url
    version: Annotated[str, Text(40)]
    viewers_max: Count


@dataclass(frozen=True, slots=True)
class RelayLesson:
    """Relay: the state of one lesson on it; on every change, and every 5 s while it is live."""

    kind: ClassVar[str] = "relay-lesson"
    lesson: LessonId
    publishing: bool
    sources: Sources
    rooms: Count
    recording: Recording


@dataclass(frozen=True, slots=True)
class RelayArchive:
    """Relay: the archive of a lesson is finished: its seconds, bytes on disk and renditions."""

    kind: ClassVar[str] = "relay-archive"
    lesson: LessonId
    duration: Seconds
    bytes: Count
    renditions: Annotated[tuple[Label, ...], Items(32)]


@dataclass(frozen=True, slots=True)
class RelayLessons:
    """Central: every lesson that this relay should know, planned and live; replaces the last."""

    kind: ClassVar[str] = "relay-lessons"
    lessons: Annotated[tuple[LessonInfo, ...], Items(500)]


@dataclass(frozen=True, slots=True)
class LessonEnd:
    """Central: the lesson is over: stop its publisher and finish its archive."""

    kind: ClassVar[str] = "lesson-end"
    lesson: LessonId


Message = (
    LessonInfo
    | Hello
    | Ping
    | Pong
    | Welcome
    | Error
    | RelayHello
    | RelayLesson
    | RelayArchive
    | RelayLessons
    | LessonEnd
)
