"""When a trunk begins, ends, and begins anew: two services with real lines and HTTP between them.

The media processes are played by the test, which notes what they are asked and says what they would
tell. What trunks carry is tried in test_trunk_media.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from classroom.wire import TrunkAnchor, TrunkTrack, to_map
from classroom.wire.names import Source
from relay.ipc import RpcClient
from relay.record.recorder import Recorder
from relay.web import trunks as module
from relay.web.trunks import Trunks
from tests.eventually import eventually
from tests.fakes.relay_tree import TreeRelay, lesson

LESSON = "toan-8"
TRACK = TrunkTrack(
    *(1, 2, Source.CAMERA, "h", ("q", "h"), 1, 250_000.0, False, 9, "feed", 1),
    (TrunkAnchor(90, 1.5, None),),
)


class Media(RpcClient):
    """A media process that does as it is told."""

    def __init__(self) -> None:
        super().__init__("", notice=lambda name, parameters: None)
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        self.calls.append((method, parameters))
        session = f"{method}-{self.count(method)}"
        match method:
            case "trunk_offer":
                return {"session": session, "offer": "v=0"}
            case "trunk_accept":
                tracks = [to_map(TRACK)]
                return {"session": session, "answer": "v=0", "epoch": 1, "tracks": tracks}
            case _:
                return {}

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def last(self, method: str) -> dict[str, Any]:
        return next(told for name, told in reversed(self.calls) if name == method)


class Side:
    """One relay's trunks, and its media process."""

    def __init__(self, relay: TreeRelay, folder: Path, *, is_child: bool) -> None:
        self.relay, self.media = relay, Media()
        self.trunks = Trunks(
            *(relay.access, self.media, relay.lessons, relay.upstream, relay.line, relay.children),
            relay.token,
            Recorder(folder / relay.name),
            is_child=is_child,
        )
        relay.routes.append(self.trunks.add_routes)

    def rooms(self, count: int) -> None:
        self.relay.lessons.media(
            {"lesson": LESSON, "publishing": True, "sources": [], "rooms": count, "relays": 0}
        )

    def tell(self, state: str, **more: Any) -> None:
        """What the media process would say of the newest trunk."""
        session = f"trunk_offer-{self.media.count('trunk_offer')}"
        wants = {"layers": {"camera": [1, 0]}, "lowest": 60_000.0}
        told = {"lesson": LESSON, "session": session, "state": state, "wants": wants}
        self.trunks.notice("trunk", told | more)


@contextlib.asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Side, Side]]:
    above = Side(TreeRelay(folder, "root"), folder, is_child=False)
    async with above.relay as root:
        below = Side(TreeRelay(folder, "school", [root.url]), folder, is_child=True)
        async with below.relay as school:
            root.hear(lesson(LESSON))
            running = [
                asyncio.create_task(side.trunks.run(side.relay.http)) for side in (above, below)
            ]
            try:
                await eventually(lambda: school.upstream.connected)
                yield above, below
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds on real links."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOST_SECONDS", 0.05)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)


async def test_a_trunk_lasts_as_long_as_somebody_watches(tmp_path: Path) -> None:
    async with pair(tmp_path) as (_, school):
        await asyncio.sleep(0.1)
        assert school.media.calls == []
        school.rooms(1)
        await eventually(lambda: school.media.count("trunk_answer"))
        told = school.media.last("trunk_answer")
        assert (told["epoch"], told["tracks"]) == (1, [to_map(TRACK)])
        assert school.trunks.states() == {LESSON: "connecting"}
        await asyncio.sleep(0.1)
        assert school.media.count("trunk_offer") == 1
        school.rooms(0)
        await eventually(lambda: school.media.count("trunk_end"))
        assert school.trunks.states() == {}


