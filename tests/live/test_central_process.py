"""The `classroom` command as processes of its own: start, stop, kill -9 in a lesson, links.

These are the only tests that wait for a Python to start, so there are few of them and each says
much. What the API answers is tested in the process of the tests, by `test_central_api`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from classroom import wire
from classroom.__main__ import COMMANDS, main
from classroom.tokens import Role
from tests.live.central import Central, Process, next_message, page, relay, start


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@asynccontextmanager
async def serving(data: Path, port: int = 0, *more: str) -> AsyncIterator[tuple[Central, Process]]:
    """A running command; killed at the end if it still runs."""
    process = await start(data, port, *more)
    try:
        async with aiohttp.ClientSession() as http:
            yield Central(f"http://127.0.0.1:{process.ready['port']}", data, http), process
    finally:
        if process.process.returncode is None:
            await process.end(signal.SIGKILL)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "classroom", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_live_lesson_outlives_kill_9(data: Path) -> None:
    async with serving(data) as (central, process):
        teacher = central.token(Role.TEACHER)
        planned, live, ended = [await central.plan(teacher, title) for title in "abc"]
        async with relay(central) as root:
            for lesson in (live, ended):
                await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
            await root.report(live, publishing=True)
            await central.call("POST", f"/api/lessons/{ended}/end", teacher)
            # Between the answer and the kill there is no time for anything but what is on disk.
            assert await process.end(signal.SIGKILL) == -signal.SIGKILL
            await root.hear_out()
        port = process.ready["port"]
    async with serving(data, port) as (central, process):
        listed = (await central.call("GET", "/api/lessons", teacher)).json["lessons"]
        states = {lesson["id"]: lesson["state"] for lesson in listed}
        assert states == {planned: "planned", live: "live", ended: "ended"}
        # The relay comes back, hears what ended, and says what is on air.
        async with relay(central) as root, page(central, teacher, live) as socket:
            assert [lesson.id for lesson in root.lessons.lessons] == [live, planned]
            assert root.all_heard[0] == wire.LessonEnd(ended)
            # Said before it, what the relay says would stand in the welcome already.
            assert isinstance(await next_message(socket), wire.Welcome)
            await root.report(live, publishing=True, rooms=4)
            while True:
                message = await next_message(socket)
                if isinstance(message, wire.LessonInfo) and message.publishing:
                    break
            assert message.rooms == 4
            again = await central.call("POST", f"/api/lessons/{live}/start", teacher)
            assert again.status == 200
        assert await process.end(signal.SIGTERM) == 0


async def test_killed_at_any_moment_it_starts_again_and_keeps_what_it_promised(
    data: Path,
) -> None:
    promised: set[str] = set()
    for _ in range(3):
        async with serving(data) as (central, process):
            teacher = central.token(Role.TEACHER)
            listed = (await central.call("GET", "/api/lessons", teacher)).json["lessons"]
            assert promised <= {lesson["id"] for lesson in listed}

            enough = asyncio.Event()

            async def plan_on(central: Central, teacher: str, enough: asyncio.Event) -> None:
                for number in itertools.count():
                    promised.add(await central.plan(teacher))
                    if number == 3:
                        enough.set()

            planning = [asyncio.create_task(plan_on(central, teacher, enough)) for _ in range(4)]
            await enough.wait()
            await process.end(signal.SIGKILL)
            results = await asyncio.gather(*planning, return_exceptions=True)
            assert all(isinstance(result, aiohttp.ClientError) for result in results), results


async def test_it_stops_cleanly_and_logs_lines_of_json(data: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        async with serving(data) as (central, process):
            teacher = central.token(Role.TEACHER)
            lesson = await central.plan(teacher)
            async with relay(central) as root, page(central, teacher) as socket:
                await socket.receive()
                await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
                await central.call("POST", f"/api/lessons/{lesson}/end", teacher)
                ended = asyncio.create_task(process.end(number))
                await root.hear_out()
                while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                    pass
                assert await ended == 0
    lines = [
        json.loads(line) for line in (data.parent / "log").read_text(encoding="utf-8").splitlines()
    ]
    events = [line["event"] for line in lines]
    for name in (
        *("control-plane-ready", "lesson-planned", "lesson-live", "lesson-ended"),
        *("relay-joined", "relay-left", "page-joined", "page-left", "control-plane-stopped"),
    ):
        assert events.count(name) == 2, events
    line = next(line for line in lines if line["event"] == "lesson-ended")
    assert line["reason"] == "teacher-ended"
    assert line["seconds"] >= 0
    left = next(line for line in lines if line["event"] == "relay-left")
    assert (left["relay"], left["reason"]) == ("root", "server stops")
    assert "eyJ" not in (data.parent / "log").read_text(encoding="utf-8")


async def test_a_port_in_use_is_told_in_one_sentence(data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = command("serve", "--host", "127.0.0.1", "--port", str(port), "--data", str(data))
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["serve", "--config", "/nowhere.toml"], "nowhere.toml"),
        (["serve", "--port", "99999"], "server.port"),
        (["serve", "--public-url", "school"], "public_url"),
        (["link", "room", "--lesson", "No Such"], "--lesson"),
        (["link", "room", "--days", "0"], "--days"),
        (["link", "room", "--name", "a\nb"], "--name"),
        (["link", "room", "--url", "ftp://x"], "--url"),
        (["link", "room"], "--config"),
        (["link", "king"], "invalid choice"),
        (["dance"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_misuse_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    if arguments[:1] == ["link"]:
        arguments = [*arguments, "--data", str(tmp_path)]
    try:
        code: object = main(arguments)
    except SystemExit as error:
        code = error.code
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert word in told.err
    assert list(tmp_path.iterdir()) == []


async def test_links_made_beside_a_running_server_work_there(data: Path) -> None:
    async with serving(data, 0, "--public-url", "https://school.example") as (central, process):
        assert process.ready["url"] == "https://school.example"
        roles = ("teacher", "room", "viewer", "relay")
        done = await asyncio.gather(
            *(
                asyncio.to_thread(command, "link", role, "--data", str(data), "--name", "Cô Hoa")
                for role in roles
            )
        )
        made = dict(zip(roles, done, strict=True))
        assert all(done.returncode == 0 for done in made.values()), made
        for role, page_path in (("teacher", "/teach"), ("room", "/room"), ("viewer", "/library")):
            address, _, token = made[role].stdout.strip().partition("#token=")
            assert address == f"http://localhost:8080{page_path}"
            me = (await central.call("GET", "/api/me", token)).json
            assert (me["role"], me["name"], me["lesson"]) == (role, "Cô Hoa", "*")
        relay_token = made["relay"].stdout.strip()
        assert "#" not in relay_token
        assert (await central.call("GET", "/api/me", relay_token)).json["role"] == "relay"
        teacher = made["teacher"].stdout.strip().partition("#token=")[2]
        lesson = await central.plan(teacher)
        for lesson_id, warned in ((lesson, False), ("toan-8", True)):
            room = await asyncio.to_thread(
                command, "link", "room", "--data", str(data), "--lesson", lesson_id
            )
            assert room.returncode == 0
            assert ("no lesson" in room.stderr) is warned
        link = await central.call(
            "POST", f"/api/lessons/{lesson}/links", teacher, json={"role": "viewer"}
        )
        assert link.json["url"].startswith("https://school.example/library#token=")


def test_every_command_is_shown_and_only_the_one_asked_for_is_imported() -> None:
    done = command("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert name in done.stdout
    script = (
        "import sys, classroom.__main__ as m\n"
        "try: m.main(['link', '--help'])\n"
        "finally: assert 'av' not in sys.modules and 'aiohttp' not in sys.modules"
    )
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"--lesson" in asked.stdout
