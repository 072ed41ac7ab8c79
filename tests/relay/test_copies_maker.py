"""Who looks after copies: what lacks them, waiting for lessons to end, a worker that dies."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from classroom.archive.extras import Captions, Extras
from relay.record.copies_maker import CopiesMaker, lacks_copies
from tests.eventually import eventually
from tests.relay.test_hls import GOLDEN, HEX


def archive(folder: Path, name: str = "toan-7-golden") -> Path:
    path = folder / name
    shutil.copytree(GOLDEN, path)
    return path


@asynccontextmanager
async def running(maker: CopiesMaker) -> AsyncIterator[None]:
    task = asyncio.ensure_future(maker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert maker.process is None


def test_an_archive_lacks_copies_until_somebody_looked_at_it_as_it_is(tmp_path: Path) -> None:
    path = archive(tmp_path)
    assert lacks_copies(path)
    captions = (Captions("vi", "Tiếng Việt", 9, HEX),)
    (path / "extras.json").write_bytes(Extras(path.name, "", captions).encode())
    assert lacks_copies(path)
    (path / "extras.json").write_bytes(Extras(path.name, HEX, captions).encode())
    assert not lacks_copies(path)
    later = (path / "extras.json").stat().st_mtime + 9
    os.utime(path / "manifest.json", (later, later))
    assert lacks_copies(path)
    (path / "manifest.json").unlink()
    assert not lacks_copies(path)


async def test_copies_are_made_of_what_was_there_and_of_what_is_finished(tmp_path: Path) -> None:
    first = archive(tmp_path)
    told: list[str] = []
    busy = True
    maker = CopiesMaker(tmp_path, is_busy=lambda: busy, made=told.append, look_seconds=0.01)
    async with running(maker):
        maker.add(first.name)
        await asyncio.sleep(0.05)
        assert maker.process is None
        busy = False
        await eventually(lambda: told)
    assert told == [first.name]
    assert not lacks_copies(first)
    assert (first / "aac-voice" / "0.m4s").exists()


async def test_a_worker_that_dies_is_told_of_and_the_next_lesson_goes_on(tmp_path: Path) -> None:
    broken, whole = archive(tmp_path, "broken"), archive(tmp_path)
    (broken / "manifest.json").write_text("{}")
    os.utime(broken, (2e9, 2e9))  # the newest goes first
    told: list[str] = []
    async with running(CopiesMaker(tmp_path, is_busy=lambda: False, made=told.append)):
        await eventually(lambda: told)
    assert told == [whole.name]


async def test_nothing_is_made_on_a_full_disk(tmp_path: Path) -> None:
    path = archive(tmp_path)
    maker = CopiesMaker(tmp_path, is_busy=lambda: False, floor_bytes=2**62)
    async with running(maker):
        await asyncio.sleep(0.1)
    assert lacks_copies(path)


async def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = archive(tmp_path)
    told: list[str] = []
    maker = CopiesMaker(tmp_path, is_busy=lambda: False, made=told.append, retry_seconds=0.01)
    with monkeypatch.context() as change:
        change.setattr("sys.executable", str(tmp_path / "nothing"))
        async with running(maker):
            await eventually(lambda: "copies-not-made" in caplog.text)
            change.undo()
            await eventually(lambda: told)
    assert told == [path.name]
