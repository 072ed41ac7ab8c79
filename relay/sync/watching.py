"""What a sync watches all the time: the lists of its sources, the link to its parent.

Here: the tasks that ask. Not here: what follows from the answers (`queue`, `width`, `local_time`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from classroom.errors import ClassroomError
from relay.sync.edge import Edge
from relay.sync.faults import went_wrong
from relay.sync.sources import Source

if TYPE_CHECKING:
    from relay.sync.client import Sync

# A source's list is asked for anew so often, and so soon after a lesson ended here (s): its archive
# is finished within some seconds.
_LIST_SECONDS: Final = 300.0
_LIST_SOON: Final = 20.0
_PING_SECONDS: Final = 1.0
_KEEP_SECONDS: Final = 60.0


async def _take_list(sync: Sync, source: Source) -> None:
    try:
        more = True
        # Before each page: a list of 15,000 lessons takes minutes, and yields to a lesson.
        while more and (source.near or sync.look() != "live"):
            cursor = sync.wishes.cursor(source.name)
            changes = await source.changes(cursor)
            await sync.spender(source, "list_bytes")(changes.size)
            await sync.queue.take(source.name, changes)
            sync.counts["lists"] += 1
            # A list that does not go on would be asked for the same page for ever.
            more = changes.more and changes.cursor != cursor
            sync.wake()
        sync.plan.source_gave(source.name, sync.time.moment().now)
    except ClassroomError as error:
        went_wrong(sync, "", source, error)


async def watch_list(sync: Sync, source: Source, due: asyncio.Event) -> None:
    """Ask a source for what came and went, for ever. due: ask soon."""
    while True:
        now = sync.time.moment().now
        if sync.plan.usable([source.name], "", now) and (source.near or sync.look() != "live"):
            with Edge(sync.counts, source=source.name):
                await _take_list(sync, source)
        left, _, _ = sync.plan.standing(source.name, sync.time.moment().now)
        wait = max(1.0, left) if left or sync.refusal == "live" else _LIST_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await due.wait()
            await asyncio.sleep(_LIST_SOON)
            due.clear()


async def watch_link(sync: Sync) -> None:
    """Ping while something is under way: a queue before the link shows in it. And once before, for
    the date."""
    while True:
        wait = _PING_SECONDS
        source = next((one for one in sync.sources if not one.near), None)
        due = sync.is_busy_far or not sync.time.is_told
        if source is not None and due and sync.look() != "live":
            wait = _KEEP_SECONDS  # a bug is not met again at once
            with Edge(sync.counts, source=source.name):
                await _ping(sync, source)
                wait = _PING_SECONDS
        await asyncio.sleep(wait)


async def _ping(sync: Sync, source: Source) -> None:
    # Whoever fetches from it meets the same fault, and tells the plan.
    with contextlib.suppress(ClassroomError):
        took, date = await source.ping()
        sync.width.receive_ping(sync.time.moment().now, took)
        if date is not None:
            sync.time.told(date)


async def keep(sync: Sync) -> None:
    """Once a minute: what was spent survives a restart."""
    while True:
        await asyncio.sleep(_KEEP_SECONDS)
        sync.remember()
