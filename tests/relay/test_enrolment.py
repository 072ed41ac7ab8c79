"""A relay's own token: got once for a code, kept, asked for again when an answer is lost, renewed.

Real sockets to a parent whose answers the test writes; the date is the test's.
"""

from __future__ import annotations

import asyncio
import json
import stat
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from classroom.errors import Refused
from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Role, Signer, generate_key
from relay.settings import RelaySettings
from relay.sync.sources import Source
from relay.web import enrolment as module
from relay.web.enrolment import Enrolment
from relay.web.server_date import ServerDate
from tests.eventually import eventually

DAY = 86_400.0
SIGNER = Signer(generate_key())


def token(issued: float = 0.0, days: float = 400.0, subject: str = "school-1") -> str:
    return SIGNER.sign(
        Claims(
            subject,
            "Trà Leng",
            Role.RELAY,
            ANY_LESSON,
            DEFAULT_RIGHTS[Role.RELAY],
            int(issued),
            int(issued + days * DAY),
            uuid.uuid4().hex,
        )
    )


def enrolled(**more: object) -> dict[str, object]:
    return {"token": token(), "id": "school-1", "name": "Trà Leng", "expires_at": 9, **more}


def problem(status: int, code: str) -> web.Response:
    body = {"type": f"urn:classroom:problem:{code}", "detail": f"It is {code}.", "fix": "Do."}
    return web.json_response(body, status=status, content_type="application/problem+json")


