"""`python -m tests.bench repairs`: what a real browser makes of redundancy and repairs.

Lives here: a relay's media side inside this process, a teacher made of encoded speech and
pictures, a fan-out that loses packets by chance, and one Chromium page with a connection for each
variant: all of them at the same time, so that they share the machine's moods. Must not live here:
congestion control (`weaklink`), a real teacher.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import random
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiohttp import web
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from playwright.async_api import Page, async_playwright

from relay.media import fec, rtp
from relay.media.codec import OPUS, VP8
from relay.media_process import relay_clock
from relay.sfu.leg import Leg
from relay.sfu.negotiated import CAMERA, PROGRAMME, VOICE, TrackSpec
from relay.sfu.packet import Outgoing, patch_picture
from relay.sfu.router import Router
from relay.transport.fanout import NativeFanOut
from relay.transport.recorder_feed import RecorderFeed
from relay.transport.send_log import SendLogs
from relay.transport.sessions import Limits, Sessions
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire
from tests import media
from tests.fakes.rtp_media import encode_video, payloads
from tests.live.rig import chromium

LESSON: Final = "repairs"
OPUS_TYPE, VP8_TYPE = 111, 96
VOICE_SSRC, CAMERA_SSRC = 1_001, 2_001
PICTURES: Final = 15  # a second
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


class LossyFanOut:
    """Sends as `NativeFanOut`, but what leaves to a wire is lost by chance, repairs included."""

    def __init__(self, native: NativeFanOut, loss: float, seed: int) -> None:
        self._native = native
        self._loss = loss
        self._seed = random.Random(seed)
        self.logs = native.logs
        self.protected: dict[Leg[Wire], fec.FecEncoder] = {}

    def fan_out(self, run: Sequence[Outgoing], legs: Sequence[Leg[Wire]], now: float) -> None:
        for leg in legs:
            for packet in run:
                data = bytearray(packet.data)
                sequence = packet.sequence + leg.sequence_offset
                timestamp = packet.timestamp + leg.timestamp_offset
                struct.pack_into("!HI", data, 2, sequence & 0xFFFF, timestamp & 0xFFFFFFFF)
                if packet.picture_offset:
                    patch_picture(data, 0, packet, leg.picture_offset, leg.tl0_offset)
                made = self.protected.get(leg)
                repairs = made.push(data, packet.twcc_offset, now) if made is not None else []
                self.send_rtp(leg.wire, data, packet.twcc_offset, now)
                for repair in repairs:
                    assert made is not None
                    self.send_rtp(leg.wire, repair, made.twcc_offset, now)

    def send_rtp(self, wire: Wire, packet: bytearray, twcc_offset: int, now: float) -> None:
        if self._seed.random() < self._loss:
            if twcc_offset:
                self.logs.sent_one(wire.row, len(packet) + wire.tag, now)
            return
        self._native.send_rtp(wire, packet, twcc_offset, now)

    def send_rtcp(self, wire: Wire, packet: bytes) -> None:
        self._native.send_rtcp(wire, packet)


@functools.cache
def speech(bitrate: int = 24_000, milliseconds: int = 20) -> tuple[bytes, ...]:
    """The test speech as Opus packets, without in-band FEC."""
    encoder = CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.bit_rate = media.VOICE_RATE, bitrate
    encoder.layout, encoder.format = "mono", "s16"
    encoder.options = {"application": "voip", "frame_duration": str(milliseconds)}
    size = media.VOICE_RATE * milliseconds // 1000
    samples = (media.voice_samples() * 32767).astype(np.int16)
    out: list[bytes] = []
    for number in range(len(samples) // size):
        piece = samples[number * size : (number + 1) * size][None, :]
        frame = AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate, frame.pts = media.VOICE_RATE, number * size
        frame.time_base = Fraction(1, media.VOICE_RATE)
        out += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(out)


class Teacher:
    """Feeds a router with the speech and pictures in a loop, at their pace."""

    def __init__(self, router: Router[Wire]) -> None:
        self._router = router
        tracks = [
            TrackSpec(VOICE, "0", "audio", {OPUS_TYPE: OPUS}, ssrcs=(VOICE_SSRC,), nack=False),
            TrackSpec(CAMERA, "1", "video", {VP8_TYPE: VP8}, ssrcs=(CAMERA_SSRC,)),
        ]
        router.publish("teacher", "teacher", tracks, relay_clock())
        self._sequences = {VOICE_SSRC: 1_000, CAMERA_SSRC: 5_000}

    async def run(self, after: Any) -> None:
        """Until cancelled; `after` is called after each frame."""
        voice = speech()
        pictures = encode_video("vp8", PICTURES * 8, PICTURES * 4, 640, 360, PICTURES)
        began = relay_clock()
        spoken = shown = 0
        while True:
            now = relay_clock()
            while now - began >= spoken * 0.02:
                frame = voice[spoken % len(voice)]
                self._send(OPUS_TYPE, VOICE_SSRC, spoken * 960, frame, False, now)
                spoken += 1
            while now - began >= shown / PICTURES:
                parts = payloads("vp8", pictures[shown % len(pictures)])
                for index, part in enumerate(parts):
                    last = index == len(parts) - 1
                    self._send(VP8_TYPE, CAMERA_SSRC, shown * 6_000, part, last, now)
                shown += 1
            self._router.flush(now)
            self._router.handle_timer(now)
            after(now)
            await asyncio.sleep(0.004)

    def _send(
        self, kind: int, ssrc: int, timestamp: int, payload: bytes, marker: bool, now: float
    ) -> None:
        number = self._sequences[ssrc]
        self._sequences[ssrc] = (number + 1) & 0xFFFF
        self._router.receive_rtp(
            rtp.build(kind, marker, number, timestamp, ssrc, b"", payload), now
        )


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
    native = NativeFanOut(port.fd, SendLogs(64))
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
        asyncio.ensure_future(Teacher(router).run(lambda now: None)),
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
