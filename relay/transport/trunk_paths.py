"""The sockets of one trunk: its ways to the parent, over UDP and, where that is blocked, over TCP.

Lives here: opening and closing them, handing what arrives to ICE or to the port, the timer that
drives ICE. Must not live here: which way is used (`ice_client`), what arrives (`udp`, `peer`).

A trunk has sockets of its own and not the relay's: two lessons from one parent would else be two
sessions between the same two addresses, and the parent could not tell them apart. To the port they
look like streams (`wire.FrameStream`), each under a name that no datagram's sender can have. After
an outage sockets are made anew as well: our own address may have changed, or the place that a
router had kept for us is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, cast

from classroom.clock import Clock
from relay.transport.framing import BadFraming, Deframer, framed
from relay.transport.ice_client import IceClient
from relay.transport.trunk_sdp import Candidate
from relay.transport.udp import PeerPort, UdpPort

# A lesson's layers in a burst, while the loop is busy.
_RECEIVE_BUFFER: Final = 1 << 20
_DATAGRAM: Final = 2_048
_ROUNDS: Final = 64  # datagrams per wake-up
# TCP is tried when nothing has come over UDP for so long.
TCP_AFTER: Final = 3.0
# While the path is broken new sockets are made so often; of each candidate two are kept.
RENEW_SECONDS: Final = 4.0
_KEPT: Final = 2
_FINEST: Final = 0.005
# Packets kept until our handshake is over: a lesson of 2 Mbit/s for two seconds.
_EARLY_MOST: Final = 512
# What may wait in a stream to the parent: feedback only, which is of no use when it is old.
_STREAM_WAITS: Final = 16_000


class _Way(ABC):
    """One socket as the port sees it."""

    def __init__(self, paths: TrunkPaths, candidate: Candidate, name: bytes) -> None:
        self.rate = 0.0
        self.candidate = candidate
        self.name = name
        self._paths = paths

    @abstractmethod
    def send(self, packet: bytes | bytearray | memoryview, urgency: int) -> bool:
        """Send one packet; whether it left."""

    @abstractmethod
    def close(self) -> None:
        """No more of it."""


class _UdpWay(_Way):
    def __init__(self, paths: TrunkPaths, candidate: Candidate, name: bytes) -> None:
        """Raises OSError when there is no way to the candidate just now."""
        super().__init__(paths, candidate, name)
        family = socket.AF_INET6 if ":" in candidate.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.connect((candidate.host, candidate.port))
        except OSError:
            self._socket.close()
            raise
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def send(self, packet: bytes | bytearray | memoryview, urgency: int) -> bool:
        try:
            self._socket.send(packet)
        except OSError:
            return False  # a full buffer, or no route just now: everything repeats itself
        return True

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        for _ in range(_ROUNDS):
            try:
                data = self._socket.recv(_DATAGRAM)
            except OSError:
                break  # nothing more; or the other side's port is closed for now
            self._paths.receive(data, self)
            if self._socket.fileno() < 0:
                return
        self._paths.batch_ends()


class _TcpWay(_Way, asyncio.Protocol):
    def __init__(self, paths: TrunkPaths, candidate: Candidate, name: bytes) -> None:
        super().__init__(paths, candidate, name)
        self._transport: asyncio.Transport | None = None
        self._deframer = Deframer()
        self._closed = False

    def send(self, packet: bytes | bytearray | memoryview, urgency: int) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > _STREAM_WAITS:
            return False
        transport.write(framed(packet))
        return True

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._closed:
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._paths.opened(self)

    def data_received(self, data: bytes) -> None:
        self._deframer.receive(data)
        try:
            while (frame := self._deframer.next()) is not None:
                self._paths.receive(frame, self)
        except BadFraming:
            self.close()
        self._paths.batch_ends()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._paths.lost(self)


class TrunkPaths:
    """One trunk's. `start` it, `close` it; answered(address, now) is called at each answer."""

    def __init__(
        self,
        peer: PeerPort,
        ice: IceClient,
        candidates: Sequence[Candidate],
        port: UdpPort,
        clock: Clock,
        after_batch: Callable[[float], None],
        answered: Callable[[bytes, float], None],
        heard: Callable[[], float],
    ) -> None:
        """heard: when authentic media came last, seconds."""
        self._peer = peer
        self._ice = ice
        self._candidates = tuple(candidates)
        self._port = port
        self._clock = clock
        self._after_batch = after_batch
        self._answered = answered
        self._heard = heard
        self._ways: dict[bytes, _Way] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._early: list[tuple[bytes, bytes]] = []
        """Media from before the keys, and the way that it came."""
        self._due = self._renew_at = self._tcp_at = 0.0

    @property
    def over_tcp(self) -> bool:
        """Whether the path in use is a TCP connection."""
        return isinstance(self._ways.get(self._ice.selected or b""), _TcpWay)

    def start(self) -> None:
        """Begin to look for a way."""
        now = self._clock()
        self._tcp_at = now + TCP_AFTER
        self._open_udp(now)
        self._run()

    async def close(self) -> None:
        """Close everything."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for way in list(self._ways.values()):
            self._drop(way)

    # Called by ways

    def receive(self, data: bytes, way: _Way) -> None:
        """One datagram or frame."""
        now = self._clock()
        if not data:
            return
        if data[0] < 4:
            self._port.counters.stun += 1
            self._due = now
            if self._ice.receive(data, way.name, now):
                assert self._ice.selected is not None, "an answer selects a path"
                self._answered(self._ice.selected, now)
            else:
                self._port.counters.stun_refused += 1
            return
        if self._peer.wire is None and 128 <= data[0] < 192:
            # The parent's half of the handshake was over first. What it sent is a keyframe, whose
            # beginning nobody would ever miss and ask for.
            if len(self._early) < _EARLY_MOST:
                self._early.append((data, way.name))
            return
        self._port.receive_frame(data, way.name, now)

    def connected(self) -> None:
        """The keys are there."""
        early, self._early = self._early, []
        for data, name in early:
            self._port.receive_frame(data, name, self._clock())
        if early:
            self.batch_ends()

    def batch_ends(self) -> None:
        """All that came together has been handed over."""
        now = self._clock()
        self._after_batch(now)
        if now >= self._due:
            self._run()

    def opened(self, way: _Way) -> None:
        """A connection is there."""
        now = self._clock()
        self._add(way, now)
        self._run()

    def lost(self, way: _Way) -> None:
        """A connection is over."""
        if self._ways.get(way.name) is way:
            self._drop(way)
            self._tcp_at = self._clock() + TCP_AFTER
            self._run()

    # Ways come and go

    def _add(self, way: _Way, now: float) -> None:
        self._ways[way.name] = way
        self._port.attach(way.name, self._peer, way)
        candidate = way.candidate
        self._ice.add_path(way.name, candidate.priority, now, is_stream=candidate.is_tcp)

    def _drop(self, way: _Way) -> None:
        del self._ways[way.name]
        self._port.detach(way.name)
        self._ice.lose_path(way.name, self._clock())
        way.close()

    def _name(self, candidate: Candidate) -> bytes:
        self._serial += 1
        # Longer than any raw socket address, and not a stream's of the listening port.
        where = f"{candidate.host} {candidate.port} trunk {self._serial} {id(self)}"
        return where.encode().ljust(40)

    def _open_udp(self, now: float) -> None:
        self._renew_at = now + RENEW_SECONDS
        for candidate in self._candidates:
            if candidate.is_tcp:
                continue
            # No route just now, or no descriptor left: the next round tries again.
            with contextlib.suppress(OSError):
                self._add(_UdpWay(self, candidate, self._name(candidate)), now)
            same = [one for one in self._ways.values() if one.candidate is candidate]
            for old in same[:-_KEPT]:
                self._drop(old)

    def _open_tcp(self, now: float) -> None:
        self._tcp_at = now + 2 * TCP_AFTER
        loop = asyncio.get_running_loop()
        open_now = {way.candidate for way in self._ways.values()}
        for candidate in self._candidates:
            if candidate.is_tcp and candidate not in open_now and not self._connecting:
                task = loop.create_task(self._connect(candidate))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)

    async def _connect(self, candidate: Candidate) -> None:
        loop = asyncio.get_running_loop()
        way = _TcpWay(self, candidate, self._name(candidate))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2 * TCP_AFTER):
                await loop.create_connection(lambda: way, candidate.host, candidate.port)

    # Time

    def _run(self) -> None:
        if self._closed:
            return
        now, ice = self._clock(), self._ice
        ice.note_media(self._heard())
        ice.handle_timer(now)
        works = ice.selected is not None and not ice.is_broken
        if not works and now >= self._renew_at:
            self._open_udp(now)
        if not works and now >= self._tcp_at:
            self._open_tcp(now)
        if works:
            self._tcp_at = self._renew_at = now + TCP_AFTER
        for data, name in ice.take_sends():
            way = self._ways.get(name)
            if way is not None:
                way.send(data, 0)
        due = ice.get_timer()
        if not works:
            due = min(self._renew_at, self._tcp_at, due if due is not None else self._renew_at)
        assert due is not None, "a path that works has its next check"
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        delay = max(_FINEST, due - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._run)
