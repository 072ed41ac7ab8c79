"""Two networks joined by one cable: servers on one side, a room on the other.

Lives here: network namespaces of this machine's kernel, the cable between them, pulling it out and
plugging it into another network. Must not live here: what runs in them. Needs no name on the
machine and leaves none behind: a namespace lives as long as the process that holds it. Someone who
is not root gets the right to make them from a user namespace.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import needs

SERVERS: Final = "10.90.0.1"
ROOM: Final = "10.90.0.2"
_BITS: Final = 16


@dataclass(frozen=True, slots=True)
class Network:
    """One namespace. enter: what to put before a command so that it runs there."""

    enter: tuple[str, ...]
    holder: int

    async def run(self, *command: str) -> None:
        """Run `command` there; raises RuntimeError with what it said if it fails."""
        process = await asyncio.create_subprocess_exec(
            *self.enter,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {said.decode(errors='replace').strip()}")

    def program(self, path: str, folder: Path) -> str:
        """A program in `folder` that starts the one at `path` there, with its arguments."""
        script = folder / f"in-{self.holder}-{Path(path).name}"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self.enter)} {path} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return str(script)


@dataclass(frozen=True, slots=True)
class Cable:
    """What joins `servers` and `room`; they are 10.90.0.1 and 10.90.0.2 at first."""

    servers: Network
    room: Network

    async def pull_out(self) -> None:
        """The room has no network any more, as it sees itself."""
        await self._ip("link", "set", "cable", "down")
        await self._ip("address", "flush", "dev", "cable")

    async def plug_in(self, address: str) -> None:
        """The room has a network again, with another address (10.90.x.y) in it."""
        await self._ip("address", "add", f"{address}/{_BITS}", "dev", "cable")
        await self._ip("link", "set", "cable", "up")
        await self._ip("route", "replace", "default", "via", SERVERS)

    async def _ip(self, *words: str) -> None:
        await self.room.run(ip_program(), *words)


@asynccontextmanager
async def cable() -> AsyncIterator[Cable]:
    """Both networks, joined."""
    async with network() as servers, network(beside=servers) as room:
        ip = ip_program()
        ends = ("cable", "type", "veth", "peer", "name", "cable", "netns", str(room.holder))
        await servers.run(ip, "link", "add", *ends)
        await servers.run(ip, "address", "add", f"{SERVERS}/{_BITS}", "dev", "cable")
        for end in (servers, room):
            await end.run(ip, "link", "set", "lo", "up")
        await servers.run(ip, "link", "set", "cable", "up")
        # A server looks up its own address on its default route.
        await servers.run(ip, "route", "add", "default", "via", ROOM)
        joined = Cable(servers, room)
        await joined.plug_in(ROOM)
        yield joined


@asynccontextmanager
async def island(mtu: int) -> AsyncIterator[Network]:
    """A network with nothing in it but its loopback, whose packets may have `mtu` bytes."""
    async with network() as alone:
        await alone.run(ip_program(), "link", "set", "lo", "up", "mtu", str(mtu))
        yield alone


@asynccontextmanager
async def network(beside: Network | None = None) -> AsyncIterator[Network]:
    """A network of its own, with nothing in it; `beside` is the one that it is to be joined to."""
    # The second one belongs to the same user namespace, else a cable could not join them.
    before = beside.enter if beside is not None else ()
    user = ("--user", "--map-root-user") if beside is None and os.geteuid() != 0 else ()
    holder = await asyncio.create_subprocess_exec(
        *before,
        *("unshare", *user, "--net", "sh", "-c", "echo ready; exec cat"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        if not await holder.stdout.readline():
            raise RuntimeError(
                "this machine lets nobody make network namespaces; run the tests as root, "
                "or allow them with sysctl kernel.unprivileged_userns_clone=1"
            )
        spaces = ("--net",) if os.geteuid() == 0 else ("--user", "--preserve-credentials", "--net")
        yield Network(("nsenter", "--target", str(holder.pid), *spaces), holder.pid)
    finally:
        holder.kill()
        await holder.wait()


def ip_program() -> str:
    """Where `ip` is."""
    program = needs.find(needs.IP)
    assert program is not None, "ip is missing; python -m tests says how to get it"
    return program
