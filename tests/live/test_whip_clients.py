"""Clients that are not ours: ffmpeg's WHIP muxer teaches, a stock WHEP player in Chromium watches.

The muxer offers a=setup:passive, so here the relay opens the DTLS handshake. The player is the few
lines that any WHEP tutorial shows: one audio and one video section, no talk of our slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from aiohttp import web
from aiortc import RTCCertificate
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from classroom.tokens import Role
from relay.media import h264, rtp
from tests import media
from tests.fakes.light_sdp import H264, OPUS
from tests.live.conftest import OpenBrowser
from tests.live.relay_alone import LESSON, Relay, relay_alone
from tests.live.rig import hear, watch
from tests.live.test_signalling import until

PLAYER = """async ([url, token]) => {
    const peer = new RTCPeerConnection()
    window.peer = peer
    const stream = new MediaStream()
    peer.ontrack = (event) => {
        stream.addTrack(event.track)
        document.getElementById('v').srcObject = stream
    }
    peer.addTransceiver('audio', {direction: 'recvonly'})
    peer.addTransceiver('video', {direction: 'recvonly'})
    await peer.setLocalDescription(await peer.createOffer())
    const answer = await fetch(url, {
        method: 'POST',
        headers: {'Content-Type': 'application/sdp', Authorization: `Bearer ${token}`},
        body: peer.localDescription.sdp})
    if (answer.status !== 201) throw new Error(await answer.text())
    await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()})
}"""
DECODED = """async () => {
    for (const entry of (await window.peer.getStats()).values())
        if (entry.type === 'inbound-rtp' && entry.kind === 'video') return entry.framesDecoded ?? 0
    return 0
}"""


@pytest_asyncio.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with relay_alone(tmp_path / "relay") as running:
        yield running
        assert running.faults() == []


@contextlib.asynccontextmanager
async def elsewhere() -> AsyncIterator[str]:
    """A player's page on another origin than the relay's."""

    async def answer(request: web.Request) -> web.Response:
        page = '<!doctype html><video id="v" autoplay playsinline></video>'
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


@contextlib.asynccontextmanager
async def ffmpeg(relay: Relay, folder: Path, seconds: float) -> AsyncIterator[None]:
    """The muxer, publishing for `seconds` unless ended before."""
    certificate = RTCCertificate.generateCertificate()
    pem = folder / "peer.pem"
    key = certificate._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(key + certificate._cert.public_bytes(Encoding.PEM))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.live.whip_muxer", f"{relay.url}/whip/{LESSON}"),
        *(relay.token(Role.TEACHER), str(seconds), str(pem)),
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_ffmpeg_teaches_and_a_stock_player_watches(
    relay: Relay, open_browser: OpenBrowser, tmp_path: Path
) -> None:
    media.camera_file(640, 360)
    browser = await open_browser()
    page = await browser.new_page()
    room = relay.viewer()
    keyframes = []

    def look(packet: bytes, now: float) -> None:
        header = rtp.parse(packet)
        if header.payload_type == H264:
            info = h264.parse(packet, header.payload_offset, header.payload_end, header.marker)
            if info.keyframe and info.start_of_frame:
                keyframes.append(header.timestamp)

    room._on_packet = look
    async with ffmpeg(relay, tmp_path, 60.0), elsewhere() as address:
        await room.connect()
        await page.goto(address)
        token = relay.token(Role.ROOM, "room-2")
        await page.evaluate(PLAYER, [f"{relay.url}/whep/{LESSON}", token])
        await until(lambda: len(room.streams) == 2, 20.0)
        types = {stream.payload_type for stream in room.streams.values()}
        assert types == {OPUS, H264}
        await until(lambda: len(keyframes) >= 2, 15.0)

        async def decoded() -> bool:
            return bool(await page.evaluate(DECODED) >= 20)

        await until(decoded, 20.0)
        shown = await watch(page, "#v", 3)
        numbers = [picture.number for picture in shown if picture.number is not None]
        assert len(numbers) >= 8
        assert {picture.size for picture in shown} == {(640, 360)}
        matches = media.match_speech(await hear(page, "#v", 4), media.voice_samples())
        assert matches
        assert max(match.likeness for match in matches) > 0.5
        found = await relay.received()
        assert (found["forged"], found["truncated"]) == (0, 0)
    await room.leave()
