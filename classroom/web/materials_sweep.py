"""Sweeping up files that no lesson's list names, and what broken uploads left.

Here: what may go, when, and when rather nothing goes. Not here: SQL and files (`classroom.store`).
The directory and the records are two things, and either may be lost, restored from a copy or set
wrongly without the other. So a file is spared for days from when it was first seen unnamed, which
stands beside it on the disk; and records that name none of the files, or few of them, are taken for
the wrong ones first.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final

from classroom.clock import Clock
from classroom.errors import Absent, Refused
from classroom.store import Blobs
from classroom.store.materials import AT_ONCE, LessonMaterials
from classroom.web.logs import event

_SWEEP_S: Final = 3_600.0
# Long after any upload: one stalls for seconds at the most.
_UPLOAD_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
# Records that were lost are missed on the next school day; a week has room for a holiday, and for
# whoever can put them back.
SPARED_S: Final = 7 * _DAY_S
# Where most files would go: longer than the summer holidays, in which nobody would miss them.
MOST_SPARED_S: Final = 100 * _DAY_S
# One lesson's list has as many: so few may all be replaced in an evening.
FEW: Final = 20


class Sweeper:
    """One per process; several may share a directory. wall: unix seconds."""

    def __init__(self, blobs: Blobs, lists: LessonMaterials, wall: Clock) -> None:
        self._blobs = blobs
        self._lists = lists
        self._wall = wall
        self._told: tuple[int, int] | None = None

    async def run(self) -> None:
        """Sweep at once and hourly, for ever; run it as a task."""
        while True:
            try:
                await self.sweep()
            except (Refused, Absent) as error:
                event("materials-sweep-failed", detail=str(error))
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> None:
        """Remove once what is good for nothing. Absent."""
        blobs, now = self._blobs, self._wall()
        count = await asyncio.to_thread(blobs.clear_uploads, now - _UPLOAD_S)
        there = await asyncio.to_thread(blobs.older, math.inf)
        unnamed: set[str] = set()
        for start in range(0, len(there), AT_ONCE):
            # Most are named; nobody who adds a file need wait while that is looked up.
            unnamed |= await self._lists.unnamed(there[start : start + AT_ONCE])
        since = await asyncio.to_thread(blobs.mark_unnamed, unnamed, now)
        spared = self._spared_s(len(unnamed), len(there))
        due = [digest for digest in sorted(unnamed) if since[digest] < now - spared]

        async def clear(digests: set[str]) -> None:
            nonlocal count
            count += await asyncio.to_thread(blobs.remove, digests, now - spared)

        for start in range(0, len(due), AT_ONCE):
            await self._lists.forget(due[start : start + AT_ONCE], clear)
        if count:
            event("materials-swept", files=count)

    def _spared_s(self, unnamed: int, there: int) -> float:
        """How long (s) files stay that no list names; tells where that is longer than always."""
        none_named = unnamed == there > 0
        if not none_named and (unnamed <= FEW or unnamed <= there / 2):
            self._told = None
            return SPARED_S
        if self._told != (unnamed, there):
            self._told = unnamed, there
            event(
                "materials-not-swept",
                level=logging.ERROR,
                unnamed=unnamed,
                files=there,
                detail="Most files of lessons are named by no lesson's list: perhaps the records "
                "were lost, are an old copy, or storage.database_url or materials.dir leads to "
                "others. "
                + (
                    "Nothing is removed."
                    if none_named
                    else f"They are spared for {MOST_SPARED_S / _DAY_S:.0f} days."
                ),
                fix="Check both settings, or put back the copy of the records; then start again. "
                "If all is right nothing need be done: what is not needed goes later.",
            )
        return math.inf if none_named else MOST_SPARED_S
