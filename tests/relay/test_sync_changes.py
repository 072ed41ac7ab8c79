"""What changes at a source after a lesson came: captions, copies, a lesson that went on.

Over HTTP, with the real parts on both sides, like test_sync.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from aiohttp import web

from classroom.archive import canonical
from relay.web.catalogue import Catalogue
from tests.eventually import eventually
from tests.fakes.archive_extras import add_extras
from tests.fakes.archives import Made, make, read
from tests.fakes.offering_relay import Handler, Relay, School
from tests.relay.test_sync import read_archive


async def test_captions_that_lie_are_not_kept(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    root = make(beats=1).write(parent.archives)
    words = b"WEBVTT\n\nMot"
    add_extras(root, {"vi": words}, beats=1)

    async def lying(request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if not request.path.endswith(".vtt"):
            return None
        tag = {"ETag": f'"{canonical.digest(words)}"'}
        return web.Response(status=206, body=bytes(len(words)), headers=tag)

    parent.mischief = lying
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.sync.counts["rubbish"])
            assert school.settled("toan-7")
        assert not (school.archives / "toan-7" / "captions" / "vi.vtt").exists()
        assert not (school.archives / "toan-7" / "extras.json").exists()


async def test_captions_and_copies_follow_and_are_replaced(tmp_path: Path) -> None:
    made = make(beats=3)
    parent = Relay(tmp_path / "parent")
    root = made.write(parent.archives)
    add_extras(root, {"vi": b"WEBVTT\n\nMot"}, beats=5)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await eventually(lambda: school.sync.progress()["state"] == "idle")
            await eventually(lambda: (school.archives / "toan-7" / "extras.json").exists())
            assert read_archive(school) == read(root)
            await eventually(lambda: school.sync.progress()["state"] == "idle")
        brought = len([path for path in parent.asked if "/aac-voice/" in path])
        assert brought == 6
        add_extras(root, {"en": b"WEBVTT\n\nOne", "vi": b"WEBVTT\n\nMot"}, beats=5)
        again = School(tmp_path / "school", [parent.url])
        async with again.fetching():
            await eventually(lambda: read_archive(again) == read(root))
        # What was here already was not asked for again.
        assert len([path for path in parent.asked if "/aac-voice/" in path]) == brought


def replace_archives(relay: Relay, beats: int) -> Made:
    """The lesson went on there: another manifest, and more of everything."""
    shutil.rmtree(relay.archives)
    relay.archives.mkdir()
    made = make(beats=beats)
    made.write(relay.archives)
    return made


async def test_the_library_is_told_of_a_lesson_that_went_on_at_its_source(tmp_path: Path) -> None:
    parent = Relay(tmp_path / "parent")
    folder = tmp_path / "school"
    catalogue = Catalogue(tmp_path / "library.sqlite3", folder / "archives")
    async with parent.running():
        for beats in (4, 6):
            replace_archives(parent, beats)

            def is_shown(seconds: float = 8.0 * beats) -> bool:
                while catalogue.look(1.0):
                    pass
                return catalogue.durations(["toan-7"]) == {"toan-7": seconds}

            school = School(folder, [parent.url])
            school.sync.queue.observe(catalogue.note)
            async with school.fetching():
                await eventually(is_shown)
    catalogue.close()


async def test_a_lesson_that_went_on_since_the_list_is_no_rubbish(tmp_path: Path) -> None:
    held, asked = asyncio.Event(), asyncio.Event()

    async def mischief(request: web.Request, handler: Handler) -> None:
        if request.path.endswith("manifest.json"):
            asked.set()
            await held.wait()
        elif request.path == "/api/offers" and held.is_set():
            await asked.wait()

    parent = Relay(tmp_path / "parent", mischief)
    make(beats=4).write(parent.archives)
    async with parent.running():
        school = School(tmp_path / "school", [parent.url])
        async with school.fetching():
            await asked.wait()
        made = replace_archives(parent, 6)
        held.set()
        asked.clear()
        again = School(tmp_path / "school", [parent.url])
        async with again.fetching():
            await eventually(lambda: again.settled("toan-7"))
            assert again.sync.counts["rubbish"] == 0
    assert read_archive(again) == made.files
