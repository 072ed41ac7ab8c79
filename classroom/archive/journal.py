"""The journal of a lesson: one line of JSON for each thing that became durable. PURE.

Here: the entries and their line form. Not here: what follows from them (`contents`), files. Media
times are whole ticks of the rendition's timescale since the lesson's epoch. FORMAT.md, section
"journal.jsonl".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from classroom.archive import canonical
from classroom.archive.canonical import Members, malformed
from classroom.archive.names import RENDITION_PATTERN

MAX_SIDE: Final = 65_536  # pixels
MAX_CHANNELS: Final = 8
# Playlists quote it as it is.
_CODEC: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,99}")


@dataclass(frozen=True, slots=True)
class Take:
    """A publisher began: the first, or one that came back. number: counts from 0.

    feed, epoch: which run of the media process, and which publisher in it.
    shift_ms: added to wall times from here on, so that media time never runs backwards.
    """

    number: int
    feed: str
    epoch: int
    shift_ms: int


@dataclass(frozen=True, slots=True)
class Init:
    """An initialisation file was written. codec: as in RFC 6381 ("avc1.42e01f").

    width, height: pixels, 0 for voice. channels: 0 for video. source: codec that was received.
    """

    rendition: str
    number: int
    codec: str
    width: int
    height: int
    channels: int
    bytes: int
    digest: str
    source: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A segment began to grow, as a `.part` file."""

    rendition: str
    beat: int
    part: int
    init: int
    take: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment is whole. start, duration: ticks. frames: samples in it."""

    rendition: str
    beat: int
    part: int
    init: int
    take: int
    start: int
    duration: int
    frames: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Media from `start` to `end` (ticks) is missing. reason: "loss", "idle", "disk", …"""

    rendition: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The RTP timestamp of `rendition`'s track was captured at `wall_us`, Unix microseconds."""

    rendition: str
    rtp_timestamp: int
    wall_us: int


class Place(NamedTuple):
    """Where a rendition stands: its end in ticks, and its last frame's track and RTP numbers."""

    end: int
    track: int
    sequence: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What is durable of each rendition, so that a restart goes on after the right packet."""

    feed: str
    places: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Note:
    """Something an operator may ask about later. at_ms: Unix milliseconds."""

    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The lesson ended and everything is closed. at_ms: Unix milliseconds."""

    at_ms: int


Entry = Take | Init | Opened | Segment | Gap | Anchor | Mark | Note | Finished

_KINDS: Final[dict[type[Entry], str]] = {
    Take: "take",
    Init: "init",
    Opened: "open",
    Segment: "segment",
    Gap: "gap",
    Anchor: "anchor",
    Mark: "mark",
    Note: "note",
    Finished: "finished",
}


def encode(entry: Entry) -> bytes:
    """The entry's line, newline included."""
    if isinstance(entry, Mark):
        fields: dict[str, object] = {
            "feed": entry.feed,
            "places": {name: list(place) for name, place in entry.places.items()},
        }
    else:
        fields = asdict(entry)
    return canonical.encode({"kind": _KINDS[type(entry)], **fields})


def decode(line: bytes) -> Entry:
    """The entry of a line. Raises Refused 400 `archive-malformed`."""
    members = Members.parse(line, "journal")
    kind = members.text("kind")
    match kind:
        case "take":
            return Take(
                members.integer("number"),
                members.text("feed"),
                members.integer("epoch"),
                members.integer("shift_ms", -canonical.MAX_INTEGER),
            )
        case "init":
            return read_init(members, members.text("rendition", RENDITION_PATTERN))
        case "open":
            return Opened(
                members.text("rendition", RENDITION_PATTERN),
                members.integer("beat"),
                members.integer("part"),
                members.integer("init"),
                members.integer("take"),
            )
        case "segment":
            return read_segment(members, members.text("rendition", RENDITION_PATTERN))
        case "gap":
            return read_gap(members, members.text("rendition", RENDITION_PATTERN))
        case "anchor":
            return Anchor(
                members.text("rendition", RENDITION_PATTERN),
                members.integer("rtp_timestamp", 0, 2**32 - 1),
                members.integer("wall_us", -canonical.MAX_INTEGER),
            )
        case "mark":
            return Mark(members.text("feed"), _read_places(members.map("places")))
        case "note":
            return Note(members.integer("at_ms"), members.text("text"))
        case "finished":
            return Finished(members.integer("at_ms"))
        case _:
            raise malformed("journal.kind", f"kind {kind!r} is not known")


def read_init(members: Members, rendition: str) -> Init:
    return Init(
        rendition,
        members.integer("number"),
        members.text("codec", _CODEC),
        members.integer("width", 0, MAX_SIDE),
        members.integer("height", 0, MAX_SIDE),
        members.integer("channels", 0, MAX_CHANNELS),
        members.integer("bytes"),
        members.digest("digest"),
        members.text("source"),
    )


def read_segment(members: Members, rendition: str) -> Segment:
    return Segment(
        rendition,
        members.integer("beat"),
        members.integer("part"),
        members.integer("init"),
        members.integer("take"),
        members.integer("start"),
        members.integer("duration", 1),
        members.integer("frames", 1),
        members.integer("bytes", 1),
        members.digest("digest"),
    )


def read_gap(members: Members, rendition: str) -> Gap:
    start = members.integer("start")
    return Gap(rendition, start, members.integer("end", start), members.text("reason"))


def _read_places(value: dict[str, object]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for name, numbers in value.items():
        if RENDITION_PATTERN.fullmatch(name) is None:
            raise malformed("journal.places", f"{name!r} is not a rendition")
        if not isinstance(numbers, list) or len(numbers) != len(Place._fields):
            raise malformed("journal.places", "a place is not a list of four numbers")
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise malformed("journal.places", "a place is not a list of four numbers")
        places[name] = Place(*numbers)
    return places
