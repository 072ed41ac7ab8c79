"""Captions and copies over HTTP, beside the golden archive: as they are, and where they lie."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from classroom.archive.canonical import digest
from classroom.archive.extras import Captions, Extras
from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import RenditionManifest
from relay.cache.cache import Cache
from relay.web.archives import add_archive_routes
from relay.web.problems import boundary

GOLDEN = Path(__file__).parents[1] / "vectors" / "archive" / "toan-7-golden"
LESSON = "toan-7-golden"
VTT = "WEBVTT\n\n00:00.000 --> 00:02.000\nChào các em\n".encode()
SEGMENT, INIT = b"segment", b"init"


def write_extras(archive: Path) -> Extras:
    """Captions and an AAC voice of one made-up segment."""
    for directory, name, data in (
        ("captions", "vi.vtt", VTT),
        ("aac-voice", "init-0.mp4", INIT),
        ("aac-voice", "0.m4s", SEGMENT),
    ):
        (archive / directory).mkdir(exist_ok=True)
        (archive / directory / name).write_bytes(data)
    init = Init("aac-voice", 0, "mp4a.40.2", 0, 0, 1, len(INIT), digest(INIT), "opus")
    segment = Segment("aac-voice", 0, 0, 0, 0, 0, 48_000, 47, len(SEGMENT), digest(SEGMENT))
    extras = Extras(
        LESSON,
        digest((archive / "manifest.json").read_bytes()),
        (Captions("vi", "Tiếng Việt", len(VTT), digest(VTT)),),
        (RenditionManifest("aac-voice", 48_000, (init,), (segment,), ()),),
    )
    (archive / "extras.json").write_bytes(extras.encode())
    return extras


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    shutil.copytree(GOLDEN, tmp_path / LESSON)

    async def authorize(request: web.Request, lesson: str) -> None:
        """Everybody may."""

    app = web.Application(middlewares=[boundary])
    add_archive_routes(app, Cache(tmp_path, tmp_path / "cache.json", root=True), authorize)
    async with TestClient(TestServer(app)) as client:
        yield client


Client = TestClient[web.Request, web.Application]


async def text(http: Client, name: str) -> tuple[int, str]:
    async with http.get(f"/archives/{LESSON}/{name}") as answer:
        return answer.status, await answer.text()


async def test_captions_and_copies_are_served(http: Client, tmp_path: Path) -> None:
    assert (await text(http, "extras.json"))[0] == 404
    extras = write_extras(tmp_path / LESSON)
    assert await text(http, "extras.json") == (200, extras.encode().decode())
    async with http.get(f"/archives/{LESSON}/extras.json") as answer:
        # Digests of a lesson's copies take a weak link long enough when packed.
        assert answer.headers["Content-Encoding"] in ("gzip", "deflate")
    status, master = await text(http, "master.m3u8?play=mp4a")
    assert (status, master.count("aac-voice.m3u8"), master.count("captions/vi.m3u8")) == (200, 1, 1)
    assert "vi.vtt" in (await text(http, "captions/vi.m3u8"))[1]
    async with http.get(f"/archives/{LESSON}/captions/vi.vtt") as answer:
        assert (await answer.read(), answer.content_type) == (VTT, "text/vtt")
        # They may be corrected later, under the same name.
        assert answer.headers["Cache-Control"] == "no-cache"
        tag = answer.headers["ETag"]
    known = {"If-None-Match": tag}
    async with http.get(f"/archives/{LESSON}/captions/vi.vtt", headers=known) as answer:
        assert answer.status == 304
    assert "aac-voice/0.m4s" in (await text(http, "aac-voice.m3u8"))[1]
    assert await text(http, "aac-voice/0.m4s") == (200, "segment")
    async with http.get(f"/archives/{LESSON}/aac-voice/init-0.mp4") as answer:
        assert answer.headers["Content-Type"] == "audio/mp4"


async def test_what_extras_do_not_name_is_not_served(http: Client, tmp_path: Path) -> None:
    archive = tmp_path / LESSON
    write_extras(archive)
    (archive / "captions" / "en.vtt").write_bytes(VTT)
    (archive / "aac-voice" / "1.m4s").write_bytes(b"stray")
    for name in ("captions/en.vtt", "captions/en.m3u8", "aac-voice/1.m4s", "captions/..%2Fx.json",
                 "h264-camera.m3u8", "h264-camera/0.m4s", "captions/vi.vtt.tmp"):  # fmt: skip
        assert (await text(http, name))[0] == 404, name
    (archive / "captions" / "vi.vtt").unlink()
    # Named, and not here yet.
    assert (await text(http, "captions/vi.vtt"))[0] == 503


@pytest.mark.parametrize("fault", ["torn", "foreign", "older"])
async def test_extras_that_lie_or_are_out_of_date_do_not_count(
    http: Client, tmp_path: Path, fault: str
) -> None:
    archive = tmp_path / LESSON
    extras = write_extras(archive)
    changed = {
        "torn": extras.encode()[:-40],
        "foreign": replace(extras, lesson="van-8").encode(),
        "older": replace(extras, manifest="f" * 64).encode(),
    }[fault]
    assert "aac-voice" in (await text(http, "master.m3u8"))[1]
    (archive / "extras.json").write_bytes(changed + (b"\n" if fault == "older" else b""))
    status, master = await text(http, "master.m3u8")
    assert (status, "aac-voice" in master) == (200, False)
    # Captions of a lesson that went on are right as far as they go.
    assert ("captions" in master) is (fault == "older")
