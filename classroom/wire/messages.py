"""One frozen dataclass per kind of message, as PROTOCOL.md lists them.

Fields are declared, never checked here: `fields` reads the marks. A field added later gets a
default, so that an older sender is still understood. Dates are unix seconds, durations seconds,
both float. `None` means "not known" or "not yet". Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from classroom.wire.fields import Items, Number, Octets, Text, Whole
from classroom.wire.names import (
    LESSON_ID_PATTERN,
    LessonState,
    Page,
    RecordingState,
    RungName,
    Source,
)

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
# Bits per second; no link that we serve carries more.
Bitrate = Annotated[float, Number(0.0, 1e10)]
Share = Annotated[float, Number(0.0, 1.0)]
# The subject of a room's token.
RoomKey = Annotated[str, Text(200, 1)]
# A still picture's part travels in one packet, whatever else the link's headers take.
MAX_OCTETS: Final = 800
# Rooms in one message; more come in several.
MAX_ROOMS: Final = 250
MAX_PARTS: Final = 256


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
class Watching:
    """Room page: which media session is its own, by the last part of the session's address.

    A link may be open in several rooms at once, so the link alone does not tell them apart.
    """

    kind: ClassVar[str] = "watching"
    lesson: LessonId
    session: Annotated[str, Text(100, 1)]


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
class Rung:
    """Relay: what this room receives now, why, and since when.

    bitrate: of the link as estimated, bit/s. loss: share of packets. round_trip: s. playout_ms:
    how long voice and pictures should wait in the browser so that repairs arrive in time.
    """

    kind: ClassVar[str] = "rung"
    lesson: LessonId
    rung: RungName
    reason: Code
    since: Date
    bitrate: Bitrate
    loss: Share
    round_trip: Seconds | None = None
    playout_ms: Annotated[int, Whole(0, 10_000)] | None = None


@dataclass(frozen=True, slots=True)
class Still:
    """Relay: a still picture begins; `parts` of `still-part` follow and replace what came before.

    still: its number on this connection. captured: date. bytes: of the whole picture.
    """

    kind: ClassVar[str] = "still"
    still: Count
    lesson: LessonId
    source: Source
    captured: Date
    mime: Annotated[str, Text(20, 9, "image/(avif|webp)")]
    width: Annotated[int, Whole(1, 4096)]
    height: Annotated[int, Whole(1, 4096)]
    parts: Annotated[int, Whole(1, MAX_PARTS)]
    bytes: Annotated[int, Whole(1, MAX_PARTS * MAX_OCTETS)]


@dataclass(frozen=True, slots=True)
class StillPart:
    """Relay: part `part` (from 0, in order) of the still picture with number `still`."""

    kind: ClassVar[str] = "still-part"
    still: Count
    part: Annotated[int, Whole(0, MAX_PARTS - 1)]
    data: Annotated[bytes, Octets(MAX_OCTETS)]


@dataclass(frozen=True, slots=True)
class RoomRung:
    """What one room receives. room: stands for it in later messages; name: as people call it."""

    room: RoomKey
    name: PersonName
    rung: RungName
    reason: Code
    since: Date


RoomRungs = Annotated[tuple[RoomRung, ...], Items(MAX_ROOMS)]
RoomKeys = Annotated[tuple[RoomKey, ...], Items(MAX_ROOMS)]


@dataclass(frozen=True, slots=True)
class Rooms:
    """Central: what the rooms of a lesson receive: those that changed, and those that left.

    reset: forget what was told before.
    """

    kind: ClassVar[str] = "rooms"
    lesson: LessonId
    reset: bool
    rooms: RoomRungs
    gone: RoomKeys


@dataclass(frozen=True, slots=True)
class VoiceWish:
    """Relay, and central to the teacher's page: how the voice should be encoded for its rooms.

    maxaveragebitrate: bit/s, dtx: send nothing in silence (both RFC 7587 6.1). ptime: ms of voice
    in a packet.
    """

    kind: ClassVar[str] = "voice-wish"
    lesson: LessonId
    maxaveragebitrate: Annotated[int, Whole(6_000, 510_000)]
    ptime: Annotated[int, Whole(10, 120)]
    dtx: bool


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
class RelayRooms:
    """Relay: what the rooms on it receive, as in `Rooms`."""

    kind: ClassVar[str] = "relay-rooms"
    lesson: LessonId
    reset: bool
    rooms: RoomRungs
    gone: RoomKeys


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
    | Watching
    | Pong
    | Welcome
    | Error
    | Rung
    | Still
    | StillPart
    | Rooms
    | VoiceWish
    | RelayHello
    | RelayLesson
    | RelayRooms
    | RelayArchive
    | RelayLessons
    | LessonEnd
)
