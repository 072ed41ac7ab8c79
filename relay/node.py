"""A relay's node: starts the media and the service process, and starts them again when they die.

The node owns the two sockets, UDP and HTTP, and hands them down, so that a process that was killed
comes back on the same ports and nobody finds a closed door meanwhile. It also leaves the mark by
which a power cut is told from a clean end (`relay.power`). It does nothing else: no media, no HTTP,
hardly any memory. `classroom-relay serve` runs it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from classroom.clock import monotonic, wall
from classroom.errors import Misuse
from relay import supervisor
from relay.power import BEAT_SECONDS, Power
from relay.settings import RelaySettings

_log: Final = logging.getLogger("relay.node")

# A process that dies at once is not started faster than this, one that lived is started at once.
_FIRST_DELAY: Final = 0.1
_LAST_DELAY: Final = 5.0
_LIVED: Final = 10.0
STOP_SECONDS: Final = 8.0
_UDP_BUFFER: Final = 4 * 1024 * 1024
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def open_http(host: str, port: int) -> socket.socket:
    """The listening HTTP socket. Raises Misuse when the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(512)
    except OSError as error:
        sock.close()
        raise Misuse(
            f"cannot use port {port} on {host}: {error.strerror}; "
            "stop the program that holds it or choose another with --port"
        ) from error
    return sock


def open_udp(host: str, port: int) -> socket.socket:
    """The UDP socket for media. Raises Misuse when the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        # Room for a burst of 4 packets to 200 viewers and then some; the kernel may grant less.
        sock.setsockopt(socket.SOL_SOCKET, option, _UDP_BUFFER)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise Misuse(
            f"cannot use UDP port {port} on {host}: {error.strerror}; "
            "stop the program that holds it or choose another with --udp-port"
        ) from error
    return sock


class Node:
    """One relay. `ready` is called once both processes work."""

    def __init__(self, settings: RelaySettings, ready: Callable[[str, int], None]) -> None:
        """ready(url, udp_port)."""
        self._settings = settings
        self._ready = ready
        self._http = open_http(settings.host, settings.port)
        try:
            self._udp = open_udp(settings.media.udp_host, settings.media.udp_port)
        except Misuse:
            self._http.close()
            raise
        self._stopping = asyncio.Event()
        self._power = Power(Path(settings.data))
        self._children: dict[str, asyncio.subprocess.Process] = {}

    @property
    def url(self) -> str:
        """Where browsers reach this relay."""
        if self._settings.public_url is not None:
            return self._settings.public_url.rstrip("/")
        return self.local_url

    @property
    def local_url(self) -> str:
        """Where this machine itself reaches this relay, also while no name can be looked up."""
        scheme = "https" if self._settings.tls_certificate else "http"
        host = _LOOPBACK.get(self._settings.host, self._settings.host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._http.getsockname()[1]}"

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        # Short, private and gone after a restart: Unix socket paths end at 107 bytes.
        directory = Path(tempfile.mkdtemp(prefix="classroom-relay-"))
        ready_read, ready_write = os.pipe()
        os.set_blocking(ready_read, False)
        loop.add_reader(ready_read, self._become_ready, ready_read)
        told = self._told_settings()
        shared = [
            "--run-directory",
            str(directory),
            "--parent",
            str(os.getpid()),
            *("--settings-fd", str(told)),
        ]
        self._power.begin(self.local_url, wall())
        # The ports are there; what listens on them is started again and again by ourselves.
        supervisor.tell(supervisor.READY)
        try:
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(self._beat())
                udp = str(self._udp.fileno())
                http = str(self._http.fileno())
                tasks.create_task(
                    self._keep("media", [*shared, "--udp-fd", udp], [told, self._udp.fileno()])
                )
                tasks.create_task(
                    self._keep(
                        "service",
                        [
                            *shared,
                            *("--http-fd", http),
                            *("--url", self.url),
                            *("--ready-fd", str(ready_write)),
                        ],
                        [told, self._http.fileno(), ready_write],
                    )
                )
                await self._stopping.wait()
                supervisor.tell(supervisor.STOPPING)
                beating.cancel()
                await self._stop_children()
            self._power.end()
        finally:
            loop.remove_reader(ready_read)
            os.close(ready_read)
            os.close(ready_write)
            os.close(told)
            self.close()
            shutil.rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        """Give up the ports, as `run` does at its end."""
        self._http.close()
        self._udp.close()

    def _told_settings(self) -> int:
        """A file in memory with the settings, for the processes to inherit.

        They hold the relay's token and code, and everybody on the machine may read command lines.
        On the disk, the file could be cleaned away before a process that died is started again.
        """
        fd = os.memfd_create("settings")
        with open(fd, "w", closefd=False) as file:
            json.dump(asdict(self._settings), file)
        return fd

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._power.beat(wall())
            supervisor.tell(supervisor.ALIVE)

    def _become_ready(self, fd: int) -> None:
        if os.read(fd, 64) and not self._stopping.is_set():
            self._ready(self.url, int(self._udp.getsockname()[1]))

    async def _keep(self, name: str, arguments: Sequence[str], fds: Sequence[int]) -> None:
        """Run the process `name` again and again until the node stops."""
        delay = _FIRST_DELAY
        restarts = 0
        while not self._stopping.is_set():
            began = monotonic()
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "relay",
                name,
                *arguments,
                "--restarts",
                str(restarts),
                pass_fds=fds,
                stdin=asyncio.subprocess.DEVNULL,
            )
            self._children[name] = child
            code = await child.wait()
            if self._stopping.is_set():
                return
            lived = monotonic() - began
            delay = _FIRST_DELAY if lived > _LIVED else min(delay * 2, _LAST_DELAY)
            restarts += 1
            _log.error(
                "process-died",
                extra={"name_of_process": name, "code": code, "lived_s": round(lived, 1)},
            )
            await asyncio.sleep(delay)

    async def _stop_children(self) -> None:
        running = [child for child in self._children.values() if child.returncode is None]
        for child in running:
            child.send_signal(signal.SIGTERM)
        for child in running:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await child.wait()
            except TimeoutError:
                _log.error("process-killed", extra={"pid": child.pid})
                child.kill()
                await child.wait()


def describe(url: str, udp_port: int) -> dict[str, Any]:
    """The ready line of `classroom-relay serve --json`."""
    return {"relay": url, "udp_port": udp_port}
