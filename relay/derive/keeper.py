"""Starts the worker process when the media process says that one is needed.

Lives here: the service's part. Must not live here: what is needed (relay.transport.derived), or
stopping it: the worker ends when the media process closes its connection, or the relay stops. So it
outlives a service process that is killed, and the voice of a weak room goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final

from classroom.clock import monotonic

_log: Final = logging.getLogger("relay.derive")

CONNECT_SECONDS: Final = 5.0  # in which a worker is connected, or hangs
# What makes it die at once will do so again: so each next one waits twice as long.
FIRST_DELAY: Final = 0.5
LAST_DELAY: Final = 60.0
LIVED: Final = 20.0  # s, after which a death is no reason to wait


class WorkerKeeper:
    """Call `start` for each word that a worker is missing; `run` in a task."""

    def __init__(self, path: str) -> None:
        """path: of the media process's socket for it."""
        self._path = path
        self._missing = asyncio.Event()
        self._began = -LIVED
        self._delay = FIRST_DELAY
        self.process: asyncio.subprocess.Process | None = None
        """The worker that was started here last; None before, or when that could not be done."""

    def start(self) -> None:
        """One is needed and none is connected; said again until one is."""
        self._missing.set()

    async def run(self) -> None:
        """Until cancelled; then the worker is ended, as the whole relay stops."""
        try:
            while True:
                await self._missing.wait()
                self._missing.clear()
                await self._start()
        finally:
            await self._kill()

    async def _start(self) -> None:
        process = self.process
        if process is not None and process.returncode is None:
            if monotonic() - self._began > CONNECT_SECONDS:
                _log.error("worker-killed", extra={"pid": process.pid})
                await self._kill()
            return
        if process is not None:
            await self._wait_after(process)
        self._began = monotonic()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "relay.derive.worker",
                self._path,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            # No memory or no more processes: the lessons go on without a worker, for now.
            self.process = None
            self._delay = min(self._delay * 2, LAST_DELAY)
            _log.error("worker-not-started", extra={"reason": str(error), "wait_s": self._delay})
            await asyncio.sleep(self._delay)
            return
        _log.info("worker-begins", extra={"pid": self.process.pid})

    async def _kill(self) -> None:
        process = self.process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _wait_after(self, process: asyncio.subprocess.Process) -> None:
        """Wait before the next worker if the last one failed soon."""
        lived = monotonic() - self._began
        if process.returncode == 0:
            return
        _log.error("worker-died", extra={"code": process.returncode, "lived_s": round(lived, 1)})
        self._delay = FIRST_DELAY if lived > LIVED else min(self._delay * 2, LAST_DELAY)
        await asyncio.sleep(self._delay - FIRST_DELAY)