class Parent:
    """Answers as it is told; `asked` are the bodies and tokens that came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, Any, str]] = []
        self.answers: list[Callable[[], web.StreamResponse]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        bearer = request.headers.get("Authorization", "")
        self.asked.append((request.path, body, bearer))
        assert request.transport is not None
        if not self.answers:
            request.transport.abort()  # away
            return web.Response()
        return self.answers.pop(0)()


@asynccontextmanager
async def running() -> AsyncIterator[Parent]:
    parent = Parent("")
    app = web.Application()
    app.router.add_post("/{rest:.*}", parent.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    parent.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield parent
    finally:
        await runner.cleanup()


@pytest.fixture
async def parent() -> AsyncIterator[Parent]:
    async with running() as one:
        yield one


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "retry_delay", lambda attempt, spread: 0.01)


@asynccontextmanager
async def relay(
    data: Path, *parents: str, date: float = 0.0, **settings: Any
) -> AsyncIterator[Enrolment]:
    """The part of a relay that enrols, running."""
    made = Enrolment(RelaySettings(parents=parents, **settings), data, lambda: date)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as http:
        task = asyncio.create_task(made.run(http))
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_code_gives_a_token_that_is_kept_for_its_owner_alone(
    parent: Parent, tmp_path: Path
) -> None:
    parent.answers = [lambda: web.json_response(enrolled())]
    told: list[str] = []
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP", name="mini") as made:
        assert (made.token, made.id, made.name) == ("", "", "mini")
        made.observe(lambda: told.append(made.id))
        await eventually(lambda: told)
        assert (made.id, made.name, made.problem) == ("school-1", "Trà Leng", None)
    path, body, _ = parent.asked[0]
    assert (path, body["code"], body["name"]) == ("/api/relays/enrol", "BCFGH-JKMNP", "mini")
    for file in (tmp_path / "relay-token", tmp_path / "enrolment.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # The code may stay in the settings for ever: it is not sent again.
    async with relay(tmp_path, parent.url, code="bcfgh jkmnp") as made:
        assert (made.id, made.name) == ("school-1", "Trà Leng")
        await asyncio.sleep(0.05)
    assert len(parent.asked) == 1


async def test_a_lost_answer_is_asked_for_again_by_the_same_key(
    parent: Parent, tmp_path: Path
) -> None:
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP"):
        await eventually(lambda: len(parent.asked) >= 2)
    parent.answers = [lambda: web.json_response(enrolled())]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:  # after a power cut
        await eventually(lambda: made.is_enrolled)
    assert len({body["key"] for _, body, _ in parent.asked}) == 1
    assert len(parent.asked[0][1]["key"]) > 20


async def test_a_wrong_code_is_told_once_and_not_tried_again(
    parent: Parent, tmp_path: Path
) -> None:
    parent.answers = [lambda: problem(403, "code-used")]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.problem)
        assert str(made.problem) == "It is code-used."
        await asyncio.sleep(0.05)
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP"):
        await asyncio.sleep(0.05)
    assert len(parent.asked) == 1
    parent.answers = [lambda: web.json_response(enrolled())]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNQ") as made:
        await eventually(lambda: made.is_enrolled)


async def test_a_new_code_replaces_a_revoked_token(parent: Parent, tmp_path: Path) -> None:
    parent.answers = [
        lambda: web.json_response(enrolled()),
        lambda: web.json_response(enrolled(token=token(subject="school-2"), name="Trà Mai")),
    ]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.is_enrolled)
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNQ") as made:
        await eventually(lambda: made.id == "school-2")
        assert made.name == "Trà Mai"


async def test_the_next_parent_is_asked_when_one_is_away(parent: Parent, tmp_path: Path) -> None:
    parent.answers = [lambda: web.json_response(enrolled())]
    async with relay(tmp_path, "http://127.0.0.1:9", parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.is_enrolled)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"[]",
        b"{",
        b'{"token": 5}',
        b'{"token": "a.b.c"}',
        b'{"id": "school-1"}',
        b'{"token": "' + b"x" * 100_000 + b'"}',
        b"[" * 10_000,
        b"\xff\xfe",
    ],
)
async def test_rubbish_is_as_good_as_no_answer(
    parent: Parent, tmp_path: Path, rubbish: bytes
) -> None:
    parent.answers = [
        lambda: web.Response(body=rubbish, content_type="application/json"),
        lambda: web.json_response(enrolled()),
    ]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.is_enrolled)
    assert len(parent.asked) == 2


async def test_without_code_and_token_it_says_what_to_do(tmp_path: Path) -> None:
    async with relay(tmp_path, "http://127.0.0.1:9") as made:
        await eventually(lambda: made.problem)
        assert made.problem is not None
        assert "--code" in made.problem.fix


async def test_a_token_is_renewed_when_half_its_time_is_over(
    parent: Parent, tmp_path: Path
) -> None:
    parent.answers = [lambda: web.json_response(enrolled())]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.is_enrolled)
        first = made.token
    async with relay(tmp_path, parent.url, date=199 * DAY) as made:
        await asyncio.sleep(0.05)
        assert (made.token, len(parent.asked)) == (first, 1)
    newer = token(201 * DAY)
    parent.answers = [lambda: web.json_response(enrolled(token=newer))]
    async with relay(tmp_path, "http://127.0.0.1:9", parent.url, date=201 * DAY) as made:
        await eventually(lambda: made.token == newer)
    assert parent.asked[-1][0] == "/api/relays/renew"
    assert parent.asked[-1][2] == f"Bearer {first}"
    async with relay(tmp_path, parent.url, date=201 * DAY) as made:
        assert made.token == newer


async def test_a_clock_that_stands_at_the_beginning_renews_nothing(
    parent: Parent, tmp_path: Path
) -> None:
    (tmp_path / "relay-token").write_text(token(1_767_600_000.0))
    async with relay(tmp_path, parent.url, date=0.0) as made:
        await asyncio.sleep(0.05)
        assert made.is_enrolled
    assert parent.asked == []


async def test_a_token_whose_file_was_lost_comes_again_for_the_same_code(
    parent: Parent, tmp_path: Path
) -> None:
    parent.answers = [lambda: web.json_response(enrolled())] * 2
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.is_enrolled)
    (tmp_path / "relay-token").unlink()
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        await eventually(lambda: made.is_enrolled)
    assert len({body["key"] for _, body, _ in parent.asked}) == 1


@pytest.mark.parametrize("left", [b"", b"eyJ", b"\xff\x00"])
async def test_a_torn_token_is_none_and_a_torn_note_costs_nothing_else(
    parent: Parent, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / "relay-token").write_bytes(left)
    (tmp_path / "enrolment.json").write_bytes(left)
    parent.answers = [lambda: web.json_response(enrolled())]
    async with relay(tmp_path, parent.url, code="BCFGH-JKMNP") as made:
        assert made.token == ""
        await eventually(lambda: made.is_enrolled)
    assert json.loads((tmp_path / "enrolment.json").read_text())["name"] == "Trà Leng"


async def test_a_token_may_come_by_hand_and_a_root_asks_nobody(
    parent: Parent, tmp_path: Path
) -> None:
    (tmp_path / "given").write_text(token() + "\n")
    async with relay(tmp_path, parent.url, token_file=str(tmp_path / "given")) as made:
        assert (made.id, made.is_enrolled, made.name) == ("school-1", False, "root")
    (tmp_path / "relay-token").write_text(token(subject="school-9"))
    async with relay(tmp_path, token="by-hand") as made:
        assert (made.token, made.id) == ("by-hand", "")
    assert parent.asked == []


BROKEN = {
    "wrapped": (token()[:60] + "\n" + token()[60:]).encode(),
    "utf-16": token().encode("utf-16"),
    "words": "Mã: xin chào".encode(),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_token_file_that_holds_no_token_is_told_and_stops_nobody(
    how: str, parent: Parent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "given"
    file.write_bytes(BROKEN[how])
    made = Enrolment(RelaySettings(parents=(parent.url,), token_file=str(file)), tmp_path)
    async with aiohttp.ClientSession() as http:
        source = Source(parent.url, http, lambda: made.token, near=False)
        for _ in range(3):
            with pytest.raises(Refused, match="405"):  # it can be asked
                await source.ping()
    told = [one for one in caplog.records if one.message == "token-file-without-token"]
    assert [one.__dict__["reason"] for one in told] == [f"the token file {file} holds no token"]
    file.write_text(token() + "\n")
    assert (made.token, made.id) == (file.read_text().strip(), "school-1")


def test_a_clock_that_is_years_off_is_set_right_by_those_above() -> None:
    own = [1_000_000_000.0]
    date = ServerDate(lambda: own[0], lambda: 500.0)
    date.told(1_767_600_000.0 - 500.0 + 20.0)
    assert date() == 1_767_600_020.0
    own[0] = 1_767_600_000.0  # somebody set it
    date.told(1_767_600_000.0 - 500.0 + 20.0)
    assert date() == own[0]
