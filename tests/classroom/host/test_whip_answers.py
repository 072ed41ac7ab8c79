"""Whatever stands at a WHIP address, its answer becomes a session or one of our errors.

Real HTTP on loopback, with bodies and headers from Hypothesis. What a relay answers is tested with
the relay, and what a host does then in `test_host`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.errors import Absent, ClassroomError, Misuse, Refused
from classroom.host.outlet import Outlet
from classroom.host.publisher import Publisher
from classroom.host.sources import Source
from classroom.host.whip import Place, client, lesson_place, post_offer
from tests.relay.offers import OFFERS


class Deep(bytes):
    """Named shortly, since Hypothesis warns of long reports where it was to report a failure."""

    def __repr__(self) -> str:
        return "DEEP"


DEEP = Deep(b"[" * 100_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "detail", "fix", "whip", "token"]) | st.text(max_size=5), inner
        )
    ),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()) | st.just(DEEP)
)
TYPES = st.sampled_from(["application/problem+json", "application/json", "text/plain", "x/y"])
STATUSES = st.sampled_from([200, 201, 204, 307, 400, 401, 404, 409, 500, 503, 599])
LOCATIONS = st.none() | st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")))


@contextlib.asynccontextmanager
async def answering(
    status: int, body: bytes, content_type: str, location: str | None
) -> AsyncIterator[str]:
    """A server that gives this one answer to every request; its address."""

    async def answer(request: web.Request) -> web.Response:
        headers = {} if location is None else {"Location": location}
        return web.Response(status=status, body=body, content_type=content_type, headers=headers)

    async with serving(answer) as url:
        yield url


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """A server that answers every request so; its address."""
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@settings(max_examples=80, deadline=None)
@given(STATUSES, BODIES, TYPES, LOCATIONS)
async def test_any_answer_is_a_session_or_one_of_our_errors(
    status: int, body: bytes, content_type: str, location: str | None
) -> None:
    async with answering(status, body, content_type, location) as url:
        async with client() as http:
            try:
                answer, resource = await post_offer(http, Place(f"{url}/whip/x", "t"), "v=0")
                assert status == 201
                assert resource.is_absolute()
                assert answer == body.decode("utf-8", "replace")
            except Refused:
                assert status != 201
            except (Absent, Misuse):
                pass  # no address, or none that a session could have
        with contextlib.suppress(ClassroomError):
            place = await lesson_place(url, "physics-9", "t")
            assert status in (200, 201)
            assert isinstance(place.url, str)


@pytest.mark.parametrize("location", [None, "a:b", "x:", "https:abc", "ftp://h/x", "http://[/x"])
async def test_a_session_without_an_address_of_its_own_is_none(location: str | None) -> None:
    async with answering(201, b"v=0", "application/sdp", location) as url, client() as http:
        with pytest.raises(Absent, match=r"Location.* could not be ended later"):
            await post_offer(http, Place(f"{url}/whip/x", "t"), "v=0")


class _Silent(Source):
    def __init__(self) -> None:
        super().__init__("silent", live=False)
        self.outlets = [Outlet("voice", "opus", live=False), Outlet("camera", "h264", live=False)]

    def _produce(self) -> None:
        return


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(OFFERS.values())),
    st.lists(st.tuples(st.integers(0, 8_000), st.integers(0, 40), st.text(max_size=8)), max_size=4),
)
async def test_any_description_is_an_answer_or_the_address_is_no_whip_endpoint(
    text: str, edits: list[tuple[int, int, str]]
) -> None:
    for at, length, new in edits:
        text = text[:at] + new + text[at + length :]
    publisher = Publisher([_Silent()], _nowhere)
    async with answering(201, text.encode("utf-8", "replace"), "application/sdp", "/s") as url:
        peer = RTCPeerConnection(RTCConfiguration([], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        try:
            async with client() as http:
                with contextlib.suppress(Absent):
                    await publisher._negotiate(peer, http, Place(f"{url}/whip/x", None))
        finally:
            await peer.close()


async def _nowhere() -> Place:
    raise Absent("Nobody is there.", fix="Wait.")


async def _in_pieces(request: web.Request) -> web.StreamResponse:
    """Answer as a network does: what is larger than a segment comes in several."""
    status, body = (201, LONG_ANSWER) if "whip" in request.path else (200, LONG_START)
    headers = {"Location": "/s", "Content-Length": str(len(body))}
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    await response.write(body[:700])
    await asyncio.sleep(0.05)
    await response.write(body[700:])
    return response


LONG_ANSWER = b"v=0\r\n" + b"a=candidate:1 1 udp 2130706431 10.0.0.1 8082 typ host\r\n" * 60
LONG_START = json.dumps({"whip": "http://relay/whip/om", "token": "e" * 1_400}).encode()


async def test_an_answer_in_several_pieces_is_read_to_its_end() -> None:
    async with serving(_in_pieces) as url, client() as http:
        place = await lesson_place(url, "om", "t")
        assert (place.url, len(place.token or "")) == ("http://relay/whip/om", 1_400)
        answer, _ = await post_offer(http, Place(f"{url}/whip/om", "t"), "v=0")
        assert answer.encode() == LONG_ANSWER


async def test_an_answer_without_end_is_no_answer() -> None:
    async with answering(201, b"a" * 300_000, "application/sdp", "/s") as url, client() as http:
        with pytest.raises(Absent, match="answers, but not as"):
            await post_offer(http, Place(url, None), "v=0")


async def test_rubbish_in_the_middle_of_a_lesson_is_waited_out() -> None:
    async def locate() -> Place:
        raise Misuse("http://central is not a central school's address.")

    publisher = Publisher([_Silent()], locate)
    with pytest.raises(Misuse):
        await publisher._session(asyncio.Event())
    publisher.sessions = 1
    with pytest.raises(Absent):
        await publisher._session(asyncio.Event())


async def test_a_problem_nested_too_deep_is_a_refusal_all_the_same() -> None:
    async with answering(401, DEEP, "application/json", None) as url, client() as http:
        with pytest.raises(Refused, match="The relay answered 401"):
            await post_offer(http, Place(url, None), "v=0")


async def test_a_central_school_out_of_reach_is_named_with_the_reason() -> None:
    with pytest.raises(Absent, match=r"http://127\.0\.0\.1:9 does not answer \(.*127\.0\.0\.1"):
        await lesson_place("http://127.0.0.1:9", "toan-7", "token")
