"""`python -m tests.bench repairs WHAT`: what a real browser makes of redundancy and repairs.

Lives here: one Chromium page with a connection for each variant (all of them at the same time, so
that they share the machine's moods) to a relay's media side inside this process, and what its
statistics say. Must not live here: congestion control (`weaklink`), the relay's side (repairs_rig).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from playwright.async_api import Page, async_playwright

from relay.media import fec, rtp
from relay.media_process import relay_clock
from relay.sfu.negotiated import PROGRAMME, VOICE
from relay.sfu.router import Router
from relay.transport.fanout import NativeFanOut
from relay.transport.recorder_feed import RecorderFeed
from relay.transport.send_log import SendLogs
from relay.transport.sessions import Limits, Sessions
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire
from tests.bench.repairs_rig import LossyFanOut, Teacher
from tests.live.rig import chromium

LESSON: Final = "repairs"
WARM_UP_SECONDS: Final = 5.0
_ARGUMENTS: Final = (
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
_PAGE: Final = Path(__file__).with_name("repairs_page.js")

Stats = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Variant:
    """One room.

    depth: of RED. nack: whether it may ask for voice again. delay: of playing, ms. fec: of the
    picture. deaf: the relay does not hear what it asks for again. told: delay of playing in the
    pictures' header extension, ms.
    """

    name: str
    depth: int = 0
    nack: bool = False
    delay: int = 0
    fec: fec.Protection | None = None
    deaf: bool = False
    told: int | None = None


@dataclass(slots=True)
class Bench:
    """The page with its rooms, and the relay's side of each."""

    page: Page
    sessions: Sessions
    router: Router[Wire]
    fan_out: LossyFanOut

    async def open(self, variant: Variant, index: int) -> None:
        """Connect one more room and give it its redundancy."""
        text = await self.page.evaluate("offer", variant.nack)
        made = self.sessions.watch(LESSON, f"room-{index}", text)
        await self.page.evaluate("([index, sdp]) => take(index, sdp)", [index, made["answer"]])
        peer = self.sessions.peers[made["session"]]
        async with asyncio.timeout(20):
            while peer.viewer is None:  # noqa: ASYNC110 the session tells no one
                await asyncio.sleep(0.02)
        viewer = peer.viewer
        viewer.bandwidth.bitrate = 5e6
        leg = viewer.legs[VOICE]
        leg.red_depth = variant.depth
        self.router._joining.reprofile(leg)
        picture = viewer.legs[PROGRAMME]
        spec = picture.spec.fec
        if variant.fec is not None and spec is not None:
            twcc = picture.spec.extensions.get(rtp.TRANSPORT_CC, 0)
            encoder = fec.FecEncoder(spec.payload_type, spec.ssrc, picture.spec.ssrc, twcc)
            encoder.protect(variant.fec)
            self.fan_out.protected[picture] = encoder
        picture.playout = variant.told
        self.router._joining.reprofile(picture)
        if variant.deaf:
            del viewer.by_ssrc[picture.spec.ssrc]  # what it asks for is not heard
        if variant.delay:
            await self.page.evaluate("([i, ms]) => delay(i, ms)", [index, variant.delay])

    async def stats(self) -> list[list[Stats]]:
        """Inbound statistics of every room."""
        found: list[list[Stats]] = await self.page.evaluate("stats")
        return found


