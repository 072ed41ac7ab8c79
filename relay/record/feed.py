"""The recorder feed: what the media process tells the recorder over a Unix stream socket. PURE.

Lives here: the records, their byte form, and an incremental parser for each direction. Must not
live here: sockets, files, the meaning of RTP. One *feed* is one run of the media process; it may
carry several lessons, and it may be spread over several connections.

    record  = !I length of what follows · !B type · !Q feed sequence · body
    H hello   msgpack {feed}            first on every connection, feed sequence 0
    T track   msgpack {track, lesson, source, rid, codec, clock_rate, channels, fmtp, payload_type,
                       red_payload_type, extensions, epoch, origin}
    S sync    msgpack {track, rtp_timestamp, wall, since}
    P packet  !I track · !d arrival · the RTP packet as received
    E end     msgpack {track, reason}
    L lesson  msgpack {lesson}          the lesson has ended: finish its archive
    ack     = !Q, recorder to media: every record up to this sequence is durable or dropped for good

The sequence counts from 1 and rises by one for each record except H, over all lessons of a feed.
On a new connection the media process sends H; then, for each track that lives or has records not
acknowledged, its T and those S that may be in force for its first record not acknowledged, all
with the sequence they had; then every record not acknowledged, in order. The recorder drops what
it has already seen. A record that it cannot read it passes over and acknowledges: it would come
again for ever.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from classroom.errors import Refused
from relay.media.rtp import DEPENDENCY_DESCRIPTOR

LENGTH_SIZE: Final = 4
_HEAD: Final = struct.Struct("!BQ")
_PACKET: Final = struct.Struct("!Id")
_LENGTH: Final = struct.Struct("!I")
_ACK: Final = struct.Struct("!Q")

MAX_RECORD: Final = 70_000  # bytes; an RTP packet in a UDP datagram is at most 65,507
MAX_PACKET: Final = 65_507
MAX_TEXT: Final = 1_000  # characters in any string of a record
MAX_ENTRIES: Final = 64  # of `fmtp` and of `extensions`; what the recorder uses is far less
MAX_EXTENSION: Final = 255  # identifier of a header extension (RFC 8285 4.3)
MAX_SEQUENCE: Final = 2**63 - 1

# What the recorder looks at. Whoever publishes writes the SDP, so a track is told no more of it.
USED_PARAMETERS: Final = ("sprop-parameter-sets",)
USED_EXTENSIONS: Final = (DEPENDENCY_DESCRIPTOR,)


@dataclass(frozen=True, slots=True)
class Hello:
    """First record of a connection. feed: random name of this run of the media process."""

    feed: str


@dataclass(frozen=True, slots=True)
class Track:
    """A track begins (or is introduced again on a new connection).

    track: number, unique in the feed; never reused for other media.
    lesson: lesson id. source: "voice", "camera" or "screen". rid: simulcast layer, None if single.
    codec: "opus", "vp8", "vp9", "h264" or "av1". clock_rate: Hz. channels: of Opus, else None.
    fmtp: format parameters of the SDP, those that are used. payload_type: of the codec;
    red_payload_type: of RFC 2198 redundancy around it, or None. extensions: RTP header extension
    URI to its identifier, those that are used.
    epoch: rises by one with each restart of the publisher.
    origin: the feed at the top of the tree that `epoch` counts in, where the media comes from a
    relay above; "" if it is this feed.
    """

    track: int
    lesson: str
    source: str
    rid: str | None
    codec: str
    clock_rate: int
    channels: int | None
    fmtp: Mapping[str, str]
    payload_type: int
    red_payload_type: int | None
    extensions: Mapping[str, int] = field(default_factory=dict)
    epoch: int = 0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Packet:
    """An RTP packet as received. arrival: Unix seconds on the clock of the relay that the publisher
    sends to."""

    track: int
    arrival: float
    packet: bytes


@dataclass(frozen=True, slots=True)
class Sync:
    """`rtp_timestamp` (32 bit) was captured at `wall` (Unix seconds, on the same clock).

    since: the RTP timestamp from which on packets are timed by it, however late they come; None:
    those that follow.
    """

    track: int
    rtp_timestamp: int
    wall: float
    since: int | None = None


@dataclass(frozen=True, slots=True)
class End:
    """No packet of this track follows. reason: short text for the journal."""

    track: int
    reason: str


@dataclass(frozen=True, slots=True)
class LessonEnd:
    """The lesson has ended; its archive is to be finished."""

    lesson: str


Record = Hello | Track | Packet | Sync | End | LessonEnd


def encode(sequence: int, record: Record) -> bytes:
    """The bytes of one record, length prefix included. `sequence`: 0 for `Hello`, else from 1."""
    match record:
        case Packet(track, arrival, packet):
            body = _PACKET.pack(track, arrival) + packet
            kind = b"P"
        case Hello(feed):
            kind, body = b"H", msgpack.packb({"feed": feed})
        case Track():
            kind, body = b"T", _pack_track(record)
        case Sync(track, rtp_timestamp, wall, since):
            fields = {"track": track, "rtp_timestamp": rtp_timestamp, "wall": wall, "since": since}
            kind, body = b"S", msgpack.packb(fields)
        case End(track, reason):
            kind, body = b"E", msgpack.packb({"track": track, "reason": reason[:MAX_TEXT]})
        case LessonEnd(lesson):
            kind, body = b"L", msgpack.packb({"lesson": lesson})
    return _LENGTH.pack(_HEAD.size + len(body)) + _HEAD.pack(kind[0], sequence) + body


def is_media(data: bytes) -> bool:
    """Whether an encoded record is a packet or an anchor, not the beginning or end of anything."""
    return data[LENGTH_SIZE] in b"PS"


def encode_ack(sequence: int) -> bytes:
    """Everything up to `sequence` is durable, or deliberately dropped."""
    return _ACK.pack(sequence)


def used_parameters(fmtp: Mapping[str, str]) -> dict[str, str]:
    """Of a publisher's format parameters, those that a track may be told: used, and in bounds."""
    found = ((key, fmtp.get(key, "")) for key in USED_PARAMETERS)
    return {key: text for key, text in found if text.isascii() and 0 < len(text) <= MAX_TEXT}


