"""Every page in every state that people meet, looked over by axe-core (WCAG 2.2 A and AA).

In both languages, on a small laptop or projector and on a phone. Findings that axe calls serious or
critical fail the test; what only a person can judge is not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from client_web import DIST
from tests.live.conftest import OpenBrowser
from tests.live.rig import Demo, until

AXE = Path(__file__).resolve().parents[2] / "client_web" / "node_modules/axe-core/axe.min.js"
LANGUAGES = ("vi", "en")
SIZES = ((1024, 768), (360, 740))
GRAVE = ("serious", "critical")


async def _context(browser: Browser) -> BrowserContext:
    # Nothing is half faded, whose contrast would be measured.
    context = await browser.new_context(reduced_motion="reduce")
    # The pages' content policy lets no script in from here; before the page begins it may.
    await context.add_init_script(path=AXE)
    return context


async def _look_over(page: Page, name: str) -> list[str]:
    """Grave findings on the page as it is now, in each language and size."""
    found: list[str] = []
    for language in LANGUAGES:
        await page.click(f".languages button[lang={language}]")
        for width, height in SIZES:
            await page.set_viewport_size({"width": width, "height": height})
            await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
            assert await page.evaluate("document.documentElement.lang") == language
            violations: list[dict[str, Any]] = await page.evaluate(
                "async () => (await axe.run({resultTypes: ['violations']})).violations"
            )
            for one in violations:
                if one["impact"] in GRAVE:
                    where = [node["target"] for node in one["nodes"]]
                    found.append(f"{name} {language} {width}: {one['id']} {where}: {one['help']}")
            wide = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wide > 0:
                found.append(f"{name} {language} {width}: wider than the screen by {wide} px")
    return found


async def test_pages_have_no_grave_barriers(demo: Demo, open_browser: OpenBrowser) -> None:
    found: list[str] = []
    teachers = await _context(await open_browser(teacher=True))
    others = await _context(await open_browser())

    home = await others.new_page()
    await home.goto(demo.central)
    found += await _look_over(home, "start page")
    for path in ("/teach", "/library"):
        await home.goto(demo.central + path)
        found += await _look_over(home, f"{path} without a link")
    await home.route("**/nowhere", lambda route: route.fulfill(path=DIST / "norelay.html"))
    await home.goto(f"{demo.central}/nowhere")
    found += await _look_over(home, "room without a relay")

    room = await others.new_page()
    await room.goto(demo.pages["room"])
    await until(room, stage="waiting")
    found += await _look_over(room, "room that waits")

    teacher = await teachers.new_page()
    await teacher.goto(demo.pages["teach"])
    await until(teacher, devices="ready", events="open")
    found += await _look_over(teacher, "teacher before the lesson")
    await teacher.click("button.go")
    await until(teacher, session="live", phase="live")
    found += await _look_over(teacher, "teacher in the lesson")

    await until(room, stage="watching")
    await room.mouse.move(10, 10)
    found += await _look_over(room, "room that watches")

    library = await others.new_page()
    await library.goto(demo.pages["library"])
    await library.wait_for_selector("a.entry", timeout=60_000)
    found += await _look_over(library, "library")
    await library.click("a.entry")
    await until(library, player="ready")
    found += await _look_over(library, "player")

    await teacher.click(f".languages button[lang={LANGUAGES[0]}]")
    await teacher.click("button.danger.big")
    found += await _look_over(teacher, "teacher asked whether to end")
    await teacher.click("button.danger.solid")
    await until(teacher, phase="ended")
    found += await _look_over(teacher, "teacher after the lesson")
    await until(room, stage="ended")
    found += await _look_over(room, "room after the lesson")
    assert found == []
