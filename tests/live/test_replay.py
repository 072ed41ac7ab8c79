"""Archives over HTTP and in real Chromium with hls.js: what was recorded plays, at its right time.

Lessons are composed from real encoders and recorded by the real recorder, without a network; the
page is the smallest that plays. The library's own page has its tests elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page
from yarl import URL

from classroom.archive.canonical import digest
from classroom.archive.manifest import Manifest
from classroom.errors import Refused
from relay.cache.cache import Cache
from relay.record.cmaf_read import scan
from relay.record.feed import End, Record
from relay.record.lesson import LessonRecorder
from relay.record.store import LessonStore
from relay.web.archives import add_archive_routes
from relay.web.problems import boundary
from tests.fakes.rtp_media import EPOCH, Sender, encode_video, encode_voice, numbered, track
from tests.live.conftest import OpenBrowser

LESSON = "toan-7"
HLS = Path(__file__).parents[2] / "client_web" / "node_modules" / "hls.js" / "dist" / "hls.min.js"
RATE = 15
PAGE = """<!doctype html><video id=v muted></video><script src=/hls.js></script><script>
const v = document.getElementById('v'); window.errors = []
window.load = (source) => new Promise((resolve, reject) => {
  const hls = window.hls = new Hls({ startPosition: 0, enableWorker: false, maxBufferLength: 120 })
  // A seek ends what was being loaded for the place that it leaves; hls.js tells of that, too.
  const ours = Hls.ErrorDetails.INTERNAL_ABORTED
  hls.on(Hls.Events.ERROR, (name, { details }) => details === ours || window.errors.push(details))
  v.addEventListener('loadeddata', resolve, { once: true })
  hls.loadSource(source); hls.attachMedia(v)
})
window.seek = (time) => new Promise((resolve) => {
  v.addEventListener('seeked', resolve, { once: true }); v.currentTime = time
})
window.corner = () => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 8
  const context = canvas.getContext('2d')
  context.drawImage(v, 0, 0, 8, 8, 0, 0, 8, 8)
  const pixels = context.getImageData(0, 0, 8, 8).data
  let sum = 0; for (let i = 0; i < pixels.length; i += 4) sum += pixels[i + 1]
  return sum / 64
}
const isWhole = () => {
  const { buffered } = v, last = buffered.length - 1
  if (last < 0) return false
  return buffered.start(last) <= v.currentTime && buffered.end(last) > v.duration - 1
}
window.playToEnd = (rate) => new Promise((resolve) => {
  v.addEventListener('ended', resolve, { once: true }); v.playbackRate = rate
  // So fast a busy machine brings it no sooner than it is played; that is not looked at here.
  const begin = () => isWhole() ? v.play() : setTimeout(begin, 20)
  begin()
})
</script>"""

# (source, rid, codec, start, seconds, publisher, width, height)
Part = tuple[str, str | None, str, float, int, int, int, int]


def compose(parts: list[Part]) -> list[Record]:
    timed: list[tuple[float, int, list[Record]]] = []
    for number, (source, rid, codec, start, seconds, epoch, width, height) in enumerate(parts, 1):
        sender = Sender(track(number, source, codec, rid=rid, epoch=epoch), ssrc=number)
        timed.append((start - 0.002, 0, [sender.track, sender.sync(start)]))
        if source == "voice":
            for n, data in enumerate(encode_voice(seconds * 50)):
                at = start + n / 50
                arrival = EPOCH + at + 0.05
                timed.append((at, 1, [*sender.packets([data], sender.timestamp(at), arrival)]))
        else:
            frames = encode_video(codec, seconds * RATE, 2 * RATE, width, height, RATE)
            for n, frame in enumerate(frames):
                at = start + n / RATE
                timed.append((at, 1, [*sender.frame(frame, at)]))
        timed.append((start + seconds, 2, [End(number, "left")]))
    timed.sort(key=lambda item: item[:2])
    return [record for _, _, records in timed for record in records]


def write(archives: Path, parts: list[Part], *, finish: bool = True) -> None:
    store = LessonStore(archives, LESSON)
    recorder = LessonRecorder(LESSON, beat_ms=8_000, hold=2.0, stored=store.stored)
    for sequence, record in numbered(compose(parts)):
        recorder.receive("feed", sequence, record)  # type: ignore[arg-type]  # no Hello in it
    if finish:
        recorder.finish(EPOCH + 1_000)
    store.commit(recorder.take_actions())
    store.close()


@asynccontextmanager
async def served(archives: Path) -> AsyncIterator[str]:
    """The archives, a page that plays them, and hls.js; gives the base URL."""

    async def authorize(request: web.Request, lesson: str) -> None:
        if request.query.get("token") == "wrong":
            raise Refused(403, "right-missing", "This link may not replay.", fix="Ask for one.")

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers=open_policy)

    async def player(request: web.Request) -> web.FileResponse:
        return web.FileResponse(HLS, headers=open_policy)

    open_policy = {"Content-Security-Policy": "default-src * 'unsafe-inline' blob: data:"}
    app = web.Application(middlewares=[boundary])
    add_archive_routes(app, Cache(archives, archives / "cache.json", root=True), authorize)
    app.router.add_get("/", page)
    app.router.add_get("/hls.js", player)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def number_shown(brightness: float) -> int:
    """The number of the picture (modulo 256/3) from the brightness of its corner."""
    return round((brightness / 255 * 219 + 16 - 10.5) / 3)


async def shows(page: Page, number: float, time: float) -> None:
    """Wait until the picture with this number stands there. A browser on a busy machine says that
    it has sought while it still draws what it decoded on the way."""
    seen: list[int] = []
    for _ in range(40):
        seen.append(number_shown(await page.evaluate("corner()")))
        if abs(seen[-1] - number) <= 1.1:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(
        f"at {time} s picture {number:.1f} is never shown, but {sorted(set(seen))}"
    )


async def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(
        """() => ({ duration: v.duration, ended: v.ended, width: v.videoWidth, errors,
            start: v.buffered.start(0), end: v.buffered.end(0), ranges: v.buffered.length,
            frames: v.getVideoPlaybackQuality().totalVideoFrames })"""
    )
    return found


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
async def test_a_recording_plays_to_its_end(
    codec: str, tmp_path: Path, open_browser: OpenBrowser
) -> None:
    write(
        tmp_path,
        [("voice", None, "opus", 0, 20, 0, 0, 0), ("camera", "f", codec, 0.4, 20, 0, 320, 192)],
    )
    browser = await open_browser()
    async with served(tmp_path) as base:
        page = await browser.new_page()
        await page.goto(base)
        await page.evaluate(f"load('/archives/{LESSON}/master.m3u8?token=t')")
        await page.evaluate("playToEnd(8)")
        found = await state(page)
    assert found["duration"] == pytest.approx(20.4, abs=0.001)
    assert (found["ended"], found["width"], found["errors"]) == (True, 320, [])
    assert (found["start"], found["ranges"]) == (0, 1)


async def test_camera_and_screen_stand_at_their_times(
    tmp_path: Path, open_browser: OpenBrowser
) -> None:
    """The screen is shared from 10 s to 20 s. Each picture carries its number in its corner."""
    write(
        tmp_path,
        [
            ("voice", None, "opus", 0, 30, 0, 0, 0),
            ("camera", "f", "h264", 0.4, 30, 0, 320, 192),
            ("screen", None, "vp9", 10.0, 10, 0, 320, 192),
        ],
    )
    browser = await open_browser()
    async with served(tmp_path) as base:
        for source, start in (("master", 0.4), ("screen", 10.0)):
            page = await browser.new_page()
            await page.goto(base)
            await page.evaluate(f"load('/archives/{LESSON}/{source}.m3u8')")
            # A seek into the time before anything was shown, and from there into it.
            for time, number in ((start / 2, 0), (start + 2.02, 30), (start + 3.02, 45), (2.0, 0)):
                await page.evaluate(f"seek({time})")
                if time >= start and number:
                    assert abs(number_shown(await page.evaluate("corner()")) - number) <= 1
            assert (await state(page))["errors"] == []


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
async def test_what_a_large_layer_lacks_is_shown_by_a_smaller_one(
    codec: str, tmp_path: Path, open_browser: OpenBrowser
) -> None:
    """A player that was set to the large pictures sees them move from the first moment on, though
    these were paused for 11 s, and once more in the middle."""
    write(
        tmp_path,
        [
            ("voice", None, "opus", 0, 40, 0, 0, 0),
            ("camera", "q", codec, 0.0, 40, 0, 160, 96),
            ("camera", "f", codec, 0.4, 1, 0, 320, 192),
            ("camera", "f", codec, 12.2, 11, 0, 320, 192),
            ("camera", "f", codec, 32.3, 8, 0, 320, 192),
        ],
    )
    browser = await open_browser()
    async with served(tmp_path) as base:
        page = await browser.new_page()
        await page.goto(base)
        await page.evaluate(f"load('/archives/{LESSON}/master.m3u8?only=voice,camera-f')")
        for time, began, width in (
            (0.72, 0.0, 160),
            (5.02, 0.0, 160),
            (12.02, 0.0, 160),
            (18.02, 12.2, 320),
            (30.02, 0.0, 160),
            (34.02, 32.3, 320),
            (3.02, 0.0, 160),
        ):
            await page.evaluate(f"seek({time})")
            expected = int((time - began) * RATE) * 3 % 256 / 3
            await shows(page, expected, time)
            assert (await state(page))["width"] == width, time
        await page.evaluate("seek(0)")
        await page.evaluate("playToEnd(8)")
        found = await state(page)
    assert (found["ended"], found["errors"], found["ranges"]) == (True, [], 1)
    assert found["end"] == pytest.approx(40.3, abs=0.05)


async def test_a_publisher_that_came_back_otherwise_plays_through(
    tmp_path: Path, open_browser: OpenBrowser
) -> None:
    """Another codec and size after 30 s of absence, then a voice alone."""
    write(
        tmp_path,
        [
            ("voice", None, "opus", 0, 10, 0, 0, 0),
            ("camera", "f", "h264", 0.4, 9, 0, 320, 192),
            ("voice", None, "opus", 40, 10, 1, 0, 0),
            ("camera", "f", "vp9", 40.2, 9, 1, 160, 96),
            ("voice", None, "opus", 52, 6, 2, 0, 0),
        ],
    )
    browser = await open_browser()
    async with served(tmp_path) as base:
        page = await browser.new_page()
        await page.goto(base)
        await page.evaluate(f"load('/archives/{LESSON}/master.m3u8')")
        await page.evaluate("playToEnd(8)")
        found = await state(page)
    assert found["duration"] == pytest.approx(58, abs=0.001)
    assert (found["ended"], found["errors"], found["ranges"]) == (True, [], 1)
    assert found["width"] == 160


async def test_a_running_lesson_plays_from_its_start(
    tmp_path: Path, open_browser: OpenBrowser
) -> None:
    parts: list[Part] = [
        ("voice", None, "opus", 0, 30, 0, 0, 0),
        ("camera", "f", "h264", 0.4, 30, 0, 320, 192),
    ]
    write(tmp_path, parts, finish=False)
    browser = await open_browser()
    async with served(tmp_path) as base:
        page = await browser.new_page()
        await page.goto(base)
        await page.evaluate(f"load('/archives/{LESSON}/master.m3u8')")
        await page.evaluate("seek(2.42)")
        assert abs(number_shown(await page.evaluate("corner()")) - 30) <= 1
        assert (await state(page))["errors"] == []


async def test_files_are_served_as_what_they_are(tmp_path: Path) -> None:
    write(
        tmp_path,
        [("voice", None, "opus", 0, 20, 0, 0, 0), ("camera", "f", "vp9", 0.4, 20, 0, 160, 96)],
        finish=False,
    )
    async with served(tmp_path) as base, aiohttp.ClientSession() as http:
        url = f"{base}/archives/{LESSON}"
        async with http.get(f"{url}/manifest.json") as answer:
            manifest = Manifest.decode(await answer.read())
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        camera = manifest.rendition("camera-f")
        assert camera is not None
        segment = camera.segments[1]
        async with http.get(f"{url}/camera-f/{segment.beat}.m4s") as answer:
            data = await answer.read()
            assert (digest(data), answer.headers["ETag"]) == (segment.digest, f'"{segment.digest}"')
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Content-Type"] == "video/mp4"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        some = {"Range": "bytes=100-199"}
        async with http.get(f"{url}/camera-f/{segment.beat}.m4s", headers=some) as answer:
            assert (answer.status, await answer.read()) == (206, data[100:200])
            assert answer.headers["Content-Range"] == f"bytes 100-199/{len(data)}"
        known = {"If-None-Match": f'"{segment.digest}"'}
        async with http.get(f"{url}/camera-f/{segment.beat}.m4s", headers=known) as answer:
            assert answer.status == 304
        async with http.get(f"{url}/camera-f/fill-0-36000.m4s") as answer:
            assert scan(await answer.read()).end == 36_000
        async with http.get(f"{url}/events.jsonl") as answer:
            assert b'"recording"' in await answer.read()
        async with http.get(f"{url}/voice.m3u8?token=a%26b") as answer:
            assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
            assert "voice/0.m4s?token=a%26b" in await answer.text()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/archives/toan-7/voice/2.m4s", 404),  # still growing
        ("/archives/toan-7/voice/2.m4s.part", 404),
        ("/archives/toan-7/voice/..%2Fjournal.jsonl", 404),
        ("/archives/toan-7/journal.jsonl", 404),
        ("/archives/toan-7/%2e%2e/toan-7/lesson.json", 404),
        ("/archives/..%2F..%2Fetc/passwd", 404),
        ("/archives/toan-7/slides/0.m4s", 404),
        ("/archives/toan-7/voice/fill-0-48000.m4s", 404),
        ("/archives/toan-7/voice/fill-4800000-99999999999.m4s", 404),
        ("/archives/toan-7/screen.m3u8", 404),
        ("/archives/toan-8/master.m3u8", 404),
        ("/archives/toan-7/master.m3u8?token=wrong", 403),
        ("/archives/toan-7/voice/0.m4s?token=wrong", 403),
    ],
)
async def test_what_is_not_there_or_not_allowed_is_refused(
    path: str, status: int, tmp_path: Path
) -> None:
    write(tmp_path, [("voice", None, "opus", 0, 20, 0, 0, 0)], finish=False)
    # The track's end closed its segment: open the last one again, as if it still grew.
    journal = tmp_path / LESSON / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(
        b"".join(line for line in lines if not (b'"segment"' in line and b'"beat":2' in line))
    )
    async with (
        served(tmp_path) as base,
        aiohttp.ClientSession() as http,
        http.get(URL(base + path, encoded=True)) as answer,
    ):
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
