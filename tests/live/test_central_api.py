"""The control plane's HTTP API on a real port: a lesson's way, lists, links, pages, health.

Every answer is held against the OpenAPI document by the caller in `central`. Relays here are
connections without media.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from classroom import wire
from classroom.settings import Settings
from classroom.store import load_key
from classroom.tokens import ANY_LESSON, Right, Role, Signer, Verifier
from classroom.web.app import routes
from classroom.web.openapi import DOCUMENT
from tests.live.central import Central, Wall, relay, running


@pytest.fixture
async def central(tmp_path: Path) -> AsyncIterator[Central]:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    for name in ("index", "teach", "library", "norelay"):
        (dist / f"{name}.html").write_text(f"<title>{name}</title>", encoding="utf-8")
    (dist / "assets" / "app-1a2b.js").write_text("plain", encoding="utf-8")
    (dist / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(b"plain"))
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    async with running(tmp_path / "data", dist=dist) as central:
        yield central


@pytest.fixture
def teacher(central: Central) -> str:
    return central.token(Role.TEACHER)


async def test_a_lesson_from_plan_to_library(central: Central, teacher: str) -> None:
    async with relay(central) as root:
        answer = await central.call(
            "POST",
            "/api/lessons",
            teacher,
            json={"title": " Định luật Ôm ", "subject": "Vật lý", "planned_at": 1.8e9},
        )
        lesson = answer.json["id"]
        assert answer.headers["Location"] == f"/api/lessons/{lesson}"
        assert lesson.startswith("dinh-luat-om-")
        assert (answer.json["title"], answer.json["teacher"]) == ("Định luật Ôm", "Cô Hoa")
        assert (answer.json["state"], answer.json["relay"]) == ("planned", None)

        started = (await central.call("POST", f"/api/lessons/{lesson}/start", teacher)).json
        assert started["whip"] == f"http://root.example:8081/whip/{lesson}"
        assert started["relay"] == started["lesson"]["relay"] == "http://root.example:8081"
        assert started["lesson"]["state"] == "live"
        keys = (await central.call("GET", "/api/keys")).json
        claims = Verifier(keys).verify(started["token"], started["lesson"]["started_at"])
        assert (claims.lesson, claims.rights) == (lesson, frozenset({Right.PUBLISH, Right.WATCH}))

        await root.report(lesson, publishing=True, rooms=3)
        shown = await until(central, teacher, lesson, "publishing", True)
        assert (shown["rooms"], shown["recording"]["seconds"]) == (3, 12.5)

        ended = (await central.call("POST", f"/api/lessons/{lesson}/end", teacher)).json
        assert (ended["state"], ended["publishing"]) == ("ended", False)
        assert ended["ended_at"] >= ended["started_at"]
        assert await root.heard_of(wire.LessonEnd) == wire.LessonEnd(lesson)

        await root.send(wire.RelayArchive(lesson, 2700.5, 10**9, ("voice", "camera-q")))
        shown = await until(central, teacher, lesson, "state", "published")
        assert shown["recording"] == {"state": "finished", "detail": "", "seconds": 2700.5}


async def until(
    central: Central, token: str, lesson: str, key: str, value: object
) -> dict[str, Any]:
    """Ask until the lesson shows `value`; what a relay says arrives on another connection."""
    while True:
        shown: dict[str, Any] = (await central.call("GET", f"/api/lessons/{lesson}", token)).json
        if shown[key] == value:
            return shown
        await asyncio.sleep(0.02)


async def no_relay(central: Central, token: str) -> None:
    """Ask until the control plane knows that its relay is gone."""
    while True:
        if not (await central.call("GET", "/api/relays", token)).json["relays"]:
            return
        await asyncio.sleep(0.02)


async def test_without_a_relay_the_teacher_is_told_and_the_lesson_stays_planned(
    central: Central, teacher: str
) -> None:
    lesson = await central.plan(teacher)
    answer = await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
    assert (answer.status, answer.json["type"]) == (503, "urn:classroom:problem:absent")
    assert "classroom-relay" in answer.json["fix"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await central.call("GET", f"/api/lessons/{lesson}", teacher)).json["state"] == "planned"


async def test_a_second_teacher_is_refused_while_the_first_is_on_air(central: Central) -> None:
    hoa, minh = central.token(Role.TEACHER), central.token(Role.TEACHER)
    async with relay(central) as root:
        lesson = await central.plan(hoa)
        await central.call("POST", f"/api/lessons/{lesson}/start", hoa)
        await root.report(lesson, publishing=True)
        await until(central, hoa, lesson, "publishing", True)
        again = await central.call("POST", f"/api/lessons/{lesson}/start", hoa)
        assert again.status == 200
        second = await central.call("POST", f"/api/lessons/{lesson}/start", minh)
        assert second.status == 409
        assert second.json["type"] == "urn:classroom:problem:lesson-already-live"
        await central.call("POST", f"/api/lessons/{lesson}/end", hoa)
    # The relay is gone, too; but what no relay could change is said first.
    for _ in range(2):
        after = await central.call("POST", f"/api/lessons/{lesson}/start", hoa)
        assert (after.status, after.json["type"]) == (409, "urn:classroom:problem:lesson-ended")
        await no_relay(central, hoa)


async def test_links(central: Central, teacher: str) -> None:
    lesson = await central.plan(teacher)
    path = f"/api/lessons/{lesson}/links"
    viewer = (await central.call("POST", path, teacher, json={"role": "viewer"})).json
    assert viewer["url"] == f"{central.url}/library#token={viewer['token']}"
    me = (await central.call("GET", "/api/me", viewer["token"])).json
    assert (me["role"], me["lesson"], me["rights"]) == ("viewer", lesson, ["replay", "watch"])
    assert me["expires_at"] == viewer["expires_at"]

    async with relay(central):
        body = {"role": "room", "name": "Lớp 9A", "days": 2}
        while True:
            room = (await central.call("POST", path, teacher, json=body)).json
            # A room talks to its relay only, once there is one.
            if room["url"].startswith("http://root.example:8081/room#token="):
                break
            await asyncio.sleep(0.02)
    me = (await central.call("GET", "/api/me", room["token"])).json
    assert (me["role"], me["name"]) == ("room", "Lớp 9A")
    for role in ("teacher", "relay"):
        answer = await central.call("POST", path, teacher, json={"role": role})
        assert (answer.status, answer.json["field"]) == (403, "role")


async def test_lessons_are_found_and_only_those_of_the_token(
    central: Central, teacher: str
) -> None:
    ohm = await central.plan(teacher, "Định luật Ôm", subject="Vật lý", grade="9")
    await central.plan(teacher, "Đường thẳng", subject="Toán", grade="8", school="Trà Leng")

    async def found(query: str, token: str = teacher) -> list[str]:
        answer = await central.call("GET", f"/api/lessons?{query}", token)
        assert answer.json["total"] >= len(answer.json["lessons"])
        return [lesson["title"] for lesson in answer.json["lessons"]]

    assert set(await found("")) == {"Định luật Ôm", "Đường thẳng"}
    assert await found("q=duong") == ["Đường thẳng"]
    assert await found("grade=9") == ["Định luật Ôm"]
    assert await found("school=tra%20leng") == ["Đường thẳng"]
    assert await found("subject=Toan&state=planned,live") == ["Đường thẳng"]
    assert await found("state=published") == []
    assert len(await found("limit=1")) == 1
    assert await found("limit=1") + await found("limit=1&offset=1") == await found("")
    assert await found("offset=2") == []
    assert await found("", central.token(Role.ROOM, ohm)) == ["Định luật Ôm"]


async def test_a_list_that_did_not_change_is_not_sent_again(central: Central, teacher: str) -> None:
    for number in range(20):
        await central.plan(teacher, f"Bài {number}")
    for encoding in ("gzip", "identity"):
        packed = {"Accept-Encoding": encoding}
        answer = await central.call("GET", "/api/lessons", teacher, headers=packed)
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        assert answer.json["total"] == 20
        known = {"If-None-Match": answer.headers["ETag"], **packed}
        again = await central.call("GET", "/api/lessons", teacher, headers=known)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["ETag"] == answer.headers["ETag"]
    await central.plan(teacher)
    assert (await central.call("GET", "/api/lessons", teacher, headers=known)).status == 200
    few = await central.call("GET", "/api/lessons?limit=1", teacher)
    assert "Content-Encoding" not in few.headers


async def test_a_lesson_is_mine_if_i_planned_or_started_it(central: Central, teacher: str) -> None:
    other = central.token(Role.TEACHER, name="Thầy Nam")
    async with relay(central):
        planned, taken = await central.plan(teacher), await central.plan(teacher)
        await central.call("POST", f"/api/lessons/{taken}/start", other)

        async def mine(token: str) -> dict[str, bool]:
            listed = (await central.call("GET", "/api/lessons", token)).json["lessons"]
            return {lesson["id"]: lesson["mine"] for lesson in listed}

        assert await mine(teacher) == {planned: True, taken: True}
        assert await mine(other) == {planned: False, taken: True}
        assert await mine(central.token(Role.ROOM)) == {planned: False, taken: False}


async def test_a_lesson_is_removed_while_it_is_planned(central: Central, teacher: str) -> None:
    async with relay(central) as root:
        kept, gone = await central.plan(teacher), await central.plan(teacher)
        room, other = central.token(Role.ROOM), central.token(Role.TEACHER, "toan-8")
        for token, code in ((room, "right-missing"), (other, "wrong-lesson")):
            answer = await central.call("DELETE", f"/api/lessons/{gone}", token)
            assert (answer.status, answer.json["type"].rpartition(":")[2]) == (403, code)
        while len((await root.heard_of(wire.RelayLessons)).lessons) < 2:
            pass
        assert (await central.call("DELETE", f"/api/lessons/{gone}", teacher)).status == 204
        told = await root.heard_of(wire.RelayLessons)
        assert [lesson.id for lesson in told.lessons] == [kept]
        for method in ("GET", "DELETE"):
            answer = await central.call(method, f"/api/lessons/{gone}", teacher)
            assert (answer.status, answer.json["field"]) == (404, "lesson")
        assert (await central.history(gone))[-1][::2] == ("removed", "removed")

        # Whoever planned it may take it back, also without the right to manage all of them.
        keys = (await central.call("GET", "/api/keys")).json
        claims = Verifier(keys).verify(teacher, time.time())
        less = replace(claims, rights=frozenset({Right.WATCH}))
        signer = Signer(load_key(central.data))
        mine = await central.plan(teacher)
        for subject, status in (("another", 403), (claims.subject, 204)):
            token = signer.sign(replace(less, subject=subject))
            answer = await central.call("DELETE", f"/api/lessons/{mine}", token)
            assert answer.status == status

        await central.call("POST", f"/api/lessons/{kept}/start", teacher)
        for _ in range(2):
            answer = await central.call("DELETE", f"/api/lessons/{kept}", teacher)
            assert answer.status == 409
            assert answer.json["type"] == "urn:classroom:problem:lesson-not-planned"
            await central.call("POST", f"/api/lessons/{kept}/end", teacher)


async def test_relays_are_listed_while_they_are_connected(central: Central, teacher: str) -> None:
    async def names() -> list[str]:
        listed = (await central.call("GET", "/api/relays", teacher)).json["relays"]
        return [relay["name"] for relay in listed]

    assert await names() == []
    async with relay(central):
        assert await names() == ["root"]
    await no_relay(central, teacher)
    room = central.token(Role.ROOM)
    assert (await central.call("GET", "/api/relays", room)).status == 403


async def test_every_route_is_described_and_every_description_has_its_route() -> None:
    served = {
        (route.method.lower(), route.path)
        for route in routes()
        if route.path.startswith("/api") or route.path in ("/healthz", "/metrics")
    }
    described = {
        (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert served == described


async def test_the_document_is_served(central: Central) -> None:
    assert (await central.call("GET", "/api/openapi.json")).json == DOCUMENT


async def test_health_and_metrics(central: Central, teacher: str) -> None:
    health = (await central.call("GET", "/healthz")).json
    assert health["status"] == "ok"
    assert health["checks"]["relays"] == {"ok": False, "detail": "no relay is connected"}
    await central.plan(teacher)
    await central.call("GET", "/api/lessons/toan-8", teacher)
    async with relay(central):
        text = (await central.call("GET", "/metrics")).body.decode()
    for line in (
        'classroom_lessons{state="planned"} 1.0',
        "classroom_relays 1.0",
        'classroom_sockets{kind="relay"} 1.0',
        'classroom_refusals_total{code="lesson-unknown"} 1.0',
        'classroom_requests_total{method="POST",route="/api/lessons",status="201"} 1.0',
    ):
        assert line in text


async def test_pages_and_their_files(central: Central) -> None:
    for path, title in (("/", "index"), ("/teach", "teach"), ("/library", "library")):
        page = await central.call("GET", path)
        assert (page.status, page.body) == (200, f"<title>{title}</title>".encode())
        assert page.headers["Cache-Control"] == "no-cache"
    for encoding in ("gzip", "identity"):
        headers = {"Accept-Encoding": encoding}
        script = await central.call("GET", "/assets/app-1a2b.js", headers=headers)
        assert script.body == b"plain"
        assert script.headers.get("Content-Encoding", "identity") == encoding
        assert "immutable" in script.headers["Cache-Control"]
        assert "javascript" in script.headers["Content-Type"]


async def test_a_mistyped_page_leads_on(central: Central) -> None:
    for path in ("/teach", "/room", "/library"):
        answer = await central.call("GET", f"{path}/?lesson=a")
        assert (answer.status, answer.headers["Location"]) == (302, f"{path}?lesson=a")


async def test_the_rooms_page_is_at_the_relay_of_the_lesson(central: Central, teacher: str) -> None:
    async with central.http.get(f"{central.url}/room") as answer:
        assert (answer.status, await answer.text()) == (503, "<title>norelay</title>")
        assert answer.headers["Retry-After"] == "5"
    async with relay(central, "a"), relay(central, "b") as second:
        lesson = await central.plan(teacher)
        await second.report(lesson, publishing=True)
        await until(central, teacher, lesson, "publishing", True)
        for query in ("", f"?lesson={lesson}", "?lesson=none-such", "?lesson=%00"):
            room = await central.call("GET", f"/room{query}")
            assert room.status == 302
            assert room.headers["Location"] == f"http://b.example:8081/room{query}"
            assert room.headers["Cache-Control"] == "no-store"


async def test_pages_of_any_origin_may_call_the_api(central: Central, teacher: str) -> None:
    origin = {"Origin": "http://relay.example:8081"}
    asked = {"Access-Control-Request-Method": "POST", **origin}
    url = f"{central.url}/api/lessons"
    async with central.http.options(url, headers=asked) as preflight:
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    for token in (teacher, ""):
        answer = await central.call("GET", "/api/lessons", token, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    page = await central.call("GET", "/teach", headers=origin)
    assert "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.parametrize(
    "path", ["none.js", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret", "a%00b", "x" * 3000, "%2e"]
)
async def test_nothing_outside_the_assets_is_served(central: Central, path: str) -> None:
    answer = await central.call("GET", f"/assets/{path}")
    assert answer.status == 404
    assert b"secret" not in answer.body


async def test_security_headers_stand_on_pages_and_problems(central: Central) -> None:
    for path in ("/teach", "/api/me", "/nothing"):
        headers = (await central.call("GET", path)).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        # A PDF among a lesson's materials, and no plugin.
        assert "frame-src 'self' blob:; " in headers["Content-Security-Policy"]
        assert "object-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_pages_that_were_not_built_say_so(tmp_path: Path) -> None:
    async with running(tmp_path / "data", dist=tmp_path / "none") as central:
        answer = await central.call("GET", "/teach")
        assert answer.status == 503
        assert "npm" in answer.json["fix"]


async def test_a_lesson_that_nobody_teaches_ends_and_one_out_of_touch_does_not(
    tmp_path: Path,
) -> None:
    wall = Wall()
    async with running(tmp_path / "data", Settings(), wall=wall) as central:
        # Time goes by, no clock is set.
        central.desk.steady = wall
        await central.desk.end_forsaken()
        teacher = central.token(Role.TEACHER, ANY_LESSON, days=30)
        async with relay(central) as root:
            idle, taught = await central.plan(teacher), await central.plan(teacher)
            for lesson in (idle, taught):
                await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
                await root.report(lesson, publishing=True)
                await until(central, teacher, lesson, "publishing", True)
            wall.ahead = 1000.0
            await root.report(idle, publishing=False, rooms=1)
            await root.report(taught, publishing=True, rooms=1)
            for lesson in (idle, taught):
                await until(central, teacher, lesson, "rooms", 1)
        await central.desk.end_forsaken()
        states = {
            lesson: (await central.call("GET", f"/api/lessons/{lesson}", teacher)).json["state"]
            for lesson in (idle, taught)
        }
        assert states == {idle: "ended", taught: "live"}
        wall.ahead = 10_000.0
        await central.desk.end_forsaken()
        shown = (await central.call("GET", f"/api/lessons/{taught}", teacher)).json
        assert (shown["state"], shown["publishing"]) == ("live", False)
        wall.ahead = 16_000.0
        await central.desk.end_forsaken()
        await until(central, teacher, taught, "state", "ended")
