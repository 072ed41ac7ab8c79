"""`GET /api/status`: how this relay fares, for the page `/status` and `classroom-relay status`.

Here: gathering the facts in one document, and who may read it: anybody on the school's own network
(the teacher who looks after the machine has no link), elsewhere whoever's link lets them manage.
Not here: what the facts mean (`advice`), words. The document's members are told at `facts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from classroom.clock import Clock, wall
from classroom.errors import Absent, Refused
from classroom.tokens import Right
from relay.cache.cache import Cache
from relay.ipc import RpcClient
from relay.power import read_running, read_stops
from relay.settings import RelaySettings
from relay.web.access import Access
from relay.web.advice import LEVELS, advise
from relay.web.enrolment import Enrolment
from relay.web.lan import Lan
from relay.web.lesson_materials import LessonMaterials
from relay.web.lessons import KnownLessons
from relay.web.upstream import Upstream

_MONTH_SECONDS: Final = 30 * 86_400.0
# Dates before this release was made come from a clock without a battery. (2026-01-01.)
_EARLIEST: Final = 1_767_225_600.0
_FAR_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Around:
    """What the page asks the rest of the service. recorder: whether it is connected. restarts: of
    the service since the node began. progress: of the sync; None at the root. date: unix seconds as
    those above say."""

    recorder: Callable[[], bool]
    restarts: int
    progress: Callable[[], dict[str, Any]] | None
    date: Clock
    materials: LessonMaterials


class Status:
    """Handler of the document."""

    def __init__(
        self,
        settings: RelaySettings,
        version: str,
        access: Access,
        lan: Lan,
        media: RpcClient,
        cache: Cache,
        lessons: KnownLessons,
        upstream: Upstream,
        enrolment: Enrolment,
        around: Around,
    ) -> None:
        self._settings = settings
        self._version = version
        self._access = access
        self._lan = lan
        self._media = media
        self._cache = cache
        self._lessons = lessons
        self._upstream = upstream
        self._enrolment = enrolment
        self._around = around
        self._turned_at = wall()
        self._was_connected = False
        upstream.observe(self._note_turn)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/status."""
        app.router.add_get("/api/status", self._tell)

    async def _tell(self, request: web.Request) -> web.Response:
        if not self._lan.is_near(request):
            await self._access.check(request, Right.MANAGE, None)
        document = await self.facts()
        return web.json_response(document, headers={"Cache-Control": "no-store"})

    async def facts(self) -> dict[str, Any]:
        """Bytes, seconds, unix seconds.

        name, version, now, started_at. parts: whether media and recorder are there. restarts.
        parent: None at the root, else url, connected, reached (the central school), since (of
        connected), path (names from the root down), enrolled, refused, problem (words or None),
        turned_away (code of the parent's last refusal, None while connected).
        central: at the root, url and connected. link: rate (bit/s), round_trip, loss (a share);
        None where it is not known. lessons: held, bytes, live, rooms. space: see `Space`. damaged:
        parts and materials whose bytes changed on the disk. sync: see `relay.sync.report`, None at
        the root. materials: of lessons to come, see `Wanted.progress`.
        power: last (see `Stop`), cuts_30_days. clock_wrong. advice: name and level, worst first.
        """
        own = wall()
        counters, space = self._cache.counters(), self._cache.space()
        data = Path(self._settings.data)
        running, stops = await asyncio.to_thread(lambda: (read_running(data), read_stops(data)))
        progress = self._around.progress() if self._around.progress is not None else None
        known = self._lessons.all()
        month = [stop for stop in stops if 0 <= own - stop.back_at < _MONTH_SECONDS]
        document: dict[str, Any] = {
            "name": self._enrolment.name if self._settings.parents else self._settings.name,
            "version": self._version,
            "now": own,
            "started_at": running.started_at if running is not None else None,
            "parts": {"media": self._media.is_connected, "recorder": self._around.recorder()},
            "restarts": self._around.restarts,
            "parent": self._parent() if self._settings.parents else None,
            "central": None
            if self._settings.parents
            else {"url": self._upstream.url, "connected": self._upstream.connected},
            "link": await self._link(progress),
            "lessons": {
                "held": counters["held_lessons"],
                "bytes": counters["held_bytes"],
                "live": sum(info.publishing for info in known),
                "rooms": sum(info.rooms for info in known),
            },
            "space": asdict(space),
            "damaged": counters["rotten"] + self._around.materials.damaged,
            "sync": progress,
            "materials": self._around.materials.progress(),
            "power": {
                "last": asdict(stops[-1]) if stops else None,
                "cuts_30_days": sum(stop.kind == "power" for stop in month),
            },
            "clock_wrong": own < _EARLIEST or abs(self._around.date() - own) > _FAR_SECONDS,
        }
        document["advice"] = [{"name": name, "level": LEVELS[name]} for name in advise(document)]
        return document

    def _parent(self) -> dict[str, Any]:
        upstream, problem = self._upstream, self._enrolment.problem
        return {
            "url": upstream.url,
            "connected": upstream.connected,
            "reached": upstream.reached,
            "since": self._turned_at,
            "path": [step.name for step in upstream.path],
            "enrolled": bool(self._enrolment.token),
            "refused": isinstance(problem, Refused),
            "turned_away": upstream.refusal or None,
            "problem": str(problem) if problem is not None else None,
        }

    async def _link(self, progress: dict[str, Any] | None) -> dict[str, Any]:
        """What is known of the way to the parent, the live lesson's own measurement first."""
        link: dict[str, Any] = {"rate": None, "round_trip": None, "loss": None}
        if progress is None:
            return link
        if progress["rate"]:
            link["rate"] = 8 * progress["rate"]
        link["round_trip"] = progress["round_trip"] or None
        try:
            trunks = (await self._media.call("statistics")).get("trunks", [])
        except Absent:
            return link
        for trunk in trunks:
            link["round_trip"] = trunk.get("round_trip") or link["round_trip"]
            link["loss"] = trunk.get("loss", link["loss"])
        return link

    def _note_turn(self) -> None:
        if self._upstream.connected != self._was_connected:
            self._was_connected = self._upstream.connected
            self._turned_at = wall()
