"""What the media process and the worker that derives layers say to each other. PURE.

Lives here: the records over `derived.sock` and a parser for both directions. Must not live here:
sockets, codecs. The media process listens; there is one worker at a time.

    record  = !I length of what follows · !B type · body
    media process → worker
    T track     a track record of the recorder feed, whole (relay/record/feed.py)
    P packet    !I track · !d arrival · an RTP packet of it, in the order of arrival
    G go        !I track                 packets before it were kept ones, what follows is live
    E end       !I track
    K keyframe  !I track · !B rid        a keyframe of this derived layer is wanted
    worker → media process
    D derived   !I track · !B rid · an RTP packet; rid is the place in relay.sfu.derived.RIDS
    N needs     !I track                 a keyframe of the source, to begin or go on
    H health    msgpack map of numbers   once a second; one that is silent is let go

A record that cannot be read ends the connection: both ends are ours and of one version.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from classroom.errors import Refused
from relay.record import feed

MAX_RECORD: Final = feed.MAX_RECORD + 64
_HEAD: Final = struct.Struct("!IB")
_LENGTH: Final = struct.Struct("!I")
_TRACK: Final = struct.Struct("!I")
_RID: Final = struct.Struct("!IB")
_PACKET: Final = struct.Struct("!Id")


class WireError(ValueError):
    """Bytes that are no record."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A source's RTP packet. arrival: seconds on the media process's clock."""

    track: int
    arrival: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Go:
    track: int


@dataclass(frozen=True, slots=True)
class End:
    track: int


@dataclass(frozen=True, slots=True)
class Keyframe:
    """rid: place in RIDS."""

    track: int
    rid: int


@dataclass(frozen=True, slots=True)
class Derived:
    """An RTP packet made from `track`. rid: place in RIDS."""

    track: int
    rid: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Needs:
    track: int


@dataclass(frozen=True, slots=True)
class Health:
    """See relay.derive.worker for what the numbers are."""

    numbers: dict[str, float]


Record = feed.Track | Packet | Go | End | Keyframe | Derived | Needs | Health


def encode(record: Record) -> bytes:
    """The bytes of one record, its length included."""
    match record:
        case Packet(track, arrival, data):
            kind, body = b"P", _PACKET.pack(track, arrival) + data
        case Derived(track, rid, data):
            kind, body = b"D", _RID.pack(track, rid) + data
        case feed.Track():
            kind, body = b"T", feed.encode(1, record)
        case Go(track):
            kind, body = b"G", _TRACK.pack(track)
        case End(track):
            kind, body = b"E", _TRACK.pack(track)
        case Needs(track):
            kind, body = b"N", _TRACK.pack(track)
        case Keyframe(track, rid):
            kind, body = b"K", _RID.pack(track, rid)
        case Health(numbers):
            kind, body = b"H", msgpack.packb(numbers)
    return _HEAD.pack(1 + len(body), kind[0]) + body


class Parser:
    """Records out of a byte stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> Iterator[Record]:
        """Yield each record that `data` completes; run it to its end. Raises WireError."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _HEAD.size:
                length, kind = _HEAD.unpack_from(buffer, at)
                if not 1 <= length <= MAX_RECORD:
                    raise WireError(f"a record of {length} bytes")
                end = at + _LENGTH.size + length
                if len(buffer) < end:
                    return
                body = bytes(buffer[at + _HEAD.size : end])
                at = end
                yield _decode(chr(kind), body)
        finally:
            del buffer[:at]


def _decode(kind: str, body: bytes) -> Record:
    try:
        match kind:
            case "P":
                track, arrival = _PACKET.unpack_from(body)
                return Packet(track, arrival, body[_PACKET.size :])
            case "D":
                track, rid = _RID.unpack_from(body)
                return Derived(track, rid, body[_RID.size :])
            case "T":
                return _track(body)
            case "G":
                return Go(*_TRACK.unpack(body))
            case "E":
                return End(*_TRACK.unpack(body))
            case "N":
                return Needs(*_TRACK.unpack(body))
            case "K":
                return Keyframe(*_RID.unpack(body))
            case "H":
                return Health(_numbers(msgpack.unpackb(body)))
    except (struct.error, msgpack.UnpackException, ValueError, RecursionError, Refused) as error:
        raise WireError(f"a record {kind!r} that cannot be read") from error
    raise WireError(f"a record of type {kind!r}")


def _track(body: bytes) -> feed.Track:
    for _, record in feed.FeedParser().receive(body):
        if isinstance(record, feed.Track):
            return record
    raise WireError("no track")


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not all(
        isinstance(key, str) and isinstance(number, int | float) for key, number in value.items()
    ):
        raise WireError("no map of numbers")
    return value
