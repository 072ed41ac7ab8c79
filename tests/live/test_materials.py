"""A lesson's files, from the teacher's page to a class whose school has lost all above it.

Control plane, root relay and school relay are real processes; teacher and room are Chromium. How
files come over bad links, and what else may go wrong, is tried in tests/relay.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from pathlib import Path

import aiohttp
import pytest

from tests.live import central
from tests.live.command_line import Command
from tests.live.conftest import OpenBrowser
from tests.live.machines import asked, end, kill, known, started

SCHOOL = "Tiểu học Trà Leng"


async def got(http: aiohttp.ClientSession, url: str, token: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status, await answer.read()


async def test_files_are_at_the_school_before_class_and_open_without_the_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], open_browser: OpenBrowser
) -> None:
    data = tmp_path / "central" / "data"
    control = await central.start(data)
    command = Command(data, capsys)
    (tmp_path / "token").write_text(await command("link", "relay", "--name", "root"))
    code = await command("relay-code", "--name", SCHOOL)
    teach = await command("link", "teacher", "--name", "Cô Hoa")
    teacher = teach.partition("#token=")[2]
    url = control.ready["url"]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(end, control)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        above = ("--central", url, "--token-file", str(tmp_path / "token"))
        root, root_run = await stack.enter_async_context(started(tmp_path / "root", *above))
        school, school_run = await stack.enter_async_context(
            started(tmp_path / "school", "--parent", root, "--code", code, "--name", "mini-pc")
        )
        await known(http, url, teacher)
        link = await command("link", "room", "--name", "5A", "--school", SCHOOL)
        token = link.partition("#token=")[2]
        soon = {"title": "Định luật Ôm", "planned_at": time.time() + 900}
        planned = await asked(http, f"{url}/api/lessons", teacher, json=soon)

        slides = b"%PDF-1.4 " + bytes(range(256)) * 8_000
        digest = hashlib.sha256(slides).hexdigest()
        where = f"/api/lessons/{planned['id']}/materials"
        async with http.put(
            f"{url}{where}/{digest}",
            params={"name": "Bài 1.pdf"},
            data=io.BytesIO(slides),
            headers={"Authorization": f"Bearer {teacher}"},
        ) as answer:
            assert answer.status == 201, await answer.text()
            listed = await answer.read()
        begun = time.monotonic()
        while (await got(http, f"{school}{where}/{digest}", token))[0] != 200:
            assert time.monotonic() - begun < 20.0
        kill(root_run)
        control.process.kill()
        assert await got(http, f"{school}{where}", token) == (200, listed)
        assert await got(http, f"{school}{where}/{digest}", token) == (200, slides)
        kill(school_run)
        words = ("--parent", root, "--name", "mini-pc")
        school, _ = await stack.enter_async_context(started(tmp_path / "school", *words))
        assert await got(http, f"{school}{where}/{digest}", token) == (200, slides)
