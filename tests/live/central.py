"""A control plane on a real port for the tests, with a caller that checks every answer.

`running` serves the application in this process (the clock can be moved); `started` runs the real
command in a process of its own. `FakeRelay` speaks a relay's side through the same `Caller` that
relays use.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from classroom import wire
from classroom.accounts import LinkOrder, claims_for
from classroom.settings import Settings, Storage
from classroom.signalling import Caller, Close, Received, Send
from classroom.store import load_or_create_key
from classroom.tokens import Role, Signer
from classroom.web.app import make_app
from classroom.web.context import CONTEXT, Context
from classroom.web.desk import Desk
from classroom.web.materials_sweep import Sweeper
from classroom.web.openapi import DOCUMENT
from classroom.web.serve import make_runner
from tests.live.openapi_check import problem_with

_Kind = TypeVar("_Kind")


@dataclass
class Wall:
    """A date that a test can move on."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Answer:
    """What came back; `json` is None for other media types."""

    status: int
    headers: Any
    body: bytes
    json: Any


class Central:
    """A control plane that answers at `url`, and whoever holds its key."""

    def __init__(
        self, url: str, data: Path, http: aiohttp.ClientSession, runner: web.AppRunner | None = None
    ) -> None:
        self._runner = runner
        self.url = url
        self.data = data
        self.http = http
        self._tokens = 0

    @property
    def desk(self) -> Desk:
        """The desk of a control plane in this process."""
        return self._context.desk

    @property
    def _context(self) -> Context:
        assert self._runner is not None
        return self._runner.app[CONTEXT]

    async def history(self, lesson: str) -> list[tuple[str, str, str]]:
        """State, by whom and why, for each move of the lesson."""
        lines = await self._context.records.transitions(lesson)
        return [(line.after, line.by, line.reason) for line in lines]

    async def sweep(self) -> None:
        """Remove files of lessons that nothing needs, as is done hourly."""
        context = self._context
        await Sweeper(context.blobs, context.records.materials, context.wall).sweep()

    async def stop(self) -> None:
        """Stop serving, as at SIGTERM."""
        assert self._runner is not None
        await self._runner.shutdown()

    def token(self, role: Role, lesson: str = "*", name: str = "Cô Hoa", days: float = 1) -> str:
        """A link's token, as `classroom link` makes it."""
        self._tokens += 1
        order = LinkOrder(role, lesson, name, days)
        claims = claims_for(order, token_id=f"test-{self._tokens}", now=time.time())
        return Signer(load_or_create_key(self.data)).sign(claims)

    async def call(
        self, method: str, path: str, token: str | None = None, **options: Any
    ) -> Answer:
        """One request; the answer is held against the OpenAPI document and the error form."""
        headers = {**options.pop("headers", {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.http.request(
            method, self.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            body = await response.read()
            answer = Answer(response.status, response.headers, body, None)
            if "json" in response.content_type:
                answer.json = json.loads(body)
            check_described(method, path.partition("?")[0], answer, response.content_type)
            return answer

    async def plan(self, token: str, title: str = "Định luật Ôm", **fields: Any) -> str:
        """Plan a lesson; its id."""
        answer = await self.call("POST", "/api/lessons", token, json={"title": title, **fields})
        assert answer.status == 201, answer.body
        assert isinstance(answer.json["id"], str)
        return answer.json["id"]

    @asynccontextmanager
    async def socket(self, path: str, token: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open WebSocket."""
        async with self.http.ws_connect(f"{self.url}{path}", params={"token": token}) as socket:
            yield socket


def check_described(method: str, path: str, answer: Answer, content_type: str) -> None:
    """Fail unless the answer is one that the OpenAPI document describes for this address."""
    schemas = DOCUMENT["components"]["schemas"]
    if answer.status >= 400 and content_type != "application/json":
        assert content_type == "application/problem+json", (path, answer.body)
        assert problem_with(answer.json, {"$ref": "/Problem"}, schemas) is None
        assert answer.json["status"] == answer.status
        assert answer.json["detail"]
        assert answer.json["fix"]
        # What a client can change is named; what is ours to mend need not be.
        assert answer.json.get("field") or answer.status >= 500, answer.json
        return
    for template, operations in DOCUMENT["paths"].items():
        parts, given = template.split("/"), path.split("/")
        if len(parts) == len(given) and all(
            one == other or one.startswith("{") for one, other in zip(parts, given, strict=True)
        ):
            described = operations[method.lower()]["responses"][str(answer.status)]
            if "content" not in described:
                assert answer.body == b""
                return
            content = described["content"]
            schema = (content.get(content_type) or content["*/*"])["schema"]
            assert problem_with(answer.json, schema, schemas) is None, (path, answer.json)


@asynccontextmanager
async def running(
    data: Path, settings: Settings | None = None, *, wall: Wall | None = None, **options: Any
) -> AsyncIterator[Central]:
    """The application in this process on a free port."""
    settings = (settings or Settings()).with_arguments(data=str(data))
    app = make_app(settings, wall=wall or Wall(), **options)
    runner = make_runner(app, 2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as http:
            yield Central(url, data, http, runner)
    finally:
        await runner.cleanup()


class Process:
    """`classroom serve` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready

    async def end(self, signal: int) -> int:
        """Send `signal` and wait; the exit code."""
        self.process.send_signal(signal)
        return await self.process.wait()


async def start(data: Path, port: int = 0, *more: str) -> Process:
    """Start the command and wait for its ready line; its log goes to <data>/../log."""
    data.parent.mkdir(parents=True, exist_ok=True)
    with (data.parent / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "classroom", "serve", "--json", "--host", "127.0.0.1"),
            *("--port", str(port), "--data", str(data), *more),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, (data.parent / "log").read_text(encoding="utf-8")
    return Process(process, json.loads(line))


class FakeRelay:
    """A relay without media: connected to central, it reports what a test tells it to."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, caller: Caller) -> None:
        self._socket = socket
        self._caller = caller
        self.close_code: int | None = None
        self.all_heard: list[wire.Message] = []
        # The list that it was told first.
        self.lessons = wire.RelayLessons(())

    async def send(self, message: wire.Message) -> None:
        self._caller.send(message)
        await self._flush()

    async def report(self, lesson: str, *, publishing: bool, rooms: int = 0) -> None:
        """Send `relay-lesson` as a relay with a voice and a recorder does."""
        await self.send(
            wire.RelayLesson(
                lesson=lesson,
                publishing=publishing,
                sources=(wire.Source.VOICE,) if publishing else (),
                rooms=rooms,
                recording=wire.Recording(wire.RecordingState.RECORDING, "", 12.5),
            )
        )

    async def heard(self) -> wire.Message:
        """The next message of central; raises ConnectionError when it closed."""
        while True:
            frame = await self._socket.receive()
            if frame.type is not aiohttp.WSMsgType.BINARY:
                self.close_code = self._socket.close_code
                raise ConnectionError(f"closed with {self.close_code}")
            self._caller.receive_message(frame.data, time.monotonic())
            for action in self._caller.take_actions():
                assert isinstance(action, Received), action
                self.all_heard.append(action.message)
                return action.message

    async def heard_of(self, kind: type[_Kind]) -> _Kind:
        """The next message of this kind; others are passed over."""
        while True:
            message = await self.heard()
            if isinstance(message, kind):
                return message

    async def hear_out(self) -> None:
        """Hear all that central still says, until it closes."""
        with suppress(ConnectionError):
            while True:
                await self.heard()

    async def _flush(self) -> None:
        for action in self._caller.take_actions():
            assert not isinstance(action, Close)
            if isinstance(action, Send):
                await self._socket.send_bytes(wire.encode(action.message))


@asynccontextmanager
async def relay(central: Central, name: str = "root") -> AsyncIterator[FakeRelay]:
    """A connected relay that has heard its first list of lessons."""
    hello = wire.RelayHello(name, f"http://{name}.example:8081", "0.1.0", 400)
    async with central.socket("/api/relay", central.token(Role.RELAY, name=name)) as socket:
        fake = FakeRelay(socket, Caller(hello, time.monotonic()))
        await fake._flush()
        fake.lessons = await fake.heard_of(wire.RelayLessons)
        yield fake


@asynccontextmanager
async def page(
    central: Central, token: str, lesson: str | None = None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A page's events, its hello sent."""
    async with central.socket("/api/events", token) as socket:
        hello = wire.Hello(wire.Page.TEACH, "vi", lesson)
        await socket.send_bytes(wire.encode(hello))
        yield socket


async def next_message(socket: aiohttp.ClientWebSocketResponse) -> wire.Message:
    """The next message on a page's socket; fails if it closed."""
    frame = await socket.receive()
    assert frame.type is aiohttp.WSMsgType.BINARY, (frame, socket.close_code)
    return wire.decode(frame.data)


def with_storage(data: Path, **storage: str) -> Settings:
    """Settings that keep things elsewhere than by default."""
    return Settings(storage=Storage(data=str(data), **storage))
