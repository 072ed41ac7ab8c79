"""The relay's own HTTP side on a real relay without a control plane: the list of lessons.

Archives are placed on its disk as the recorder leaves them; nothing is published here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from classroom.tokens import Role
from tests.live.relay_alone import LESSON, OTHER, Relay, relay_alone

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
