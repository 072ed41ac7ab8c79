"""What a school's IP camera or media server is to the host: streams over RTSP and over HTTP.

Lives here: an RTSP server that speaks as much of RFC 2326 as a player asks (interleaved over TCP,
H.264 or HEVC, and G.711), and an HTTP server that sends a file as it were live and breaks off once.
Must not live here: what a host makes of them. Pictures are those of `recordings`, numbered.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from aiohttp import web
from av.audio.codeccontext import AudioCodecContext

from classroom.host.test_lesson import sound
from relay.media import rtp
from tests.fakes.recordings import write_recording
from tests.fakes.rtp_media import nal_units

_VIDEO, _PCMU = 96, 0
_RATE = 15
_CHUNK = 1_100  # bytes of a slice in one packet
_HEAD = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=camera
t=0 0
"""
_SOUND = f"""m=audio 0 RTP/AVP {_PCMU}
c=IN IP4 0.0.0.0
a=rtpmap:{_PCMU} PCMU/8000
a=control:audio
"""

VideoCodec = Literal["h264", "hevc", "unknown"]


@dataclass(frozen=True, slots=True)
class _Show:
    """What the camera shows: its description, and the payloads of each of its pictures."""

    sdp: str
    pictures: list[list[bytes]]


class RtspCamera:
    """A camera at `url` that shows the same `seconds` again and again to whoever plays it.

    The parameter sets of H.264 are in its description alone, as on many cameras; those of HEVC are
    in the stream. transports: the Transport headers of all SETUP requests. plays: how often it was
    asked to play.
    """

    def __init__(self, folder: Path, seconds: float = 4.0) -> None:
        self.url = ""
        self.transports: list[str] = []
        self.plays = 0
        self._folder = folder
        self._seconds = seconds
        self._voice = list(_mulaw(round(seconds * 50)))
        self._writers: set[asyncio.StreamWriter] = set()
        self._show = self._film("h264", (320, 180))

    def become(
        self,
        *,
        codec: VideoCodec = "h264",
        size: tuple[int, int] = (320, 180),
        voice_first: bool = False,
        voice: bool = True,
    ) -> None:
        """Break off all connections; who comes again finds a camera with other settings."""
        self._show = self._film(codec, size, voice_first=voice_first, voice=voice)
        for writer in self._writers:
            writer.close()

    def _film(
        self,
        codec: VideoCodec,
        size: tuple[int, int],
        *,
        voice_first: bool = False,
        voice: bool = True,
    ) -> _Show:
        hevc = codec == "hevc"
        path = write_recording(
            self._folder / f"camera.{'hevc' if hevc else 'h264'}",
            video="libx265" if hevc else "libx264",
            audio=None,
            seconds=self._seconds,
            size=size,
        )
        with av.open(str(path)) as container:
            frames = [nal_units(bytes(packet)) for packet in container.demux(video=0)]
        frames = [units for units in frames if units]
        name, parameters = {"hevc": "H265", "unknown": "SECRET"}.get(codec, "H264"), ""
        if not hevc:
            sets = [unit for unit in frames[0] if unit[0] & 0x1F in (7, 8)]
            shown = ",".join(base64.b64encode(unit).decode() for unit in sets)
            parameters = f"a=fmtp:{_VIDEO} packetization-mode=1;sprop-parameter-sets={shown}\n"
            frames = [[unit for unit in units if unit not in sets] for units in frames]
        picture = f"""m=video 0 RTP/AVP {_VIDEO}
c=IN IP4 0.0.0.0
a=rtpmap:{_VIDEO} {name}/90000
{parameters}a=control:video
"""
        sound = _SOUND if voice else ""
        sdp = _HEAD + (sound + picture if voice_first else picture + sound)
        cut = _cut_hevc if hevc else _cut_h264
        pictures = [[part for unit in units for part in cut(unit)] for units in frames]
        return _Show(sdp.replace("\n", "\r\n"), pictures)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RtspCamera]:
        """Serve on a free port of 127.0.0.1 until the block ends."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/main"
        async with server:
            yield self

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing: asyncio.Task[None] | None = None
        channels: dict[str, int] = {}
        self._writers.add(writer)
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
                    body = self._show.sdp
                    extra = f"Content-Base: {url}/\r\nContent-Type: application/sdp"
                elif method == "SETUP":
                    self.transports.append(headers["Transport"])
                    extra += f"\r\nTransport: {headers['Transport']}"
                    interleaved = re.search(r"interleaved=(\d+)", headers["Transport"])
                    if interleaved is None:
                        status = "461 Unsupported Transport"
                    else:
                        channels[url.rpartition("/")[2]] = int(interleaved[1])
                head = f"RTSP/1.0 {status}\r\nCSeq: {headers['CSeq']}\r\n{extra}\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if method == "PLAY":
                    self.plays += 1
                    playing = asyncio.create_task(self._play(writer, channels))
                if method == "TEARDOWN":
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the player is gone, or the test is over
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            self._writers.discard(writer)
            writer.close()

    async def _play(self, writer: asyncio.StreamWriter, channels: dict[str, int]) -> None:
        pictures = self._show.pictures
        loop = asyncio.get_running_loop()
        began = loop.time()
        sequence = itertools.count()
        for block in itertools.count():
            if "audio" in channels:
                payload = self._voice[block % len(self._voice)]
                packet = rtp.build(_PCMU, False, block & 0xFFFF, block * 160, 2, b"", payload)
                _interleave(writer, channels["audio"], packet)
            if block * _RATE % 50 < _RATE and "video" in channels:
                number = block * _RATE // 50
                parts = pictures[number % len(pictures)]
                stamp = number * 90_000 // _RATE
                for place, part in enumerate(parts, 1):
                    number16 = next(sequence) & 0xFFFF
                    packet = rtp.build(_VIDEO, place == len(parts), number16, stamp, 1, b"", part)
                    _interleave(writer, channels["video"], packet)
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


def _cut_h264(unit: bytes) -> Iterator[bytes]:
    """A unit whole or as FU-A (RFC 6184 §5.8)."""
    if len(unit) <= _CHUNK:
        yield unit
        return
    for at in range(1, len(unit), _CHUNK):
        first, last = at == 1, at + _CHUNK >= len(unit)
        head = bytes((unit[0] & 0xE0 | 28, first << 7 | last << 6 | unit[0] & 0x1F))
        yield head + unit[at : at + _CHUNK]


def _cut_hevc(unit: bytes) -> Iterator[bytes]:
    """A unit whole or as fragments (RFC 7798 §4.4.3)."""
    if len(unit) <= _CHUNK:
        yield unit
        return
    for at in range(2, len(unit), _CHUNK):
        first, last = at == 2, at + _CHUNK >= len(unit)
        kind = unit[0] >> 1 & 0x3F
        head = bytes((unit[0] & 0x81 | 49 << 1, unit[1], first << 7 | last << 6 | kind))
        yield head + unit[at : at + _CHUNK]


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
