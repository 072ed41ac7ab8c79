"""Fixtures of the live tests: the whole system, and Chromium as teacher and as room.

Lives here: starting and stopping only. Must not live here: what tests assert, or helpers (`rig`).
Everything is made anew for each test and must be gone after it; a process left behind fails it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.live.rig import Demo, chromium, start_demo

OpenBrowser = Callable[..., Awaitable[Browser]]


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """Control plane and root relay, with a lesson that nobody publishes yet."""
    running = await start_demo(tmp_path / "data")
    try:
        yield running
    finally:
        await running.stop()


@pytest_asyncio.fixture
async def open_browser() -> AsyncIterator[OpenBrowser]:
    """`await open_browser(teacher=True)`: Chromium, closed when the test ends."""
    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())

        async def open_one(*, teacher: bool = False, arguments: tuple[str, ...] = ()) -> Browser:
            return await stack.enter_async_context(
                chromium(playwright, teacher=teacher, arguments=arguments)
            )

        yield open_one
