"""`classroom demo`: the whole system on one machine, with a lesson to watch.

Starts the control plane, a relay and a host as processes of their own, keeps them running, and
prints what to open. It talks to them as anybody would: by command line and HTTP. Ctrl-C stops all
of them in order, so that the lesson's recording is closed well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import aiohttp
import segno

from classroom import clock
from classroom.accounts import LinkOrder, claims_for
from classroom.errors import Absent, Misuse
from classroom.store import load_or_create_key
from classroom.tokens import ANY_LESSON, Role, Signer

DEFAULT_PORT: Final = 8080
DEFAULT_UDP_PORT: Final = 8082
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
TITLE: Final = "Bài học thử"
_TOKEN_DAYS: Final = 30.0
_WRONG: Final = (1, 2, 3)  # exit codes of a command that would end so each time
_TAIL: Final = 4_000  # bytes kept of what a child said last
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classroom demo`."""
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    parser.add_argument("--no-host", action="store_true", help="leave the lesson to a teacher")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="HTTP port; the relay takes the next one"
    )
    parser.add_argument("--udp-port", type=int, default=DEFAULT_UDP_PORT, help="port for media")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where things are kept")
    parser.add_argument("--source", default="test:", help="what the host publishes")


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C. Raises Misuse, Absent."""
    return asyncio.run(Demo(args).run())


def default_data() -> Path:
    """Where the demo keeps its things when --data does not say."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "classroom-demo"


