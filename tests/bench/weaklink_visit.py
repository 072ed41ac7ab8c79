"""One visit of a room to a lesson over a weak link, from opening the page to what was recorded.

Lives here: the order of a visit (join, settle, the part that counts, the link's script) and reading
the page. Must not live here: starting anything (`weaklink_rig`), figures (`weaklink_figures`).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from playwright.async_api import Page, Request

from classroom.clock import monotonic
from tests.bench.weaklink_figures import Row
from tests.link import Report, WeakLink
from tests.link_presets import Link
from tests.live.rig import until

SETTLED_S: Final = 10.0  # after joining; what came before is the join's
JOIN_PATIENCE_S: Final = 60.0
AFTER_SCRIPT_S: Final = 20.0
_PACE_MS: Final = 100  # of looking at statistics while nothing is timed; 50 otherwise


class Lesson(Protocol):
    """What a visit asks of the lesson that it goes to."""

    @property
    def teacher(self) -> Page:
        """The teacher's page."""

    async def teach(self) -> None:
        """Let the teacher begin."""

    async def teacher_frames(self) -> dict[str, int]:
        """Pictures encoded so far by RID."""

    def cpu(self, mark: str, weak: WeakLink) -> dict[str, float]:
        """Processor seconds so far by process; `mark` is the room's browser's."""


@dataclass(slots=True)
class Visit:
    """What was recorded of a room's visit. Times are page time in seconds unless said otherwise.

    joined: first voice, None if it never came. away, returned: the script's first and last step.
    link: what passed from `start` to `end`, which an outage is not part of; whole: from the opening
    on. cpu: seconds on a processor per second, by process. teacher_fps: by RID, in the window.
    posts: sessions that the page asked for. reports: of the link, one a second; clock: what to add
    to their time for page time. steps: of loading, in milliseconds since the opening. clicked,
    sent: where a room waited, when the teacher began and when the teacher's first voice packet
    left.
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
    steps: dict[str, float | None] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    clock: float = 0.0
    clicked: float | None = None
    sent: float | None = None


class Stay:
    """One visit while it lasts."""

    def __init__(self, lesson: Lesson, page: Page, weak: WeakLink, link: Link, mark: str) -> None:
        self._lesson = lesson
        self._page = page
        self._weak = weak
        self._link = link
        self._mark = mark
        self._posts = 0

    async def record(self, address: str, seconds: float, waits: bool) -> Visit:
        """Go through it; `waits`: until the teacher begins."""
        reports: list[Report] = []
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(reports))
            visit = await self._go_through(address, seconds, waits)
            watching.cancel()
        visit.reports = reports
        return visit

    async def _watch(self, reports: list[Report]) -> None:
        while True:
            reports.append(await self._weak.report())
            await asyncio.sleep(1.0)

    async def _go_through(self, address: str, seconds: float, waits: bool) -> Visit:
        page = self._page
        page.on("request", self._note)
        before = await self._weak.report()
        await page.goto(address, wait_until="commit")
        visit = Visit([], float(await page.evaluate("() => performance.timeOrigin / 1000")))
        if waits:
            await self._await_teacher(visit)
        visit.joined = await self._until_joined()
        await page.evaluate("(pace) => { window.weaklink.pace = pace }", _PACE_MS)
        if visit.joined is not None:
            await asyncio.sleep(max(0.0, visit.joined + SETTLED_S - await _page_time(page)))
        await self._measure(visit, seconds)
        if self._has_outage:
            await self._follow(visit)
        visit.whole = (await self._weak.report()).since(before)
        visit.rows = [row | {"t": row["t"] / 1e3} for row in await page.evaluate(_ROWS)]
        visit.sdp = await page.evaluate(_DESCRIPTION)
        visit.steps = await page.evaluate("() => window.weaklink.steps()")
        visit.posts = self._posts
        visit.clock = await _page_time(page) - monotonic()
        return visit

    @property
    def _has_outage(self) -> bool:
        return any(step.rate == 0 for step in self._link.down.script)

    def _note(self, request: Request) -> None:
        if request.method == "POST" and "/whep/" in request.url:
            self._posts += 1

    async def _await_teacher(self, visit: Visit) -> None:
        """Be there for a while, then let the teacher begin."""
        await until(self._page, events="open", patience=JOIN_PATIENCE_S)
        await asyncio.sleep(SETTLED_S)
        teacher = self._lesson.teacher
        await teacher.evaluate(_NOTE_FIRST_SENT)
        visit.clicked = await _page_time(teacher)
        await self._lesson.teach()
        sent = await teacher.evaluate("() => window.firstSent ?? null")
        visit.sent = None if sent is None else float(sent)

    async def _measure(self, visit: Visit, seconds: float) -> None:
        """What counts of the visit."""
        sent = await self._lesson.teacher_frames()
        cpu = self._lesson.cpu(self._mark, self._weak)
        began = monotonic()
        first = await self._weak.report()
        visit.start = await _page_time(self._page)
        await asyncio.sleep(seconds)
        if self._link.down.script and not self._has_outage:
            await self._follow(visit)
        visit.end = await _page_time(self._page)
        visit.link = (await self._weak.report()).since(first)
        took = monotonic() - began
        spent = self._lesson.cpu(self._mark, self._weak)
        visit.cpu = {name: (spent[name] - cpu[name]) / took for name in spent}
        frames = await self._lesson.teacher_frames()
        visit.teacher_fps = {rid: (frames[rid] - sent.get(rid, 0)) / took for rid in frames}

    async def _follow(self, visit: Visit) -> None:
        """Do the link's script, and wait for what comes after it."""
        down, up = self._link.down.script, self._link.up.script
        began = await self._weak.follow(down, up)
        offset = await _page_time(self._page) - monotonic()
        visit.away = began + down[0].at + offset
        visit.returned = began + down[-1].at + offset
        await asyncio.sleep(max(0.0, visit.returned - 1.0 - await _page_time(self._page)))
        await self._page.evaluate("() => { window.weaklink.pace = 50 }")
        await asyncio.sleep(1.0 + AFTER_SCRIPT_S)

    async def _until_joined(self) -> float | None:
        """Page time of the first voice packet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_PATIENCE_S):
                while True:
                    at = await self._page.evaluate(_FIRST_VOICE)
                    if at is not None:
                        return float(at) / 1e3
                    await asyncio.sleep(0.5)
        return None


_ROWS: Final = "() => window.weaklink.rows"
_FIRST_VOICE: Final = """() => window.weaklink.rows.find(
    (row) => (row.voice?.packetsReceived ?? 0) > 0)?.t ?? null"""
_DESCRIPTION: Final = "() => window.classroom?.peer?.localDescription?.sdp ?? ''"


_NOTE_FIRST_SENT: Final = """() => {
    const look = async () => {
        const peer = window.classroom?.peer
        for (const entry of peer ? (await peer.getStats()).values() : [])
            if (entry.type === 'outbound-rtp' && entry.kind === 'audio' && entry.packetsSent > 0) {
                window.firstSent = (performance.timeOrigin + performance.now()) / 1000
                return
            }
        setTimeout(look, 20)
    }
    void look()
}"""


async def _page_time(page: Page) -> float:
    """Seconds of page time now."""
    told: Any = await page.evaluate("() => (performance.timeOrigin + performance.now()) / 1000")
    return float(told)
