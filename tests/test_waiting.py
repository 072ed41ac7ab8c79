"""What a test that does not end says about itself."""

from __future__ import annotations

import asyncio
import threading

from tests import waiting


async def _outer(event: asyncio.Event) -> None:
    await _inner(event)


async def _inner(event: asyncio.Event) -> None:
    await event.wait()


async def test_tasks_are_told_with_the_innermost_place_at_which_they_wait() -> None:
    event = asyncio.Event()
    task = asyncio.create_task(_outer(event), name="stuck")
    await asyncio.sleep(0)
    _, _, told = waiting.places().partition("task stuck:\n")
    names = [line.rpartition(" ")[2] for line in told.splitlines()[:3]]
    assert names == ["_outer", "_inner", "wait"]
    event.set()
    await task


def test_threads_are_told_without_a_loop() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="stuck")
    thread.start()
    told = waiting.places()
    go.set()
    thread.join()
    assert "thread stuck:\n" in told
    assert "wait" in told.partition("thread stuck:\n")[2]
