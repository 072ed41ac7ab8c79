"""A pupil's tablet: finds a lesson without a link, keeps it, and plays it when the relay is gone.

Real Chromium against the relay's own parts over HTTP; localhost is as secure to it as https.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.live.conftest import OpenBrowser
from tests.live.rig import until
from tests.live.tablet import SAID, tablet_relay, write_lesson
from tests.live.test_replay import LESSON


async def test_a_lesson_is_kept_and_played_to_its_end_without_any_network(
    tmp_path: Path, open_browser: OpenBrowser
) -> None:
    write_lesson(tmp_path / "archives")
    browser = await open_browser()
    context = await browser.new_context()
    page = await context.new_page()
    async with tablet_relay(tmp_path) as relay:
        await page.goto(f"{relay.url}/library")
        await page.get_by_label("Tìm bài giảng").fill("dinh luat")
        await page.get_by_role("link", name="Định luật Ôm").click()
        await until(page, player="ready", playing=True)
        await page.get_by_label("Phụ đề").select_option("vi")
        await page.get_by_role("button", name="Lưu bài vào máy").click()
        await page.get_by_role("button", name="Lưu ", exact=False).click()
        await page.get_by_text("Xem được cả khi không có mạng").wait_for()
        await page.evaluate("navigator.serviceWorker.ready")
        # Browsers keep files for a while by themselves, and not for as long as lessons are kept.
        devtools = await context.new_cdp_session(page)
        await devtools.send("Network.clearBrowserCache")
        await relay.stop()
        async with aiohttp.ClientSession() as http:
            try:
                await http.get(relay.url)
                raise AssertionError("the relay still answers")
            except aiohttp.ClientConnectionError:
                pass
        # A tablet that was switched off: a new page, the browser's storage alone.
        await page.close()
        page = await context.new_page()
        await page.goto(f"{relay.url}/library")
        await page.get_by_text("Không có mạng").wait_for()
        await page.get_by_role("link", name="Định luật Ôm").click()
        await until(page, player="ready", playing=True)
        await until(page, kept=True, lesson=LESSON, caption=SAID)
        assert await page.locator(".caption").inner_text() == SAID
        await page.get_by_label("Tốc độ").select_option("2")
        await until(page, screen=True)
        await page.evaluate(
            """() => new Promise((done) => {
                const video = document.querySelector('.camera-picture video')
                if (video.ended) done(); else video.addEventListener('ended', done)
            })"""
        )
        # What it took is given back.
        await page.get_by_role("button", name="Xóa “Định luật Ôm” khỏi máy này").click()
        await page.get_by_role("button", name="Xóa", exact=True).click()
        await page.get_by_role("button", name="Lưu bài vào máy").wait_for()
        async with asyncio.timeout(10):
            await page.evaluate(
                """async () => {
                    while ((await caches.keys()).some((name) => name.startsWith('kept-')))
                        await new Promise((done) => setTimeout(done, 100))
                }"""
            )
