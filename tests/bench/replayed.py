"""A recorded lesson on disk for benchmarks, and a process of many players that replay it.

The archive is complete and verifies; its media are random bytes, since nobody looks at them. The
players ask for voice and picture segment by segment over connections that stay, as hls.js does, and
throw away what comes without looking at it, so that they cost little beside what they measure.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive.contents import Header
from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import Manifest, RenditionManifest

LESSON: Final = "replayed"
BEAT_SECONDS: Final = 8
VOICE_BYTES: Final = 32 * 1000  # 32 kbit/s
PICTURE_BYTES: Final = 600 * 1000  # 600 kbit/s, as much of 360 lines

# Arguments: host:port, token, connections, beats, seconds a beat (0: as fast as it comes).
# Prints the bytes and requests of each line it is sent, which names the seconds to go on.
_PLAYERS: Final = """
import json, select, socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
token, count, beats, pause = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
poll = select.epoll()
waste = bytearray(1 << 20)
class Player:
    def __init__(self, number):
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setblocking(False)
        self.number, self.step, self.left = number, 2 * (number * 7 % beats), 0
        self.began = 0.0
        self.due = time.monotonic() + pause * number / count
        self.asking = False
        poll.register(self.socket, select.EPOLLIN)
    def ask(self):
        rendition = ("voice", "camera-h")[self.step % 2]
        beat = self.step // 2 % beats
        self.began, self.asking = time.monotonic(), True
        path = f"/archives/replayed/{rendition}/{beat}.m4s?token={token}"
        request = f"GET {path} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n"
        self.socket.send(request.encode())
    def read(self):
        global received, requests, failed, slowest
        while True:
            try:
                if self.left:
                    # MSG_TRUNC: the kernel drops what we would only throw away (tcp(7)).
                    size = self.socket.recv_into(waste, min(self.left, 1 << 20), socket.MSG_TRUNC)
                    self.left -= size
                else:
                    data = self.socket.recv(4096, socket.MSG_PEEK)
                    end = data.find(b"\\r\\n\\r\\n")
                    if end < 0 and data:
                        return
                    size = len(data)
                    if data:
                        head = self.socket.recv(end + 4)
                        failed += not head.startswith(b"HTTP/1.1 200")
                        length = head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0]
                        self.left = int(length)
            except BlockingIOError:
                return
            if not size:
                raise ConnectionError("closed")
            received += size
            if not self.left:
                requests += 1
                waits.append(time.monotonic() - self.began)
                self.asking = False
                self.step += 1
                if pause and self.step % 2 == 0:
                    self.due = max(self.due + pause, time.monotonic())
                    return
                self.ask()
players = [Player(number) for number in range(count)]
by_fd = {player.socket.fileno(): player for player in players}
received = requests = failed = 0
waits = []
print("ready", flush=True)
for line in sys.stdin:
    received = requests = failed = 0
    waits = []
    until = time.monotonic() + float(line)
    while (now := time.monotonic()) < until:
        for player in players:
            if not player.asking and player.due <= now:
                player.ask()
        for fd, _ in poll.poll(0.02):
            by_fd[fd].read()
    waits.sort()
    print(json.dumps({"bytes": received, "requests": requests, "failed": failed,
        "p99": waits[int(len(waits) * 0.99)] if waits else None}), flush=True)
"""


def keep_lesson(archives: Path, beats: int, lesson: str = LESSON) -> None:
    """A finished archive of `beats` × 8 s."""
    seeded = random.Random(8)
    directory = archives / lesson
    renditions = []
    for name, ticks, frames, size in (
        ("camera-h", 90_000, 120, PICTURE_BYTES),
        ("voice", 48_000, 400, VOICE_BYTES),
    ):
        (directory / name).mkdir(parents=True)
        segments = []
        for beat in range(beats):
            data = seeded.randbytes(size)
            (directory / name / f"{beat}.m4s").write_bytes(data)
            place = {"beat": beat, "part": 0, "init": 0, "take": 0, "frames": frames}
            times = {"start": 8 * ticks * beat, "duration": 8 * ticks}
            digest = canonical.digest(data)
            segments.append(Segment(name, **place, **times, bytes=size, digest=digest))
        data = seeded.randbytes(700)
        (directory / name / "init-0.mp4").write_bytes(data)
        video = name != "voice"
        init = Init(
            rendition=name,
            number=0,
            codec="avc1.42c01f" if video else "opus",
            width=640 if video else 0,
            height=360 if video else 0,
            channels=0 if video else 2,
            bytes=len(data),
            digest=canonical.digest(data),
            source="h264" if video else "opus",
        )
        renditions.append(RenditionManifest(name, ticks, (init,), tuple(segments), ()))
    manifest = Manifest(lesson, 1_700_000_000_000, 8_000, True, tuple(renditions))
    (directory / "lesson.json").write_bytes(Header(lesson, manifest.epoch_ms, 8_000).encode())
    (directory / "events.jsonl").write_bytes(b"")
    (directory / "manifest.json").write_bytes(manifest.encode())


class Players:
    """Many players in a process of their own on the processors `cores`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, url: str, token: str, count: int, beats: int, pause: float, cores: set[int]
    ) -> Players:
        """pause: seconds between two beats of one player, 0: it asks for the next at once."""
        arguments = [url.removeprefix("http://"), token, str(count), str(beats), str(pause)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PLAYERS, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        os.sched_setaffinity(process.pid, cores)
        assert process.stdout is not None
        await process.stdout.readline()
        return cls(process)

    async def play(self, seconds: float) -> dict[str, float]:
        """bytes and requests that were answered within `seconds`, how many of them failed, and the
        p99 of seconds until an answer was whole."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n".encode())
        figures: dict[str, float] = json.loads(await self._process.stdout.readline())
        return figures

    async def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
