"""`GET /api/lessons` of a relay over HTTP: lessons that run and archives in one list of pages."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from classroom.archive.manifest import Manifest
from classroom.tokens import ANY_LESSON, DEFAULT_RIGHTS, Claims, Role, Signer, generate_key
from classroom.wire import LessonInfo, LessonState, Recording
from relay.web.access import HTTP, Access
from relay.web.lan import VISITOR
from relay.web.lessons import KnownLessons
from relay.web.library import Library
from relay.web.problems import boundary

Client = TestClient[web.Request, web.Application]


class Rig:
    """A library behind HTTP; `ask` as a page asks."""

    def __init__(self, folder: Path) -> None:
        self.archives = folder / "archives"
        self.archives.mkdir()
        self.signer = Signer(generate_key())
        (folder / "keys.json").write_text(json.dumps(self.signer.jwks()))
        self.access = Access("http://127.0.0.1:9", folder / "keys.json")
        self.lessons = KnownLessons(folder / "lessons.msgpack")
        self.library = Library(self.access, self.lessons, self.archives)
        self.client: Client | None = None

    def archive(self, lesson: str, started_at: float, title: str = "") -> None:
        (self.archives / lesson).mkdir()
        manifest = Manifest(lesson, round(started_at * 1000), 8_000, True, ())
        (self.archives / lesson / "manifest.json").write_bytes(manifest.encode())
        about = {"title": title or lesson, "started_at": started_at}
        (self.archives / lesson / "about.json").write_text(json.dumps(about))

    def token(self, lesson: str) -> str:
        now = int(time())
        rights = frozenset(DEFAULT_RIGHTS[Role.VIEWER])
        claims = Claims("v", "V", Role.VIEWER, lesson, rights, now - 9, now + 999, "t")
        return self.signer.sign(claims)

    async def ask(
        self, lesson: str = ANY_LESSON, *, settled: bool = True, **query: Any
    ) -> dict[str, Any]:
        assert self.client is not None
        if settled:
            await self.library.settled()
        headers = {"Authorization": f"Bearer {self.token(lesson)}"}
        async with self.client.get("/api/lessons", params=query, headers=headers) as answer:
            assert answer.status == 200
            document: dict[str, Any] = await answer.json()
            return document

    async def ids(self, *asked: str, **query: Any) -> list[str]:
        return [entry["id"] for entry in (await self.ask(*asked, **query))["lessons"]]


def told(lesson: str, state: LessonState, **fields: Any) -> LessonInfo:
    return LessonInfo(lesson, lesson, "", state, False, (), 0, Recording(), **fields)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    app = web.Application(middlewares=[boundary])
    made.library.add_routes(app)
    async with aiohttp.ClientSession() as http:
        app[HTTP] = http
        await made.access.start(http)
        async with TestClient(TestServer(app)) as client:
            made.client = client
            yield made
    made.library.close()  # may be done twice


async def test_lessons_that_run_stand_first_and_others_where_their_date_puts_them(rig: Rig) -> None:
    for number in range(9):
        rig.archive(f"old-{number}", 100.0 + number)
    rig.lessons.told(
        [
            told("now", LessonState.LIVE, started_at=1.0),
            told("between", LessonState.PLANNED, started_at=None, planned_at=104.5),
            told("old-2", LessonState.PLANNED, started_at=None, planned_at=500.0),
        ]
    )
    order = ["now", "old-2", "old-8", "old-7", "old-6", "old-5", "between"]
    order += ["old-4", "old-3", "old-1", "old-0"]
    assert await rig.ids() == order
    for size in (1, 2, 3, 7):
        pages = [await rig.ask(limit=size, offset=start) for start in range(0, 14, size)]
        assert {page["total"] for page in pages} == {11}
        assert [entry["id"] for page in pages for entry in page["lessons"]] == order
    entries = {entry["id"]: entry for entry in (await rig.ask())["lessons"]}
    assert [entries[name]["playable"] for name in ("now", "old-2", "old-8")] == [False, True, True]


async def test_a_search_finds_both_and_a_link_for_one_lesson_shows_that_one(rig: Rig) -> None:
    rig.archive("vat-ly", 5.0, "Định luật Ôm")
    rig.archive("toan", 6.0, "Đường thẳng")
    rig.lessons.told([told("luat-giao-thong", LessonState.LIVE, started_at=7.0)])
    assert await rig.ids(q="luat") == ["luat-giao-thong", "vat-ly"]
    assert await rig.ids(q="luat", state="published") == ["vat-ly"]
    assert await rig.ids("toan") == ["toan"]
    assert await rig.ids("luat-giao-thong") == ["luat-giao-thong"]
    assert await rig.ids("toan", q="luat") == []


async def test_an_archive_is_listed_as_soon_as_it_is_there(rig: Rig) -> None:
    assert await rig.ids() == []
    running = asyncio.ensure_future(rig.library.run())
    rig.archive("vat-ly", 5.0)
    rig.archive("toan", 6.0)

    async with asyncio.timeout(30.0):
        for _ in itertools.count():
            if await rig.ids(settled=False) == ["toan", "vat-ly"]:
                break
    running.cancel()
    await asyncio.wait((running,))


async def test_words_about_a_lesson_are_kept_beside_its_archive_and_found_afterwards(
    rig: Rig,
) -> None:
    (rig.archives / "vat-ly").mkdir()
    (rig.archives / "vat-ly" / "journal.jsonl").write_text("")
    assert await rig.ids() == ["vat-ly"]
    rig.lessons.told([told("vat-ly", LessonState.LIVE, started_at=7.0)])
    rig.lessons.ended("vat-ly")
    [entry] = (await rig.ask(q="vat ly"))["lessons"]
    assert (entry["state"], entry["started_at"]) == ("ended", 7.0)


@pytest.mark.parametrize("torn", ['{"title": "Vậ'.encode()[:-1], b"", b"\0" * 80, b"[" * 5_000])
async def test_words_that_a_power_cut_tore_are_written_anew(rig: Rig, torn: bytes) -> None:
    (rig.archives / "vat-ly").mkdir()
    (rig.archives / "vat-ly" / "journal.jsonl").write_text("")
    (rig.archives / "vat-ly" / "about.json").write_bytes(torn)
    rig.lessons.told([told("vat-ly", LessonState.LIVE, started_at=7.0)])
    assert json.loads((rig.archives / "vat-ly" / "about.json").read_bytes())["started_at"] == 7.0


async def test_the_labels_to_choose_from_are_told_once_each(rig: Rig) -> None:
    labels = [("Toán", "9"), ("toan", "10"), ("Vật lý", "9"), (None, ""), ("TOÁN", None)]
    schools = ["Mường La", "muong la", None, "Trà Leng", ""]
    for number, ((subject, grade), school) in enumerate(zip(labels, schools, strict=True)):
        rig.archive(f"one-{number}", 5.0 + number)
        words = {"title": "x", "subject": subject, "grade": grade, "school": school}
        about = {**words, "started_at": 5.0 + number}
        (rig.archives / f"one-{number}" / "about.json").write_text(json.dumps(about))
    await rig.ids()
    assert rig.client is not None
    headers = {"Authorization": f"Bearer {rig.token(ANY_LESSON)}"}
    async with rig.client.get("/api/lessons/labels", headers=headers) as answer:
        assert await answer.json() == {
            "subjects": ["TOÁN", "Vật lý"],
            "grades": ["10", "9"],
            "schools": ["muong la", "Trà Leng"],
        }
    async with rig.client.get("/api/lessons/labels") as answer:
        assert answer.status == 401


async def test_a_visitor_is_shown_what_is_published_alone(rig: Rig) -> None:
    rig.access.visitors = lambda request, lesson: VISITOR
    rig.archive("vat-ly", 5.0)
    rig.archive("toan", 6.0)
    rig.archive("again", 7.0)
    (rig.archives / "cut-off").mkdir()
    (rig.archives / "cut-off" / "journal.jsonl").write_text("")
    rig.lessons.told(
        [
            told("again", LessonState.LIVE, started_at=9.0),
            told("toan", LessonState.ENDED, started_at=6.0),
            told("to-come", LessonState.PLANNED, started_at=None),
        ]
    )
    assert rig.client is not None
    await rig.library.settled()
    for state, expected in (("", ["toan", "vat-ly"]), ("ended,published", ["toan", "vat-ly"]),
                            ("live", [])):  # fmt: skip
        async with rig.client.get("/api/lessons", params={"state": state}) as answer:
            document = await answer.json()
        assert [entry["id"] for entry in document["lessons"]] == expected
        assert document["total"] == len(expected)
