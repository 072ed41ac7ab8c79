"""A teacher behind a weak link of their own: large layers go first, the voice stays, words say so.

A real browser teaches over an emulated uplink; a room beside the servers has what arrives. Not
here: how the words are found from statistics (client_web's own tests).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page, async_playwright

from tests import needs
from tests.link import WeakLink, joined
from tests.link_model import Direction
from tests.link_presets import Link
from tests.live.networks import SERVERS
from tests.live.rig import chromium, start_demo, stats, until

# The voice with its redundancy takes about 85 of the first; the smallest pictures 130 beside it.
UPLINK = 260e3
NARROW = 90e3
_DOWN = Direction(2e6, 0.1)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A teacher behind `weak`, and a room that has no weak link."""

    teacher: Page
    room: Page
    weak: WeakLink


@asynccontextmanager
async def _lesson(folder: Path, uplink: Direction) -> AsyncIterator[Lesson]:
    program = needs.find(needs.CHROMIUM)
    assert program is not None
    # The link's up direction is that of the teacher, who stands where rooms do elsewhere.
    link = Link("a teacher's own", _DOWN, uplink)
    async with joined(link) as weak, async_playwright() as playwright:
        demo = await start_demo(folder / "data", enter=weak.servers.enter)
        try:
            # Pages call the servers by their own names, which mean another machine over there.
            elsewhere = f"--host-resolver-rules=MAP * {SERVERS}"
            for name in ("teacher", "room"):
                (folder / name).mkdir()
            async with (
                chromium(
                    playwright,
                    teacher=True,
                    program=weak.room.program(program, folder / "teacher"),
                    arguments=(elsewhere,),
                ) as theirs,
                chromium(
                    playwright, program=weak.servers.program(program, folder / "room")
                ) as beside,
            ):
                teacher, room = await theirs.new_page(), await beside.new_page()
                await teacher.goto(demo.pages["teach"])
                await until(teacher, patience=60.0, devices="ready", events="open")
                await teacher.click("button.go")
                await until(teacher, patience=60.0, session="live", phase="live")
                await room.goto(demo.pages["room"])
                await until(room, patience=60.0, stage="watching")
                yield Lesson(teacher, room, weak)
        finally:
            await demo.stop()
            shutil.rmtree(folder / "data", ignore_errors=True)


async def _frames(teacher: Page) -> dict[str, int]:
    """Pictures sent so far by RID."""
    return {
        entry["rid"]: int(entry.get("framesSent", 0))
        for entry in await stats(teacher, "outbound-rtp")
        if entry["kind"] == "video" and entry.get("mid") == "1" and "rid" in entry
    }


async def _voice(room: Page) -> tuple[float, float]:
    """Samples so far, and those of them that were made up."""
    entry = next(one for one in await stats(room, "inbound-rtp") if one["kind"] == "audio")
    return entry["totalSamplesReceived"], entry["concealedSamples"]


async def _concealed(room: Page, seconds: float) -> float:
    before = await _voice(room)
    await asyncio.sleep(seconds)
    after = await _voice(room)
    return (after[1] - before[1]) / (after[0] - before[0])


async def _long_packets(teacher: Page) -> None:
    """Wait until the voice leaves in 17 packets a second instead of 50."""

    async def sent() -> tuple[float, int]:
        entry = next(one for one in await stats(teacher, "outbound-rtp") if one["kind"] == "audio")
        return entry["timestamp"] / 1e3, entry["packetsSent"]

    before = await sent()
    for _ in range(20):
        await asyncio.sleep(2.0)
        now = await sent()
        rate = (now[1] - before[1]) / (now[0] - before[0])
        if 10.0 < rate < 20.0:
            return
        before = now
    raise AssertionError(f"{rate:.1f} packets a second")


async def test_large_layers_go_first_and_the_voice_stays(tmp_path: Path) -> None:
    async with _lesson(tmp_path, Direction(UPLINK, 0.1, loss=0.01)) as lesson:
        await until(lesson.teacher, patience=60.0, uplink="weak")
        assert await lesson.teacher.locator(".notice.info").is_visible()
        before = await _frames(lesson.teacher)
        concealed = await _concealed(lesson.room, 10.0)
        after = await _frames(lesson.teacher)
        assert concealed < 0.02
        assert after["f"] - before["f"] < 10
        assert after["q"] - before["q"] > 40
        heights = [
            entry.get("frameHeight", 0)
            for entry in await stats(lesson.room, "inbound-rtp")
            if entry["kind"] == "video"
        ]
        assert max(heights) in (180, 360)
        # A full voice does not fit beside the smallest pictures now: its packets grow to 60 ms.
        await lesson.weak.become(Link("narrow", _DOWN, Direction(NARROW, 0.1, loss=0.01)))
        await _long_packets(lesson.teacher)
        await asyncio.sleep(6.0)
        assert await _concealed(lesson.room, 8.0) < 0.02
        # The link is well again: so is the picture, and the words go.
        await lesson.weak.become(Link("well", _DOWN, Direction(6e6, 0.02)))
        await until(lesson.teacher, patience=90.0, uplink="good")
        assert (await _frames(lesson.teacher))["f"] > after["f"]
