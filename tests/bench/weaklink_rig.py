"""Real browsers over a weak link: a teacher beside the servers, a room behind the link.

Lives here: starting servers, teacher and rooms, each in its network. Must not live here: what a
room's visit consists of (`weaklink_visit`), figures, which scenarios (`tests.link_presets`).

The room's pages lie in the browser's cache and nothing is connected when it opens its page; each
visit is that of a room of its own, so that nothing is known of its link.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Page, Playwright, async_playwright

from client_web import DIST
from tests import needs
from tests.bench.processes import cpu_seconds, find, put_first, tree, tree_seconds
from tests.bench.weaklink_visit import Stay, Visit
from tests.link import WeakLink, weak_link
from tests.link_presets import Link
from tests.live.networks import SERVERS, Network, ip_program, network
from tests.live.rig import (
    AUTOPLAY_ARGUMENT,
    CHROMIUM_ARGUMENTS,
    Demo,
    chromium,
    start_demo,
    stats,
    until,
)

_TEACHER_PATIENCE_S: Final = 40.0
_RATE: Final = 15  # pictures a second of the camera
_PAGE: Final = Path(__file__).with_name("weaklink_page.js")


@dataclass(slots=True)
class Classroom:
    """A lesson that runs: the demo and a teacher's browser in the servers' network."""

    servers: Network
    demo: Demo
    teacher: Page
    playwright: Playwright
    folder: Path
    mark: str
    _visits: int = 0

    async def visit(self, link: Link, seed: int, seconds: float, waits: bool = False) -> Visit:
        """A new room opens its page over `link`, whose script begins after `seconds` of lesson.

        waits: the teacher begins only when the room is there.
        """
        self._visits += 1
        address = await self._room_address(f"room {self._visits}")
        profile = self.folder / f"profile-{self._visits}"
        await asyncio.to_thread(shutil.copytree, self.folder / "profile", profile)
        try:
            async with (
                network(beside=self.servers) as room,
                # An address of its own: what former rooms are still sent, until their consent
                # lapses, must not come over this room's link.
                weak_link(self.servers, room, link.calm(), seed, self._visits) as weak,
            ):
                await room.run(ip_program(), "link", "set", "lo", "up")
                async with self._room_page(room, profile) as (page, mark):
                    # A busy machine must not pass for a weak link.
                    put_first([*tree(mark), weak.pid])
                    stay = Stay(self, page, weak, link, mark)
                    return await stay.record(address, seconds, waits)
        finally:
            await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)

    async def fill_cache(self) -> None:
        """Load the room's page once, without a link to a lesson, into the profile to copy."""
        async with self._room_page(self.servers, self.folder / "profile") as (page, _):
            await page.goto(self._seen_from_room(f"{self.demo.relay}/room"))
            await until(page, stage="no-link")

    async def teach(self) -> None:
        """The teacher begins; returns when all layers run, or this machine is too busy for them."""
        await self.teacher.click("button.go")
        await until(self.teacher, session="live", phase="live")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TEACHER_PATIENCE_S):
                while True:
                    before = await self.teacher_frames()
                    await asyncio.sleep(2.0)
                    after = await self.teacher_frames()
                    rates = [(count - before.get(rid, 0)) / 2.0 for rid, count in after.items()]
                    if len(rates) == 3 and min(rates) > 0.8 * _RATE:
                        return
        print("The teacher's browser does not send all layers at full pace.", file=sys.stderr)

    async def teacher_frames(self) -> dict[str, int]:
        """Pictures encoded so far by RID."""
        entries = await stats(self.teacher, "outbound-rtp")
        return {
            entry["rid"]: int(entry.get("framesEncoded", 0))
            for entry in entries
            if entry["kind"] == "video" and entry.get("mid") == "1" and "rid" in entry
        }

    def cpu(self, mark: str, weak: WeakLink) -> dict[str, float]:
        """Processor seconds so far by process; `mark` is the room's browser's."""
        processes = self.demo.processes()
        return {
            "teacher": tree_seconds(self.mark),
            "room": tree_seconds(mark),
            "media": cpu_seconds(find(processes, "relay", "media")),
            "service": cpu_seconds(find(processes, "relay", "service")),
            "link": cpu_seconds(weak.pid),
        }

    async def _room_address(self, name: str) -> str:
        """A new link for a room."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "classroom", "link", "room", "--name", name),
            *("--data", str(self.demo.data / "central"), "--lesson", self.demo.lesson),
            *("--url", self._seen_from_room(self.demo.relay)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError("there is no link for a room; what was said is above")
        return said.decode().strip()

    def _seen_from_room(self, address: str) -> str:
        return address.replace("127.0.0.1", SERVERS).replace("localhost", SERVERS)

    @contextlib.asynccontextmanager
    async def _room_page(self, where: Network, profile: Path) -> AsyncIterator[tuple[Page, str]]:
        """A room's browser in a network, and the mark that its processes carry."""
        program = needs.find(needs.CHROMIUM)
        assert program is not None, "Chromium is missing; python -m tests says how to get it"
        mark = f"--weak-link-bench={uuid.uuid4().hex}"
        context = await self.playwright.chromium.launch_persistent_context(
            profile,
            executable_path=where.program(program, self.folder),
            args=[*CHROMIUM_ARGUMENTS, AUTOPLAY_ARGUMENT, mark],
            viewport={"width": 1280, "height": 720},
        )
        try:
            page = context.pages[0] if context.pages else await context.new_page()
            await page.add_init_script(path=_PAGE)
            yield page, mark
        finally:
            await context.close()


