"""Relays of a tree without media: their lines, what they know, and real sockets between them.

Lives here: starting, stopping, tokens. Must not live here: assertions. The control plane above the
root is played by the test, which says what the root hears.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from time import time
from types import TracebackType

import aiohttp
import pytest
from aiohttp import web

from classroom.clock import Clock, wall
from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Role, Signer, generate_key
from classroom.wire import LessonInfo, LessonState, Recording, RelayHello, RelayStep
from relay.settings import RelaySettings
from relay.web import central as central_line
from relay.web import child_line
from relay.web.access import HTTP, Access
from relay.web.central import CentralLink
from relay.web.children import Children
from relay.web.enrolment import Enrolment
from relay.web.lessons import KnownLessons
from relay.web.problems import boundary
from relay.web.revoked import Revoked
from relay.web.rungs import Rungs
from relay.web.school_api import SchoolApi
from relay.web.scout import Scout
from relay.web.server_date import ServerDate
from relay.web.upstream import Upstream


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps, without the pauses that spare weak links."""
    for name in ("_SETTLE_SECONDS", "_ROOMS_SECONDS", "_NEXT_SECONDS"):
        monkeypatch.setattr(central_line, name, 0.01)
    monkeypatch.setattr(central_line, "retry_delay", lambda attempt, spread: 0.02)
    monkeypatch.setattr(child_line, "_SETTLE_SECONDS", 0.005)


def lesson(name: str, state: LessonState = LessonState.LIVE) -> LessonInfo:
    """One that the control plane tells."""
    return LessonInfo(name, f"Bài {name}", "Cô Hoa", state, False, (), 0, Recording(), 1.5)


class TreeRelay:
    """One relay; `async with` runs it. parents: none makes it a root."""

    _signer = Signer(generate_key())
    patience_s = 5.0

    def __init__(
        self,
        folder: Path,
        name: str,
        parents: Sequence[str] = (),
        *,
        port: int = 0,
        signer: Signer | None = None,
        clock: Clock = wall,
        central: str = "",
    ) -> None:
        """signer: the control plane's, where there is one; relays of one test share another.
        clock: this machine's date. central: a control plane to call, at a root; without it the
        test says what the root hears."""
        self.date = ServerDate(clock)
        self.signer = signer or self._signer
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.id = f"school-{name}"
        self.port = port
        self.ended: list[str] = []
        (self.folder / "keys.json").write_text(json.dumps(self.signer.jwks()))
        self.upstream = Upstream(parents or (central or "http://127.0.0.1:9",), lambda: self.id)
        self.revoked = Revoked(self.folder / "revoked.json")
        self.enrolment = Enrolment(RelaySettings(token=self.token()), self.folder)
        self.access = Access(
            lambda: self.upstream.url,
            self.folder / "keys.json",
            revoked=self.revoked,
            date=self.date,
        )
        self.lessons = KnownLessons(self.folder / "lessons.msgpack")
        self.rungs = Rungs()
        self.children = Children(
            self.access,
            self.lessons,
            self.upstream,
            self.revoked,
            lambda: RelayStep(self.id, self.name),
        )
        self.line = CentralLink(
            self.upstream,
            self.token,
            lambda: RelayHello(self.name, f"http://{self.name}.example:8081", "0.1.0", 40),
            self.lessons,
            self._end,
            self.folder / "unreported.json",
            self.rungs,
            below=self.children,
            revoked=self.revoked,
            date=self.date,
            is_root=not parents,
        )
        self.routes: list[Callable[[web.Application], None]] = []
        """What else is to be served; add to it before it runs."""
        self.busy = False
        self.scout = Scout(self.upstream, self.token, self.line.move, lambda: self.busy)
        self._calls = bool(parents or central)
        self._tasks: list[asyncio.Task[None]] = []

    def token(self) -> str:
        """As the control plane signed it."""
        return self._token(self.id, Role.RELAY)

    def viewer(self) -> str:
        """Of a page that looks at recordings."""
        return self._token("viewer", Role.VIEWER)

    def _token(self, subject: str, role: Role) -> str:
        now = int(time())
        rights = DEFAULT_RIGHTS[role]
        return self.signer.sign(
            Claims(subject, self.name, role, ANY_LESSON, rights, now, now + 99, uuid.uuid4().hex)
        )

    def hear(self, *infos: LessonInfo, reached: bool = True) -> None:
        """What the control plane would tell a root."""
        self.upstream.opened()
        self.upstream.told((), reached)
        self.lessons.told(infos)

    def watch(self, name: str, room: str, rung: str = "full") -> None:
        """A room of this relay watches."""
        self.lessons.media({"lesson": name, "publishing": True, "sources": ["voice"], "rooms": 1})
        self.rungs.name(room, f"Lớp {room}")
        self.rungs.receive(
            {
                "lesson": name,
                "session": f"session-{room}",
                "subject": room,
                "rung": rung,
                "reason": "choice",
                "bitrate": 1e6,
                "loss": 0.0,
                "round_trip": 0.1,
                "playout_ms": 100,
            }
        )

    async def __aenter__(self) -> TreeRelay:
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.patience_s))
        app = web.Application(middlewares=[boundary])
        app[HTTP] = self.http
        self.children.add_routes(app)
        SchoolApi(self.access, self.upstream, self.enrolment).add_routes(app)
        for add in self.routes:
            add(app)
        await self.access.start(self.http)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, auto_decompress=False
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        if self._calls:
            self._tasks.append(asyncio.create_task(self.line.run(self.http)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self.http.close()

    async def stop(self) -> None:
        """Go away; leaving the `async with` afterwards does no harm."""
        await self._runner.cleanup()

    async def _end(self, name: str) -> None:
        self.ended.append(name)