async def test_a_parents_service_that_began_anew_knows_again_who_takes_a_lesson(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as (root, school):
        school.rooms(1)
        await eventually(lambda: school.media.count("trunk_answer"))
        # The media process kept the trunk; of the service that gave it nothing is left.
        root.trunks._below.clear()
        root.trunks._given.clear()
        school.tell("live")
        await eventually(lambda: root.media.count("trunk_want"))
        root.trunks.expel({school.relay.id})
        await eventually(lambda: root.media.count("delete"))
        told = root.media.last("delete")
        assert (told["session"], told["subject"]) == ("trunk_accept-1", school.relay.id)


async def test_what_is_wanted_is_told_and_what_there_is_comes_back(tmp_path: Path) -> None:
    async with pair(tmp_path) as (root, school):
        school.rooms(1)
        await eventually(lambda: school.media.count("trunk_answer"))
        school.tell("live")
        await eventually(lambda: root.media.count("trunk_want"))
        assert root.media.last("trunk_want") == {
            "lesson": LESSON,
            "session": "trunk_accept-1",
            "subject": school.relay.id,
            "wants": {"layers": {"camera": [1, 0]}, "lowest": 60_000.0},
        }
        root.trunks.notice(
            "trunk-tracks",
            {
                "lesson": LESSON,
                "session": "trunk_accept-1",
                "subject": school.relay.id,
                "epoch": 2,
                "tracks": [to_map(TRACK)],
                "delay_ms": 340,
            },
        )
        await eventually(lambda: school.media.count("trunk_tell"))
        told = school.media.last("trunk_tell")
        assert (told["session"], told["epoch"], told["delay_ms"]) == ("trunk_offer-1", 2, 340)


async def test_a_parent_that_forgot_all_is_asked_again(tmp_path: Path) -> None:
    async with pair(tmp_path) as (root, school):
        school.rooms(1)
        await eventually(lambda: school.media.count("trunk_answer"))
        root.trunks.media_lost()
        await eventually(lambda: school.media.count("trunk_answer") == 2)


async def test_a_path_that_stays_broken_while_the_line_stands_is_begun_anew(tmp_path: Path) -> None:
    async with pair(tmp_path) as (_, school):
        school.rooms(1)
        await eventually(lambda: school.media.count("trunk_answer"))
        school.tell("broken")
        await eventually(lambda: school.media.count("trunk_answer") == 2)
        school.tell("live")
        await asyncio.sleep(0.2)
        assert school.media.count("trunk_answer") == 2


async def test_a_trunk_that_ends_and_a_media_process_that_dies_are_begun_anew(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as (_, school):
        school.rooms(1)
        await eventually(lambda: school.media.count("trunk_answer"))
        school.tell("ended", reason="no sign of life")
        await eventually(lambda: school.media.count("trunk_answer") == 2)
        school.trunks.media_lost()
        await eventually(lambda: school.media.count("trunk_answer") == 3)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b'{"answer": 1}',
        b'{"answer": "v=0", "session": "s", "epoch": -1, "tracks": []}',
        b'{"answer": "v=0", "session": "s", "epoch": 1, "tracks": [{}]}',
        b'{"answer": "v=0", "session": "", "epoch": 1, "tracks": []}',
        b"[" * 100_000,
        b"x" * 300_000,
    ],
)
async def test_a_parent_that_answers_nonsense_is_only_asked_again(
    tmp_path: Path, said: bytes
) -> None:
    async def nonsense(request: web.Request) -> web.Response:
        return web.Response(status=201, body=said)

    def add(app: web.Application) -> None:
        app.router.add_post("/trunk/{lesson}", nonsense)

    root = TreeRelay(tmp_path, "root")
    root.routes.append(add)
    async with root:
        school = Side(TreeRelay(tmp_path, "school", [root.url]), tmp_path, is_child=True)
        async with school.relay:
            root.hear(lesson(LESSON))
            running = asyncio.create_task(school.trunks.run(school.relay.http))
            await eventually(lambda: school.relay.upstream.connected)
            school.rooms(1)
            await eventually(lambda: school.media.count("trunk_offer") >= 2)
            assert not running.done()
            assert school.media.count("trunk_answer") == 0
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_another_parent_is_asked_once_the_line_is_there(tmp_path: Path) -> None:
    async with pair(tmp_path) as (root, school):
        other = Side(TreeRelay(tmp_path, "other"), tmp_path, is_child=False)
        async with other.relay as second:
            second.hear(lesson(LESSON))
            school.rooms(1)
            await eventually(lambda: school.media.count("trunk_answer"))
            school.relay.upstream._urls.append(second.url)
            await school.relay.line.move(second.url)
            await eventually(lambda: school.media.count("trunk_answer") == 2)
            assert school.media.last("trunk_answer")["parent"] == second.url
            await asyncio.sleep(0.2)
            assert school.media.count("trunk_answer") == 2
            assert root.media.count("trunk_accept") == 1
