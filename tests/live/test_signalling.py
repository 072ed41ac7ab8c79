"""WHIP and WHEP over real HTTP against a real relay: each answer, each refusal, each ending.

One relay for the module, without a control plane; light peers do real ICE, DTLS and SRTP.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from classroom.tokens import Role
from tests.fakes.light_lesson import LightLesson
from tests.fakes.light_link import RefusedOffer
from tests.fakes.peer import LightPublisher, LightViewer
from tests.live.relay_alone import LESSON, OTHER, Relay, adopt, relay_alone, restart_body
from tests.relay.offers import OFFERS, ROOM, TEACHER

pytestmark = pytest.mark.asyncio(loop_scope="module")

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("relay")
    async with relay_alone(folder, viewers_max=4) as running:
        yield running
        assert running.faults() == []


async def until(reached: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until `reached()`."""
    for _ in range(int(seconds * 50)):
        found = reached()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never came")


async def ask(
    relay: Relay, method: str, path: str, token: str | None = None, **options: Any
) -> tuple[aiohttp.ClientResponse, dict[str, Any]]:
    """One request; the answer and, if it is a problem, its document."""
    headers = options.pop("headers", {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with relay.http.request(
        method, f"{relay.url}{path}", headers=headers, **options
    ) as answer:
        body = await answer.read()
    problem: dict[str, Any] = {}
    if answer.status >= 400:
        assert answer.content_type == "application/problem+json"
        problem = json.loads(body)
        assert problem["status"] == answer.status
        assert problem["detail"]
        assert problem["fix"]
        assert problem.get("field") or answer.status >= 500
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return answer, problem


async def offer(
    relay: Relay, path: str, token: str | None, body: str | bytes, content_type: str = SDP
) -> tuple[aiohttp.ClientResponse, dict[str, Any]]:
    return await ask(relay, "POST", path, token, data=body, headers={"Content-Type": content_type})


async def test_an_offer_is_answered_with_all_that_a_client_needs(relay: Relay) -> None:
    token = relay.token(Role.TEACHER)
    answer, _ = await offer(relay, f"/whip/{LESSON}", token, OFFERS[TEACHER])
    assert answer.status == 201
    assert answer.content_type == SDP
    assert answer.headers["Location"].startswith(f"/whip/{LESSON}/")
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["Accept-Patch"] == FRAGMENT
    assert answer.headers.getall("Link") == [
        '<stun:stun.example:3478>; rel="ice-server"',
        '<turn:turn.example>; rel="ice-server"; username="ann"; credential="s3cret"; '
        'credential-type="password"',
    ]
    exposed = answer.headers["Access-Control-Expose-Headers"]
    assert all(name in exposed for name in ("Location", "ETag", "Link"))
    gone, _ = await ask(relay, "DELETE", answer.headers["Location"], token)
    assert gone.status == 200


async def test_a_browser_may_ask_from_anywhere(relay: Relay) -> None:
    for path in (f"/whip/{LESSON}", f"/whep/{LESSON}/abc"):
        headers = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
        answer, _ = await ask(relay, "OPTIONS", path, headers=headers)
        assert answer.status == 204
        assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
        assert "If-Match" in answer.headers["Access-Control-Allow-Headers"]
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    answer, _ = await ask(relay, "OPTIONS", f"/whip/{LESSON}")
    assert answer.headers["Accept-Post"] == SDP


async def test_who_may_not_is_told_why(relay: Relay) -> None:
    good = OFFERS[ROOM]
    room = relay.token(Role.ROOM)
    expired = relay.token(Role.ROOM, life=-10.0)
    forged = room[:-6] + ("A" * 6 if room[-6:] != "A" * 6 else "B" * 6)
    cases = [
        (None, "/whep/", 401, "token-missing"),
        ("rubbish", "/whep/", 401, "token-malformed"),
        (forged, "/whep/", 401, "token-bad-signature"),
        (expired, "/whep/", 401, "token-expired"),
        (relay.token(Role.ROOM, lesson=OTHER), "/whep/", 403, "wrong-lesson"),
        (room, "/whip/", 403, "right-missing"),
    ]
    for token, path, status, code in cases:
        answer, problem = await offer(relay, f"{path}{LESSON}", token, good)
        assert (answer.status, problem["type"].rpartition(":")[2]) == (status, code)
        if status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_what_is_not_there_or_not_done_here_is_told(relay: Relay) -> None:
    room = relay.token(Role.ROOM, lesson="*")
    answer, problem = await offer(relay, "/whep/biology-5", room, OFFERS[ROOM])
    assert (answer.status, problem["type"]) == (404, "urn:classroom:problem:lesson-unknown")
    answer, problem = await offer(relay, "/whep/NOT_A_NAME", room, OFFERS[ROOM])
    assert (answer.status, problem["field"]) == (404, "lesson")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer, _ = await ask(relay, method, f"/whep/{LESSON}", room)
        assert answer.status == 405
        assert "POST" in answer.headers["Allow"]
    for method in ("DELETE", "PATCH"):
        answer, problem = await ask(
            relay,
            method,
            f"/whep/{LESSON}/nobody",
            room,
            data="a=end-of-candidates\r\n",
            headers={"Content-Type": FRAGMENT},
        )
        assert (answer.status, problem["type"]) == (404, "urn:classroom:problem:session-gone")


async def test_bodies_that_cannot_be_used_are_told_by_field(relay: Relay) -> None:
    token = relay.token(Role.TEACHER)
    path = f"/whip/{LESSON}"
    cases: list[tuple[str | bytes, str, int, str]] = [
        (OFFERS[TEACHER], "text/plain", 415, "Content-Type"),
        ("x" * 100_000, SDP, 413, "body"),
        (b"\xff\xfe", SDP, 400, "body"),
        ("hello", SDP, 400, "v="),
        (OFFERS[TEACHER].replace("a=rtcp-mux\r\n", ""), SDP, 400, "a=rtcp-mux"),
        (OFFERS[ROOM].replace("sendonly", "recvonly"), SDP, 422, "a=sendonly"),
        (OFFERS[TEACHER].replace("opus/", "x/").replace("/90000", "/9"), SDP, 422, "a=rtpmap"),
    ]
    for body, content_type, status, field in cases:
        answer, problem = await offer(relay, path, token, body, content_type)
        assert (answer.status, problem["field"]) == (status, field)


async def test_sessions_belong_to_who_made_them(relay: Relay) -> None:
    mine, other = relay.token(Role.ROOM, "room-1"), relay.token(Role.ROOM, "room-2")
    answer, _ = await offer(relay, f"/whep/{LESSON}", mine, OFFERS[ROOM])
    place = answer.headers["Location"]
    answer, problem = await ask(relay, "DELETE", place, other)
    assert (answer.status, problem["type"]) == (403, "urn:classroom:problem:not-your-session")
    answer, _ = await ask(relay, "DELETE", place, None)
    assert answer.status == 401
    answer, _ = await ask(relay, "DELETE", place, mine)
    assert answer.status == 200
    answer, _ = await ask(relay, "DELETE", place, mine)
    assert answer.status == 404


async def test_a_full_relay_says_so_and_pending_sessions_count(relay: Relay) -> None:
    token = relay.token(Role.ROOM)
    places = []
    for _ in range(4):
        answer, _ = await offer(relay, f"/whep/{LESSON}", token, OFFERS[ROOM])
        assert answer.status == 201
        places.append(answer.headers["Location"])
    answer, problem = await offer(relay, f"/whep/{LESSON}", token, OFFERS[ROOM])
    assert (answer.status, problem["type"]) == (503, "urn:classroom:problem:relay-full")
    assert int(answer.headers["Retry-After"]) > 0
    for place in places:
        await ask(relay, "DELETE", place, token)
    await until(lambda: _are_gone(relay))


async def _are_gone(relay: Relay) -> bool:
    found = await relay.counters()
    return found["relay_viewers"] == found["relay_publishers"] == 0


class Lesson:
    """A teacher who sends and a room that watches, both connected."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.teacher: LightPublisher = relay.publisher()
        self.room: LightViewer = relay.viewer(keep_numbers=True)
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Lesson:
        await self.teacher.connect()
        self._sending = asyncio.create_task(LightLesson(self.teacher).run(60.0))
        await self.room.connect()
        await until(lambda: len(self.room.streams) == 2)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._sending is not None
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        await self.room.leave()
        await self.teacher.leave()
        await until(lambda: _are_gone(self.relay))

    async def goes_on(self, packets: int = 30) -> None:
        """Wait for more media."""
        now = self.room.packets
        await until(lambda: self.room.packets >= now + packets)


async def patch(
    relay: Relay, link: LightPublisher | LightViewer, body: str, etag: str | None
) -> tuple[aiohttp.ClientResponse, dict[str, Any], str]:
    headers = {"Content-Type": FRAGMENT, **link._headers}
    if etag is not None:
        headers["If-Match"] = etag
    assert link.resource is not None
    async with relay.http.patch(link.resource, data=body, headers=headers) as answer:
        text = await answer.text()
    return answer, json.loads(text) if answer.status >= 400 else {}, text


async def test_rooms_come_and_go_for_longer_than_the_relay_has_places(relay: Relay) -> None:
    async with Lesson(relay):
        for name in map(str, range(6)):
            await _visit(relay.viewer(f"guest-{name}"))


async def _visit(room: LightViewer) -> None:
    await room.connect()
    await until(lambda: room.packets > 20)
    await room.leave()


async def test_ice_is_trickled_and_restarted_while_media_goes_on(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        for link in (lesson.room, lesson.teacher):
            candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
            trickled, _, _ = await patch(relay, link, f"a=mid:0\r\n{candidate}", link.etag)
            assert trickled.status == 204
            listed, _, _ = await patch(relay, link, candidate, f'"another", {link.etag}')
            assert listed.status == 204
            stale, problem, _ = await patch(relay, link, candidate, '"another"')
            assert (stale.status, problem["field"]) == (412, "If-Match")

            ufrag, password = uuid.uuid4().hex[:8], uuid.uuid4().hex
            before = link._ufrag, link._password
            done, _, text = await patch(relay, link, restart_body(ufrag, password), "*")
            assert done.status == 200
            assert done.content_type == FRAGMENT
            assert done.headers["ETag"] != link.etag
            await lesson.goes_on()  # on the old path, before a check of the new one
            late, _, _ = await patch(relay, link, restart_body(*before), None)
            assert late.status == 412
            stale, _, _ = await patch(relay, link, restart_body("newer", password), link.etag)
            assert stale.status == 412
            adopt(link, ufrag, password, text)
            await until(link._checked.is_set)
            await lesson.goes_on()
        numbers = [sorted(one.sequence_numbers) for one in lesson.room.streams.values()]
        assert len(numbers) == 2  # the same streams of the same association


async def test_one_teacher_at_a_time_and_the_same_one_takes_over(relay: Relay) -> None:
    async with Lesson(relay) as lesson:
        second = relay.publisher("mr-binh")
        with pytest.raises(RefusedOffer) as caught:
            await second.connect()
        assert caught.value.status == 409
        assert json.loads(caught.value.body)["type"] == "urn:classroom:problem:lesson-taken"
        await second.vanish()
        former = lesson.teacher
        lesson.teacher = relay.publisher()
        await lesson.teacher.connect()
        assert lesson._sending is not None
        lesson._sending.cancel()
        lesson._sending = asyncio.create_task(LightLesson(lesson.teacher).run(60.0))
        await lesson.goes_on()
        assert (await relay.counters())["relay_publishers"] == 1
        assert former.resource is not None
        # The former page learns that it was replaced, so that two do not take turns for ever.
        for method in ("DELETE", "PATCH"):
            answer, problem = await ask(
                relay,
                method,
                str(former.resource.path),
                relay.token(Role.TEACHER, "ms-lan"),
                data=restart_body("abcd", "a" * 22),
                headers={"Content-Type": FRAGMENT},
            )
            assert (answer.status, problem["type"]) == (
                409,
                "urn:classroom:problem:session-replaced",
            )
        await lesson.goes_on()
        await former.vanish()


async def test_a_silent_teachers_place_is_kept_while_the_session_lives(relay: Relay) -> None:
    teacher, second = relay.publisher(), relay.publisher("mr-binh")
    await teacher.connect()
    with pytest.raises(RefusedOffer):
        await second.connect()
    await teacher.leave()
    await until(lambda: _are_gone(relay))
    await second.connect()
    await second.leave()


async def test_goodbye_over_dtls_ends_a_session_at_once(relay: Relay) -> None:
    room = relay.viewer()
    await room.connect()
    assert room._dtls is not None
    await room._dtls.stop()
    await until(lambda: _are_gone(relay), 3.0)
    await room.vanish()