def used_extensions(extensions: Mapping[str, int]) -> dict[str, int]:
    """Of a publisher's header extensions, those that a track may be told."""
    found = ((uri, extensions.get(uri, 0)) for uri in USED_EXTENSIONS)
    return {uri: number for uri, number in found if 0 < number <= MAX_EXTENSION}


class FeedParser:
    """Records out of a byte stream. After a `Refused` the connection is to be closed."""

    def __init__(self, skip: Callable[[int, Refused], None] | None = None) -> None:
        """skip: told (feed sequence, why) of a record that cannot be read although its end is
        known; it is passed over. None: such a record raises."""
        self._buffer = bytearray()
        self._skip = skip

    def receive(self, data: bytes) -> Iterator[tuple[int, Record]]:
        """Yield (sequence, record) for each record that `data` completes; run it to its end.

        Raises Refused 400 `feed-malformed`: the two processes disagree about where records end,
        so nothing after it in this stream can be trusted.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= LENGTH_SIZE:
                (length,) = _LENGTH.unpack_from(buffer, at)
                if not _HEAD.size <= length <= MAX_RECORD:
                    raise _malformed("length", f"a record of {length} bytes")
                if len(buffer) - at - LENGTH_SIZE < length:
                    return
                start = at + LENGTH_SIZE
                at = start + length
                try:
                    record = _decode(bytes(buffer[start:at]))
                except Refused as error:
                    _, sequence = _HEAD.unpack_from(buffer, start)
                    if self._skip is None or sequence > MAX_SEQUENCE:
                        raise
                    self._skip(sequence, error)
                    continue
                yield record
        finally:
            del buffer[:at]


class AckParser:
    """Acknowledged sequences out of a byte stream (the media process's side)."""

    def __init__(self) -> None:
        self._buffer = b""

    def receive(self, data: bytes) -> int | None:
        """The highest sequence acknowledged in what `data` completes, or None."""
        buffer = self._buffer + data
        whole = len(buffer) - len(buffer) % _ACK.size
        self._buffer = buffer[whole:]
        return max((ack for (ack,) in _ACK.iter_unpack(buffer[:whole])), default=None)


def _malformed(where: str, what: str) -> Refused:
    return Refused(
        400,
        "feed-malformed",
        f"The recorder feed is malformed: {what}.",
        fix="Close this connection; both processes must be of one version.",
        field=where,
    )


def _pack_track(track: Track) -> bytes:
    packed: bytes = msgpack.packb(
        {
            "track": track.track,
            "lesson": track.lesson,
            "source": track.source,
            "rid": track.rid,
            "codec": track.codec,
            "clock_rate": track.clock_rate,
            "channels": track.channels,
            "fmtp": dict(track.fmtp),
            "payload_type": track.payload_type,
            "red_payload_type": track.red_payload_type,
            "extensions": dict(track.extensions),
            "epoch": track.epoch,
            "origin": track.origin,
        }
    )
    return packed


def _decode(data: bytes) -> tuple[int, Record]:
    kind, sequence = _HEAD.unpack_from(data)
    if sequence > MAX_SEQUENCE:
        raise _malformed("sequence", "its sequence number is out of range")
    body = data[_HEAD.size :]
    if kind == ord("P"):
        if not _PACKET.size < len(body) <= _PACKET.size + MAX_PACKET:
            raise _malformed("P", f"a packet record of {len(body)} bytes")
        track, arrival = _PACKET.unpack_from(body)
        if not math.isfinite(arrival):
            raise _malformed("P.arrival", "an arrival time that is no number")
        return sequence, Packet(track, arrival, body[_PACKET.size :])
    return sequence, _decode_map(chr(kind), body)


def _decode_map(kind: str, body: bytes) -> Record:
    fields = _Fields(kind, body)
    match kind:
        case "H":
            return Hello(fields.text("feed"))
        case "T":
            return Track(
                track=fields.number("track", 0, 2**32 - 1),
                lesson=fields.text("lesson"),
                source=fields.text("source"),
                rid=fields.text("rid") if fields.has("rid") else None,
                codec=fields.text("codec"),
                clock_rate=fields.number("clock_rate", 1, 1_000_000),
                channels=fields.number("channels", 1, 255) if fields.has("channels") else None,
                fmtp={k: _text(kind, "fmtp", v) for k, v in fields.mapping("fmtp").items()},
                payload_type=fields.number("payload_type", 0, 127),
                red_payload_type=(
                    fields.number("red_payload_type", 0, 127)
                    if fields.has("red_payload_type")
                    else None
                ),
                extensions={
                    k: _number(kind, "extensions", v, 1, MAX_EXTENSION)
                    for k, v in fields.mapping("extensions").items()
                },
                epoch=fields.number("epoch", 0, MAX_SEQUENCE),
                origin=fields.text("origin") if fields.has("origin") else "",
            )
        case "S":
            return Sync(
                fields.number("track", 0, 2**32 - 1),
                fields.number("rtp_timestamp", 0, 2**32 - 1),
                fields.seconds("wall"),
                fields.number("since", 0, 2**32 - 1) if fields.has("since") else None,
            )
        case "E":
            return End(fields.number("track", 0, 2**32 - 1), fields.text("reason"))
        case "L":
            return LessonEnd(fields.text("lesson"))
        case _:
            raise _malformed("type", f"type {ord(kind)} is not known")


class _Fields:
    """A msgpack map whose members are read one by one, each checked."""

    def __init__(self, kind: str, body: bytes) -> None:
        self._kind = kind
        try:
            value = msgpack.unpackb(body, strict_map_key=True)
        except (ValueError, msgpack.UnpackException, RecursionError) as error:
            raise _malformed(kind, "its body is not msgpack") from error
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise _malformed(kind, "its body is not a map with text keys")
        self._map: dict[str, Any] = value

    def has(self, name: str) -> bool:
        return self._map.get(name) is not None

    def text(self, name: str) -> str:
        return _text(self._kind, name, self._map.get(name))

    def number(self, name: str, low: int, high: int) -> int:
        return _number(self._kind, name, self._map.get(name), low, high)

    def seconds(self, name: str) -> float:
        value = self._map.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12:
            raise _malformed(f"{self._kind}.{name}", f"{name} is not a time in seconds")
        if not math.isfinite(value):
            raise _malformed(f"{self._kind}.{name}", f"{name} is not a time in seconds")
        return float(value)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._map.get(name)
        if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
            raise _malformed(f"{self._kind}.{name}", f"{name} is not a map")
        for key in value:
            _text(self._kind, name, key)
        return value


def _text(kind: str, name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise _malformed(f"{kind}.{name}", f"{name} is not a text of at most {MAX_TEXT} characters")
    return value


def _number(kind: str, name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _malformed(f"{kind}.{name}", f"{name} is not a whole number in {low} to {high}")
    return value
