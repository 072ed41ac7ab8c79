"""ICE over TCP (RFC 6544), passive: for schools whose network lets no UDP through.

Lives here: the listening port, what strangers may cost, and the one seam through which frames
leave. Must not live here: what arrives in frames (`udp` sorts it as it does datagrams), who is
authenticated (`ice`). A connection is found by its address, like a datagram's sender; it becomes a
peer's by the first check that authenticates on it. Until then it is a stranger's: few of those at
once, each for seconds, and for frames of STUN alone. A peer keeps two (`ice`); when all places are
taken, the oldest known one that is no peer's path makes room.

TCP repeats what is lost and keeps the order, so what is written too early delays all that follows.
So a stream holds hardly more than the link carries in the next moments; beyond that pictures are
left out, and the voice goes last. The kernel keeps only what is under way (TCP_NOTSENT_LOWAT).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from classroom.clock import Clock
from relay.transport.framing import FRAME_MOST, BadFraming, Deframer, framed
from relay.transport.ice import MAX_STUN_BYTES, STREAM_MARK
from relay.transport.udp import UdpPort
from relay.transport.wire import PICTURE, VOICE

# All at once, strangers among them: a relay's rooms several times over, and far below the files
# that a process may have open on any system.
STREAMS_MAX: Final = 500
STRANGERS_MAX: Final = 128
# A school's rooms come from behind one address, all at once after a power cut.
STRANGERS_EACH: Final = 32
# From the connection to its first good check: the check takes a round trip and repeats itself.
STRANGER_SECONDS: Final = 10.0
# A browser's checks are of 100 bytes or so; it repeats them until one is answered.
STRANGER_BYTES: Final = 4_096
# Without an answer from the kernel of the other side for so long, the connection is over.
_DEAD_SECONDS: Final = 30
_TCP_NOTSENT_LOWAT: Final = 25
_UNSENT_BYTES: Final = 2_048
_BACKLOG: Final = 64

# One wake-up's bytes, so that a flood of the smallest frames keeps nothing else waiting.
_READ_BYTES: Final = 8_192
# How much may wait before a frame for it still to be worth writing.
PICTURE_SECONDS: Final = 0.2
VOICE_SECONDS: Final = 0.6
# However slow the link: a handshake's flight, and a packet or two of a picture.
PICTURE_BYTES: Final = 3_000
VOICE_BYTES: Final = 6_000
CONTROL_BYTES: Final = 24_000


@dataclass(slots=True)
class StreamCounters:
    """Since start. refused: connections beyond a bound; strangers: closed before any good check;
    unframed: for breaking the framing; displaced: known ones closed to make room. pictures_dropped,
    voices_dropped, controls_dropped: frames not written, since the stream held too much."""

    opened: int = 0
    refused: int = 0
    strangers: int = 0
    unframed: int = 0
    displaced: int = 0
    frames: int = 0
    pictures_dropped: int = 0
    voices_dropped: int = 0
    controls_dropped: int = 0


class Stream(asyncio.BufferedProtocol):
    """One connection, as `wire.FrameStream` describes it to those who send."""

    def __init__(self, port: TcpPort) -> None:
        self.rate = 60_000.0
        self.address = b""
        self.host = ""
        self.is_known = False
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._deframer = Deframer(MAX_STUN_BYTES)
        self._received = 0
        self._patience: asyncio.TimerHandle | None = None

    def send(self, packet: bytes | bytearray | memoryview, urgency: int) -> bool:
        """Write one frame, unless too much waits for its urgency; whether it was written."""
        transport, counters = self._transport, self._port.counters
        if transport is None or transport.is_closing():
            return False
        waiting = transport.get_write_buffer_size()
        if waiting:
            if urgency == PICTURE:
                if waiting > max(PICTURE_BYTES, self.rate * PICTURE_SECONDS / 8):
                    counters.pictures_dropped += 1
                    return False
            elif urgency == VOICE:
                if waiting > max(VOICE_BYTES, self.rate * VOICE_SECONDS / 8):
                    counters.voices_dropped += 1
                    return False
            elif waiting > max(CONTROL_BYTES, self.rate / 8):
                counters.controls_dropped += 1
                return False
        counters.frames += 1
        transport.write(framed(packet))
        return True

    def close(self) -> None:
        """Cut the connection; what waits in it is of no use any more."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A stranger, if there is room for one."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer is None:
            self.close()  # gone again already
            return
        self.address, self.host = _sockaddr(peer) + STREAM_MARK, whose(str(peer[0]))
        if not self._port.admit(self):
            self.close()
            return
        _tune(transport.get_extra_info("socket"))
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(STRANGER_SECONDS, self._give_up)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes are put; all streams share it, since each is read in one go."""
        return self._port.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Frames, whole or in parts."""
        if not self.is_known:
            self._received += nbytes
        port = self._port
        self._deframer.receive(bytes(port.buffer[:nbytes]))
        try:
            while (frame := self._deframer.next()) is not None:
                if not self.is_known and frame[0] > 3:
                    raise BadFraming("only STUN may come before a good check")
                port.receive(self, frame)
                if not self.is_known and port.has_peer(self):
                    self._become_known()
            if not self.is_known and self._received > STRANGER_BYTES:
                raise BadFraming("much came, and no good check")
        except BadFraming:
            port.counters.unframed += 1
            self.close()
        port.batch_ends()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed it, or it broke."""
        self._transport = None
        if self._patience is not None:
            self._patience.cancel()
        self._port.lost(self)

    def _become_known(self) -> None:
        self.is_known = True
        self._deframer.most = FRAME_MOST
        if self._patience is not None:
            self._patience.cancel()
        self._port.introduced(self)

    def _give_up(self) -> None:
        self._port.counters.strangers += 1
        self.close()


class TcpPort:
    """The listening socket and its connections."""

    def __init__(
        self, sock: socket.socket, udp: UdpPort, clock: Clock, after_batch: Callable[[float], None]
    ) -> None:
        """sock: bound, not yet listening. udp: sorts what arrives. after_batch: as `udp` has it."""
        self.counters = StreamCounters()
        self.number = int(sock.getsockname()[1])
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self._socket = sock
        self._udp = udp
        self._clock = clock
        self._after_batch = after_batch
        self._server: asyncio.Server | None = None
        self._all: dict[Stream, None] = {}
        """Oldest first."""
        self._strangers: Counter[str] = Counter()

    @property
    def streams(self) -> int:
        """Connections now."""
        return len(self._all)

    async def start(self) -> None:
        """Begin to listen on the running loop."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Stream(self), sock=self._socket, backlog=_BACKLOG
        )

    def close(self) -> None:
        """Stop listening, cut all connections."""
        if self._server is not None:
            self._server.close()
        self._socket.close()
        for stream in list(self._all):
            stream.close()

    # Called by streams

    def admit(self, stream: Stream) -> bool:
        """Whether there is room for one more stranger."""
        strangers = self._strangers
        if (
            strangers.total() >= STRANGERS_MAX
            or strangers[stream.host] >= STRANGERS_EACH
            or not self._make_room()
        ):
            self.counters.refused += 1
            return False
        self.counters.opened += 1
        strangers[stream.host] += 1
        self._all[stream] = None
        self._udp.streams[stream.address] = stream
        return True

    def receive(self, stream: Stream, frame: bytes) -> None:
        """One frame, to be sorted as a datagram is."""
        self._udp.receive_frame(frame, stream.address, self._clock())

    def has_peer(self, stream: Stream) -> bool:
        """Whether a check on it was a peer's."""
        return self._udp.knows(stream.address)

    def introduced(self, stream: Stream) -> None:
        """It is a stranger's no more."""
        self._count_off(stream.host)

    def batch_ends(self) -> None:
        """All that came together has been handed over."""
        self._after_batch(self._clock())

    def lost(self, stream: Stream) -> None:
        """It is over."""
        if stream not in self._all:
            return
        del self._all[stream]
        if not stream.is_known:
            self._count_off(stream.host)
        self._udp.stream_lost(stream.address, self._clock())

    def _make_room(self) -> bool:
        """Whether one more may come, be it in the place of one that its peer does not use.

        A stranger is left alone: it goes soon, and may be a room whose check is on its way.
        """
        if len(self._all) < STREAMS_MAX:
            return True
        paths = self._udp.ice.selected()
        spare = next((one for one in self._all if one.is_known and one.address not in paths), None)
        if spare is None:
            return False
        self.counters.displaced += 1
        spare.close()
        # At once, and not when the loop comes to it: the place is given away now.
        self.lost(spare)
        return True

    def _count_off(self, host: str) -> None:
        self._strangers[host] -= 1
        if not self._strangers[host]:
            del self._strangers[host]


