"""`GET /api/lessons`: the lessons that can be watched here, running or recorded, found by words.

Merges what is known of lessons with the archives on disk. An archive without news from the control
plane is shown by its id. Titles and other words of lessons are kept by `about` beside each archive
when the recording begins, so that a relay alone can show its library.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import ETag, web

from classroom.archive.manifest import Manifest
from classroom.errors import Refused
from classroom.library import Listing, read_listing, search
from classroom.tokens import Right
from classroom.wire import LessonInfo, LessonState, is_lesson_id
from relay.web.access import Access
from relay.web.lessons import KnownLessons, as_json

_log: Final = logging.getLogger("relay.service")

ABOUT: Final = "about.json"

# Below this, packing saves less than a packet; a long list is packed beside the event loop.
_PACKED_BYTES: Final = 1024
_PACKED_ASIDE_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive on disk with the words about its lesson; can be searched.

    started_at: unix seconds, None while unknown. duration: seconds, None while it is written.
    """

    id: str
    title: str
    teacher: str
    subject: str | None
    grade: str | None
    planned_at: float | None
    started_at: float | None
    finished: bool
    duration: float | None

    @property
    def state(self) -> str:
        """A lesson whose archive is finished can be replayed as a whole."""
        return (LessonState.PUBLISHED if self.finished else LessonState.ENDED).value

    def as_json(self) -> dict[str, Any]:
        """The lesson, when nothing but its archive is known."""
        return {
            "id": self.id,
            "title": self.title,
            "subject": self.subject,
            "grade": self.grade,
            "teacher": self.teacher,
            "state": self.state,
            "publishing": False,
            "sources": [],
            "rooms": 0,
            "planned_at": self.planned_at,
            "started_at": self.started_at,
            "recording": {
                "state": "finished" if self.finished else "none",
                "detail": "",
                "seconds": self.duration or 0.0,
            },
        }


class Library:
    """Handler of the list; keeps what was read of finished archives, which never change."""

    def __init__(self, access: Access, lessons: KnownLessons, archives: Path) -> None:
        self._access = access
        self._lessons = lessons
        self._archives = archives
        self._finished: dict[str, Archived] = {}
        lessons.observe(self._keep_about)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/lessons."""
        app.router.add_get("/api/lessons", self._list)

    async def _list(self, request: web.Request) -> web.Response:
        claims = await self._access.check(request, Right.REPLAY, None, query=True)
        asked = read_listing(request.query)
        known = self._lessons.all()
        body = await asyncio.to_thread(self._found, asked, known, claims.covers)
        return _answer(request, body)

    def _found(
        self, asked: Listing, known: list[LessonInfo], covers: Callable[[str], bool]
    ) -> bytes:
        """The answer's body; runs in a thread, since an archive holds thousands of lessons."""
        archived = self._scan()
        names = {info.id for info in known}
        entries: list[LessonInfo | Archived] = [info for info in known if covers(info.id)]
        entries += (one for name, one in archived.items() if name not in names and covers(name))
        found = search(entries, asked.query)
        # What can be joined now stands before everything.
        found.sort(key=lambda entry: entry.state != LessonState.LIVE)
        lessons = [_entry(entry, archived.get(entry.id)) for entry in asked.part(found)]
        document = {"lessons": lessons, "total": len(found)}
        return json.dumps(document, ensure_ascii=False).encode(errors="replace")

    def _scan(self) -> dict[str, Archived]:
        """Archives on disk; runs in a thread."""
        found: dict[str, Archived] = {}
        try:
            entries = [entry for entry in os.scandir(self._archives) if entry.is_dir()]
        except OSError as error:
            _log.warning("archives-unreadable", extra={"reason": str(error)})
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
            if read.finished:
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
            _log.warning("lesson-words-not-kept", extra={"reason": str(error)})


def _entry(entry: LessonInfo | Archived, archive: Archived | None) -> dict[str, Any]:
    document = entry.as_json() if isinstance(entry, Archived) else as_json(entry)
    duration = archive.duration if archive is not None else None
    return {
        **document,
        "duration": duration or document["recording"]["seconds"],
        "playable": archive is not None,
    }


def _answer(request: web.Request, body: bytes) -> web.Response:
    """`body` packed and with a weak ETag (RFC 9110 8.8.1); 304 to a client that has it."""
    tag = ETag(hashlib.sha256(body).hexdigest()[:32], is_weak=True)
    known = {each.value for each in request.if_none_match or ()}
    if tag.value in known or "*" in known:
        response = web.Response(status=304)
    else:
        response = web.Response(
            body=body, content_type="application/json", zlib_executor_size=_PACKED_ASIDE_BYTES
        )
        if len(body) > _PACKED_BYTES:
            response.enable_compression()
    response.etag = tag
    # What a token may see is for its holder alone, and is asked anew each time.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Accept-Encoding, Authorization"
    return response


def _read(directory: Path) -> Archived | None:
    finished, duration, epoch = False, None, None
    try:
        manifest = Manifest.decode((directory / "manifest.json").read_bytes())
        finished = manifest.finished
        duration, epoch = manifest.duration_ms / 1000, manifest.epoch_ms / 1000
    except FileNotFoundError:
        if not (directory / "journal.jsonl").exists():
            return None
    except (OSError, Refused) as error:
        _log.warning("archive-unreadable", extra={"lesson": directory.name, "reason": str(error)})
        return None
    about = _about(directory)
    name = directory.name
    return Archived(
        id=name,
        title=_words(about, "title") or name,
        teacher=_words(about, "teacher") or "",
        subject=_words(about, "subject"),
        grade=_words(about, "grade"),
        planned_at=_date(about, "planned_at"),
        started_at=_date(about, "started_at") or epoch,
        finished=finished,
        duration=duration,
    )


def _about(directory: Path) -> dict[str, Any]:
    """The words kept beside the archive; empty where there are none to be used."""
    try:
        about = json.loads((directory / ABOUT).read_bytes())
    # RecursionError: nested brackets, which nobody wrote on purpose.
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _words(about: dict[str, Any], name: str) -> str | None:
    value = about.get(name)
    return value if isinstance(value, str) else None


def _date(about: dict[str, Any], name: str) -> float | None:
    value = about.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
