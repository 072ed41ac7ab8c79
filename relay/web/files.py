"""`/archives/{lesson}/file.json` and `file.mp4`: a lesson as one file, for download.

    GET /archives/{lesson}/file.json?picture=auto|screen|camera|none   how far it is; begins it
    GET /archives/{lesson}/file.mp4?picture=…                          the file, also in parts

Here: making files one at a time in a worker process, keeping them under a bound, serving them. Not
here: what goes into one (`relay.record.single_file`). A file that was made stays until its room is
needed, and is made again when somebody wants it then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import ETag, web

from classroom.clock import wall
from classroom.errors import Absent, Refused
from classroom.library import fold
from relay.cache.files import make_directory
from relay.record.single_file import NOT_WHOLE, PICTURES, Choice, choose
from relay.web.archives import Archives

_log: Final = logging.getLogger("relay.service")

MOST_WAITING: Final = 16
"""Files under way; each takes some seconds, so nobody behind these would wait gladly."""
LONGEST_SECONDS: Final = 1800.0
_GROWING: Final = ".part"
_ROOM: Final = 1.1  # times what its parts take: heads and index come on top

Authorize = Callable[[web.Request, str], Awaitable[None]]


@dataclass(slots=True)
class _Job:
    archive: Path
    picture: str
    choice: Choice
    state: str = "waiting"


class Files:
    """`add_routes` before those of the archives, and `run`."""

    def __init__(
        self,
        folder: Path,
        *,
        archives: Archives,
        title: Callable[[str], str],
        most_bytes: int,
        floor_bytes: int,
    ) -> None:
        """folder: where files are kept. title(lesson): what people call it. most_bytes: of all
        files. floor_bytes: what must stay free on the disk."""
        self._folder = folder
        self._archives = archives
        self._title = title
        self._most = most_bytes
        self._floor = floor_bytes
        self._jobs: dict[str, _Job] = {}
        self._wake = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        """The worker, None while nothing is made."""

    def add_routes(self, app: web.Application, authorize: Authorize) -> None:
        """Both addresses. authorize(request, lesson) raises Refused unless it may be replayed."""

        async def tell(request: web.Request) -> web.Response:
            lesson, picture = await self._asked(request, authorize)
            key, choice = await asyncio.to_thread(self._choose, lesson, picture)
            state = await self._begin(lesson, picture, key, choice)
            document = {
                "state": state,
                "bytes": self._size(key) or choice.bytes,
                "picture": choice.picture_of,
                "plays_everywhere": choice.plays_everywhere,
                "name": self._file_name(lesson),
            }
            return web.json_response(document, headers={"Cache-Control": "no-cache"})

        async def give(request: web.Request) -> web.StreamResponse:
            lesson, picture = await self._asked(request, authorize)
            key, choice = await asyncio.to_thread(self._choose, lesson, picture)
            state = await self._begin(lesson, picture, key, choice)
            if state != "ready":
                raise _not_ready(state)
            path = self._path(key)
            # The one that was wanted longest ago goes first when room is needed.
            await asyncio.to_thread(os.utime, path, (wall(), wall()))
            return _Download(path, key, self._file_name(lesson))

        app.router.add_get("/archives/{lesson}/file.json", tell)
        app.router.add_get("/archives/{lesson}/file.mp4", give)

    async def _asked(self, request: web.Request, authorize: Authorize) -> tuple[str, str]:
        lesson = request.match_info["lesson"]
        await authorize(request, lesson)
        picture = request.query.get("picture", "auto")
        if picture not in PICTURES:
            raise Refused(
                400,
                "field-invalid",
                f"picture must be one of {', '.join(PICTURES)}.",
                fix="Correct this field and send the request again.",
                field="picture",
            )
        return lesson, picture

    def _choose(self, lesson: str, picture: str) -> tuple[str, Choice]:
        """The file's key and parts. Blocking. Raises Refused 404, 409."""
        manifest, _ = self._archives.cache.view(lesson)
        if not manifest.finished:
            raise Refused(
                409,
                "lesson-not-over",
                "The lesson is still running.",
                fix="Ask for its file when it is over.",
            )
        choice = choose(manifest, self._archives.extras(lesson), picture)
        if choice is None:
            raise Refused(
                404,
                "recording-missing",
                "Nothing of this kind was recorded in the lesson.",
                fix="Choose another picture.",
                field="picture",
            )
        return f"{lesson}-{choice.key()}", choice

    async def _begin(self, lesson: str, picture: str, key: str, choice: Choice) -> str:
        """What has become of the file: "ready", "waiting", "making", "incomplete" (not all of the
        lesson is here yet), "failed", "full" or "busy"; begins it where it has not begun."""
        if self._path(key).is_file():
            return "ready"
        job = self._jobs.get(key)
        if job is None:
            under_way = [
                each for each in self._jobs.values() if each.state in ("waiting", "making")
            ]
            if len(under_way) >= MOST_WAITING:
                return "busy"
            # What failed is forgotten when somebody asks for something else.
            self._jobs = {name: each for name, each in self._jobs.items() if each in under_way}
            job = self._jobs[key] = _Job(self._archives.cache.path(lesson), picture, choice)
            self._wake.set()
        if job.state in ("incomplete", "failed", "full"):
            # It is told once; who asks again tries again.
            del self._jobs[key]
        return job.state

    async def run(self) -> None:
        """Make what is asked for, until cancelled; a worker that runs then is ended."""
        await asyncio.to_thread(self._tidy)
        while True:
            waiting = next(((k, j) for k, j in self._jobs.items() if j.state == "waiting"), None)
            if waiting is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            key, job = waiting
            job.state = "making"
            job.state = await self._make(key, job)
            if job.state == "ready":
                self._jobs.pop(key, None)

    async def _make(self, key: str, job: _Job) -> str:
        growing = self._path(key).with_suffix(_GROWING)
        try:
            if not await asyncio.to_thread(self._make_room, round(job.choice.bytes * _ROOM)):
                return "full"
            status = await self._work(job, growing)
            if status == 0:
                await asyncio.to_thread(os.replace, growing, self._path(key))
                return "ready"
            growing.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("file-not-made", extra={"lesson": job.archive.name, "reason": str(error)})
            return "failed"
        if status == NOT_WHOLE:
            return "incomplete"
        _log.error(
            "file-not-made", extra={"lesson": job.archive.name, "reason": f"status {status}"}
        )
        return "failed"

    async def _work(self, job: _Job, target: Path) -> int:
        """The worker's status, or a negative number."""
        module = "relay.record.single_file_worker"
        process = self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, str(job.archive), job.picture, str(target)),
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                return await process.wait()
        except TimeoutError:
            return -1
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self.process = None

    def _tidy(self) -> None:
        """Remove what an earlier process did not finish. A folder that cannot be read or made is
        tried again with each file."""
        try:
            make_directory(self._folder)
            for path in self._folder.glob(f"*{_GROWING}"):
                path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("files-not-tidied", extra={"reason": str(error)})

    def _make_room(self, needed: int) -> bool:
        """Whether a file of so many bytes may be written, once others have made room. Raises
        OSError."""
        make_directory(self._folder)
        kept = []
        for path in self._folder.glob("*.mp4"):
            with suppress(FileNotFoundError):
                status = path.stat()
                kept.append((status.st_mtime, status.st_size, path))
        kept.sort()
        total = sum(size for _, size, _ in kept)
        free = shutil.disk_usage(self._folder).free
        for _, size, path in kept:
            if total + needed <= self._most and free - needed >= self._floor:
                break
            path.unlink(missing_ok=True)
            total, free = total - size, free + size
        # While it is written its index is moved to the front, which takes no second copy.
        return total + needed <= self._most and free - needed >= self._floor

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.mp4"

    def _size(self, key: str) -> int | None:
        with suppress(OSError):
            return self._path(key).stat().st_size
        return None

    def _file_name(self, lesson: str) -> str:
        words = "".join(c if c.isalnum() else " " for c in self._title(lesson))
        return f"{' '.join(words.split())[:80] or lesson}.mp4"


