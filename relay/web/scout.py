"""Looks for a better parent now and then: the preferred one again, or one that reaches the centre.

Asks a parent's `/api/relays/path`, which costs a kilobyte, before anything is moved. Lives here:
when to ask and when to move. Must not live here: the line itself (`central`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from classroom.bodies import read_body
from classroom.errors import Refused
from classroom.wire import RelayPath
from classroom.wire.fields import read
from relay.web.upstream import Upstream

_log: Final = logging.getLogger("relay.service")

# A parent that was away for a restart is asked again after the next such pause; a kilobyte a minute
# is nothing even to a weak link.
LOOK_SECONDS: Final = 60.0
_MOST_BYTES: Final = 16 * 1024
# RecursionError: an answer of nested brackets.
_RUBBISH: Final = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    ValueError,
    RecursionError,
    Refused,
)


class Scout:
    """Run `run` in a task; a relay with one parent, or none, has nothing to look for."""

    def __init__(
        self,
        upstream: Upstream,
        token: Callable[[], str],
        move: Callable[[str], Awaitable[None]],
        busy: Callable[[], bool],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """move(url): call that parent from now on. busy: whether rooms watch something that comes
        over the present parent, which a move would interrupt."""
        self._upstream = upstream
        self._token = token
        self._move = move
        self._busy = busy
        self._look_seconds = look_seconds

    async def run(self, http: aiohttp.ClientSession) -> None:
        """For ever."""
        while len(self._upstream.urls) > 1:
            pause = self._look_seconds if self._upstream.reached else self._look_seconds / 6.0
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            await self.look(http)

    async def look(self, http: aiohttp.ClientSession) -> bool:
        """Ask those worth asking once; whether we moved."""
        # Without a line the line itself tries one after the other.
        if not self._upstream.connected or (self._upstream.reached and self._busy()):
            return False
        for url in self._upstream.better():
            path = await self._ask(http, url)
            if path is None or not path.reached or self._upstream.is_loop(path.path):
                continue
            _log.info("parent-changed", extra={"before": self._upstream.url, "url": url})
            await self._move(url)
            return True
        return False

    async def _ask(self, http: aiohttp.ClientSession, url: str) -> RelayPath | None:
        """Its way to the control plane; None if it cannot be a parent now."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            async with http.get(f"{url}/api/relays/path", headers=headers) as answer:
                answer.raise_for_status()
                raw = await read_body(answer.content, _MOST_BYTES)
            path = read(RelayPath, json.loads(raw))
        except _RUBBISH as error:
            _log.info("parent-not-better", extra={"url": url, "reason": str(error)[:200]})
            return None
        assert isinstance(path, RelayPath)
        return path
