"""A relay of a tree that keeps archives and what teachers gave along: its line, library and sync.

Lives here: the parts of a relay's service that these need, put together as `relay.service` does.
Must not live here: media, assertions.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from classroom.tokens import Signer
from relay.cache.cache import Cache
from relay.settings import RelaySettings
from relay.sync.client import Rules, Sync
from relay.sync.offers import Offers
from relay.web.lesson_materials import LessonMaterials
from relay.web.library import Library
from relay.web.offers import OfferRoutes
from tests.fakes.archives import make
from tests.fakes.relay_tree import TreeRelay


class KeepingRelay(TreeRelay):
    """As `TreeRelay`."""

    def __init__(
        self,
        folder: Path,
        name: str,
        parents: Sequence[str] = (),
        *,
        rules: Rules | None = None,
        signer: Signer | None = None,
        central: str = "",
    ) -> None:
        """rules: of its sync, where it has parents."""
        super().__init__(folder, name, parents, signer=signer, central=central)
        data = self.folder
        self.archives = data / "archives"
        self.archives.mkdir(exist_ok=True)
        self.cache = Cache(self.archives, data / "cache.json", root=not parents)
        # Each look at the disk is a new one.
        looks = itertools.count(0.0, 3600.0)
        self.offers = Offers(
            self.archives, data / "offers.sqlite", self._is_offered, lambda: next(looks)
        )
        self.sync: Sync | None = None
        if parents:
            self.sync = Sync(
                self.cache,
                self.archives,
                data / "sync.sqlite",
                parents,
                rules or Rules(),
                self.token,
                lambda: False,
            )
            self.sync.queue.on_lists = self.lessons.late.take
        settings = RelaySettings(data=str(data), central=central or "http://127.0.0.1:9")
        self.materials = LessonMaterials(
            settings, self.access, self.lessons, self.cache, self.sync, self.token
        )
        # What a test puts there from now on is not looked over while it does.
        self.materials.store.scan()
        self.library = Library(self.access, self.lessons, self.archives)
        if self.sync is not None:
            self.sync.queue.observe(self.library.changed)
        offered = OfferRoutes(self.access, self.archives, self.offers, self.cache)
        self.routes += [self.materials.add_routes, self.library.add_routes, offered.add_routes]

    def _is_offered(self, lesson: str) -> bool:
        return self.sync is None or self.is_whole(lesson)

    def is_whole(self, lesson: str) -> bool:
        """Whether its archive is here as its root has it."""
        held = self.cache.holding(lesson)
        return held is not None and held.settled

    def record(self, lesson: str) -> None:
        """Its archive is here, as it is where it was recorded. Before the lesson is over, so that
        the words about it come beside it."""
        make(lesson).write(self.archives)

    async def listed(self, lesson: str) -> dict[str, Any]:
        """The lesson as its library shows it."""
        await self.library.settled()
        headers = {"Authorization": f"Bearer {self.viewer()}"}
        async with self.http.get(f"{self.url}/api/lessons", headers=headers) as answer:
            assert answer.status == 200
            found = [one for one in (await answer.json())["lessons"] if one["id"] == lesson]
        document: dict[str, Any] = found[0] if found else {}
        return document

    async def got(self, path: str) -> tuple[int, bytes]:
        """What a page that may replay gets of a path."""
        headers = {"Authorization": f"Bearer {self.viewer()}"}
        async with self.http.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.read()

    async def __aenter__(self) -> KeepingRelay:
        await super().__aenter__()
        if self.sync is not None:
            self._tasks.append(asyncio.create_task(self.sync.run(self.http)))
        elif self._calls:
            self._tasks.append(asyncio.create_task(self.materials.run(self.http)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self.library.close()
        await asyncio.to_thread(self.cache.close)
