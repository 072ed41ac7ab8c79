"""What both planes refuse alike: the same names, fields and words, and a page for people.

The two boundaries are put around one small application on a real port.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Middleware

from classroom.web.metrics import Metrics
from classroom.web.problems import problems
from relay.web.problems import boundary

CENTRAL = problems(Metrics())


@pytest.fixture(params=[CENTRAL, boundary], ids=["central", "relay"])
async def base(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Where an application stands behind one of the boundaries."""

    async def read(asked: web.Request) -> web.Response:
        return web.Response(body=await asked.read())

    async def broken(asked: web.Request) -> web.Response:
        raise ValueError("secret words")

    middleware: Middleware = request.param
    app = web.Application(middlewares=[middleware], client_max_size=2048)
    app.add_routes([web.post("/api/read", read), web.get("/broken", broken)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "field", "words"),
    [
        ("GET", "/nothing", 404, "not-found", "path", "open the link"),
        ("PUT", "/api/read", 405, "method-not-allowed", "method", "Use POST."),
        ("POST", "/api/read", 413, "body-too-large", "body", "Send at most 2 KiB"),
        ("GET", "/broken", 500, "internal-error", None, "tell your technician"),
    ],
)
async def test_a_refusal_has_one_name_on_both_planes(
    base: str,
    method: str,
    path: str,
    status: int,
    code: str,
    field: str | None,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = b"x" * 5000 if method == "POST" else None
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, base + path, data=data) as answer,
    ):
        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        problem: dict[str, Any] = await answer.json(content_type=None)
        text = await answer.text()
    assert problem["type"] == f"urn:classroom:problem:{code}"
    assert problem.get("field") == field
    assert words in problem["fix"]
    assert "secret" not in text
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in faults] == ["request-failed"] * (status == 500)


async def test_who_mistyped_a_page_is_led_back(base: str) -> None:
    async with aiohttp.ClientSession(headers={"Accept": "text/html,*/*;q=0.8"}) as http:
        async with http.get(f"{base}/rooom") as answer:
            assert (answer.status, answer.content_type) == (404, "text/html")
            text = await answer.text()
        assert "Không có trang này" in text
        assert "No such page" in text
        assert 'href="/"' in text
        async with http.get(f"{base}/api/lesson") as answer:
            assert answer.content_type == "application/problem+json"
