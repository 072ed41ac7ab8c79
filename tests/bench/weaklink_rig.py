"""Real browsers over a weak link: a teacher beside the servers, a room behind the link.

Lives here: starting both, one visit of a room over one link with its script, and what was recorded
of it. Must not live here: figures (`weaklink_figures`), which scenarios (`tests.link_presets`).

The room's pages lie in the browser's cache and nothing is connected when it opens its page; each
visit is that of a room of its own, so that nothing is known of its link.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, Playwright, Request, async_playwright

from classroom.clock import monotonic
from tests import needs
from tests.bench.processes import cpu_seconds, find, tree_seconds
from tests.bench.weaklink_figures import Row
from tests.link import Report, WeakLink, weak_link
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

SETTLED_S: Final = 10.0  # after joining; what came before is the join's
JOIN_PATIENCE_S: Final = 60.0
AFTER_SCRIPT_S: Final = 20.0
_TEACHER_PATIENCE_S: Final = 40.0
_RATE: Final = 15  # pictures a second of the camera
_PACE_MS: Final = 100  # of looking at statistics while nothing is timed; 50 otherwise
_PAGE: Final = Path(__file__).with_name("weaklink_page.js")


@dataclass(slots=True)
class Visit:
    """What was recorded of a room's visit. Times are page time in seconds unless said otherwise.

    joined: first voice, None if it never came. away, returned: the script's first and last step.
    link: what passed from `start` to `end`; whole: from the opening on. cpu: seconds on a processor
    per second, by process. teacher_fps: by RID, in the window. posts: sessions that the page asked
    for.
    """

    rows: list[Row]
    opened: float
    joined: float | None = None
    start: float = 0.0
    end: float = 0.0
    away: float | None = None
    returned: float | None = None
    link: Report | None = None
    whole: Report | None = None
    sdp: str = ""
    cpu: dict[str, float] = field(default_factory=dict)
    teacher_fps: dict[str, float] = field(default_factory=dict)
    posts: int = 0


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

    async def visit(self, link: Link, seed: int, seconds: float) -> Visit:
        """A new room opens its page over `link`, whose script begins after `seconds` of lesson."""
        self._visits += 1
        address = await self._room_address(f"room {self._visits}")
        profile = self.folder / f"profile-{self._visits}"
        await asyncio.to_thread(shutil.copytree, self.folder / "profile", profile)
        calm = link.calm()
        try:
            async with (
                network(beside=self.servers) as room,
                weak_link(self.servers, room, calm, seed) as weak,
            ):
                await room.run(ip_program(), "link", "set", "lo", "up")
                async with self._room_page(room, profile) as (page, mark):
                    return await self._stay(page, weak, link, address, seconds, mark)
        finally:
            await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)

    async def fill_cache(self) -> None:
        """Load the room's page once, without a link to a lesson, into the profile to copy."""
        async with self._room_page(self.servers, self.folder / "profile") as (page, _):
            await page.goto(self._seen_from_room(f"{self.demo.relay}/room"))
            await until(page, stage="no-link")

    async def _stay(
        self, page: Page, weak: WeakLink, link: Link, address: str, seconds: float, mark: str
    ) -> Visit:
        posts: list[Request] = []

        def note(request: Request) -> None:
            if request.method == "POST" and "/whep/" in request.url:
                posts.append(request)

        page.on("request", note)
        before = await weak.report()
        await page.goto(address, wait_until="commit")
        opened = float(await page.evaluate("() => performance.timeOrigin / 1000"))
        visit = Visit([], opened)
        visit.joined = await self._until_joined(page)
        await page.evaluate("(pace) => { window.weaklink.pace = pace }", _PACE_MS)
        if visit.joined is not None:
            await asyncio.sleep(max(0.0, visit.joined + SETTLED_S - await _page_time(page)))
        sent = await self._teacher_frames()
        cpu = self._cpu(mark, weak)
        began = monotonic()
        first = await weak.report()
        visit.start = await _page_time(page)
        await asyncio.sleep(seconds)
        if link.down.script:
            await self._follow(page, weak, link, visit)
        visit.end = await _page_time(page)
        last = await weak.report()
        took = monotonic() - began
        visit.cpu = {
            name: (spent - cpu[name]) / took for name, spent in self._cpu(mark, weak).items()
        }
        visit.teacher_fps = {
            rid: (count - sent.get(rid, 0)) / took
            for rid, count in (await self._teacher_frames()).items()
        }
        visit.link, visit.whole = last.since(first), last.since(before)
        visit.rows = [row | {"t": row["t"] / 1e3} for row in await page.evaluate(_ROWS)]
        visit.sdp = await page.evaluate(_DESCRIPTION)
        visit.posts = len(posts)
        return visit

    async def _follow(self, page: Page, weak: WeakLink, link: Link, visit: Visit) -> None:
        """Do the link's script, and wait for what comes after it."""
        began = await weak.follow(link.down.script, link.up.script)
        offset = await _page_time(page) - monotonic()
        visit.away = began + link.down.script[0].at + offset
        visit.returned = began + link.down.script[-1].at + offset
        await asyncio.sleep(max(0.0, visit.returned - 1.0 - await _page_time(page)))
        await page.evaluate("() => { window.weaklink.pace = 50 }")
        await asyncio.sleep(1.0 + AFTER_SCRIPT_S)

    async def _until_joined(self, page: Page) -> float | None:
        """Page time of the first voice packet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_PATIENCE_S):
                while True:
                    at = await page.evaluate(_FIRST_VOICE)
                    if at is not None:
                        return float(at) / 1e3
                    await asyncio.sleep(0.5)
        return None

    async def _teacher_frames(self) -> dict[str, int]:
        entries = await stats(self.teacher, "outbound-rtp")
        return {
            entry["rid"]: int(entry.get("framesEncoded", 0))
            for entry in entries
            if entry["kind"] == "video" and entry.get("mid") == "1" and "rid" in entry
        }

    async def until_taught(self) -> None:
        """All layers of the teacher's camera run, or this machine is too busy for them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TEACHER_PATIENCE_S):
                while True:
                    before = await self._teacher_frames()
                    await asyncio.sleep(2.0)
                    after = await self._teacher_frames()
                    rates = [(count - before.get(rid, 0)) / 2.0 for rid, count in after.items()]
                    if len(rates) == 3 and min(rates) > 0.8 * _RATE:
                        return
        print("The teacher's browser does not send all layers at full pace.", file=sys.stderr)

    def _cpu(self, mark: str, weak: WeakLink) -> dict[str, float]:
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


_ROWS: Final = "() => window.weaklink.rows"
_FIRST_VOICE: Final = """() => window.weaklink.rows.find(
    (row) => (row.voice?.packetsReceived ?? 0) > 0)?.t ?? null"""
_DESCRIPTION: Final = "() => window.classroom?.peer?.localDescription?.sdp ?? ''"


async def _page_time(page: Page) -> float:
    """Seconds of page time now."""
    told: Any = await page.evaluate("() => (performance.timeOrigin + performance.now()) / 1000")
    return float(told)


@contextlib.asynccontextmanager
async def open_classroom(folder: Path) -> AsyncIterator[Classroom]:
    """A lesson with a teacher at 720p, ready for rooms; its things are kept in `folder`."""
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
                await page.click("button.go")
                await until(page, session="live", phase="live")
                classroom = Classroom(servers, demo, page, playwright, folder, mark)
                await classroom.fill_cache()
                await classroom.until_taught()
                yield classroom
        finally:
            await demo.stop()
