"""Single things on the pages: sound that a browser holds back, keys, a missing title, a known list.

Real system and Chromium. Lives here: what a person does or waits for once. Must not live here:
whole lessons (`test_lesson`), and what a page decides without a browser, which is tested beside the
pages.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright

from tests.live.conftest import OpenBrowser
from tests.live.rig import Demo, chromium, start_demo, state, until

SOUND_ON = "button.sound-on"
ASKED = f"document.querySelector('{SOUND_ON}') !== null"
PLAYS = "!document.querySelector('audio[data-slot=voice]').paused"
TITLE = ".studio .field input[type=text]"


async def _told(devtools: CDPSession, expression: str, wanted: Any, patience: float = 30.0) -> None:
    """Wait until the page answers `expression` with `wanted`, without touching it.

    Playwright's own questions count as presses of a person, after which sound is allowed.
    """
    seen: Any = None
    for _ in range(round(patience * 10)):
        answer = await devtools.send("Runtime.evaluate", {"expression": expression})
        seen = answer["result"].get("value")
        if seen == wanted:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{expression} is {seen!r}, not {wanted!r}")


async def _asked(page: Page, expression: str, wanted: Any, patience: float = 10.0) -> None:
    """Wait until the page answers `expression` with `wanted`."""
    seen: Any = None
    for _ in range(round(patience * 10)):
        seen = await page.evaluate(expression)
        if seen == wanted:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{expression} is {seen!r}, not {wanted!r}")


async def test_a_room_asks_for_a_press_only_when_there_is_a_voice_to_hear(
    demo: Demo, open_browser: OpenBrowser
) -> None:
    async with async_playwright() as playwright, chromium(playwright, autoplay=False) as browser:
        page = await browser.new_page()
        devtools = await page.context.new_cdp_session(page)
        await page.goto(demo.pages["room"])
        stage = "classroom.state.stage + ' ' + classroom.state.session"
        await _told(devtools, stage, "waiting live")
        await asyncio.sleep(2)
        await _told(devtools, ASKED, False)

        teacher = await (await open_browser(teacher=True)).new_page()
        await teacher.goto(demo.pages["teach"])
        await until(teacher, devices="ready", events="open")
        await teacher.click("button.go")
        await _told(devtools, stage, "watching live")
        await _told(devtools, ASKED, True)
        await _told(devtools, PLAYS, False)
        await page.click(SOUND_ON)
        await _told(devtools, PLAYS, True)
        await _told(devtools, ASKED, False)


async def test_the_players_keys_act_only_while_the_focus_is_in_it(
    tmp_path: Path, open_browser: OpenBrowser
) -> None:
    demo = await start_demo(tmp_path / "data", host=True)
    try:
        page = await (await open_browser()).new_page()
        await page.goto(demo.pages["library"])
        await page.click("a.entry", timeout=60_000)
        await until(page, player="ready")
        muted = "() => document.querySelector('.camera-picture video').muted"
        await page.focus(".languages button")
        for key in ("m", "k", "f"):
            playing = (await state(page))["playing"]
            await page.keyboard.press(key)
            await asyncio.sleep(0.3)
            assert not await page.evaluate(muted)
            assert (await state(page))["playing"] == playing
        assert await page.evaluate("() => document.fullscreenElement") is None

        await page.focus(".controls .button.primary")
        await page.keyboard.press("m")
        await _asked(page, muted, True)
        # A press on the picture brings the focus into the player, too.
        await page.focus(".languages button")
        await page.click(".stage")
        await page.keyboard.press("m")
        await _asked(page, muted, False)
        words = await page.inner_text(".player > .hint")
        assert all(key in words for key in (" K ", " M ", " F "))
    finally:
        await demo.stop()


async def test_a_list_that_the_browser_has_is_not_sent_again(
    demo: Demo, open_browser: OpenBrowser
) -> None:
    context = await (await open_browser()).new_context()
    answers: list[int | None] = []
    for _ in range(2):
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        requests: list[dict[str, Any]] = []
        statuses: dict[str, int] = {}
        devtools.on(
            "Network.requestWillBeSent", lambda event, requests=requests: requests.append(event)
        )
        devtools.on(
            "Network.responseReceivedExtraInfo",
            lambda event, statuses=statuses: statuses.update(
                {event["requestId"]: event["statusCode"]}
            ),
        )
        await devtools.send("Network.enable")
        await page.goto(demo.pages["library"])
        await until(page, lessons=0, total=0)
        (asked,) = [
            one["requestId"] for one in requests if "/api/lessons?" in one["request"]["url"]
        ]
        for _ in range(100):
            if asked in statuses:
                break
            await asyncio.sleep(0.1)
        answers.append(statuses.get(asked))
        await page.close()
    assert answers == [200, 304]


async def test_a_missing_title_is_told_at_its_field(demo: Demo, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(teacher=True)).new_page()
    await page.goto(demo.pages["teach"])
    await until(page, devices="ready", events="open")
    await page.locator(".lessons label.choice").last.click()
    await page.fill(TITLE, " ")
    field = page.locator(TITLE)
    assert await field.get_attribute("aria-invalid") == "true"
    told = await field.get_attribute("aria-describedby")
    assert await page.inner_text(f"#{told}") == "Hãy đặt tên cho buổi học."
    await page.fill(TITLE, "Định luật Ôm")
    assert await field.get_attribute("aria-describedby") is None
