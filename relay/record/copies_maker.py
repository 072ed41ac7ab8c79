"""Has copies made of every finished lesson, one after the other, while nobody teaches.

Here: which archives lack them, one worker process at a time, its death. Not here: what copies are
(`copies`), making them (`copies_worker`). What a killed process did not finish is found again by
the next start: an archive without the word of a worker in `extras.json` was looked at by nobody.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from classroom.archive.names import EXTRAS, MANIFEST, is_lesson

_log: Final = logging.getLogger("relay.recorder")

LOOK_SECONDS: Final = 5.0
"""How often it is asked whether the lesson that it waits for is over."""
RETRY_SECONDS: Final = 60.0
"""Until there may be memory for a worker, or a disk, where there was none."""
LONGEST_SECONDS: Final = 6 * 3600.0
"""A day's lesson on a processor that others use; a worker that takes longer hangs."""
_TAIL: Final = 128
_UNSEEN: Final = b'"manifest":""'


def lacks_copies(archive: Path) -> bool:
    """Whether nobody has looked yet which copies the archive needs. Reads little: a library has
    thousands of archives. False for what is no finished archive."""
    try:
        made = (archive / MANIFEST).stat().st_mtime_ns
    except OSError:
        return False
    try:
        with (archive / EXTRAS).open("rb") as file:
            if os.fstat(file.fileno()).st_mtime_ns < made:
                return True
            # Canonical JSON has this member last.
            file.seek(-min(_TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return _UNSEEN in file.read()
    except OSError:
        return True


class CopiesMaker:
    """`add` a lesson when its archive is finished; `run` makes what is lacking."""

    def __init__(
        self,
        archives: Path,
        *,
        is_busy: Callable[[], bool],
        floor_bytes: int = 0,
        made: Callable[[str], None] = lambda lesson: None,
        look_seconds: float = LOOK_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """is_busy(): whether a lesson is taught now. floor_bytes: what must stay free on the disk.
        made(lesson): told of each lesson whose extras are new."""
        self._archives = archives
        self._is_busy = is_busy
        self._floor = floor_bytes
        self._made = made
        self._look = look_seconds
        self._retry = retry_seconds
        self._queue: list[str] = []
        self._failed: set[str] = set()
        self._wake = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        """The worker, None while nothing is made."""

    def add(self, lesson: str) -> None:
        """The archive of `lesson` is finished."""
        if lesson not in self._queue:
            self._queue.append(lesson)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; a worker that runs then is ended."""
        self._queue += await asyncio.to_thread(self._scan)
        while True:
            if self._queue and self._is_busy():
                await asyncio.sleep(self._look)
            elif self._queue:
                await self._try(self._queue.pop(0))
            else:
                self._wake.clear()
                await self._wake.wait()

    def _scan(self) -> list[str]:
        """Archives that lack copies, the newest first."""
        try:
            found = [entry for entry in os.scandir(self._archives) if is_lesson(entry.name)]
            lacking = [entry for entry in found if lacks_copies(Path(entry.path))]
            lacking.sort(key=lambda entry: -entry.stat().st_mtime_ns)
        except OSError as error:
            _log.warning("copies-not-looked-for", extra={"reason": str(error)})
            return []
        return [entry.name for entry in lacking]

    async def _try(self, lesson: str) -> None:
        """Make copies, or see that it is tried again later; lessons are taught and replayed
        without them."""
        try:
            await self._make(lesson)
        except OSError as error:
            _log.warning("copies-not-made", extra={"lesson": lesson, "reason": str(error)})
            self.add(lesson)
            await asyncio.sleep(self._retry)

    async def _make(self, lesson: str) -> None:
        archive = self._archives / lesson
        if lesson in self._failed or not await asyncio.to_thread(lacks_copies, archive):
            return
        if shutil.disk_usage(self._archives).free < self._floor:
            _log.warning("copies-not-made", extra={"lesson": lesson, "reason": "the disk is full"})
            return
        process = self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay.record.copies_worker", str(archive)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                _, errors = await process.communicate()
        except TimeoutError:
            errors = b"it took too long"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self.process = None
        if process.returncode == 0:
            _log.info("copies-made", extra={"lesson": lesson})
            self._made(lesson)
        else:
            # Most likely a bug or a broken archive: not again before the next start.
            self._failed.add(lesson)
            reason = errors.decode(errors="replace").strip()[-500:]
            _log.error("copies-not-made", extra={"lesson": lesson, "reason": reason})
