"""What bringing materials needs of whoever has the link: the sync, or at the root nobody else.

Here: that seam, and the root relay's side of it, whose only source is the control plane beside it.
Not here: what is brought (`materials`). `relay.sync.client.Sync` is the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp

from classroom.clock import Clock, monotonic, wall
from relay.sync.allowance import Allowance, Limits
from relay.sync.local_time import LocalTime
from relay.sync.plan import Plan
from relay.sync.sources import Source
from relay.sync.turn import Turn
from relay.sync.width import Width

if TYPE_CHECKING:
    from relay.sync.materials import MaterialSync

_log: Final = logging.getLogger("relay.sync")

_DISK_SECONDS: Final = 30.0


class Link(Protocol):
    """sources: in the order in which they are asked. plan: their standing. counts: for metrics."""

    plan: Plan
    width: Width
    allowance: Allowance
    time: LocalTime
    sources: list[Source]
    counts: Counter[str]

    def look(self) -> str:
        """Why nothing may cross the weak link now, "" when it may; see `Sync.refusal`."""

    def spender(self, source: Source, counter: str = "") -> Callable[[int], Awaitable[None]]:
        """What counts bytes that come, and waits where there is a rate cap."""

    def leave_disk(self, reason: str) -> None:
        """The disk takes nothing now."""

    def stop_others(self, lesson: str, part: tuple[str, str]) -> None:
        """End what would hold up something that is waited for."""

    def wake(self) -> None:
        """Something came that may be fetched."""

    @property
    def is_live(self) -> bool:
        """Whether a lesson runs for which the weak link is kept free."""

    @property
    def is_waited_for(self) -> bool:
        """Whether a pupil waits for a part of a recording."""

    @property
    def metered(self) -> bool:
        """Whether every byte of the weak link costs money."""


class RootLink:
    """The root relay: nothing comes over a weak link, so there are no rules but a disk's."""

    is_live = is_waited_for = metered = False

    def __init__(
        self,
        central: str,
        data: Path,
        token: Callable[[], str],
        *,
        now: Clock = monotonic,
        date: Clock = wall,
    ) -> None:
        """central: base address of the control plane. data: the relay's directory."""
        self._central = central
        self._token = token
        self._now = now
        self._turn = Turn(data)
        self._wake = asyncio.Event()
        self._disk_until = 0.0
        self.plan = Plan()
        self.width = Width()
        self.allowance = Allowance(Limits())
        # The control plane beside it has the same clock.
        self.time = LocalTime(now, date, is_right=True)
        self.sources: list[Source] = []
        self.counts: Counter[str] = Counter()

    async def run(self, http: aiohttp.ClientSession, materials: MaterialSync) -> None:
        """Bring them, until cancelled."""
        self.sources = [Source(self._central, http, self._token, near=True)]
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._wake.clear()
                    await materials.fill(tasks)
                    if self.look() == "import" and materials.is_away:
                        self._turn.give()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1.0):
                            await self._wake.wait()
        finally:
            self._turn.give()

    def look(self) -> str:
        if self._turn.wished() or not self._turn.take():
            return "import"
        return "disk" if self._now() < self._disk_until else ""

    def spender(self, source: Source, counter: str = "") -> Callable[[int], Awaitable[None]]:
        async def spend(size: int) -> None:
            self.counts[counter] += size

        return spend

    def leave_disk(self, reason: str) -> None:
        _log.warning("sync-disk-away", extra={"reason": reason})
        self._disk_until = self._now() + _DISK_SECONDS

    def stop_others(self, lesson: str, part: tuple[str, str]) -> None:
        pass

    def wake(self) -> None:
        self._wake.set()