def open_tcp(host: str, number: int, wanted: int) -> socket.socket | None:
    """A socket bound for media over TCP, or None when it is switched off or nothing can be had.

    number: the UDP port. wanted: `media.tcp_port`, 0 for the same number or, where that is taken,
    any; below 0 for none.
    """
    if wanted < 0:
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for one in (wanted,) if wanted else (number, 0):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            sock.bind((host, one))
        except OSError:
            sock.close()
            continue
        return sock
    return None


def _tune(sock: socket.socket) -> None:
    for level, option, value in (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_SECONDS * 1_000),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _DEAD_SECONDS),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ):
        sock.setsockopt(level, option, value)


def whose(text: str) -> str:
    """Whose the address is, as strangers are counted: of IPv6 a /64, which one machine may have
    all of."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if address.version == 4 or address.ipv4_mapped is not None:
        return text
    return str(ipaddress.ip_network((address, 64), strict=False))


def _sockaddr(peer: tuple[str, int] | tuple[str, int, int, int]) -> bytes:
    """The raw socket address, as the kernel writes a datagram's sender."""
    if len(peer) == 2:
        host = socket.inet_aton(peer[0])
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", peer[1]) + host + bytes(8)
    host = socket.inet_pton(socket.AF_INET6, peer[0].partition("%")[0])
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", peer[1], peer[2])
    return head + host + struct.pack("=I", peer[3])
