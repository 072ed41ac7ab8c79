"""A WHIP endpoint made of stock aiortc: a real peer to publish to when no relay is wanted.

Lives here: the endpoint and what arrived at it (frame numbers read from the picture, sound, frame
sizes). It checks the bearer token, knows DELETE, and can be told to answer with a refusal or to
vanish without a word, as a relay that lost its power does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import av
import numpy as np
from aiohttp import web
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from classroom.host import marker


@dataclass(slots=True)
class Arrived:
    """What came in one session, by the order of its m-lines."""

    frames: list[list[int | None]] = field(default_factory=list)
    """Per video m-line the frame number of each picture, None where unreadable."""
    sizes: list[set[tuple[int, int]]] = field(default_factory=list)
    sound: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = field(default_factory=list)
    """20 ms blocks of the left channel at 48 kHz."""


class WhipServer:
    """One endpoint, `/whip/lesson`, on a free port of 127.0.0.1."""

    def __init__(self, token: str = "secret") -> None:
        self.token = token
        self.url = ""
        self.offers: list[str] = []
        self.sessions: list[Arrived] = []
        self.deleted = 0
        self.refuse: Callable[[], web.Response] | None = None
        self.without_dtls = False
        """Whether sessions get as far as ICE, and no further."""
        self._peers: list[RTCPeerConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[WhipServer]:
        """Serve until the block ends."""
        app = web.Application()
        app.router.add_post("/whip/lesson", self._offer)
        app.router.add_delete("/session/{number}", self._delete)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/whip/lesson"
        try:
            yield self
        finally:
            for peer in self._peers:
                await peer.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await runner.cleanup()

    async def vanish(self) -> None:
        """Close every peer connection; the next offer makes a new one."""
        for peer in self._peers:
            await peer.close()
        self._peers.clear()

    def request_keyframe(self, ssrc: int, receiver: RTCRtpReceiver) -> asyncio.Task[None]:
        """Send a picture loss indication for `ssrc`."""
        return self._own(receiver._send_rtcp_pli(ssrc))

    @property
    def connected(self) -> bool:
        """Whether the newest session's ICE is."""
        return bool(self._peers) and self._peers[-1].iceConnectionState == "completed"

    @property
    def receivers(self) -> list[RTCRtpReceiver]:
        """Those of the newest session."""
        return self._peers[-1].getReceivers() if self._peers else []

    async def _offer(self, request: web.Request) -> web.Response:
        if self.refuse is not None:
            return self.refuse()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response(
                {"detail": "The token is not known here.", "fix": "Ask for a new link."},
                status=401,
                content_type="application/problem+json",
            )
        offer = await request.text()
        self.offers.append(offer)
        # Not the default policy: with it aiortc forgets the second video of a bundle.
        peer = RTCPeerConnection(RTCConfiguration([], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        arrived = Arrived()
        self.sessions.append(arrived)
        self._peers.append(peer)

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            if track.kind == "audio":
                self._own(_listen(track, arrived))
            else:
                arrived.frames.append([])
                arrived.sizes.append(set())
                self._own(_look(track, arrived, len(arrived.frames) - 1))

        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        if self.without_dtls:
            setattr(peer.getTransceivers()[0].receiver.transport, "start", _never)  # noqa: B010 a method, for mypy not assignable
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(
            status=201,
            text=peer.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": f"/session/{len(self.sessions) - 1}"},
        )

    async def _delete(self, request: web.Request) -> web.Response:
        self.deleted += 1
        return web.Response()

    def _own(self, work: object) -> asyncio.Task[None]:
        assert asyncio.iscoroutine(work)
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _never(_: object) -> None:
    await asyncio.Event().wait()


async def _look(track: MediaStreamTrack, arrived: Arrived, index: int) -> None:
    with contextlib.suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.VideoFrame)
            arrived.sizes[index].add((frame.width, frame.height))
            arrived.frames[index].append(read_marker(frame))


async def _listen(track: MediaStreamTrack, arrived: Arrived) -> None:
    with contextlib.suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            arrived.sound.append(frame.to_ndarray().reshape(-1, 2)[:, 0].astype(np.int16))


def read_marker(frame: av.VideoFrame) -> int | None:
    """The frame number in the strip at the bottom of a decoded picture."""
    plane = frame.reformat(format="gray").planes[0]
    line = frame.height - marker.strip_height(frame.height) // 2 - 1
    start = line * plane.line_size
    return marker.read_row(bytes(memoryview(plane)[start : start + frame.width]))
