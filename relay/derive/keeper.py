"""Starts the worker process when the media process says that one is needed.

Lives here: the service's part. Must not live here: what is needed (relay.transport.derived), or
stopping it: the worker ends when the media process closes its connection. So it outlives a service
process that is killed, and the voice of a weak room goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final

from classroom.clock import monotonic

_log: Final = logging.getLogger("relay.derive")

CONNECT_SECONDS: Final = 5.0  # in which a worker is connected, or hangs


class WorkerKeeper:
    """Call `start` for each word that a worker is missing; `run` in a task."""

    def __init__(self, path: str) -> None:
        """path: of the media process's socket for it."""
        self._path = path
        self._missing = asyncio.Event()
        self._began = 0.0
        self.process: asyncio.subprocess.Process | None = None
        """The worker that was started here last, None before."""

    def start(self) -> None:
        """One is needed and none is connected; said again until one is."""
        self._missing.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._missing.wait()
            self._missing.clear()
            process = self.process
            if process is not None and process.returncode is None:
                if monotonic() - self._began > CONNECT_SECONDS:
                    _log.error("worker-killed", extra={"pid": process.pid})
                    process.kill()
                    await process.wait()
                continue
            self._began = monotonic()
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "relay.derive.worker",
                self._path,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )
            _log.info("worker-begins", extra={"pid": self.process.pid})
