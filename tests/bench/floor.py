"""The floor: what the kernel's bare send and AES-GCM alone cost for the same packets.

A process of its own sends the same mix at the same pace as the relay would: one `sendmmsg` for a
whole burst to every viewer, one for each voice packet, and AES-128-GCM over as many bytes in one
call at the rate of long buffers. Its receivers are sockets of the load process, woken and read like
the viewers'. So the floor meets the same caches, the same neighbours and the same wake-ups as the
relay. Segmentation offload, which the relay uses where it can, is left out.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from array import array
from functools import partial
from typing import Final

from tests.bench.arrivals import SLOT, Arrivals
from tests.bench.processes import cpu_seconds

FRAME_RATE: Final = 15
VOICE_RATE: Final = 50
_BEGAN: Final = struct.Struct("=d").unpack_from

_PROGRAM: Final = """
import socket, struct, sys, time
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from relay.transport.native import ffi, libc, new_buffer
video_bytes, voice_bytes, burst = (int(one) for one in sys.argv[1:4])
ports = [int(one) for one in sys.argv[4].split(",")]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
memory, view, base = new_buffer(video_bytes)
names = ffi.new("char[]", 16 * len(ports))
for index, port in enumerate(ports):
    address = socket.AF_INET.to_bytes(2, "little") + port.to_bytes(2, "big")
    ffi.buffer(names)[16 * index : 16 * index + 8] = address + socket.inet_aton("127.0.0.1")
def lay_out(count, size):
    messages, vectors = ffi.new("struct mmsghdr[]", count), ffi.new("struct iovec[]", count)
    for index in range(count):
        vectors[index].iov_base, vectors[index].iov_len = ffi.cast("void *", base), size
        header = messages[index].msg_hdr
        header.msg_name, header.msg_namelen = names + 16 * (index % len(ports)), 16
        header.msg_iov, header.msg_iovlen = vectors + index, 1
    return messages, vectors, count, bytes(min(count * size, 1 << 24))
video, voice = lay_out(len(ports) * burst, video_bytes), lay_out(len(ports), voice_bytes)
key, nonce = AESGCM(bytes(16)), bytes(12)
def send(kind):
    messages, _, count, plain = kind
    struct.pack_into("=d", view, 0, time.time())
    key.encrypt(nonce, plain, None)
    sent = 0
    while sent < count:
        done = libc.sendmmsg(sender.fileno(), messages + sent, count - sent, 0)
        if done <= 0:
            break
        sent += done
    return sent
print("ready", flush=True)
for line in sys.stdin:
    seconds = float(line)
    began = time.monotonic()
    frames = voices = packets = 0
    while (elapsed := time.monotonic() - began) < seconds:
        if voices <= elapsed * 50:
            packets += send(voice)
            voices += 1
        if frames <= elapsed * 15:
            packets += send(video)
            frames += 1
        time.sleep(max(0.0, began + min(frames / 15, voices / 50) - time.monotonic()))
    print(packets, flush=True)
"""


class Floor:
    """Measure it in turns with the relay; `microseconds` is the average of all turns.

    delays: seconds from the beginning of a burst to each arrival.
    """

    def __init__(self, receivers: int, arrivals: Arrivals) -> None:
        self.delays = array("d")
        self._arrivals = arrivals
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(receivers)]
        for one in self._sockets:
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            arrivals.add(one, partial(self._readable, one))
        self._process: asyncio.subprocess.Process | None = None
        self._seconds = 0.0
        self._packets = 0

    async def start(self, video_bytes: int, voice_bytes: int, burst: int) -> None:
        """video_bytes, voice_bytes: sizes of a datagram. burst: video packets at a time."""
        ports = ",".join(str(one.getsockname()[1]) for one in self._sockets)
        sizes = [str(video_bytes), str(voice_bytes), str(burst)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _PROGRAM, *sizes, ports),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()

    @property
    def pid(self) -> int:
        """The process that sends."""
        assert self._process is not None
        return self._process.pid

    async def turn(self, seconds: float) -> None:
        """Send for `seconds` and count what it cost."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        before = cpu_seconds(process.pid)
        process.stdin.write(f"{seconds}\n".encode())
        packets = int(await process.stdout.readline())
        self._seconds += cpu_seconds(process.pid) - before
        self._packets += packets

    @property
    def microseconds(self) -> float:
        """CPU µs per packet."""
        return 1e6 * self._seconds / self._packets

    async def close(self) -> None:
        """End the process and close all sockets."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
        for one in self._sockets:
            self._arrivals.remove(one)
            one.close()

    def _readable(self, one: socket.socket) -> None:
        arrivals = self._arrivals
        for index in range(len(arrivals.read(one))):
            (began,) = _BEGAN(arrivals.view, index * SLOT)
            self.delays.append(arrivals.arrived(index) - began)
