"""One frozen dataclass per kind of message, as PROTOCOL.md lists them.

Fields are declared, never checked here: `fields` reads the marks. A field added later gets a
default, so that an older sender is still understood. Dates are unix seconds, durations seconds,
both float. `None` means "not known" or "not yet". Longer than other files, since all messages stand
beside each other as in the document. Pure.
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
Proof = Annotated[str, Text(64, 0, r"[0-9a-f]*")]
Digest = Annotated[str, Text(64, 64, r"[0-9a-f]*")]
Url = Annotated[str, Text(500, 8, r"https?://[0-9A-Za-z\[][!-~]*")]
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
# The subject of a relay's token: what tells relays apart, whatever they are called.
RelayId = Annotated[str, Text(100, 1)]
Word = Annotated[int, Whole(0, 2**32 - 1)]  # of RTP
Rid = Annotated[str, Text(16)]
TrunkSession = Annotated[str, Text(40, 1)]
# A still picture's part travels in one packet, whatever else the link's headers take.
MAX_OCTETS: Final = 800
# Rooms in one message; more come in several.
MAX_ROOMS: Final = 250
MAX_PARTS: Final = 256
# Relays above one another; a country has four or five levels.
MAX_PATH: Final = 16
# Relays in one message; more come in several, and of revoked ones only the latest are told.
MAX_NODES: Final = 50
MAX_REVOKED: Final = 500
# Lists of materials in one message, 40 KB; of more that changed only the latest are told.
MAX_LISTS: Final = 250


@dataclass(frozen=True, slots=True)
class Recording:
    """How the recording of a lesson fares; `seconds` are those safe on disk."""

    state: RecordingState = RecordingState.NONE
    detail: Sentence = ""
    seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class LessonInfo:
    """A lesson as pages and relays see it. As a message of its own its kind is `lesson`.

    materials: digest of its `materials.json`, None without one; see `classroom.archive.materials`.
    """

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
    school: Label | None = None
    materials: Digest | None = None


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
class CatchUp:
    """Room page: its session needs nothing live, since the room watches the recording, late.

    reason: why, as `RoomRung` has it; None: the room watches live again.
    """

    kind: ClassVar[str] = "catch-up"
    lesson: LessonId
    session: Annotated[str, Text(100, 1)]
    reason: Code | None


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
    """What one room receives. room: stands for it in later messages; name: as people call it.

    school: whose relay it watches through, "" at the root relay.
    """

    room: RoomKey
    name: PersonName
    rung: RungName
    reason: Code
    since: Date
    school: PersonName = ""


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
    """Relay: the first message. `url` is where browsers reach it, without a slash at the end.

    proof: of a school's relay, that it says so itself; see `classroom.tokens.address_proof`.
    """

    kind: ClassVar[str] = "relay-hello"
    relay: RelayName
    url: Url
    version: Annotated[str, Text(40)]
    viewers_max: Count
    proof: Proof = ""


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
class RelayStep:
    """One relay on the way from the root relay down. id: the subject of its token."""

    id: RelayId
    name: RelayName


@dataclass(frozen=True, slots=True)
class RelayPath:
    """Parent: the relays from the root down to itself, in this order.

    reached: whether the last of them is in touch with the control plane over all the others.
    """

    kind: ClassVar[str] = "relay-path"
    path: Annotated[tuple[RelayStep, ...], Items(MAX_PATH)]
    reached: bool


@dataclass(frozen=True, slots=True)
class RelayNode:
    """A relay somewhere below another. parent: the id of the one that it is connected to. proof:
    as in its `relay-hello`, for the control plane."""

    id: RelayId
    name: RelayName
    url: Url
    version: Annotated[str, Text(40)]
    viewers_max: Count
    parent: RelayId
    proof: Proof = ""


RelayNodes = Annotated[tuple[RelayNode, ...], Items(MAX_NODES)]
RelayIds = Annotated[tuple[RelayId, ...], Items(MAX_NODES)]


@dataclass(frozen=True, slots=True)
class RelayBelow:
    """Relay: the relays below it, at any depth: those that are new or changed, those that left.

    reset: forget what was told before.
    """

    kind: ClassVar[str] = "relay-below"
    reset: bool
    relays: RelayNodes
    gone: RelayIds


@dataclass(frozen=True, slots=True)
class RelayRevoked:
    """Central or parent: relays whose tokens count no more, the latest; replaces the last list."""

    kind: ClassVar[str] = "relay-revoked"
    relays: Annotated[tuple[RelayId, ...], Items(MAX_REVOKED)]


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
class ListChange:
    """A lesson that is over has another list of materials than when it began. materials: the list's
    digest, None for none any more. changed_at: rises with each change of any list."""

    lesson: LessonId
    materials: Digest | None
    changed_at: Date


@dataclass(frozen=True, slots=True)
class RelayMaterials:
    """Central or parent: lists of lessons that are over that changed, the newest first; those that
    this line was not told yet."""

    kind: ClassVar[str] = "relay-materials"
    lists: Annotated[tuple[ListChange, ...], Items(MAX_LISTS)]


@dataclass(frozen=True, slots=True)
class TrunkPlaces:
    """Of one source, the places in its ladder that are wanted: 0 is the smallest picture."""

    source: Source
    places: Annotated[tuple[Annotated[int, Whole(0, 15)], ...], Items(8)]


@dataclass(frozen=True, slots=True)
class TrunkWants:
    """Relay: which layers of a lesson the rooms behind it can use, of a source that is not named
    the best. session: the parent's name of the trunk. lowest: the poorest link, bit/s."""

    kind: ClassVar[str] = "trunk-wants"
    lesson: LessonId
    session: TrunkSession
    sources: Annotated[tuple[TrunkPlaces, ...], Items(3)]
    lowest: Bitrate | None = None