class _Download(web.FileResponse):
    """A file that browsers save, under a name that people know it by (RFC 6266, RFC 8187)."""

    def __init__(self, path: Path, tag: str, name: str) -> None:
        plain = fold(name).encode("ascii", errors="ignore").decode().replace(" ", "-")
        said = f'attachment; filename="{plain}"'
        headers = {
            "Content-Type": "video/mp4",
            "Content-Disposition": f"{said}; filename*=UTF-8''{quote(name)}",
            "Cache-Control": "private, no-cache",
        }
        super().__init__(path, headers=headers)
        self._tag = tag

    @property
    def etag(self) -> ETag | None:
        return ETag(value=self._tag)

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        """aiohttp sets one from the file's date, which changes with every use; ours stays."""
        self.headers["ETag"] = f'"{self._tag}"'


def _not_ready(state: str) -> Refused | Absent:
    if state == "incomplete":
        return Refused(
            409,
            "recording-incomplete",
            "Not all of this lesson has come here yet.",
            fix="Try again when it has; the list says how far it is.",
        )
    if state == "full":
        return Refused(
            507,
            "files-full",
            "There is no room on the relay for this file.",
            fix="Free space on the relay's disk, or allow more in [replay] files_gb.",
        )
    return Absent("The file is being made.", fix="Ask again in a few seconds.", retry_after=2.0)
