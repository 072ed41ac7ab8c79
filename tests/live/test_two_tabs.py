"""One teacher, two tabs of a browser: the lesson is in one of them, and goes over only by a press.

Real relay, control plane and Chromium. What a page does with a relay's refusals in general is
tested beside the pages.
"""

from __future__ import annotations

import asyncio

from playwright.async_api import Browser, Page

from tests.live.conftest import OpenBrowser
from tests.live.rig import Demo, state, until

RUNNING = 'label.choice:has-text("Đang diễn ra")'
TEACH_HERE = "main .button.primary"


async def _calm(page: Page, seconds: float = 12.0) -> None:
    """The page keeps its state for so long: longer than a session needs to be made anew."""
    before = await state(page)
    for _ in range(round(seconds)):
        await asyncio.sleep(1)
        now = await state(page)
        assert (now["phase"], now["generation"]) == (before["phase"], before["generation"])


async def _room(browser: Browser, demo: Demo) -> Page:
    page = await browser.new_page()
    await page.goto(demo.pages["room"])
    await until(page, stage="watching")
    return page


async def test_a_lesson_stays_in_the_tab_that_took_it_over(
    demo: Demo, open_browser: OpenBrowser
) -> None:
    context = await (await open_browser(teacher=True)).new_context()
    first = await context.new_page()
    await first.goto(demo.pages["teach"])
    await until(first, devices="ready", events="open")
    await first.click("button.go")
    await until(first, session="live", phase="live")
    lesson = (await state(first))["lesson"]
    room = await _room(await open_browser(), demo)

    # Another tab does not take the lesson by being opened.
    second = await context.new_page()
    await second.goto(demo.pages["teach"])
    await until(second, devices="ready", events="open")
    await asyncio.sleep(3)
    assert (await state(second))["phase"] == "preparing"
    assert (await state(first))["phase"] == "live"

    # By a press it does, and the first page does not fight for it.
    await second.locator(RUNNING).click()
    await second.click("button.go")
    await until(second, session="live", phase="live", lesson=lesson)
    await until(first, phase="elsewhere", devices="idle")
    await asyncio.gather(_calm(first), _calm(second))
    await until(room, stage="watching")
    words = await first.inner_text("main")
    assert "Buổi học đang được dạy ở trang khác" in words

    # A reload goes on where the lesson is, and only there.
    await first.reload()
    await until(first, devices="ready", events="open")
    await second.reload()
    await until(second, session="live", phase="live", lesson=lesson)
    assert (await state(first))["phase"] == "preparing"

    # And back: the page that lost it takes it again.
    await first.locator(RUNNING).click()
    await first.click("button.go")
    await until(second, phase="elsewhere")
    await second.click(TEACH_HERE)
    await until(second, session="live", phase="live")
    await until(first, phase="elsewhere")
    await _calm(second)
    await until(room, stage="watching")