@asynccontextmanager
async def bench(loss: float, seed: int) -> AsyncIterator[Bench]:
    """A relay that loses packets, a teacher, a browser."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    routers: dict[str, Router[Wire]] = {}

    def flush(now: float) -> None:
        for router in routers.values():
            router.flush(now)

    port = UdpPort(sock, relay_clock, flush)
    native = NativeFanOut(port.fd, SendLogs(64), relay_clock)
    limits = Limits(viewers_max=64, start_bitrate=5e6)
    sessions = Sessions(
        port, native, RecorderFeed(), relay_clock, limits, ("127.0.0.1",), lambda _: None
    )
    fan_out = LossyFanOut(native, loss, seed)
    router = Router(LESSON, fan_out, None, beat=8.0, now=relay_clock())
    sessions.routers[LESSON] = routers[LESSON] = router
    port.start(loop)
    runner = web.AppRunner(_pages())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tasks = [
        asyncio.ensure_future(sessions.run()),
        asyncio.ensure_future(Teacher(router).run()),
    ]
    try:
        async with (
            async_playwright() as playwright,
            chromium(playwright, arguments=_ARGUMENTS) as browser,
        ):
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            await page.add_script_tag(content=_PAGE.read_text())
            yield Bench(page, sessions, router, fan_out)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        port.close(loop)
        await runner.cleanup()


def _pages() -> web.Application:
    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><body></body>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    return app


async def measure(
    variants: Sequence[Variant], loss: float, seconds: float, seed: int
) -> list[Stats]:
    """What each variant heard and saw in so many seconds after the warm-up."""
    async with bench(loss, seed) as rig:
        for index, variant in enumerate(variants):
            await rig.open(variant, index)
        await asyncio.sleep(WARM_UP_SECONDS)
        before = await rig.stats()
        await asyncio.sleep(seconds)
        after = await rig.stats()
    return [
        {"name": variant.name, **_difference(first, last)}
        for variant, first, last in zip(variants, before, after, strict=True)
    ]


def _difference(before: list[Stats], after: list[Stats]) -> Stats:
    result: Stats = {}
    for last in after:
        first = next((one for one in before if one["id"] == last["id"]), {})

        def grown(name: str, first: Stats = first, last: Stats = last) -> float:
            return float(last.get(name, 0) - first.get(name, 0))

        if last["kind"] == "audio":
            concealed = grown("concealedSamples") - grown("silentConcealedSamples")
            result["concealed_%"] = 100 * concealed / max(1.0, grown("totalSamplesReceived"))
            result["voice_lost"] = grown("packetsLost")
            result["voice_bytes"] = grown("bytesReceived") + grown("headerBytesReceived")
            result["buffer_ms"] = (
                1e3 * grown("jitterBufferDelay") / max(1.0, grown("jitterBufferEmittedCount"))
            )
        else:
            result["pictures"] = grown("framesDecoded")
            result["freezes"] = grown("freezeCount")
            result["frozen_s"] = grown("totalFreezesDuration")
            result["picture_lost"] = grown("packetsLost")
            result["picture_ms"] = (
                1e3 * grown("jitterBufferDelay") / max(1.0, grown("jitterBufferEmittedCount"))
            )
            result["fec_received"] = grown("fecPacketsReceived")
            result["fec_discarded"] = grown("fecPacketsDiscarded")
            result["fec_bytes"] = grown("fecBytesReceived")
            result["resent"] = grown("retransmittedPacketsReceived")
            result["nacks"] = grown("nackCount")
    return result


VARIANTS: Final = {
    "voice": (
        Variant("plain"),
        Variant("red 1", 1),
        Variant("red 2", 2),
        Variant("plain, nack", 0, True),
        Variant("red 1, nack", 1, True),
        Variant("red 1, 60 ms", 1, delay=60),
        Variant("red 2, 80 ms", 2, delay=80),
    ),
    "picture": (
        Variant("resends"),
        Variant("nothing", deaf=True),
        Variant("fec 1:5", fec=fec.Protection(5), deaf=True),
        Variant("fec 2:10, 400 ms", delay=400, fec=fec.Protection(5, 2), deaf=True),
    ),
    "delay": (
        Variant("none"),
        Variant("told 400 ms", told=400),
        Variant("told 800 ms", told=800),
        Variant("target 400 ms", delay=400),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("what", choices=sorted(VARIANTS))
    parser.add_argument("--loss", type=float, default=0.05, help="of the room's link, 0 to 1")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace) -> int:
    """Print one JSON line for each variant."""
    for row in asyncio.run(measure(VARIANTS[args.what], args.loss, args.seconds, args.seed)):
        print(json.dumps({key: _rounded(value) for key, value in row.items()}), flush=True)
    return 0


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit("python -m tests.bench repairs")
