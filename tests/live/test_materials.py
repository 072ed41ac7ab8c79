"""A lesson's files, from the teacher's page to a class whose school has lost all above it.

Control plane, root relay and school relay are real processes; teacher and room are Chromium. How
files come over bad links, and what else may go wrong, is tried in tests/relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import aiohttp
import pytest

from client_web import DIST
from tests.live import central
from tests.live.command_line import Command
from tests.live.conftest import OpenBrowser
from tests.live.machines import asked, end, kill, known, started
from tests.live.rig import until

SCHOOL = "Tiểu học Trà Leng"
ICON = DIST / "app" / "icon-192.png"


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
    picture = tmp_path / "Mạch điện.png"
    picture.write_bytes(ICON.read_bytes())
    sheet = tmp_path / "Bài tập.txt"
    sheet.write_text("U = R · I\n" * 20_000)
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
        where = f"/api/lessons/{planned['id']}/materials"

        page = await (await open_browser(teacher=True)).new_page()
        await page.goto(f"{url}/teach#token={teacher}")
        await page.set_input_files("input[type=file]", [picture, sheet])
        await page.wait_for_function(
            "() => document.querySelectorAll('.given .files li:not(.sending)').length === 2"
        )
        listed = await asked(http, f"{url}{where}", teacher)
        digests = {one["name"]: one["digest"] for one in listed["materials"]}
        assert list(digests) == [picture.name, sheet.name]

        room = await (await open_browser()).new_page()
        await room.goto(link)
        await until(room, stage="waiting", materials=2)
        begun = time.monotonic()
        for digest in digests.values():
            while (await got(http, f"{school}{where}/{digest}", token))[0] != 200:
                assert time.monotonic() - begun < 20.0
                await asyncio.sleep(0.1)
        kill(root_run)
        control.process.kill()

        await room.click("button[aria-haspopup=dialog]")
        await room.click(f"dialog.materials button:has-text('{picture.name}')")
        shown = await room.wait_for_selector("dialog.materials img")
        assert shown is not None
        await room.wait_for_function(
            "() => document.querySelector('dialog.materials img')?.naturalWidth === 192"
        )
        await room.keyboard.press("Escape")
        assert await room.locator("dialog.materials[open]").count() == 0

        # A power cut at the school as well.
        kill(school_run)
        words = ("--parent", root, "--name", "mini-pc")
        school, _ = await stack.enter_async_context(started(tmp_path / "school", *words))
        for file in (picture, sheet):
            found = await got(http, f"{school}{where}/{digests[file.name]}", token)
            assert found == (200, file.read_bytes())
