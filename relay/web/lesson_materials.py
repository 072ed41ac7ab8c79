"""Materials of lessons, put together: kept, brought here, given out.

Here: which parts there are and how they hang together. Not here: what each does (`materials`,
`relay.cache.materials`, `relay.sync.materials`). The service owns one of these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client.core import Metric

from relay.cache.cache import Cache
from relay.cache.materials import FOLDER, MaterialStore
from relay.settings import RelaySettings
from relay.sync.client import Sync
from relay.sync.materials import MaterialSync
from relay.sync.materials_link import RootLink
from relay.sync.materials_wanted import Wanted
from relay.sync.offer import about_of, list_in
from relay.web.access import Access
from relay.web.lessons import KnownLessons
from relay.web.materials import MaterialRoutes
from relay.web.materials_metrics import materials_families


class LessonMaterials:
    """Create it, give its routes to the application, and `run` it."""

    def __init__(
        self,
        settings: RelaySettings,
        access: Access,
        lessons: KnownLessons,
        cache: Cache,
        sync: Sync | None,
        token: Callable[[], str],
    ) -> None:
        """sync: what has the link to the parent, None at the root. token: shown to those above."""
        data = Path(settings.data)
        self._lessons = lessons
        self._cache = cache
        self._archives = data / "archives"
        self.store = MaterialStore(
            data / FOLDER,
            quota_bytes=round(settings.cache.materials_gb * 1e9),
            floor_bytes=round(settings.cache.free_floor_gb * 1e9),
        )
        self._wanted = Wanted(self.store, self._archives, self._held, self._is_pinned, self._told)
        self._root = None if sync is not None else RootLink(settings.central, data, token)
        link = sync or self._root
        assert link is not None
        self.sync = MaterialSync(self.store, self._wanted, link)
        if sync is not None:
            sync.materials = self.sync
            sync.queue.observe(self._wanted.note)
        self.routes = MaterialRoutes(access, self.store, self._told, self.sync.ask)
        lessons.observe(self._tell)
        lessons.late.observe(self._wanted.note)
        self._tell("")

    def add_routes(self, app: web.Application) -> None:
        """GET /api/lessons/{lesson}/materials and below."""
        self.routes.add_routes(app)

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Bring them, where no sync does, until cancelled."""
        if self._root is not None:
            await self._root.run(http, self.sync)

    def progress(self) -> dict[str, int]:
        """See `Wanted.progress`."""
        return self._wanted.progress()

    @property
    def damaged(self) -> int:
        """Files whose bytes changed on the disk."""
        return self.store.counters()["rotten"]

    def families(self) -> list[Metric]:
        """For metrics."""
        return materials_families(self.progress(), self.store.counters(), self.sync.counts)

    def _tell(self, lesson: str) -> None:
        self._wanted.tell(self._lessons.standing())
        if lesson:
            self._wanted.note(lesson)

    def _held(self) -> list[str]:
        return [held.lesson for held in self._cache.held()]

    def _is_pinned(self, lesson: str) -> bool:
        held = self._cache.holding(lesson)
        return held is not None and held.pinned

    def _told(self, lesson: str) -> str | None:
        """Digest of the list that the lesson has, "" for none, None where nothing is known."""
        told = self._lessons.materials(lesson)
        if told is not None:
            return told
        # It is over: the last change that was heard of counts, on the line or with its archive.
        archive, late = self._archives / lesson, self._lessons.late.of(lesson)
        at_end = self._lessons.materials_at_end(lesson)
        digest, changed_at = list_in(about_of(archive))
        if late is not None and late.changed_at >= changed_at:
            if archive.is_dir() or at_end is not None or self.store.held(lesson) is not None:
                return late.materials or ""
        elif changed_at:
            return digest or ""
        return at_end if at_end is not None else digest
