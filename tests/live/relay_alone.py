"""A relay by itself: real processes, no control plane, with the keys and lessons that it kept.

So a test of the relay starts in a second and signs its own tokens. Lives here: starting, stopping,
tokens, counters, light peers that restart ICE. Must not live here: assertions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

import aiohttp

from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Role, Signer, generate_key
from classroom.wire import LessonInfo, LessonState, Recording, RelayLessons, encode
from tests.fakes.light_link import LightLink
from tests.fakes.peer import LightPublisher, LightViewer
from tests.live.rig import READY_S, RUN_VARIABLE, STOP_S, marked_processes

LESSON = "physics-9"
OTHER = "history-7"


@dataclass(slots=True)
class Relay:
    """A running relay; `url` is its HTTP address."""

    url: str
    udp_port: int
    log: Path
    http: aiohttp.ClientSession
    _signer: Signer
    _process: asyncio.subprocess.Process
    _run: str

    def token(
        self, role: Role, subject: str = "", *, lesson: str = LESSON, life: float = 3600.0
    ) -> str:
        """A token as the control plane would sign it; `life` in seconds."""
        now = int(time())
        return self._signer.sign(
            Claims(
                subject or f"{role}-1",
                "Somebody",
                role,
                lesson,
                frozenset(DEFAULT_RIGHTS[role]),
                now - 60,
                int(now + life),
                uuid.uuid4().hex,
            )
        )

    def publisher(self, subject: str = "ms-lan", *, lesson: str = LESSON) -> LightPublisher:
        """A teacher's session to come."""
        token = self.token(Role.TEACHER, subject, lesson=lesson)
        return LightPublisher(self.http, f"{self.url}/whip/{lesson}", token)

    def viewer(self, subject: str = "room-1", **options: bool) -> LightViewer:
        """A room's session to come; `options` as for LightViewer."""
        token = self.token(Role.ROOM, subject)
        return LightViewer(self.http, f"{self.url}/whep/{LESSON}", token, **options)  # type: ignore[arg-type]  # flags only

    async def counters(self) -> dict[str, float]:
        """Every metric, by name and labels as Prometheus writes them."""
        async with self.http.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in rows}

    async def received(self) -> dict[str, float]:
        """Datagrams by what became of them."""
        found = await self.counters()
        name = re.compile(r'relay_datagrams_received_total\{kind="(\w+)"\}')
        return {match[1]: value for key, value in found.items() if (match := name.match(key))}

    def faults(self) -> list[str]:
        """Lines of the log that tell of a bug."""
        lines = self.log.read_text(errors="replace").splitlines()
        words = ("Traceback", '"level": "error"', '"level":"error"', "exception was never")
        return [line for line in lines if any(word in line for word in words)]

    async def stop(self) -> None:
        """End it; fails if a process stays."""
        self._process.terminate()
        async with asyncio.timeout(STOP_S):
            await self._process.wait()
        left = marked_processes(self._run)
        assert not left, left


@contextlib.asynccontextmanager
async def relay_alone(
    folder: Path, *, parent: Relay | None = None, **media: float
) -> AsyncIterator[Relay]:
    """Start a relay with its things in `folder`; `media` are settings of the table [media].

    Links are taken for wide ones from the start, unless `start_bitrate` says otherwise.
    parent: the relay that it has its lessons from, whose keys are good for it, too.
    """
    async with contextlib.AsyncExitStack() as stack:
        yield await start_relay(stack, folder, parent, media)


async def start_relay(
    stack: contextlib.AsyncExitStack,
    folder: Path,
    parent: Relay | None,
    media: dict[str, float],
    *,
    enter: Sequence[str] = (),
    host: str = "127.0.0.1",
) -> Relay:
    """As `relay_alone`, until `stack` ends. enter: what to put before the command; host: where the
    relay listens."""
    media = {"start_bitrate": 600_000.0} | media
    data = folder / "data"
    data.mkdir(parents=True)
    signer = parent._signer if parent is not None else Signer(generate_key())
    (data / "keys.json").write_text(json.dumps(signer.jwks()))
    known = tuple(
        LessonInfo(name, name, "Ms Lan", LessonState.LIVE, False, (), 0, Recording(), None)
        for name in (LESSON, OTHER)
    )
    if parent is None:
        (data / "lessons.msgpack").write_bytes(encode(RelayLessons(known)))
    config = folder / "relay.toml"
    lines = [
        f'host = "{host}"',
        "port = 0",
        f'name = "{folder.name}"',
        f'data = "{data}"',
        'central = "http://127.0.0.1:9"',
        'ice_servers = ["stun:stun.example:3478", "turn:turn.example ann s3cret"]',
    ]
    if parent is not None:
        token = parent.token(Role.RELAY, f"relay-{folder.name}", lesson=ANY_LESSON)
        lines += [f'parents = ["{parent.url}"]', f'token = "{token}"']
    lines += [
        "[media]",
        f'udp_host = "{host}"',
        "udp_port = 0",
        *(f"{name} = {value}" for name, value in media.items()),
    ]
    config.write_text("\n".join(lines))
    run, log = uuid.uuid4().hex, folder / "relay.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(*enter, sys.executable, "-m", "relay", "serve", "--json", "--config", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=os.environ | {RUN_VARIABLE: run},
            start_new_session=True,
        )
    assert process.stdout is not None
    async with asyncio.timeout(READY_S):
        ready = json.loads(await process.stdout.readline())
    http = await stack.enter_async_context(aiohttp.ClientSession())
    relay = Relay(ready["relay"], ready["udp_port"], log, http, signer, process, run)
    stack.push_async_callback(relay.stop)
    return relay


def restart_body(ufrag: str, password: str) -> str:
    """The fragment of an ICE restart with these credentials."""
    section = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
    return f"{section}a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"


def adopt(link: LightLink, ufrag: str, password: str, fragment: str) -> None:
    """Make `link` check with new credentials of both sides after a restart."""
    assert link.answer is not None
    found = re.findall(r"a=ice-(?:ufrag|pwd):(\S+)", fragment)
    link.answer = replace(link.answer, ufrag=found[0], password=found[1])
    link._ufrag, link._password = ufrag, password
    link._checked.clear()
    link._check()