def _check_pages() -> None:
    """Raises RuntimeError where the pages that are served are not those of the sources."""
    sources = DIST.parent / "src"
    written = max((path.stat().st_mtime for path in sources.rglob("*.ts*")), default=0.0)
    built = DIST / "room.html"
    if not built.exists() or built.stat().st_mtime < written:
        raise RuntimeError(
            "the pages are older than their sources: run npm run build in client_web"
        )


@contextlib.asynccontextmanager
async def open_classroom(folder: Path, begin: bool = True) -> AsyncIterator[Classroom]:
    """A lesson with a teacher at 720p, ready for rooms; its things are kept in `folder`.

    begin: whether the teacher has begun; otherwise `Classroom.teach` is still to be called.
    """
    _check_pages()
    program = needs.find(needs.CHROMIUM)
    assert program is not None, "Chromium is missing; python -m tests says how to get it"
    async with network() as servers, async_playwright() as playwright:
        ip = ip_program()
        await servers.run(ip, "link", "set", "lo", "up")
        # Servers and teacher are on a network before any link is, and browsers do not count lo.
        await servers.run(ip, "link", "add", "lan", "type", "veth", "peer", "name", "socket")
        await servers.run(ip, "address", "add", f"{SERVERS}/32", "dev", "lan")
        for device in ("lan", "socket"):
            await servers.run(ip, "link", "set", device, "up")
        await servers.run(ip, "route", "add", "default", "dev", "lan", "src", SERVERS)
        mark = f"--weak-link-bench={uuid.uuid4().hex}"
        inside = servers.program(program, folder)
        demo = await start_demo(folder / "data", enter=servers.enter)
        try:
            async with chromium(
                playwright, teacher=True, program=inside, arguments=(mark,)
            ) as browser:
                page = await (await browser.new_context()).new_page()
                await page.goto(demo.pages["teach"])
                await until(page, devices="ready", events="open")
                classroom = Classroom(servers, demo, page, playwright, folder, mark)
                await classroom.fill_cache()
                put_first([os.getpid(), *demo.processes(), *tree(mark)])
                if begin:
                    await classroom.teach()
                yield classroom
        finally:
            await demo.stop()
