"""`GET /api/lessons`: the lessons that can be watched here, running or recorded, found by words.

Merges what is known of lessons with the archives on disk, which the catalogue finds. An archive
without news from the control plane is shown by its id. Titles and other words of lessons are kept
as `about` beside each archive when the recording begins: a relay alone can show its library.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from heapq import merge
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import ETag, web

from classroom.library import Listing, Rank, rank, read_listing
from classroom.tokens import ANY_LESSON, Claims, Right
from classroom.wire import LessonInfo, LessonState
from relay.sync.about import keep_about, keep_list
from relay.sync.offer import WORDS
from relay.web.access import Access
from relay.web.catalogue import LABELS, Catalogue
from relay.web.lan import VISITOR
from relay.web.lessons import KnownLessons, as_json

# Below this, packing saves less than a packet; a long list is packed beside the event loop.
_PACKED_BYTES: Final = 1024
_PACKED_ASIDE_BYTES: Final = 32 * 1024
# What a request spends on archives that came or went; beyond that it shows what is known already.
_LOOK_SECONDS: Final = 0.02
# What is taken in at a time, between which requests are answered, and rests until the next.
_TURN_SECONDS: Final = 0.02
_REST_SECONDS: Final = 0.02

_T = TypeVar("_T")


class Library:
    """Handler of the list. `run` is a task of its own that reads what many new archives hold."""

    def __init__(self, access: Access, lessons: KnownLessons, archives: Path) -> None:
        """archives: directory of archives; the catalogue is kept beside it."""
        self._access = access
        self._lessons = lessons
        self._archives = archives
        self._catalogue = Catalogue(archives.parent / "library.sqlite3", archives)
        # The catalogue's one thread. Most of its time is spent in the database, where the event
        # loop goes on beside it.
        self._thread = ThreadPoolExecutor(1, "library")
        self._behind = asyncio.Event()
        self._behind.set()
        self._closed = False
        lessons.observe(self._keep_about)
        lessons.late.observe(self._keep_list)
        for late in lessons.late.all:
            self._keep_list(late.lesson)

    def add_routes(self, app: web.Application) -> None:
        """GET /api/lessons and GET /api/lessons/labels."""
        app.router.add_get("/api/lessons", self._list)
        app.router.add_get("/api/lessons/labels", self._labels)

    def changed(self, lesson: str) -> None:
        """The archive of `lesson` was begun, finished, fetched or put out; from any thread."""
        # Who it was fetched from may not have heard of this yet.
        self._keep_list(lesson)
        self._catalogue.note(lesson)

    async def run(self) -> None:
        """Take in what is new or changed on disk while there is much of it, until cancelled."""
        try:
            while True:
                await self._behind.wait()
                self._behind.clear()
                await self.settled()
        finally:
            self.close()

    async def settled(self) -> None:
        """Return once all that came or went on disk is known, a little at a time."""
        while True:
            if not await self._apart(lambda: self._catalogue.look(_TURN_SECONDS)):
                return
            await asyncio.sleep(_REST_SECONDS)

    def close(self) -> None:
        """No more requests: close the catalogue once its thread is done with the last."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._catalogue.close)
            self._thread.shutdown(wait=False)

    def _apart(self, do: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, do)

    async def _list(self, request: web.Request) -> web.Response:
        claims = await self._access.check(request, Right.REPLAY, None, query=True)
        asked = read_listing(request.query)
        known = self._lessons.all()
        body, behind = await self._apart(lambda: self._found(asked, known, claims))
        if behind:
            self._behind.set()
        return _answer(request, body)

    async def _labels(self, request: web.Request) -> web.Response:
        """Subjects, grades and schools to choose from."""
        await self._access.check(request, Right.REPLAY, None, query=True)

        def read() -> bytes:
            found = {f"{name}s": self._catalogue.labels(name) for name in LABELS}
            return json.dumps(found, ensure_ascii=False).encode(errors="replace")

        return _answer(request, await self._apart(read))

    def _found(self, asked: Listing, known: list[LessonInfo], claims: Claims) -> tuple[bytes, bool]:
        """The answer's body, and whether the catalogue is behind the disk; for its thread."""
        behind = self._catalogue.look(_LOOK_SECONDS)
        lesson = None if claims.lesson == ANY_LESSON else claims.lesson
        names = [info.id for info in known]
        if claims is VISITOR:
            # What the archives say counts: a lesson that is told of may have no recording here.
            names = [info.id for info in known if info.state is LessonState.LIVE]
            asked, known = _published(asked), []
        places = [
            (_first(place, info.state), info)
            for info in known
            if claims.covers(info.id) and (place := rank(info, asked.query)) is not None
        ]
        # Each known lesson may push an archive down by one place.
        skipped = max(0, asked.offset - len(places))
        archived, total = self._catalogue.page(
            asked.query, lesson, names, asked.limit + len(places), skipped
        )
        durations = self._catalogue.durations(info.id for _, info in places)
        merged = merge(
            sorted(
                ((place, _entry(info, durations)) for place, info in places),
                key=lambda entry: entry[0],
            ),
            ((_first(place, ""), document) for place, document in archived),
            key=lambda entry: entry[0],
        )
        part = Listing(asked.query, asked.limit, asked.offset - skipped).part(list(merged))
        lessons = ", ".join(document for _, document in part)
        body = f'{{"lessons": [{lessons}], "total": {total + len(places)}}}'
        return body.encode(errors="replace"), behind

    def _keep_about(self, lesson: str) -> None:
        """Words about a lesson go beside its archive as soon as there is one."""
        info = self._lessons.info(lesson)
        directory = self._archives / lesson
        if info is None or info.state is LessonState.PLANNED or not directory.is_dir():
            return
        words = as_json(info)
        about = {name: words.get(name) for name in WORDS}
        # It is told again at each change: nothing waits for the disk here.
        if keep_about(self._archives, lesson, about, flushed=False):
            self.changed(lesson)

    def _keep_list(self, lesson: str) -> None:
        """The list of a lesson's materials is another one than at its end, perhaps."""
        late = self._lessons.late.of(lesson)
        if late is not None and keep_list(self._archives, late):
            self._catalogue.note(lesson)


def _published(asked: Listing) -> Listing:
    """What of it everybody may see."""
    states = frozenset({LessonState.PUBLISHED.value})
    if asked.query.states is not None:
        states &= asked.query.states
    return replace(asked, query=replace(asked.query, states=states))


def _first(place: Rank, state: str) -> tuple[bool, Rank]:
    """What can be joined now stands before everything."""
    return (state != LessonState.LIVE, place)


def _entry(info: LessonInfo, durations: dict[str, float | None]) -> str:
    """The JSON object of a lesson that is known. durations: those of archives that are here."""
    document = as_json(info)
    entry = {
        **document,
        "duration": durations.get(info.id) or document["recording"]["seconds"],
        "playable": info.id in durations,
    }
    return json.dumps(entry, ensure_ascii=False)


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