@dataclass(frozen=True, slots=True)
class TrunkAnchor:
    """`rtp_timestamp` was captured at `wall`; in force from the packet of `since` on."""

    rtp_timestamp: Word
    wall: Annotated[float, Number(-1e11, 1e11)]
    since: Word | None


@dataclass(frozen=True, slots=True)
class TrunkTrack:
    """One layer of a lesson as it comes over a trunk.

    ssrc, repair_ssrc: its streams. source, rid: as at the root. rids: all encodings of its source.
    index: its place in the ladder. bitrate: bit/s now, 0 while it is silent. derived: made from
    another one, not to be recorded. slot_offset: from its timestamps to those that rooms see. feed,
    epoch: whose media it is. anchors: by which it is timed, oldest first. sprop: H.264 parameter
    sets.
    """

    ssrc: Word
    repair_ssrc: Word
    source: Source
    rid: Rid
    rids: Annotated[tuple[Rid, ...], Items(8)]
    index: Annotated[int, Whole(0, 15)]
    bitrate: Bitrate
    derived: bool
    slot_offset: Word
    feed: Annotated[str, Text(64, 1)]
    epoch: Count
    anchors: Annotated[tuple[TrunkAnchor, ...], Items(16)]
    sprop: Annotated[str, Text(1000)] = ""


@dataclass(frozen=True, slots=True)
class TrunkTracks:
    """Parent: all layers of a lesson that it has; replaces the list before. epoch: rises with each
    publisher. delay_ms: how late it may have packets that links above it lost."""

    kind: ClassVar[str] = "trunk-tracks"
    lesson: LessonId
    session: TrunkSession
    epoch: Count
    tracks: Annotated[tuple[TrunkTrack, ...], Items(32)]
    delay_ms: Annotated[int, Whole(0, 10_000)] = 0


@dataclass(frozen=True, slots=True)
class TrunkTake:
    """One publisher in a recording, as FORMAT.md has it in the journal."""

    number: Count
    feed: Annotated[str, Text(64, 1)]
    epoch: Count
    shift_ms: Annotated[int, Whole(-(2**53) + 1)]


@dataclass(frozen=True, slots=True)
class TrunkInit:
    """Initialisation file `number` of a rendition is the one with this digest."""

    rendition: Annotated[str, Text(40, 1)]
    number: Count
    digest: Annotated[str, Text(80, 1)]


@dataclass(frozen=True, slots=True)
class TrunkRecording:
    """Parent: what those below need to record the lesson in the same bytes."""

    kind: ClassVar[str] = "trunk-recording"
    lesson: LessonId
    epoch_ms: Count
    beat_ms: Annotated[int, Whole(1, 600_000)]
    takes: Annotated[tuple[TrunkTake, ...], Items(16)]
    inits: Annotated[tuple[TrunkInit, ...], Items(64)]


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
    | CatchUp
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
    | RelayPath
    | RelayBelow
    | RelayRevoked
    | RelayArchive
    | RelayLessons
    | RelayMaterials
    | TrunkWants
    | TrunkTracks
    | TrunkRecording
    | LessonEnd
)
