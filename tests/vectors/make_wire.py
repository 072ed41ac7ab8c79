"""Writes the golden vectors of the wire: `python -m tests.vectors.make_wire`.

Run it only when PROTOCOL.md changes, and read the difference: these bytes are a promise to pages
and relays that are already in schools. `valid.json` pairs bytes with their meaning, `invalid.json`
bytes with the code they are refused with. Numbers with a fraction are chosen so that Python and
a browser pack the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgpack

from classroom import wire

HERE = Path(__file__).parent / "wire"

PHYSICS = wire.LessonInfo(
    id="vat-ly-9",
    title="Vật lý 9: Định luật Ôm",
    teacher="Cô Nguyễn Thị Hoa",
    state=wire.LessonState.LIVE,
    publishing=True,
    sources=(wire.Source.VOICE, wire.Source.CAMERA, wire.Source.SCREEN),
    rooms=12,
    recording=wire.Recording(wire.RecordingState.RECORDING, "", 93.5),
    started_at=1767600000.25,
    subject="Vật lý",
    grade="9",
    planned_at=1767599100.5,
    school="THCS Mường La",
    materials="7d" * 32,
)
PLANNED = wire.LessonInfo(
    id="toan-8",
    title="Toán 8",
    teacher="",
    state=wire.LessonState.PLANNED,
    publishing=False,
    sources=(),
    rooms=0,
    recording=wire.Recording(wire.RecordingState.NONE, "", 0.125),
    started_at=None,
)

VALID: dict[str, wire.Message] = {
    "hello of a room": wire.Hello(wire.Page.ROOM, "vi", "vat-ly-9"),
    "hello of a library page": wire.Hello(wire.Page.LIBRARY, "en-GB", None),
    "ping": wire.Ping(12345.75),
    "watching": wire.Watching("vat-ly-9", "3f2a9c"),
    "catch-up": wire.CatchUp("vat-ly-9", "3f2a9c", "missed"),
    "catch-up is over": wire.CatchUp("vat-ly-9", "3f2a9c", None),
    "pong": wire.Pong(12345.75, 1767600001.5),
    "welcome with a lesson": wire.Welcome("Lớp 9A, Trà Leng", "room", PHYSICS, 1767600001.5),
    "welcome without a lesson": wire.Welcome("", "viewer", None, 1767600001.5),
    "lesson live": PHYSICS,
    "lesson planned": PLANNED,
    "error": wire.Error("wrong-lesson", "Đường dẫn này của bài khác.", "Xin đường dẫn mới."),
    "rung of a room": wire.Rung(
        "vat-ly-9", wire.RungName.STILLS, "loss", 1767600000.25, 61500.5, 0.0625, 0.625, 1450
    ),
    "rung of a room that nothing is known of": wire.Rung(
        "vat-ly-9", wire.RungName.SMALL, "starting", 1767600000.25, 60000.5, 0.5, None, None
    ),
    "still": wire.Still(
        7, "vat-ly-9", wire.Source.SCREEN, 1767600000.25, "image/avif", 640, 360, 2, 804
    ),
    "still-part": wire.StillPart(7, 1, b"RIFF"),
    "still-part of all the bytes it may have": wire.StillPart(8, 0, bytes(range(200)) * 4),
    "rooms": wire.Rooms(
        "vat-ly-9",
        True,
        (
            wire.RoomRung("room-1", "Lớp 9A", wire.RungName.FULL, "choice", 1767600000.25),
            wire.RoomRung("room-2", "", wire.RungName.CATCH_UP, "link", 1767600000.5),
        ),
        ("room-3",),
    ),
    "voice-wish": wire.VoiceWish("vat-ly-9", 24000, 60, True),
    "relay-rooms": wire.RelayRooms(
        "vat-ly-9",
        False,
        (wire.RoomRung("room-1", "Lớp 9A", wire.RungName.VOICE, "queue", 1767600000.25),),
        (),
    ),
    "relay-rooms of a school": wire.RelayRooms(
        "vat-ly-9",
        True,
        (
            wire.RoomRung(
                "room-4", "Lớp 9B", wire.RungName.FULL, "choice", 1767600000.25, "THCS Trà Leng"
            ),
        ),
        (),
    ),
    "relay-path": wire.RelayPath(
        (wire.RelayStep("relay-1", "root"), wire.RelayStep("school-7", "Phòng GD Nam Trà My")),
        True,
    ),
    "relay-below": wire.RelayBelow(
        False,
        (
            wire.RelayNode(
                *("school-9", "THCS Trà Leng", "http://192.168.1.9:8081", "0.1.0", 40),
                "school-7",
                "5f" * 32,
            ),
        ),
        ("school-8",),
    ),
    "relay-materials": wire.RelayMaterials(
        (
            wire.ListChange("vat-ly-9", "c4" * 32, 1767603600.25),
            wire.ListChange("toan-8", None, 1767600000.0),
        )
    ),
    "relay-revoked": wire.RelayRevoked(("school-8",)),
    "trunk-wants": wire.TrunkWants(
        "vat-ly-9",
        "hW0dVq3yTtKk",
        (
            wire.TrunkPlaces(wire.Source.CAMERA, (2, 0)),
            wire.TrunkPlaces(wire.Source.SCREEN, ()),
        ),
    ),
    "trunk-tracks": wire.TrunkTracks(
        "vat-ly-9",
        "hW0dVq3yTtKk",
        3,
        (
            wire.TrunkTrack(
                4294967295,
                1,
                wire.Source.CAMERA,
                "h",
                ("q", "h", "f"),
                1,
                250000.5,
                False,
                3177095353,
                "9f86d081884c7d65",
                3,
                (
                    wire.TrunkAnchor(90000, 1767600000.25, None),
                    wire.TrunkAnchor(180000, 1767600001.5, 180001),
                ),
                "Z0IAHpWoKA9k,aM48gA==",
            ),
        ),
    ),
    "trunk-recording": wire.TrunkRecording(
        "vat-ly-9",
        1767600000250,
        8000,
        (wire.TrunkTake(1, "9f86d081884c7d65", 3, -40),),
        (wire.TrunkInit("camera-h", 1, "sha256:" + 64 * "0"),),
    ),
    "relay-hello": wire.RelayHello("root", "https://relay.example:8081", "0.1.0", 400),
    "relay-lesson": wire.RelayLesson(
        "vat-ly-9",
        True,
        (wire.Source.VOICE,),
        3,
        wire.Recording(wire.RecordingState.FAILING, "disk-full", 61.5),
    ),
    "relay-archive": wire.RelayArchive(
        "vat-ly-9", 2701.5, 734003200, ("voice", "camera-q", "camera-h", "camera-f")
    ),
    "relay-lessons": wire.RelayLessons((PHYSICS, PLANNED)),
    "relay-lessons empty": wire.RelayLessons(()),
    "lesson-end": wire.LessonEnd("vat-ly-9"),
}


def _pack(value: object) -> bytes:
    packed = msgpack.packb(value)
    assert isinstance(packed, bytes)
    return packed


def _deep(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


_HELLO = {"page": "room", "lang": "vi", "lesson": None}
INVALID: dict[str, tuple[bytes, str, str | None]] = {
    "empty": (b"", "wire-malformed", None),
    "cut short": (_pack([1, "ping", {"t": 0.5}])[:-3], "wire-malformed", None),
    "bytes after the end": (_pack([1, "ping", {"t": 0.5}]) + b"\x00", "wire-malformed", None),
    "a text instead of a list": (_pack("hello"), "wire-malformed", None),
    "two parts": (_pack([1, "ping"]), "wire-malformed", None),
    "kind is a number": (_pack([1, 2, {}]), "wire-malformed", None),
    "version 2": (_pack([2, "ping", {"t": 0.5}]), "wire-unknown-version", None),
    "version is true": (_pack([True, "ping", {"t": 0.5}]), "wire-unknown-version", None),
    "unknown kind": (_pack([1, "hurra", {}]), "wire-unknown-kind", None),
    "body is a list": (_pack([1, "ping", [1]]), "wire-bad-field", "body"),
    "a key is a number": (_pack([1, "ping", {1: 0.5}]), "wire-malformed", None),
    "binary value where a number belongs": (
        _pack([1, "ping", {"t": b"1"}]),
        "wire-bad-field",
        "t",
    ),
    "binary value that is too long": (
        _pack([1, "still-part", {"still": 1, "part": 0, "data": bytes(801)}]),
        "wire-malformed",
        None,
    ),
    "an empty part": (
        _pack([1, "still-part", {"still": 1, "part": 0, "data": b""}]),
        "wire-bad-field",
        "data",
    ),
    "text where a part belongs": (
        _pack([1, "still-part", {"still": 1, "part": 0, "data": "RIFF"}]),
        "wire-bad-field",
        "data",
    ),
    "a rung that nobody knows": (
        _pack([1, "rung", {**wire.to_map(VALID["rung of a room"]), "rung": "huge"}]),
        "wire-bad-field",
        "rung",
    ),
    "a still in a format that a page need not show": (
        _pack([1, "still", {**wire.to_map(VALID["still"]), "mime": "image/svg+xml"}]),
        "wire-bad-field",
        "mime",
    ),
    "extension value": (_pack([1, "ping", {"t": msgpack.Timestamp(1)}]), "wire-malformed", None),
    "invalid UTF-8": (b"\x93\x01\xa4pi\xffg\x80", "wire-malformed", None),
    "nested too deep": (_pack([1, "ping", {"t": _deep(5)}]), "wire-malformed", None),
    "nested past any stack": (b"\x91" * 3000 + b"\x00", "wire-malformed", None),
    "text too long": (_pack([1, "ping", {"t": "a" * 4097}]), "wire-malformed", None),
    "a list that claims 4 billion": (
        b"\x93\x01\xa4ping\xdd\xff\xff\xff\xff",
        "wire-malformed",
        None,
    ),
    "missing key": (
        _pack([1, "hello", {"page": "room", "lang": "vi"}]),
        "wire-bad-field",
        "lesson",
    ),
    "unknown page": (_pack([1, "hello", {**_HELLO, "page": "x"}]), "wire-bad-field", "page"),
    "lesson id with a slash": (
        _pack([1, "hello", {**_HELLO, "lesson": "../etc"}]),
        "wire-bad-field",
        "lesson",
    ),
    "not a number": (_pack([1, "ping", {"t": float("nan")}]), "wire-bad-field", "t"),
    "infinite": (_pack([1, "ping", {"t": float("inf")}]), "wire-bad-field", "t"),
    "true for a number": (_pack([1, "ping", {"t": True}]), "wire-bad-field", "t"),
    "negative rooms": (
        _pack([1, "lesson", {**wire.to_map(PLANNED), "rooms": -1}]),
        "wire-bad-field",
        "rooms",
    ),
    "bad field inside a list": (
        _pack([1, "relay-lessons", {"lessons": [{**wire.to_map(PLANNED), "title": ""}]}]),
        "wire-bad-field",
        "lessons[0].title",
    ),
    "bad field inside a part": (
        _pack([1, "lesson", {**wire.to_map(PLANNED), "recording": {"state": "off"}}]),
        "wire-bad-field",
        "recording.state",
    ),
}
# Bytes that need no golden encoding of their own but must still be understood.
TOLERATED: dict[str, tuple[bytes, str]] = {
    "a key from a later version": (_pack([1, "ping", {"t": 12345.75, "new": [1]}]), "ping"),
    "recording left out of its keys": (
        _pack([1, "lesson", {**wire.to_map(PLANNED), "recording": {"seconds": 0.125}}]),
        "lesson planned",
    ),
    "optional keys left out": (
        _pack(
            [
                1,
                "lesson",
                {
                    key: value
                    for key, value in wire.to_map(PLANNED).items()
                    if key not in ("subject", "grade", "school", "planned_at", "materials")
                },
            ]
        ),
        "lesson planned",
    ),
}


def as_json(value: object) -> object:
    """What `to_map` gives, with bytes as `{"hex": …}`, since JSON has none."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def documents() -> dict[str, object]:
    """File name → its content."""
    return {
        "valid.json": [
            {
                "name": name,
                "hex": wire.encode(message).hex(),
                "message": [wire.VERSION, message.kind, as_json(wire.to_map(message))],
            }
            for name, message in VALID.items()
        ],
        "tolerated.json": [
            {"name": name, "hex": raw.hex(), "same_as": same}
            for name, (raw, same) in TOLERATED.items()
        ],
        "invalid.json": [
            {"name": name, "hex": raw.hex(), "code": code, "field": field}
            for name, (raw, code, field) in INVALID.items()
        ],
    }


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for file_name, document in documents().items():
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (HERE / file_name).write_text(text + "\n", encoding="utf-8")
