"""The room's screen through an outage: the last picture stays behind the words, and is never blank.

The media process is killed, so that the room's session is lost and made anew on other tracks; the
screen is photographed all the while. How a lesson's recording fares then is in `test_killed`.
"""

from __future__ import annotations

import asyncio
import io
from itertools import groupby
from pathlib import Path
from typing import cast

import av
import numpy as np
from playwright.async_api import Page

from tests.live.conftest import OpenBrowser
from tests.live.rig import start_demo, state, until

# The dimmed test picture has a contrast of about 6 (of 255); an empty screen has 0.
LEAST_CONTRAST = 3.0


async def _contrast(page: Page) -> float:
    """Standard deviation of the brightness above the card with the words, beside the badge."""
    image = await page.screenshot(clip={"x": 640, "y": 0, "width": 640, "height": 140})
    with av.open(io.BytesIO(image), "r") as container:
        frame = next(container.decode(video=0))
    assert isinstance(frame, av.VideoFrame)
    return float(
        np.std(
            cast("np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", frame.to_ndarray(format="gray"))
        )
    )


async def test_the_last_picture_stays_until_there_is_a_new_one(
    tmp_path: Path, open_browser: OpenBrowser
) -> None:
    demo = await start_demo(tmp_path / "data", host=True)
    try:
        browser = await open_browser()
        context = await browser.new_context(viewport={"width": 1280, "height": 720})
        page = await context.new_page()
        await page.goto(demo.pages["room"])
        await until(page, stage="watching")
        await page.wait_for_selector('video[data-slot="camera"]', state="visible")
        await asyncio.sleep(2)
        assert await _contrast(page) > LEAST_CONTRAST
        demo.kill("-m relay media")
        stages: list[str] = []
        contrasts: list[float] = []
        for _ in range(150):
            now = await state(page)
            stages.append(now["stage"])
            contrasts.append(await _contrast(page))
            if now["generation"] == 2 and stages[-20:] == ["watching"] * 20:
                break
            await asyncio.sleep(0.1)
        assert stages[-1] == "watching"
        assert {"reconnecting", "paused", "starting"} & set(stages)
        rounded = zip(stages, map(round, contrasts), strict=True)
        runs = [(one, len(list(same))) for one, same in groupby(rounded)]
        assert min(contrasts) > LEAST_CONTRAST, f"((stage, contrast), times): {runs}"
    finally:
        await demo.stop()
