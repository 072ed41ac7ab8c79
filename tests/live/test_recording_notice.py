"""A teacher is told that the recording fails while the lesson goes on, and that it is well again.

Here: the whole system with two real browsers. A limit on the size of files, set from outside on
the service process, makes its writes fail as a full disk does; what the recorder makes of that is
in `test_recorder_disk`.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

from playwright.async_api import Page, expect

from tests.live.conftest import OpenBrowser
from tests.live.rig import Demo, stats, until

NOTICE = "section.notice.bad"
PATIENCE_MS = 30_000  # the relay's report, two busy cores


async def _open(open_browser: OpenBrowser, address: str, *, teacher: bool = False) -> Page:
    browser = await open_browser(teacher=teacher)
    page = await (await browser.new_context()).new_page()
    await page.goto(address)
    return page


async def _decoded(page: Page) -> int:
    entries = await stats(page, "inbound-rtp")
    return max(int(entry.get("framesDecoded", 0)) for entry in entries)


async def _pictures_come(page: Page, more: int) -> None:
    """Wait until the room decoded that many pictures more."""
    before = await _decoded(page)
    async with asyncio.timeout(20):
        while await _decoded(page) < before + more:  # noqa: ASYNC110 pictures tell no one
            await asyncio.sleep(0.1)


def _limit(process: int, choose: Callable[[int], int]) -> None:
    """Set how large a file of `process` may grow; choose: from the hard limit."""
    hard = resource.prlimit(process, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process, resource.RLIMIT_FSIZE, (choose(hard), hard))


async def test_a_teacher_is_told_of_a_full_disk_until_there_is_room(
    demo: Demo, open_browser: OpenBrowser
) -> None:
    teacher = await _open(open_browser, demo.pages["teach"], teacher=True)
    await until(teacher, devices="ready", events="open")
    await teacher.click("button.go")
    await until(teacher, session="live", phase="live")
    room = await _open(open_browser, demo.pages["room"])
    await until(room, stage="watching")
    notice = teacher.locator(NOTICE)
    await expect(notice).to_have_count(0)
    (service,) = [number for number, line in demo.processes().items() if "-m relay service" in line]
    _limit(service, lambda _: 2_000)
    await expect(notice).to_be_visible(timeout=PATIENCE_MS)
    words = await notice.inner_text()
    # Its own words, not the code of the wire.
    assert "disk-full" not in words
    assert len(words.split()) > 5
    await _pictures_come(room, 30)
    assert await notice.is_visible()
    _limit(service, lambda hard: hard)
    await expect(notice).to_have_count(0, timeout=PATIENCE_MS)
    await _pictures_come(room, 30)
    await until(teacher, session="live", phase="live")
