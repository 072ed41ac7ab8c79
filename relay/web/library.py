"""`GET /api/lessons`: the lessons that can be watched here, running or recorded.

Merges what is known of lessons with the archives on disk. An archive without news from the control
plane is shown by its id. Titles and other words of lessons are kept by `about` beside each archive
when the recording begins, so that a relay alone can show its library.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from classroom.archive.manifest import Manifest
from classroom.errors import Refused
from classroom.tokens import Right
from classroom.wire import LessonInfo, LessonState, is_lesson_id
from relay.web.access import Access
from relay.web.lessons import KnownLessons, as_json

_log: Final = logging.getLogger("relay.service")

ABOUT: Final = "about.json"


class Library:
    """Handler of the list; keeps what was read of finished archives, which never change."""

    def __init__(self, access: Access, lessons: KnownLessons, archives: Path) -> None:
        self._access = access
        self._lessons = lessons
        self._archives = archives
        self._finished: dict[str, dict[str, Any]] = {}
        lessons.observe(self._keep_about)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/lessons."""
        app.router.add_get("/api/lessons", self._list)

    async def _list(self, request: web.Request) -> web.Response:
        claims = await self._access.check(request, Right.REPLAY, None, query=True)
        known = {info.id: info for info in self._lessons.all()}
        archived = await asyncio.get_running_loop().run_in_executor(None, self._scan)
        lessons = []
        for name in {*known, *archived}:
            if not claims.covers(name):
                continue
            lessons.append(self._entry(name, known.get(name), archived.get(name)))
        lessons.sort(key=lambda one: (one["state"] != "live", -(one["started_at"] or 0.0)))
        return web.json_response({"lessons": lessons})

    def _entry(
        self, name: str, info: LessonInfo | None, archive: dict[str, Any] | None
    ) -> dict[str, Any]:
        document = (archive or {}).get("about") or {}
        if info is not None:
            document = as_json(info)
        elif not document:
            document = {"id": name, "title": name, "teacher": "", "subject": None, "grade": None}
            document |= {"planned_at": None, "started_at": (archive or {}).get("epoch")}
        if info is None:
            finished = archive is not None and archive["finished"]
            document |= {
                "state": "published" if finished else "ended",
                "publishing": False,
                "sources": [],
                "rooms": 0,
                "recording": {
                    "state": "finished" if finished else "none",
                    "detail": "",
                    "seconds": (archive or {}).get("duration", 0.0),
                },
            }
        duration = (archive or {}).get("duration") or document["recording"]["seconds"]
        return {**document, "duration": duration, "playable": archive is not None}

    def _scan(self) -> dict[str, dict[str, Any]]:
        """Archives on disk; runs in a thread."""
        found: dict[str, dict[str, Any]] = {}
        try:
            entries = [entry for entry in os.scandir(self._archives) if entry.is_dir()]
        except OSError as error:
            _log.warning("archives unreadable", extra={"reason": str(error)})
            return found
        for entry in entries:
            name = entry.name
            if not is_lesson_id(name):
                continue
            if name in self._finished:
                found[name] = self._finished[name]
                continue
            read = _read(Path(entry.path))
            if read is None:
                continue
            found[name] = read
            if read["finished"]:
                self._finished[name] = read
        return found

    def _keep_about(self, lesson: str) -> None:
        """Words about a lesson go beside its archive as soon as there is one."""
        info = self._lessons.info(lesson)
        directory = self._archives / lesson
        if info is None or info.state is LessonState.PLANNED or not directory.is_dir():
            return
        file = directory / ABOUT
        words = as_json(info)
        about = {
            key: words[key]
            for key in ("id", "title", "subject", "grade", "teacher", "planned_at", "started_at")
        }
        text = json.dumps(about, ensure_ascii=False, sort_keys=True)
        try:
            if file.exists() and file.read_text() == text:
                return
            temporary = file.with_suffix(".tmp")
            temporary.write_text(text)
            os.replace(temporary, file)
        except OSError as error:
            _log.warning("words about a lesson not kept", extra={"reason": str(error)})


def _read(directory: Path) -> dict[str, Any] | None:
    about: dict[str, Any] | None = None
    try:
        about = json.loads((directory / ABOUT).read_text())
    except (OSError, ValueError):
        about = None
    try:
        manifest = Manifest.decode((directory / "manifest.json").read_bytes())
    except FileNotFoundError:
        if not (directory / "journal.jsonl").exists():
            return None
        return {"about": about, "finished": False, "duration": None, "epoch": None}
    except (OSError, Refused) as error:
        _log.warning("archive unreadable", extra={"lesson": directory.name, "reason": str(error)})
        return None
    return {
        "about": about,
        "finished": manifest.finished,
        "duration": manifest.duration_ms / 1000,
        "epoch": manifest.epoch_ms / 1000,
    }
