"""Materials over HTTP from a relay: who gets what, and what is answered while it is on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from time import time

import aiohttp
import pytest

from classroom.archive.materials import Material, Materials
from classroom.tokens import ANY_LESSON, Claims, Right, Role
from tests.fakes.materials import fill, list_of, sha, some_bytes, take
from tests.fakes.offering_relay import SIGNER, Relay

ONE, TWO = some_bytes(1), some_bytes(2)
LIST = "/api/lessons/toan-1/materials"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with Relay(tmp_path / "relay").running() as relay:
        yield relay


def token(*rights: Right, lesson: str = ANY_LESSON) -> str:
    now = int(time())
    return SIGNER.sign(
        Claims("s", "", Role.ROOM, lesson, frozenset(rights), now - 9, now + 3600, "t")
    )


ROOM = token(Right.WATCH, Right.REPLAY)


async def get(
    relay: Relay, path: str, shown: str = ROOM, **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    if shown:
        headers["Authorization"] = f"Bearer {shown}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as http, http.get(relay.url + path, headers=named) as answer:
        return answer, await answer.read()


async def test_the_list_comes_as_it_is_and_once(relay: Relay) -> None:
    digest = fill(relay.materials, "toan-1", ONE, TWO)
    answer, body = await get(relay, LIST)
    assert (answer.status, body) == (200, list_of("toan-1", ONE, TWO))
    assert answer.content_type == "application/json"
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Cache-Control"] == "no-cache"
    answer, body = await get(relay, LIST, If_None_Match=f'"{digest}"')
    assert (answer.status, body) == (304, b"")


async def test_a_lesson_without_a_list_has_an_empty_one(relay: Relay) -> None:
    _, body = await get(relay, LIST)
    assert Materials.decode(body) == Materials("toan-1", ())
    # What is here of one that was taken back counts no more.
    fill(relay.materials, "toan-1", ONE)
    relay.told["toan-1"] = ""
    _, body = await get(relay, LIST)
    assert Materials.decode(body) == Materials("toan-1", ())
    answer, _ = await get(relay, f"{LIST}/{sha(ONE)}")
    assert answer.status == 404


async def test_a_file_comes_whole_and_in_parts(relay: Relay) -> None:
    fill(relay.materials, "toan-1", ONE)
    path = f"{LIST}/{sha(ONE)}"
    answer, body = await get(relay, path)
    assert (answer.status, body) == (200, ONE)
    assert answer.content_type == "application/pdf"
    assert answer.headers["ETag"] == f'"{sha(ONE)}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''b%C3%A0i%200.pdf"
    answer, body = await get(relay, path, Range="bytes=100-199")
    assert (answer.status, body) == (206, ONE[100:200])
    answer, body = await get(relay, f"{path}?download", If_None_Match=f'"{sha(ONE)}"')
    assert (answer.status, body) == (304, b"")
    answer, _ = await get(relay, f"{path}?download")
    assert answer.headers["Content-Disposition"].startswith("attachment; ")


async def test_names_do_no_harm_in_headers(relay: Relay) -> None:
    name = "đề 'a'; b=\u201cc\u201d %0d.txt"
    data = Materials("toan-1", (Material(name, len(ONE), sha(ONE)),)).encode()
    fill(relay.materials, "toan-2", ONE)
    relay.materials.take("toan-1", data, sha(data), 0.0)
    answer, _ = await get(relay, f"{LIST}/{sha(ONE)}")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    said = answer.headers["Content-Disposition"]
    assert said.isascii()
    assert not set("; \"'") & set(said.removeprefix("inline; filename*=UTF-8''"))


async def test_what_is_not_here_yet_is_told_and_asked_for(relay: Relay) -> None:
    relay.told["toan-1"] = sha(list_of("toan-1", ONE))
    answer, body = await get(relay, LIST)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "3"
    assert b"material-on-its-way" in body
    await get(relay, f"{LIST}/{sha(ONE)}")
    assert relay.waited == [("toan-1", ""), ("toan-1", "")]
    take(relay.materials, "toan-1", ONE)
    answer, body = await get(relay, f"{LIST}/{sha(ONE)}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert relay.waited[2:] == [("toan-1", sha(ONE))]


async def test_the_list_before_serves_while_a_new_one_comes(relay: Relay) -> None:
    fill(relay.materials, "toan-1", ONE)
    relay.told["toan-1"] = sha(list_of("toan-1", ONE, TWO))
    answer, body = await get(relay, LIST)
    assert (answer.status, body) == (200, list_of("toan-1", ONE))
    assert relay.waited == [("toan-1", "")]
    answer, _ = await get(relay, f"{LIST}/{sha(ONE)}")
    assert answer.status == 200
    answer, _ = await get(relay, f"{LIST}/{sha(TWO)}")
    assert answer.status == 503


async def test_a_relay_below_takes_its_turn_unless_somebody_waits_there(relay: Relay) -> None:
    below = token(Right.RELAY)
    take(relay.materials, "toan-1", ONE)
    answer, _ = await get(relay, f"{LIST}/{sha(ONE)}", below)
    assert (answer.status, relay.waited) == (503, [])
    await get(relay, f"{LIST}/{sha(ONE)}?waits", below)
    assert relay.waited == [("toan-1", sha(ONE))]


async def test_what_rotted_is_on_its_way_again(relay: Relay, tmp_path: Path) -> None:
    fill(relay.materials, "toan-1", ONE)
    path = tmp_path / "relay" / "materials" / "files" / sha(ONE)
    path.write_bytes(bytes(len(ONE)))
    answer, _ = await get(relay, f"{LIST}/{sha(ONE)}")
    assert answer.status == 503
    assert relay.waited == [("toan-1", sha(ONE))]


async def test_who_may(relay: Relay) -> None:
    fill(relay.materials, "toan-1", ONE)
    for path in (LIST, f"{LIST}/{sha(ONE)}"):
        for shown in (token(Right.WATCH), token(Right.REPLAY), token(Right.RELAY)):
            answer, _ = await get(relay, path, shown)
            assert answer.status == 200
        assert (await get(relay, path, ""))[0].status == 401
        assert (await get(relay, path, token(Right.MANAGE)))[0].status == 403
        other = token(Right.WATCH, Right.REPLAY, lesson="ly-1")
        assert (await get(relay, path, other))[0].status == 403


@pytest.mark.parametrize("name", [sha(TWO), "..%2f..%2fcache.json", "x", sha(ONE).upper()])
async def test_only_what_the_list_names(relay: Relay, name: str) -> None:
    fill(relay.materials, "toan-1", ONE)
    fill(relay.materials, "ly-1", TWO)
    answer, body = await get(relay, f"{LIST}/{name}")
    assert answer.status == 404
    assert b"unknown-material" in body or "%2f" in name
    answer, _ = await get(relay, "/api/lessons/..%2f..%2fx/materials")
    assert answer.status == 404
