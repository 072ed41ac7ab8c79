"""The HTTP side of a real relay without a control plane: its list of lessons, and its refusals.

Archives are placed on its disk as the recorder leaves them; nothing is published here.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from classroom.tokens import Role
from tests.live.relay_alone import LESSON, OTHER, Relay, relay_alone
from tests.relay.offers import OFFERS, ROOM, TEACHER

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = "application/problem+json"


@dataclass(slots=True)
class Answer:
    """What came back; `json` is None for other media types."""

    status: int
    headers: Any
    body: bytes
    json: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("relay")
    async with relay_alone(folder) as running:
        for number in range(30):
            archive = folder / "data" / "archives" / f"toan-{number:02}"
            archive.mkdir(parents=True)
            (archive / "journal.jsonl").touch()
            about = {"title": f"Đường thẳng {number}", "teacher": "Cô Mai", "started_at": number}
            (archive / "about.json").write_text(json.dumps(about), encoding="utf-8")
        spoilt = folder / "data" / "archives" / "toan-00" / "about.json"
        spoilt.write_text('{"title": ["no", "words"], "started_at": true}', encoding="utf-8")
        yield running
        assert running.faults() == []


async def call(
    relay: Relay, method: str, path: str, token: str | None = None, **options: Any
) -> Answer:
    """One request, redirects not followed."""
    headers = {**options.pop("headers", {})}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with relay.http.request(
        method, relay.url + path, headers=headers, allow_redirects=False, **options
    ) as response:
        body = await response.read()
        text = "json" in response.content_type
        return Answer(response.status, response.headers, body, json.loads(body) if text else None)


async def test_lessons_are_found_by_words_state_and_part(relay: Relay) -> None:
    token = relay.token(Role.ROOM, lesson="*")

    async def found(query: str) -> tuple[list[str], int]:
        answer = await call(relay, "GET", f"/api/lessons?{query}", token)
        assert answer.status == 200, answer.body
        return [lesson["id"] for lesson in answer.json["lessons"]], answer.json["total"]

    everything, total = await found("")
    assert (len(everything), total) == (32, 32)
    assert set(everything[:2]) == {LESSON, OTHER}
    assert everything[2:4] == ["toan-29", "toan-28"]
    assert await found("q=duong+mai&limit=2&offset=1") == (["toan-28", "toan-27"], 29)
    assert await found("state=live") == (everything[:2], 2)
    assert (await found("state=ended,live"))[1] == 32
    assert await found("state=published") == ([], 0)
    assert await found("q=toan+00") == (["toan-00"], 1)
    one = await call(relay, "GET", "/api/lessons", relay.token(Role.ROOM, lesson="toan-07"))
    assert [lesson["id"] for lesson in one.json["lessons"]] == ["toan-07"]


async def test_a_list_that_did_not_change_is_not_sent_again(relay: Relay) -> None:
    token = relay.token(Role.ROOM, lesson="*")
    for encoding in ("gzip", "identity"):
        packed = {"Accept-Encoding": encoding}
        answer = await call(relay, "GET", "/api/lessons", token, headers=packed)
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        known = {"If-None-Match": answer.headers["ETag"], **packed}
        again = await call(relay, "GET", "/api/lessons", token, headers=known)
        assert (again.status, again.body) == (304, b"")
    other = await call(relay, "GET", "/api/lessons?offset=1", token, headers=known)
    assert other.status == 200


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("limit=0", "limit", "a whole number from 1 to 2000"),
        ("limit=many", "limit", "a whole number from 1 to 2000"),
        ("state=asleep", "state", "one or more of planned, live, ended, published"),
    ],
)
async def test_a_query_that_cannot_be_is_told_by_field(
    relay: Relay, query: str, field: str, words: str
) -> None:
    answer = await call(relay, "GET", f"/api/lessons?{query}", relay.token(Role.ROOM))
    assert (answer.status, answer.json["field"]) == (400, field)
    assert words in answer.json["detail"]


SDP = {"Content-Type": "application/sdp"}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code", "field", "words"),
    [
        ("POST", "/whip/{}", {"data": "v=0"}, 415, "media-type-unsupported", "Content-Type", "sdp"),
        (
            *("POST", "/whip/{}", {"data": "x" * 70_000, "headers": SDP}),
            *(413, "body-too-large", "body", "64 KiB"),
        ),
        ("GET", "/whip/{}", {}, 405, "method-not-allowed", "method", "Use OPTIONS or POST"),
        ("GET", "/nothing", {}, 404, "not-found", "path", "address"),
        ("GET", "/assets/none.js", {}, 404, "asset-unknown", "path", "Reload"),
        ("POST", "/whep/none-such", {}, 404, "lesson-unknown", "lesson", "the link"),
        ("POST", "/whep/No_Lesson", {}, 404, "lesson-unknown", "lesson", "address"),
        ("GET", "/archives/none-such/master.m3u8", {}, 404, "recording-missing", "lesson", "list"),
        ("GET", "/events", {}, 426, "websocket-required", "Upgrade", "WebSocket"),
        ("POST", "/whip/history-7", {"headers": SDP}, 403, "wrong-lesson", "Authorization", "link"),
    ],
)
async def test_a_refusal_names_its_field_and_what_to_do(
    relay: Relay,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
    code: str,
    field: str,
    words: str,
) -> None:
    one = "history-7" in path or "{}" in path
    role = Role.TEACHER if path.startswith("/whip") else Role.ROOM
    token = relay.token(role, lesson=LESSON if one else "*")
    answer = await call(relay, method, path.format(LESSON), token, **options)
    assert answer.headers["Content-Type"].startswith(PROBLEM)
    assert (answer.status, answer.json["type"]) == (status, f"urn:classroom:problem:{code}")
    assert answer.json["field"] == field
    assert words in answer.json["detail"] + answer.json["fix"]
    if status == 426:
        assert answer.headers["Upgrade"] == "websocket"


async def test_who_may_not_is_told_by_field(relay: Relay) -> None:
    for token, status, code in (
        (None, 401, "token-missing"),
        (relay.token(Role.TEACHER, life=-10.0), 401, "token-expired"),
        (relay.token(Role.ROOM), 403, "right-missing"),
    ):
        answer = await call(relay, "POST", f"/whip/{LESSON}", token, headers=SDP)
        assert (answer.status, answer.json["type"].rpartition(":")[2]) == (status, code)
        assert answer.json["field"] == ("token.exp" if code == "token-expired" else "Authorization")


async def test_an_offer_may_be_packed_and_its_answer_is(relay: Relay) -> None:
    packed = gzip.compress(OFFERS[TEACHER].encode())
    headers = {**SDP, "Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    options = {"data": packed, "skip_auto_headers": ["Content-Encoding"], "headers": headers}
    token = relay.token(Role.TEACHER)
    answer = await call(relay, "POST", f"/whip/{LESSON}", token, **options)
    assert (answer.status, answer.headers["Content-Encoding"]) == (201, "gzip")
    await call(relay, "DELETE", answer.headers["Location"], token)


async def test_who_names_no_lesson_gets_the_one_to_be_shown(relay: Relay) -> None:
    token = relay.token(Role.ROOM, lesson="*")
    answer = await call(relay, "POST", "/whep/-", token, data=OFFERS[ROOM], headers=SDP)
    assert answer.status == 201
    place = answer.headers["Location"]
    assert place.startswith((f"/whep/{LESSON}/", f"/whep/{OTHER}/"))
    await call(relay, "DELETE", place, token)
    nowhere = relay.token(Role.ROOM, lesson="biology-5")
    answer = await call(relay, "POST", "/whep/-", nowhere, data=OFFERS[ROOM], headers=SDP)
    assert (answer.status, answer.json["field"]) == (404, "lesson")


@pytest.mark.parametrize("encoding", ["deflate", "br"])
async def test_a_packed_body_is_refused_before_it_is_read(relay: Relay, encoding: str) -> None:
    """A trace in the relay's log would fail the module's fixture."""
    token = relay.token(Role.TEACHER)
    headers = {**SDP, "Content-Encoding": encoding}
    for body in (b"v=0\r\n", gzip.compress(b"v=0\r\n")):
        options = {"data": body, "headers": headers, "skip_auto_headers": ["Content-Encoding"]}
        answer = await call(relay, "POST", f"/whip/{LESSON}", token, **options)
        assert (answer.status, answer.json["field"]) == (415, "Content-Encoding")


async def test_a_mistyped_page_leads_on(relay: Relay) -> None:
    for path in ("/teach", "/room", "/library"):
        answer = await call(relay, "GET", f"{path}/?lesson=a")
        assert (answer.status, answer.headers["Location"]) == (302, f"{path}?lesson=a")
    answer = await call(relay, "GET", "/rooom", headers={"Accept": "text/html"})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-src blob:;" in policy  # a PDF among a lesson's materials
