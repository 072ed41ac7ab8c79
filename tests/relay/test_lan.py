"""Who is a visitor from the school's network, what visitors reach, and where they find the library.

Real HTTP over loopback; what cannot be had there (foreign addresses) goes through the pure rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from classroom.tokens import Right
from relay.cache.cache import Cache
from relay.settings import RelaySettings, ReplaySettings
from relay.web.access import HTTP, Access
from relay.web.lan import Lan, Ports, is_local
from relay.web.lessons import KnownLessons
from relay.web.problems import boundary
from relay.web.replay import Replay

LESSON = "toan-7"
OPEN = ReplaySettings(visitors="on")
SCHOOL = RelaySettings(host="0.0.0.0", name="Trường Nà Hỳ", replay=OPEN)


@asynccontextmanager
async def relay(
    folder: Path, settings: RelaySettings = SCHOOL, *, secure: bool = False
) -> AsyncIterator[str]:
    """A relay's replay side alone, with one published lesson; gives its address.

    secure: it takes its main port for one with TLS, so that plain requests count as such.
    """
    archive = folder / "archives" / LESSON
    archive.mkdir(parents=True)
    (archive / "manifest.json").write_text("{}")
    access = Access("http://127.0.0.1:9", folder / "keys.json")
    cache = Cache(folder / "archives", folder / "cache.json", root=True)
    settings = replace(settings, data=str(folder))
    replay = Replay(settings, access, KnownLessons(folder / "lessons"), cache)
    app = web.Application(middlewares=[boundary, replay.middleware])
    replay.add_routes(app)

    async def see(request: web.Request) -> web.Response:
        lesson = request.match_info.get("lesson")
        claims = await access.check(request, Right.REPLAY, lesson, query=True)
        return web.Response(text=claims.subject)

    async def talk(request: web.Request) -> web.Response:
        await access.check(request, Right.WATCH, None)
        return web.Response()

    app.router.add_get("/archives/{lesson}/master.m3u8", see)
    app.router.add_get("/api/lessons", see)
    app.router.add_post("/whep/{lesson}", talk)
    runner = web.AppRunner(app)
    async with aiohttp.ClientSession() as http:
        app[HTTP] = http
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        await replay.listen(runner, port, secure=secure)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()
            cache.close()


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        return answer.status


async def post(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.post(url) as answer:
        return answer.status, (await answer.json())["type"].rpartition(":")[2]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("192.168.1.7", True),
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("169.254.3.4", True),
        ("127.0.0.1", True),
        ("100.64.0.1", False),  # a provider's customers, who are strangers (RFC 6598)
        ("203.0.113.9", False),
        ("::1", True),
        ("fd12::1", True),
        ("fe80::1%eth0", True),
        ("2001:db8::1", False),
        ("::ffff:192.168.1.7", True),
        ("::ffff:203.0.113.9", False),
        ("", False),
        ("truong.local", False),
    ],
)
def test_which_addresses_are_of_a_local_network(address: str, local: bool) -> None:
    assert is_local(address) is local


async def test_a_visitor_watches_what_is_published_and_does_nothing_else(tmp_path: Path) -> None:
    async with relay(tmp_path) as base:
        assert await status(f"{base}/archives/{LESSON}/master.m3u8") == 200
        assert await status(f"{base}/api/lessons") == 200
        assert await status(f"{base}/archives/van-8/master.m3u8") == 503  # no keys: who may?
        assert (await post(f"{base}/whep/{LESSON}"))[0] == 503
        # A token is never overlooked, not even a bad one.
        assert await status(f"{base}/api/lessons?token=x") == 503


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Host": "evil.example"},
        {"Host": "203.0.113.9:8081"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_who_comes_round_about_is_no_visitor(tmp_path: Path, headers: dict[str, str]) -> None:
    async with relay(tmp_path) as base:
        assert await status(f"{base}/api/lessons", **headers) == 503
        assert await status(f"{base}/api/lan", **headers) == 404


@pytest.mark.parametrize("host", ["localhost:8081", "thuvien-a.local:8081", "[::1]:8081"])
async def test_own_local_names_are_taken(tmp_path: Path, host: str) -> None:
    async with relay(tmp_path) as base:
        assert await status(f"{base}/api/lessons", Host=host, Origin=f"http://{host}") == 200


@pytest.mark.parametrize(
    ("parents", "visitors", "let_in"),
    [((), "auto", False), (("http://p.example",), "auto", True), ((), "on", True),
     (("http://p.example",), "off", False)],
)  # fmt: skip
async def test_the_setting_decides(
    tmp_path: Path, parents: tuple[str, ...], visitors: str, let_in: bool
) -> None:
    settings = RelaySettings(parents=parents, replay=ReplaySettings(visitors=visitors))
    async with relay(tmp_path, settings) as base:
        assert await status(f"{base}/api/lessons") == (200 if let_in else 503)
        assert await status(f"{base}/api/lan/qr.svg") == (200 if let_in else 404)


async def test_beside_tls_a_plain_request_only_visits(tmp_path: Path) -> None:
    async with relay(tmp_path, secure=True) as base:
        assert await status(f"{base}/api/lessons") == 200
        assert await status(f"{base}/api/lessons", Authorization="Bearer x") == 403
        assert await status(f"{base}/api/lessons?token=x") == 403
        assert await status(f"{base}/metrics") == 403
        assert await status(f"{base}/api/lessons", Host="evil.example") == 403
        assert await post(f"{base}/whep/{LESSON}") == (403, "https-needed")


async def test_the_addresses_are_told_and_drawn(tmp_path: Path) -> None:
    async with relay(tmp_path) as base, aiohttp.ClientSession() as http:
        async with http.get(f"{base}/api/lan") as answer:
            told = await answer.json()
        assert (told["name"], told["visitors"], told["secure"]) == ("Trường Nà Hỳ", True, None)
        assert all(place.startswith("http://") for place in told["addresses"])
        async with http.get(f"{base}/api/lan/qr.svg") as answer:
            # A machine without a network has no address to draw.
            kind = "image/svg+xml" if told["addresses"] else "application/problem+json"
            assert answer.content_type == kind


def lan(settings: RelaySettings, ports: Ports, host_name: str | None = None) -> list[str]:
    made = Lan(
        settings,
        is_published=lambda lesson: True,
        addresses=lambda: ["192.168.1.7", "fd12::1"],
    )
    made.ports, made.host_name = ports, host_name
    return made.places()


def test_an_address_comes_before_a_name_that_not_all_devices_find() -> None:
    assert lan(SCHOOL, Ports(8081), "thuvien-a.local") == [
        "http://192.168.1.7:8081/library",
        "http://[fd12::1]:8081/library",
        "http://thuvien-a.local:8081/library",
    ]
    one = RelaySettings(host="192.168.9.9", replay=OPEN)
    assert lan(one, Ports(8081)) == ["http://192.168.9.9:8081/library"]


def test_with_tls_the_plain_port_is_told_or_the_name() -> None:
    named = RelaySettings(public_url="https://relay.example:8081", replay=OPEN)
    assert lan(named, Ports(8081, True, 8083))[0] == "http://192.168.1.7:8083/library"
    assert lan(named, Ports(8081, True)) == ["https://relay.example:8081/library"]
    assert lan(SCHOOL, Ports(8081, True)) == []


def test_a_machine_that_listens_on_a_public_address_alone_is_near_itself() -> None:
    settings = replace(SCHOOL, host="203.0.113.5")
    lan = Lan(settings, is_published=lambda lesson: False)
    asked = make_mocked_request("GET", "/api/status", headers={"Host": "203.0.113.5:8081"})
    assert lan.is_near(asked.clone(remote="203.0.113.5"))
    assert not lan.is_near(asked.clone(remote="203.0.113.6"))
