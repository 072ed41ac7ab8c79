"""Packs a message into bytes and reads it back: msgpack of `[version, kind, body]`, strictly.

Limits stand in PROTOCOL.md and are checked before anything is built from the bytes. `decode`
raises only Refused 400 with a `wire-…` code, whatever the bytes; `encode` raises Misuse for a
message that the other side would refuse. Pure.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Final, cast

import msgpack

from classroom.errors import Misuse, Refused
from classroom.wire import fields
from classroom.wire.messages import (
    MAX_OCTETS,
    MAX_ROOMS,
    LessonInfo,
    Message,
    RelayLessons,
    RoomRung,
)

VERSION: Final = 1
# A full class's list of lessons fits, while a server holds 1,000 peers' messages in 64 MiB.
MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 6
MAX_CHARS: Final = 4096
_UTF8_BYTES_PER_CHAR: Final = 4
# A teacher's weak uplink has a weak way back, too: what rooms receive comes in small messages.
_ROOMS_BYTES: Final = 16 * 1024
_MAX_ITEMS: Final = 4096
_STALE_SECONDS: Final = 86_400.0

KINDS: Final[dict[str, type[Any]]] = {cls.kind: cls for cls in typing.get_args(Message)}


def decode(raw: bytes) -> Message:
    """The message in `raw`; raises Refused 400.

    Codes: wire-too-large, wire-malformed (not msgpack, or not the three-part list),
    wire-unknown-version, wire-unknown-kind, wire-bad-field (with its path as `field`).
    """
    if len(raw) > MAX_BYTES:
        raise _refused("wire-too-large", f"The message is larger than {MAX_BYTES} bytes.")
    try:
        parts = msgpack.unpackb(
            raw,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_CHARS * _UTF8_BYTES_PER_CHAR,
            max_bin_len=MAX_OCTETS,
            max_ext_len=0,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
        )
    # What msgpack raises for bad bytes: its own errors are ValueErrors, as is bad UTF-8; a map
    # key that cannot be a key is a TypeError; nesting past its stack is a ValueError too.
    except (ValueError, TypeError) as error:
        raise _refused("wire-malformed", "The message is not valid msgpack.") from error
    _check_shape(parts, 1)
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[1], str):
        raise _refused("wire-malformed", "The message is not a list of version, kind and body.")
    version, kind, body = parts
    if version != VERSION or isinstance(version, bool):
        raise _refused("wire-unknown-version", f"The message is not of version {VERSION}.")
    cls = KINDS.get(kind)
    if cls is None:
        raise _refused("wire-unknown-kind", f"There is no message of kind {kind[:40]!r}.")
    return cast(Message, fields.read(cls, body))


def encode(message: Message) -> bytes:
    """The bytes of `message`, at most MAX_BYTES; raises Misuse if a peer would refuse them."""
    body = to_map(message)
    try:
        fields.read(type(message), body)
    except Refused as error:
        raise Misuse(f"cannot send a {message.kind} message: {error.detail}") from error
    raw = cast(bytes, msgpack.packb([VERSION, message.kind, body]))
    if len(raw) > MAX_BYTES:
        raise Misuse(f"a {message.kind} message of {len(raw)} bytes is over {MAX_BYTES}; split it")
    return raw


def to_map(value: Any) -> Any:
    """`value` (a message or a part of one) as maps, lists and plain values; also its JSON form."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_map(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple):
        return [to_map(item) for item in value]
    # A StrEnum is packed as its value: msgpack would take the subclass, the browser need not know.
    return str(value) if isinstance(value, str) else value


def fit_lessons(lessons: typing.Iterable[LessonInfo]) -> RelayLessons:
    """A `relay-lessons` of as many of `lessons`, in their order, as one message can hold.

    Put first what matters most, see `urgency`.
    """
    # 64 bytes hold the list head, the kind and the key; the rest is lessons.
    room = MAX_BYTES - 64
    chosen: list[LessonInfo] = []
    for lesson in lessons:
        room -= len(cast(bytes, msgpack.packb(to_map(lesson))))
        if room < 0 or len(chosen) == 500:
            break
        chosen.append(lesson)
    return RelayLessons(lessons=tuple(chosen))


def urgency(date: float, now: float, *, live: bool) -> tuple[int, float]:
    """Sorts lessons for `fit_lessons`: live ones, then the next, then those that never took place.

    date: Unix seconds for which a lesson is planned.
    """
    if live:
        return 0, 0.0
    # Nobody takes back a lesson that fell through: old ones must not push out the next ones.
    return (1, date) if date > now - _STALE_SECONDS else (2, -date)


def fit_rooms(
    rooms: typing.Iterable[RoomRung], gone: typing.Iterable[str]
) -> typing.Iterator[tuple[tuple[RoomRung, ...], tuple[str, ...]]]:
    """`rooms` and `gone` in pieces that each fit one `rooms` or `relay-rooms`; at least one piece,
    which may be empty."""
    room = _ROOMS_BYTES
    chosen: list[RoomRung] = []
    left: list[str] = []
    items: list[RoomRung | str] = [*gone, *rooms]
    for item in items:
        size = len(cast(bytes, msgpack.packb(to_map(item))))
        if size > room or len(chosen) == MAX_ROOMS or len(left) == MAX_ROOMS:
            yield tuple(chosen), tuple(left)
            room, chosen, left = _ROOMS_BYTES, [], []
        room -= size
        if isinstance(item, RoomRung):
            chosen.append(item)
        else:
            left.append(item)
    yield tuple(chosen), tuple(left)


def _check_shape(value: object, depth: int) -> None:
    """Refuse nesting past MAX_DEPTH and long strings; recursion is bounded by the first."""
    if isinstance(value, str):
        if len(value) > MAX_CHARS:
            raise _refused("wire-malformed", f"A text has more than {MAX_CHARS} characters.")
        return
    if not isinstance(value, list | dict):
        return
    if depth > MAX_DEPTH:
        raise _refused("wire-malformed", f"The message nests deeper than {MAX_DEPTH}.")
    for item in value.values() if isinstance(value, dict) else value:
        _check_shape(item, depth + 1)
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        raise _refused("wire-malformed", "A key of a map is not text.")


def _refused(code: str, detail: str) -> Refused:
    return Refused(
        400,
        code,
        detail,
        fix="Reload the page; if it stays so, page and server are of versions that do not fit.",
    )
