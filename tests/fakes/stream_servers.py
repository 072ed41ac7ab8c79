"""What a school's IP camera or media server is to the host: streams over RTSP and over HTTP.

Lives here: an RTSP server that speaks as much of RFC 2326 as a player asks (interleaved over TCP,
H.264 and G.711), and an HTTP server that sends a file as it were live and breaks off once. Must not
live here: what a host makes of them. Pictures are those of `recordings`, numbered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import av
from aiohttp import web
from av.audio.codeccontext import AudioCodecContext

from classroom.host.test_lesson import sound
from relay.media import rtp
from tests.fakes.recordings import write_recording
from tests.fakes.rtp_media import Encoded, payloads

_H264, _PCMU = 96, 0
_RATE = 15
_SDP = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=camera
t=0 0
m=video 0 RTP/AVP {_H264}
c=IN IP4 0.0.0.0
a=rtpmap:{_H264} H264/90000
a=fmtp:{_H264} packetization-mode=1
a=control:video
m=audio 0 RTP/AVP {_PCMU}
c=IN IP4 0.0.0.0
a=rtpmap:{_PCMU} PCMU/8000
a=control:audio
""".replace("\n", "\r\n")


class RtspCamera:
    """A camera at `url` that shows the same `seconds` again and again to whoever plays it.

    transports: the Transport headers of all SETUP requests.
    """

    def __init__(self, folder: Path, seconds: float = 4.0) -> None:
        self.url = ""
        self.transports: list[str] = []
        path = write_recording(folder / "camera.h264", audio=None, seconds=seconds)
        with av.open(str(path)) as container:
            self._pictures = [
                Encoded(number, packet.is_keyframe, bytes(packet))
                for number, packet in enumerate(container.demux(video=0))
                if packet.size
            ]
        self._voice = list(_mulaw(round(seconds * 50)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RtspCamera]:
        """Serve on a free port of 127.0.0.1 until the block ends."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/main"
        async with server:
            yield self

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing: asyncio.Task[None] | None = None
        try:
            while True:
                request = await _request(reader)
                lines = request.split("\r\n")
                method, url, _ = lines[0].split(" ")
                headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
                status, extra, body = "200 OK", "Session: 7", ""
                if method == "OPTIONS":
                    extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
                elif method == "DESCRIBE":
                    body = _SDP
                    extra = f"Content-Base: {url}/\r\nContent-Type: application/sdp"
                elif method == "SETUP":
                    self.transports.append(headers["Transport"])
                    extra += f"\r\nTransport: {headers['Transport']}"
                    if "interleaved" not in headers["Transport"]:
                        status = "461 Unsupported Transport"
                head = f"RTSP/1.0 {status}\r\nCSeq: {headers['CSeq']}\r\n{extra}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if method == "PLAY":
                    playing = asyncio.create_task(self._play(writer))
                if method == "TEARDOWN":
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the player is gone, or the test is over
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            writer.close()

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        sequence = itertools.count()
        for block in itertools.count():
            payload = self._voice[block % len(self._voice)]
            packet = rtp.build(_PCMU, False, block & 0xFFFF, block * 160, 2, b"", payload)
            _interleave(writer, 2, packet)
            if block * _RATE % 50 < _RATE:
                number = block * _RATE // 50
                parts = payloads("h264", self._pictures[number % len(self._pictures)])
                for part in parts:
                    marker, stamp = part is parts[-1], number * 90_000 // _RATE
                    number16 = next(sequence) & 0xFFFF
                    _interleave(writer, 0, rtp.build(_H264, marker, number16, stamp, 1, b"", part))
            await writer.drain()
            await asyncio.sleep(max(0.0, began + (block + 1) / 50 - loop.time()))


async def _request(reader: asyncio.StreamReader) -> str:
    """The next request; interleaved packets (receiver reports) before it are passed over."""
    while (first := await reader.readexactly(1)) == b"$":
        head = await reader.readexactly(3)
        await reader.readexactly(int.from_bytes(head[1:], "big"))
    return (first + await reader.readuntil(b"\r\n\r\n")).decode()


def _interleave(writer: asyncio.StreamWriter, channel: int, packet: bytes) -> None:
    """RFC 2326 §10.12."""
    writer.write(b"$" + bytes([channel]) + len(packet).to_bytes(2, "big") + packet)


def _mulaw(blocks: int) -> Iterator[bytes]:
    encoder = av.CodecContext.create("pcm_mulaw", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 8_000, "mono", "s16"
    resampler = av.AudioResampler("s16", "mono", 8_000, frame_size=160)
    for block in range(blocks):
        for even in resampler.resample(sound(block)):
            for packet in encoder.encode(even):
                yield bytes(packet)


class HttpStream:
    """A file at `url`, sent at the pace of its playing; the first time only its first half."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.url = ""
        self.requests = 0
        self._data = path.read_bytes()
        self._seconds = seconds

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[HttpStream]:
        """Serve on a free port of 127.0.0.1 until the block ends."""
        app = web.Application()
        app.router.add_get("/live.ts", self._send)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/live.ts"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        response = web.StreamResponse(headers={"Content-Type": "video/mp2t"})
        await response.prepare(request)
        piece = round(len(self._data) / self._seconds / 20)
        half = len(self._data) // 2 if self.requests == 1 else len(self._data)
        with contextlib.suppress(ConnectionError):
            for start in range(0, half, piece):
                await response.write(self._data[start : start + piece])
                await asyncio.sleep(0.05)
        return response
