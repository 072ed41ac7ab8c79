"""The live tests' own instruments: what the fake camera shows and the fake microphone says is
read back from a page exactly, through a real encoder, network stack and decoder of Chromium.

If these fail, no other live test about pictures or voice can be believed.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator

from aiohttp import web

from tests import media
from tests.live.conftest import OpenBrowser
from tests.live.rig import hear, watch

PAGE = """<!doctype html><video id="shown" autoplay playsinline></video><script>
window.ready = (async () => {
    const stream = await navigator.mediaDevices.getUserMedia({
        video: {width: 1280, height: 720},
        audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}})
    const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()]
    near.onicecandidate = (event) => event.candidate && far.addIceCandidate(event.candidate)
    far.onicecandidate = (event) => event.candidate && near.addIceCandidate(event.candidate)
    far.ontrack = (event) => { document.getElementById('shown').srcObject = event.streams[0] }
    for (const track of stream.getTracks()) near.addTrack(track, stream)
    await near.setLocalDescription()
    await far.setRemoteDescription(near.localDescription)
    await far.setLocalDescription()
    await near.setRemoteDescription(far.localDescription)
})()
</script>"""


@contextlib.asynccontextmanager
async def _served(page: str) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_footage_and_speech_come_back_as_they_were_sent(open_browser: OpenBrowser) -> None:
    browser = await open_browser(teacher=True)
    async with _served(PAGE) as address:
        page = await browser.new_page()
        await page.goto(address)
        await page.evaluate("window.ready")
        await page.wait_for_function("document.getElementById('shown').videoWidth > 0")
        shown = await watch(page, "#shown", 3)
        heard = await hear(page, "#shown", 4)

    numbers = [picture.number for picture in shown if picture.number is not None]
    assert len(numbers) >= 0.9 * len(shown) > 20
    steps = [(after - before) % 150 for before, after in itertools.pairwise(numbers)]
    assert 0.8 * len(steps) <= steps.count(1)
    matches = media.match_speech(heard, media.voice_samples())
    assert matches
    assert max(match.likeness for match in matches) > 0.8
