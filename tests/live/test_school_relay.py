"""A school's relay as its technician starts it: real processes of all three machines.

Control plane, root relay and school relay; what stands above the school is killed in turn, while a
room at the school looks on. What the media does meanwhile is tried elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp
import pytest

from classroom import wire
from classroom.store import load_key
from classroom.tokens import Signer
from tests.eventually import eventually
from tests.fakes.peer import LightViewer
from tests.fakes.relay_tree import TreeRelay, lesson
from tests.live import central
from tests.live.command_line import Command
from tests.live.machines import asked, end, kill, known, started

SCHOOL = "Tiểu học Trà Leng"


class Room:
    """A room's page at a relay, as far as its events go."""

    def __init__(self, http: aiohttp.ClientSession, link: str) -> None:
        self._http = http
        self.base, _, self.token = link.partition("/room#token=")

    async def __aenter__(self) -> Room:
        self.socket = await self._http.ws_connect(
            f"{self.base}/events", params={"token": self.token}
        )
        await self.socket.send_bytes(wire.encode(wire.Hello(wire.Page.ROOM, "vi", None)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def sees(self, lesson_id: str, state: wire.LessonState) -> None:
        """Return once the page is told that the lesson is in this state."""
        async with asyncio.timeout(10):
            while True:
                message = wire.decode((await self.socket.receive()).data)
                info = message.lesson if isinstance(message, wire.Welcome) else message
                if isinstance(info, wire.LessonInfo) and (info.id, info.state) == (
                    lesson_id,
                    state,
                ):
                    return


async def test_a_school_enrols_and_goes_on_whoever_above_it_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "central" / "data"
    control = await central.start(data)
    command = Command(data, capsys)
    (tmp_path / "token").write_text(await command("link", "relay", "--name", "root"))
    code = await command("relay-code", "--name", SCHOOL)
    teacher = (await command("link", "teacher", "--name", "Cô Hoa")).partition("#token=")[2]
    above = ("--central", control.ready["url"], "--token-file", str(tmp_path / "token"))
    other = TreeRelay(tmp_path, "other", signer=Signer(load_key(data)))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(end, control)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        root, root_run = await stack.enter_async_context(started(tmp_path / "root", *above))
        await stack.enter_async_context(other)
        school, _ = await stack.enter_async_context(
            started(
                tmp_path / "school",
                *("--parent", root, "--parent", other.url, "--code", code, "--name", "mini-pc"),
            )
        )
        # The school stands in the tree, so a room's link leads to its own relay.
        (node,) = await known(http, control.ready["url"], teacher)
        assert (node["name"], node["url"]) == (SCHOOL, school)
        link = await command("link", "room", "--name", "5A", "--school", SCHOOL)
        assert link.startswith(f"{school}/room#token=")
        api = f"{control.ready['url']}/api/lessons"
        planned = await asked(http, api, teacher, json={"title": "Định luật Ôm"})
        async with Room(http, link) as room:
            await room.sees(planned["id"], wire.LessonState.PLANNED)
            await asked(http, f"{api}/{planned['id']}/start", teacher, json={})
            await room.sees(planned["id"], wire.LessonState.LIVE)
            # The teacher's side counts a room that only its school's relay knows.
            viewer = LightViewer(http, f"{school}/whep/{planned['id']}", room.token)
            await viewer.connect()
            stack.push_async_callback(viewer.vanish)
            await counted(http, f"{api}/{planned['id']}", teacher)

            control.process.kill()
            await control.process.wait()
            async with Room(http, link) as second:
                await second.sees(planned["id"], wire.LessonState.LIVE)

            # The root's machine burns down; another parent takes its place and knows of the end.
            other.hear(lesson(planned["id"]))
            kill(root_run)
            await eventually(lambda: list(other.children.connected.values()) == [SCHOOL])
            async with Room(http, link) as third:
                await third.sees(planned["id"], wire.LessonState.LIVE)
            # The school's library answers, too.
            listed = await asked(http, f"{school}/api/lessons", room.token)
            assert [one["id"] for one in listed["lessons"]] == [planned["id"]]
            other.lessons.ended(planned["id"])
            await room.sees(planned["id"], wire.LessonState.ENDED)


async def counted(http: aiohttp.ClientSession, url: str, teacher: str) -> None:
    """Return once the lesson has a room."""
    async with asyncio.timeout(10):
        while True:
            if (await asked(http, url, teacher))["rooms"] == 1:
                return
            await asyncio.sleep(0.05)
