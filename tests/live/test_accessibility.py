"""Every page in every state that people meet, looked over by axe-core (WCAG 2.2 A and AA).

In both languages, on a small laptop or projector and on a phone. Findings that axe calls serious or
critical fail the test; what only a person can judge is not here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, WebSocketRoute

from classroom import wire
from client_web import DIST
from tests.live.conftest import OpenBrowser
from tests.live.rig import Demo, state, until

AXE = Path(__file__).resolve().parents[2] / "client_web" / "node_modules/axe-core/axe.min.js"
LANGUAGES = ("vi", "en")
SIZES = ((1024, 768), (360, 740))
GRAVE = ("serious", "critical")
ICON = DIST / "app" / "icon-192.png"


async def _context(browser: Browser) -> BrowserContext:
    # Nothing is half faded, whose contrast would be measured.
    context = await browser.new_context(reduced_motion="reduce")
    # The pages' content policy lets no script in from here; before the page begins it may.
    await context.add_init_script(path=AXE)
    return context


class _Line:
    """The events of a page, of which those of one kind come from the test alone.

    The server tells of that kind when it likes, which would end the state that is looked at.
    """

    def __init__(self, own: type[wire.Message]) -> None:
        self._own = own
        self._open: list[WebSocketRoute] = []

    async def tap(self, page: Page) -> None:
        await page.route_web_socket("**/events?*", self._pass_on)

    def _pass_on(self, route: WebSocketRoute) -> None:
        def from_server(raw: str | bytes) -> None:
            assert isinstance(raw, bytes)
            if not isinstance(wire.decode(raw), self._own):
                route.send(raw)

        route.connect_to_server().on_message(from_server)
        self._open.append(route)

    def say(self, message: wire.Message) -> None:
        self._open[-1].send(wire.encode(message))


async def _look_over(
    page: Page, name: str, over: Callable[[], Awaitable[object]] | None = None
) -> list[str]:
    """Grave findings on the page as it is now, in each language and size.

    over: opens what is to be looked at over the page, where nothing beneath it can be pressed.
    """
    found: list[str] = []
    for language in LANGUAGES:
        await page.click(f".languages button[lang={language}]")
        if over is not None:
            await over()
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
        if over is not None:
            await page.keyboard.press("Escape")
    return found


async def _open_materials(page: Page) -> None:
    await page.click("button[aria-haspopup=dialog]")
    await page.wait_for_selector("dialog.materials .materials-list")


async def _open_picture(page: Page) -> None:
    await page.click(f".materials-list button:has-text('{ICON.name}')")
    await page.wait_for_selector("dialog.materials img")


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

    await home.goto(f"{demo.relay}/status")
    await home.wait_for_selector(".facts")
    found += await _look_over(home, "status of a relay")

    room, to_room = await others.new_page(), _Line(wire.Rung)
    await to_room.tap(room)
    await room.goto(demo.pages["room"])
    await until(room, stage="waiting")
    found += await _look_over(room, "room that waits")

    teacher, to_teacher = await teachers.new_page(), _Line(wire.Rooms)
    await to_teacher.tap(teacher)
    await teacher.goto(demo.pages["teach"])
    await until(teacher, devices="ready", events="open")
    files = [ICON, DIST / "app" / "icon-512.png"]
    await teacher.set_input_files("input[type=file]", files)
    await teacher.wait_for_function(
        "() => document.querySelectorAll('.given .files li:not(.sending)').length === 2"
    )
    await until(room, materials=2)
    found += await _look_over(room, "materials of a room", lambda: _open_materials(room))

    async def open_both() -> None:
        await _open_materials(room)
        await _open_picture(room)

    found += await _look_over(room, "picture of a room", open_both)
    found += await _look_over(teacher, "teacher before the lesson")
    await teacher.click("button.go")
    await until(teacher, session="live", phase="live")
    lesson = (await state(teacher))["lesson"]
    weak = wire.RoomRung("room-1", "Lớp 9A, Trà Leng", wire.RungName.STILLS, "link", 1e9)
    to_teacher.say(wire.Rooms(lesson, True, (weak,), ()))
    await teacher.click("details.classes summary")
    found += await _look_over(teacher, "teacher in the lesson")

    await until(room, stage="watching")
    await room.mouse.move(10, 10)
    to_room.say(wire.Rung(lesson, wire.RungName.SMALL, "loss", 1e9, 3e5, 0.03, 0.3, 800))
    await until(room, rung="small", playout=800)
    await room.wait_for_selector(".badge[data-rung=small]", state="visible")
    found += await _look_over(room, "room that watches")

    library = await others.new_page()
    await library.goto(demo.pages["library"])
    await library.wait_for_selector("a.entry", timeout=60_000)
    found += await _look_over(library, "library")
    await library.click("a.entry")
    await until(library, player="ready")
    await library.wait_for_selector(".materials-list")
    found += await _look_over(library, "player")
    found += await _look_over(library, "picture over the player", lambda: _open_picture(library))

    await teacher.click(f".languages button[lang={LANGUAGES[0]}]")
    await teacher.click("button.danger.big")
    found += await _look_over(teacher, "teacher asked whether to end")
    await teacher.click("button.danger.solid")
    await until(teacher, phase="ended")
    found += await _look_over(teacher, "teacher after the lesson")
    await until(room, stage="ended")
    found += await _look_over(room, "room after the lesson")
    assert found == []