@dataclass(slots=True)
class _Child:
    """One process that is kept running.

    proven: whether it ever did what it is for; until then an exit is told, not mended. tail: the
    last of what it printed on standard error, where that passes through us.
    """

    name: str
    command: list[str]
    process: asyncio.subprocess.Process
    environment: dict[str, str] = field(default_factory=dict)
    proven: bool = False
    tail: bytes = b""

    @property
    def last_line(self) -> str:
        """What it said last, or nothing."""
        lines = self.tail.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Demo:
    """Everything of one run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._data: Path = (args.data or default_data()).resolve()
        self._stopping = asyncio.Event()
        self._children: list[_Child] = []
        self._log: IO[bytes] | None = None

    async def run(self) -> int:
        """Start, tell, wait for Ctrl-C, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        self._prepare()
        try:
            async with asyncio.TaskGroup() as tasks:
                starting = tasks.create_task(self._start(tasks))
                stopping = tasks.create_task(self._stopping.wait())
                await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not starting.done():
                    starting.cancel()
                await stopping
                await self._stop()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._stopping.set()
            await self._stop()
            if self._log is not None:
                self._log.close()
        return 0

    def _prepare(self) -> None:
        try:
            for name in ("central", "relay"):
                (self._data / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misuse(
                f"cannot write to {self._data}: {error.strerror}; choose another --data"
            ) from error
        if not self._args.json:
            self._log = (self._data / "demo.log").open("ab")

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        port, udp_port = self._args.port, self._args.udp_port
        central = await self._spawn(
            "classroom",
            *("serve", "--json", "--host", "0.0.0.0", "--port", str(port)),
            *("--data", str(self._data / "central")),
        )
        central_url = f"http://localhost:{(await self._ready(central))['port']}"
        # A process that is started again must come back where it was.
        _fix_port(central, central_url)
        tokens = self._tokens()
        token_file = self._data / "relay" / "token"
        _write_secret(token_file, tokens["relay"])
        relay = await self._spawn(
            "relay",
            *("serve", "--json", "--port", str(port + 1 if port else 0)),
            *("--udp-port", str(udp_port), "--data", str(self._data / "relay")),
            *("--central", central_url, "--token-file", str(token_file)),
        )
        ready = await self._ready(relay)
        relay_url = ready["relay"]
        _fix_port(relay, relay_url)
        _set_option(relay.command, "--udp-port", str(ready["udp_port"]))
        for child in (central, relay):
            tasks.create_task(self._keep(child))
        async with aiohttp.ClientSession() as http:
            lesson = await self._make_lesson(http, central_url, tokens["teacher"])
            if not self._args.no_host:
                host = await self._spawn(
                    "classroom",
                    *("host", self._args.source, "--lesson", lesson, "--central", central_url),
                    *("--loop", "--title", TITLE),
                    CLASSROOM_TOKEN=tokens["teacher"],
                )
                tasks.create_task(self._keep(host))
                await self._wait_for_lesson(http, relay_url, tokens["room"], lesson)
                host.proven = True
        self._tell(central_url, relay_url, lesson, tokens)

    def _tokens(self) -> dict[str, str]:
        signer = Signer(load_or_create_key(self._data / "central"))
        orders = {
            "teacher": LinkOrder(Role.TEACHER, ANY_LESSON, "Cô Mai", _TOKEN_DAYS),
            "room": LinkOrder(Role.ROOM, ANY_LESSON, "Phòng thử", _TOKEN_DAYS),
            "viewer": LinkOrder(Role.VIEWER, ANY_LESSON, "", _TOKEN_DAYS),
            "relay": LinkOrder(Role.RELAY, ANY_LESSON, "root", _TOKEN_DAYS),
        }
        return {
            name: signer.sign(
                claims_for(order, token_id=secrets.token_urlsafe(12), now=clock.wall())
            )
            for name, order in orders.items()
        }

    async def _make_lesson(self, http: aiohttp.ClientSession, central: str, token: str) -> str:
        """A planned lesson, once a relay has reported to the control plane."""
        async with self._patience("The relay did not report to the control plane"):
            while True:
                if (await _ask(http, f"{central}/api/relays", token)).get("relays"):
                    break
                await asyncio.sleep(0.1)
        headers = {"Authorization": f"Bearer {token}"}
        async with http.post(
            f"{central}/api/lessons", headers=headers, json={"title": TITLE}
        ) as answer:
            if answer.status >= 400:
                raise Absent(await answer.text(), fix=self._where)
            return str((await answer.json())["id"])

    async def _wait_for_lesson(
        self, http: aiohttp.ClientSession, relay: str, token: str, lesson: str
    ) -> None:
        async with self._patience("The lesson did not reach the relay"):
            while True:
                lessons = (await _ask(http, f"{relay}/api/lessons", token)).get("lessons", [])
                if any(one["id"] == lesson and one["publishing"] for one in lessons):
                    return
                await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def _patience(self, what: str) -> AsyncIterator[None]:
        """Absent, saying `what`, when the block takes longer than a start may."""
        try:
            async with asyncio.timeout(START_SECONDS):
                yield
        except TimeoutError as error:
            raise Absent(f"{what} within {START_SECONDS:g} s.", fix=self._where) from error

    @property
    def _where(self) -> str:
        """Where to read what the processes said."""
        if self._log is None:
            return "See what is printed above."
        return f"See {self._data / 'demo.log'}."

    def _tell(self, central: str, relay: str, lesson: str, tokens: dict[str, str]) -> None:
        pages = {
            "teach": f"{central}/teach#token={tokens['teacher']}",
            "room": f"{relay}/room#token={tokens['room']}",
            "library": f"{relay}/library#token={tokens['viewer']}",
        }
        if self._args.json:
            line = {
                "central": central,
                "relay": relay,
                "lesson": lesson,
                "pages": pages,
                "whip": f"{relay}/whip/{lesson}",
                "whep": f"{relay}/whep/{lesson}",
                "tokens": {"teacher": tokens["teacher"], "room": tokens["room"]},
            }
            print(json.dumps(line), flush=True)
            return
        print("\nClassroom Without Walls is running.\n")
        print(f"  Teach    {pages['teach']}\n")
        print(f"  Room     {pages['room']}\n")
        print(f"  Library  {pages['library']}\n")
        address = _lan_address()
        if address is not None:
            room = pages["room"].replace("127.0.0.1", address)
            print(f"On another device of this network, open or scan the room:\n  {room}\n")
            segno.make(room, error="l").terminal(compact=True)
        print(
            f"\nRecordings and the log are in {self._data}.  Ctrl-C stops everything.", flush=True
        )

    # Processes

    async def _spawn(self, module: str, *arguments: str, **environment: str) -> _Child:
        command = [sys.executable, "-m", module, *arguments]
        name = arguments[0] if module == "classroom" else module
        # A host is told what to publish by our own command line; its words are the answer.
        process = await self._run(command, environment, heard=name == "host")
        child = _Child(name, command, process, environment)
        self._children.append(child)
        return child

    async def _run(
        self, command: Sequence[str], environment: dict[str, str], *, heard: bool
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if heard else self._log,
            env={**os.environ, **environment},
            # Ctrl-C in the terminal is for us alone; we stop the others in order.
            process_group=0,
            preexec_fn=_die_with_parent,
        )

    async def _ready(self, child: _Child) -> dict[str, Any]:
        """The child's ready line. Raises Misuse when it ends instead, Absent when it says none."""
        assert child.process.stdout is not None
        async with self._patience(f"The {child.name} process did not become ready"):
            line = await child.process.stdout.readline()
        if not line:
            code = await child.process.wait()
            raise Misuse(f"{child.name} did not start (exit status {code}). {self._where}")
        child.proven = True
        ready: dict[str, Any] = json.loads(line)
        return ready

    async def _keep(self, child: _Child) -> None:
        """Start the child again whenever it dies before its time.

        Raises Misuse with its last words if it never did its work and says that it cannot.
        """
        while True:
            await asyncio.gather(_drain(child.process), self._hear(child))
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            if not child.proven and code in _WRONG:
                said = child.last_line or f"exit status {code}. {self._where}"
                raise Misuse(f"{child.name} cannot start: {said}")
            await asyncio.sleep(0.5)
            if self._stopping.is_set():
                return
            heard = child.process.stderr is not None
            child.process = await self._run(child.command, child.environment, heard=heard)

    async def _hear(self, child: _Child) -> None:
        """Pass on what the child prints on standard error, and keep the end of it."""
        if child.process.stderr is None:
            return
        log = sys.stderr.buffer if self._log is None else self._log
        while data := await child.process.stderr.read(65_536):
            child.tail = (child.tail + data)[-_TAIL:]
            log.write(data)
            log.flush()

    async def _stop(self) -> None:
        """Last started, first stopped: the host says goodbye, the relay closes the recording."""
        for child in reversed(self._children):
            if child.process.returncode is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await child.process.wait()
            except TimeoutError:
                child.process.kill()
                await child.process.wait()


async def _ask(http: aiohttp.ClientSession, url: str, token: str) -> dict[str, Any]:
    """What is answered at `url`; nothing when the process behind it is not there at the moment."""
    with contextlib.suppress(aiohttp.ClientError):
        async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
            if answer.status == 200:
                document: dict[str, Any] = await answer.json()
                return document
    return {}


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(65_536):
        continue


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _set_option(command: list[str], option: str, value: str) -> None:
    command[command.index(option) + 1] = value


def _fix_port(child: _Child, url: str) -> None:
    _set_option(child.command, "--port", url.rsplit(":", 1)[1])


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def _lan_address() -> str | None:
    """This machine's address for others on its network, None when it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Asks for the route only, sends nothing; the address is for documentation (RFC 5737).
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return address
