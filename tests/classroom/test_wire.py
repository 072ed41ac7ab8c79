"""The wire: golden vectors, what is refused and how it is named, limits, fuzz.

The vectors are shared with the browser tests. Nothing here opens a socket.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom import wire
from classroom.errors import Misuse, Refused
from classroom.tokens import Role
from classroom.wire import fields
from tests.vectors import make_wire

CODES = (
    "wire-malformed",
    "wire-unknown-version",
    "wire-unknown-kind",
    "wire-bad-field",
)
VECTORS = Path(__file__).parent.parent / "vectors" / "wire"


def vectors(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("vector", vectors("valid.json"), ids=lambda vector: vector["name"])
def test_a_golden_message_is_read_and_written_byte_for_byte(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    message = wire.decode(raw)
    body = make_wire.as_json(wire.to_map(message))
    assert [wire.VERSION, message.kind, body] == vector["message"]
    assert wire.encode(message) == raw


@pytest.mark.parametrize("vector", vectors("invalid.json"), ids=lambda vector: vector["name"])
def test_bad_bytes_are_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        wire.decode(bytes.fromhex(vector["hex"]))
    assert caught.value.status == 400
    assert (caught.value.code, caught.value.field) == (vector["code"], vector["field"])


@pytest.mark.parametrize("vector", vectors("tolerated.json"), ids=lambda vector: vector["name"])
def test_messages_of_other_versions_of_us_are_understood(vector: dict[str, Any]) -> None:
    by_name = {valid["name"]: valid for valid in vectors("valid.json")}
    expected = wire.decode(bytes.fromhex(by_name[vector["same_as"]]["hex"]))
    assert wire.decode(bytes.fromhex(vector["hex"])) == expected


def test_the_vectors_on_disk_are_those_of_their_maker() -> None:
    for name, document in make_wire.documents().items():
        assert vectors(name) == json.loads(json.dumps(document))


def test_every_kind_has_a_vector_and_a_line_in_the_document() -> None:
    assert {vector["message"][1] for vector in vectors("valid.json")} == set(wire.KINDS)
    document = (Path(fields.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")
    for kind, cls in wire.KINDS.items():
        assert f"`{kind}`" in document
        for field in dataclasses.fields(cls):
            assert f"`{field.name}`" in document, (kind, field.name)


def test_the_roles_of_the_wire_are_those_of_tokens() -> None:
    for role in Role:
        wire.encode(wire.Welcome("", role.value, None, 0.5))
    with pytest.raises(Misuse):
        wire.encode(wire.Welcome("", "admin", None, 0.5))


def test_a_message_over_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(Refused) as caught:
        wire.decode(bytes(wire.MAX_BYTES + 1))
    assert caught.value.code == "wire-too-large"


def test_what_a_peer_would_refuse_is_not_sent() -> None:
    with pytest.raises(Misuse):
        wire.encode(wire.LessonEnd("No Such Id"))


def test_lessons_are_fitted_into_one_message_in_their_order() -> None:
    crowd = [
        wire.LessonInfo(
            id=f"lesson-{number:04}",
            title="Đ" * 200,
            teacher="ễ" * 100,
            state=wire.LessonState.PLANNED,
            publishing=False,
            sources=(),
            rooms=0,
            recording=wire.Recording(),
            started_at=None,
        )
        for number in range(600)
    ]
    fitted = wire.fit_lessons(crowd)
    assert 50 < len(fitted.lessons) < 600
    assert list(fitted.lessons) == crowd[: len(fitted.lessons)]
    assert wire.MAX_BYTES - 2000 < len(wire.encode(fitted)) <= wire.MAX_BYTES


@pytest.mark.parametrize("url", ["http:////", "https://?", "http://", "ftp://relay"])
def test_an_address_has_a_host(url: str) -> None:
    with pytest.raises(Misuse):
        wire.encode(wire.RelayHello("root", url, "0.1.0", 1))


def test_the_next_lessons_come_before_those_that_fell_through() -> None:
    now, day = 1.8e9, 86_400.0
    dates = {"long-ago": -30 * day, "last-week": -7 * day, "an-hour-ago": -3_600, "soon": 600.0}
    dates |= {"next-year": 365 * day, "live": -9 * day}
    order = sorted(
        dates, key=lambda name: wire.urgency(now + dates[name], now, live=name == "live")
    )
    assert order == ["live", "an-hour-ago", "soon", "next-year", "last-week", "long-ago"]


def test_rooms_are_cut_into_messages_that_fit() -> None:
    rooms = [
        wire.RoomRung(f"{number:0200}", "ễ" * 100, wire.RungName.SMALL, "link", 1e9 + 0.5)
        for number in range(600)
    ]
    gone = [f"{number:0200}" for number in range(700, 1300)]
    pieces = list(wire.fit_rooms(rooms, gone))
    assert [room for piece, _ in pieces for room in piece] == rooms
    assert [key for _, piece in pieces for key in piece] == gone
    for piece, left in pieces:
        assert len(wire.encode(wire.Rooms("toan-8", False, piece, left))) < 20_000
    assert list(wire.fit_rooms([], [])) == [((), ())]
    # Names as people give them: all rooms of a province in two messages.
    usual = [
        wire.RoomRung(f"room-{number}", "Lớp 9A", wire.RungName.SMALL, "link", 1e9 + 0.5)
        for number in range(250)
    ]
    assert len(list(wire.fit_rooms(usual, []))) <= 2


@pytest.mark.parametrize("text", ["abc", "a" * 40, "9-9", "vat-ly-9"])
def test_lesson_ids(text: str) -> None:
    assert wire.is_lesson_id(text)


@pytest.mark.parametrize("text", ["", "ab", "a" * 41, "-ab", "Abc", "a/b", "a.b", "abc\n", "đại"])
def test_what_is_no_lesson_id(text: str) -> None:
    assert not wire.is_lesson_id(text)


def outcome(raw: bytes) -> str:
    """The code that `raw` is refused with, or "" if it is a message."""
    try:
        message = wire.decode(raw)
    except Refused as error:
        return error.code
    # Whatever was accepted can be passed on.
    assert wire.decode(wire.encode(message)) == message
    return ""


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    assert outcome(raw).startswith("wire-")


_PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=9)
)
_ANY = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.sampled_from(vectors("valid.json")), st.data())
@settings(max_examples=200)
def test_a_message_with_one_value_replaced_is_read_or_refused(
    vector: dict[str, Any], data: st.DataObject
) -> None:
    version, kind, body = vector["message"]
    body = {**body, data.draw(st.sampled_from(sorted(body))): data.draw(_ANY)}
    raw = msgpack.packb([version, kind, body])
    assert outcome(raw) in ("", "wire-bad-field", "wire-malformed")


@given(st.sampled_from(vectors("valid.json")), st.integers(0, 600), st.integers(0, 255))
@settings(max_examples=200)
def test_a_message_with_one_byte_changed_is_read_or_refused(
    vector: dict[str, Any], place: int, value: int
) -> None:
    raw = bytearray.fromhex(vector["hex"])
    raw[place % len(raw)] = value
    assert outcome(bytes(raw)) in ("", *CODES)
