"""What the control plane's HTTP API refuses: each answer names its code, its field and what to do.

Every answer is held against the OpenAPI document and the form of problems by the caller in
`central`. The way of a lesson is tested in `test_central_api`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from classroom.tokens import Role
from tests.live.central import Central, running

_ON_A_FILE = ("GET", "PUT", "DELETE")


@pytest.fixture
async def central(tmp_path: Path) -> AsyncIterator[Central]:
    async with running(tmp_path / "data") as central:
        yield central


@pytest.fixture
def teacher(central: Central) -> str:
    return central.token(Role.TEACHER)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/me"),
        ("GET", "/api/lessons"),
        ("POST", "/api/lessons"),
        ("GET", "/api/lessons/vat-ly-9"),
        ("DELETE", "/api/lessons/vat-ly-9"),
        ("POST", "/api/lessons/vat-ly-9/start"),
        ("POST", "/api/lessons/vat-ly-9/end"),
        ("POST", "/api/lessons/vat-ly-9/links"),
        ("GET", "/api/lessons/vat-ly-9/materials"),
        *((method, f"/api/lessons/vat-ly-9/materials/{'a' * 64}") for method in _ON_A_FILE),
        ("GET", "/api/relays"),
    ],
)
async def test_who_has_no_good_token_gets_nowhere(central: Central, method: str, path: str) -> None:
    for token, code in (
        (None, "token-missing"),
        ("nonsense", "token-malformed"),
        (central.token(Role.TEACHER, days=-1), "token-expired"),
    ):
        answer = await central.call(method, path, token)
        assert (answer.status, answer.json["type"]) == (401, f"urn:classroom:problem:{code}")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_for_another_lesson_or_without_the_right(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    other = central.token(Role.TEACHER, "toan-8")
    room = central.token(Role.ROOM, lesson)
    for action in ("start", "end", "links"):
        answer = await central.call("POST", f"/api/lessons/{lesson}/{action}", other)
        assert (answer.status, answer.json["type"]) == (403, "urn:classroom:problem:wrong-lesson")
        answer = await central.call("POST", f"/api/lessons/{lesson}/{action}", room)
        assert (answer.status, answer.json["type"]) == (403, "urn:classroom:problem:right-missing")
    assert (await central.call("GET", f"/api/lessons/{lesson}", other)).status == 403
    assert (await central.call("POST", "/api/lessons", room, json={"title": "x"})).status == 403
    # A link for one lesson may plan that one.
    body = {"title": "Toán", "id": "toan-8"}
    assert (await central.call("POST", "/api/lessons", other, json={"title": "x"})).status == 403
    assert (await central.call("POST", "/api/lessons", other, json=body)).status == 201
    assert (await central.call("POST", "/api/lessons", other, json=body)).status == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[" * 60000, "body"),
        (b"9" * 6000, "body"),
        (b"[]", "body"),
        (b"{}", "title"),
        (b'{"title": 7}', "title"),
        (b'{"title": "  "}', "title"),
        (b'{"title": "a\\u0000b"}', "title"),
        (b'{"title": "\\ud800"}', "title"),
        (json.dumps({"title": "x" * 201}).encode(), "title"),
        (b'{"title": "x", "planned_at": "tomorrow"}', "planned_at"),
        (b'{"title": "x", "planned_at": NaN}', "planned_at"),
        (b'{"title": "x", "id": "No"}', "id"),
        (b'{"title": "x", "subjct": "y"}', "subjct"),
    ],
)
async def test_a_bad_body_names_its_field(
    central: Central, teacher: str, body: bytes, field: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await central.call("POST", "/api/lessons", teacher, data=body, headers=headers)
    assert answer.status == 400
    assert answer.json["field"] == field
    assert answer.json["fix"]


_LONG = {"title": "x" * 70_000}
_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code", "field", "words"),
    [
        ("POST", "", {"data": b"title=x"}, 415, "media-type-unsupported", "Content-Type", "json"),
        ("POST", "", {"json": _LONG}, 413, "body-too-large", "body", "64 KiB"),
        ("GET", "/toan-8", {}, 404, "lesson-unknown", "lesson", "toan-8"),
        ("POST", "/toan-8/start", {}, 404, "lesson-unknown", "lesson", "toan-8"),
        ("DELETE", "/toan-8", {}, 404, "lesson-unknown", "lesson", "toan-8"),
        ("GET", "/No%20Lesson", {}, 404, "lesson-unknown", "lesson", "No Lesson"),
        ("GET", "/toan-8/nothing", {}, 404, "not-found", "path", "address"),
        ("DELETE", "", {}, 405, "method-not-allowed", "method", "GET or HEAD or POST"),
        ("GET", "?state=asleep", {}, 400, "field-invalid", "state", "planned, live, ended, publ"),
        ("GET", "?limit=many", {}, 400, "field-invalid", "limit", "from 1 to 2000"),
        ("GET", "?offset=-1", {}, 400, "field-invalid", "offset", "a whole number from 0"),
        ("GET", "?sort=title", {}, 400, "field-invalid", "sort", "unknown here"),
        ("POST", "/known/end", {}, 409, "lesson-not-live", "lesson", "has not begun"),
        *(
            ("POST", "/known/links", {"json": {"role": "room", "days": days}}, *invalid)
            for days in (0, -1, 10**6, "many")
            for invalid in [(400, "field-invalid", "days", "a number")]
        ),
    ],
)
async def test_other_bad_requests(
    central: Central,
    teacher: str,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
    code: str,
    field: str,
    words: str,
) -> None:
    await central.plan(teacher, id="known")
    answer = await central.call(method, f"/api/lessons{path}", teacher, **options)
    assert (answer.status, answer.json["type"]) == (status, f"urn:classroom:problem:{code}")
    assert answer.json["field"] == field
    assert words in answer.json["detail"] + answer.json["fix"]
    if status == 405:
        assert set(answer.headers["Allow"].split(",")) >= {"GET", "POST"}


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x"])
async def test_a_packed_body_is_refused_before_it_is_read(
    central: Central, teacher: str, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    for body in (b'{"title": "x"}', gzip.compress(b'{"title": "x"}')):
        headers = {**_JSON, "Content-Encoding": encoding}
        options = {"data": body, "headers": headers, "skip_auto_headers": ["Content-Encoding"]}
        answer = await central.call("POST", "/api/lessons", teacher, **options)
        assert (answer.status, answer.json["field"]) == (415, "Content-Encoding")
    assert [record for record in caplog.records if record.exc_info] == []
    headers = {**_JSON, "Content-Encoding": "identity"}
    plain = {"data": b'{"title": "x"}', "headers": headers}
    assert (await central.call("POST", "/api/lessons", teacher, **plain)).status == 201


@pytest.mark.parametrize("path", ["/api/events", "/api/relay"])
async def test_where_a_websocket_is_expected_a_request_is_told_so(
    central: Central, teacher: str, path: str
) -> None:
    for token in (teacher, None):
        answer = await central.call("GET", path, token)
        assert (answer.status, answer.json["field"]) == (426, "Upgrade")
        assert answer.headers["Upgrade"] == "websocket"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "short"}
    for version, field in (("13", "Sec-WebSocket-Key"), ("6", "Sec-WebSocket-Version")):
        headers = {**upgrade, "Sec-WebSocket-Version": version}
        answer = await central.call("GET", path, headers=headers)
        assert (answer.status, answer.json["field"]) == (400, field)
