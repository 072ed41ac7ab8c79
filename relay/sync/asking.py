"""A part that a pupil waits for: fetched before all else, though not before a lesson that runs.

Here: opening its lesson at once, choosing the source, trying another. Not here: how a part comes
(`carrying`). While a lesson runs here such parts come one by one over a single connection, which
leaves the voice its share of the link; that is how a room catches up with a lesson that goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from classroom.archive import canonical
from classroom.errors import ClassroomError, Refused
from relay.sync.carrying import carry_part
from relay.sync.edge import Edge
from relay.sync.faults import went_wrong
from relay.sync.opened import Opened
from relay.sync.sources import Source

if TYPE_CHECKING:
    from relay.sync.client import Sync

_log: Final = logging.getLogger("relay.sync")

_TRIES: Final = 3
# Stretches of one part side by side at the least, while the link is not known yet.
_WIDTH: Final = 4
# A running lesson's manifest grows with every beat; it is asked for again no sooner (s).
_LIVE_SECONDS: Final = 4.0
_MOST: Final = 64
"""Parts under way at once; who asks for more waits in vain, and asks again."""

_Key = tuple[str, str, str]


class Asking:
    """Part of a `Sync`."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        self._tasks: dict[_Key, asyncio.Task[bool]] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._one_by_one = asyncio.Lock()
        self._looked_at: dict[str, float] = {}

    @property
    def busy(self) -> bool:
        """Whether a pupil waits."""
        return bool(self._tasks)

    async def ask(
        self, tasks: asyncio.TaskGroup, lesson: str, rendition: str, name: str, wait: float
    ) -> bool:
        """Whether the part is here within `wait` seconds."""
        key = lesson, rendition, name
        task = self._tasks.get(key)
        if task is None:
            if len(self._tasks) >= _MOST:
                return False
            task = self._tasks[key] = tasks.create_task(self._bring(key))
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        done, _ = await asyncio.wait((task,), timeout=wait)
        return bool(done) and not task.cancelled() and task.result()

    async def _bring(self, key: _Key) -> bool:
        sync, (lesson, _, _) = self._sync, key
        moment = sync.time.moment()
        if sync.cache.was_evicted(lesson):
            sync.cache.used(lesson)  # it was put out, and is wanted again
        sync.plan.follow(lesson, moment.now, moment.wall)
        sync.queue.consider(lesson)
        with Edge(sync.counts, lesson=lesson):
            for _ in range(_TRIES):
                came = await self._try(key)
                if came is not None:
                    return came
        return False

    async def _try(self, key: _Key) -> bool | None:
        """Whether the part came; None: the source was at fault, and another may have it."""
        sync, (lesson, rendition, name) = self._sync, key
        source: Source | None = None
        opened: Opened | None = None
        try:
            async with self._opening[lesson]:
                opened, source = await self._opened(lesson, rendition, name)
            if opened is None or source is None:
                return False
            part = opened.part(rendition, name)
            if part is None:
                return opened.knows(rendition, name)
            opened.since = part.start
            sync.stop_others(lesson, (rendition, name))
            spend = sync.spender(source)
            if sync.look() == "live" and not source.near:
                async with self._one_by_one:
                    await carry_part(sync.cache, part, source, 1, spend, opened.came)
            else:
                width = 1 if source.near else max(_WIDTH, sync.width.connections)
                await carry_part(sync.cache, part, source, width, spend, opened.came)
        except ClassroomError as error:
            if source is not None:
                manifest = opened.manifest if opened is not None else ""
                went_wrong(sync, lesson, source, error, manifest)
            reason = error.detail if isinstance(error, Refused) else str(error)
            _log.info("sync-asked-part-failed", extra={"lesson": lesson, "reason": reason})
            return None
        sync.queue.consider(lesson)
        sync.counts["asked"] += 1
        return True

    async def _opened(
        self, lesson: str, rendition: str, name: str
    ) -> tuple[Opened | None, Source | None]:
        """The lesson's parts, and where to fetch them now. Raises as the source and the disk do."""
        sync = self._sync
        offer = sync.queue.offer(lesson)
        opened = sync.queue.opened(lesson)
        if offer is not None:
            source = sync.source_for(offer)
            spent = sync.allowance.left(sync.time.moment()) == 0
            if source is None or (spent and not source.near):
                return None, None
            if opened is None or opened.manifest != offer.manifest:
                asked = None if sync.queue.is_followed(offer) else source
                opened = await sync.queue.open(offer, asked, sync.spender(source))
            return opened, source
        far = [source.name for source in sync.sources if not source.near]
        names = sync.plan.usable(far, lesson, sync.time.moment().now)
        source = next((s for s in sync.sources if names and s.name == names[0]), None)
        if source is None:
            return None, None
        now = sync.time.moment().now
        if opened is None or not opened.knows(rendition, name):
            if now - self._looked_at.get(lesson, now - _LIVE_SECONDS) < _LIVE_SECONDS:
                return None, None
            self._looked_at = {lesson: now}
            data = await source.live_manifest(lesson)
            await sync.spender(source)(len(data))
            await asyncio.to_thread(sync.cache.begin, lesson, data)
            opened = await sync.queue.inspect(lesson, canonical.digest(data))
        return opened, source
