"""The relay's one UDP port: datagrams in, sorted by their first byte (RFC 7983), answered or
handed to their peer. What TCP connections bring in frames takes the same way from there (`tcp`).

Reads in batches of up to 64 per system call. What teachers send comes on sockets of its own
(`favour`) and is read at once; of what 200 rooms report, most of all that arrives, each datagram
would wake the process alone, so that the rest is read together, 20 ms late at most, and teachers in
between. A datagram whose address belongs to no peer is dropped and counted before any cryptography,
unless it is STUN, which authenticates itself; so strangers cost little and see nothing. SRTP is
undone in place on the receive buffer.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from classroom.clock import Clock
from relay.transport.ice import IceSession, IceTable
from relay.transport.native import (
    SOCKADDR_BYTES,
    SRTP_REPLAYED,
    ffi,
    last_error,
    libc,
    new_buffer,
    new_lengths,
    unprotect,
    unprotect_rtcp,
)
from relay.transport.wire import CONTROL, FrameStream, Wire

_BATCH: Final = 64
_SLOT: Final = 2_048  # above any path MTU we expect; longer datagrams are truncated and dropped
_MSG_TRUNC: Final = 0x20
# struct mmsghdr as sixteen words of 32 bits.
_WORDS: Final = 16
_NAME_LENGTH, _FLAGS, _MESSAGE_LENGTH = 2, 12, 14
# SSRCs that one peer may send with: libsrtp keeps a stream for each, and searches them one by one.
# A teacher with two sources of three layers, their repairs and a voice has 13.
SSRCS_MAX: Final = 128
_ROUNDS: Final = 8  # batches per wake-up, so that timers are never starved
# With so many peers, datagrams that nobody waits for are read together: seconds apart.
_CROWD: Final = 16
_TOGETHER: Final = 0.020
# Of these so many are read in a row, a fraction of a millisecond's work, before it is looked
# whether a teacher has sent something.
_SLICE: Final = 12
# Teachers that are read at once; a descriptor each.
_FAVOURED: Final = 64


@dataclass(slots=True)
class ReceiveCounters:
    """Datagrams since start, by what became of them.

    early: media before our handshake ended, dropped; its sender repeats what matters. crowded:
    from one more SSRC than a peer may use.
    """

    datagrams: int = 0
    bytes: int = 0
    stun: int = 0
    stun_refused: int = 0
    dtls: int = 0
    rtp: int = 0
    rtcp: int = 0
    unknown_address: int = 0
    unknown_kind: int = 0
    truncated: int = 0
    forged: int = 0
    replayed: int = 0
    early: int = 0
    crowded: int = 0


class PeerPort(Protocol):
    """What the port needs of a peer."""

    wire: Wire | None
    ice: IceSession

    def receive_dtls(self, data: bytes) -> None:
        """One datagram of DTLS."""

    def receive_rtp(self, data: bytes, now: float) -> None:
        """One RTP packet, SRTP undone."""

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """One compound RTCP packet, SRTCP undone."""

    def address_moved(self, address: bytes, now: float) -> None:
        """ICE selected another address."""

    def address_taken(self, address: bytes, now: float) -> None:
        """Another peer authenticated from this address: it is not this one's any more."""

    def checked(self, now: float) -> None:
        """An authenticated check arrived: consent is fresh."""


@dataclass(slots=True)
class _Lane:
    """A connected socket of our port. holders: sessions that are favoured by it."""

    socket: socket.socket
    holders: int = 1


class UdpPort:
    """Owns the socket, the ICE table and the map from address to peer.

    streams: TCP connections by address (raw and marked, see `ice`): what arrives on them is sorted
    here too, and what is meant for them leaves through them.
    """

    def __init__(self, sock: socket.socket, clock: Clock, after_batch: Callable[[float], None]):
        """sock: a bound UDP socket. after_batch(now) is called once all datagrams of a wake-up
        have been handed over."""
        sock.setblocking(False)
        self.socket = sock
        self.fd = sock.fileno()
        self.counters = ReceiveCounters()
        self.ice = IceTable()
        self.streams: dict[bytes, FrameStream] = {}
        self._peers: dict[IceSession, PeerPort] = {}
        self._by_address: dict[bytes, PeerPort] = {}
        self._lanes: dict[bytes, _Lane] = {}
        """By the address whose datagrams come on them alone."""
        self._ready = select.poll()
        """Which of the lanes have something."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._later: asyncio.TimerHandle | None = None
        self._clock = clock
        self._after_batch = after_batch
        self._memory, self._view, base = new_buffer(_BATCH * _SLOT)
        self._names = ffi.new("char[]", _BATCH * SOCKADDR_BYTES)
        self._name_view = ffi.buffer(self._names)
        self._length, _ = new_lengths(1)
        self._iov = ffi.new("struct iovec[]", _BATCH)
        self._messages = ffi.new("struct mmsghdr[]", _BATCH)
        # The headers as numbers: reading a C field by its name costs as much as a system call.
        self._words = memoryview(ffi.buffer(self._messages)).cast("B").cast("I")
        self._slots = [self._memory + index * _SLOT for index in range(_BATCH)]
        for index in range(_BATCH):
            header = self._messages[index].msg_hdr
            self._iov[index].iov_base = ffi.cast("void *", base + index * _SLOT)
            self._iov[index].iov_len = _SLOT
            header.msg_iov = self._iov + index
            header.msg_iovlen = 1
            header.msg_name = self._names + index * SOCKADDR_BYTES
            # In and out, but the same for every datagram of one socket: set once.
            header.msg_namelen = SOCKADDR_BYTES

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self.socket.getsockname()[1])

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to read on `loop`."""
        self._loop = loop
        loop.add_reader(self.fd, self._readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop reading and close the sockets."""
        if self._later is not None:
            self._later.cancel()
        loop.remove_reader(self.fd)
        self.socket.close()
        for lane in self._lanes.values():
            loop.remove_reader(lane.socket.fileno())
            lane.socket.close()
        self._lanes.clear()

    def favour(self, address: bytes | None, *, instead_of: bytes | None = None) -> None:
        """Read what comes from `address` at once, and what comes from `instead_of` like the rest.

        Raw socket addresses, None for none. Where the system allows no such socket, everything
        is read at once as long as media comes among it.
        """
        loop = self._loop
        if loop is None or address == instead_of:
            return
        lane = self._lanes.get(instead_of) if instead_of is not None else None
        if lane is not None and instead_of is not None:
            lane.holders -= 1
            if not lane.holders:
                del self._lanes[instead_of]
                self._ready.unregister(lane.socket.fileno())
                loop.remove_reader(lane.socket.fileno())
                lane.socket.close()
        if address is None:
            return
        if address in self._lanes:
            self._lanes[address].holders += 1
        elif len(self._lanes) < _FAVOURED:
            opened = self._open_lane(address)
            if opened is not None:
                self._lanes[address] = _Lane(opened)
                self._ready.register(opened.fileno(), select.POLLIN)
                loop.add_reader(opened.fileno(), self._read, opened.fileno())

    def _open_lane(self, address: bytes) -> socket.socket | None:
        """A socket bound where ours is and connected: the kernel prefers it for `address`."""
        try:
            lane = socket.socket(self.socket.family, socket.SOCK_DGRAM)
        except OSError:
            return None  # no descriptor is left
        try:
            if lane.family == socket.AF_INET6:
                only = self.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                lane.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            size = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            lane.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size // 2)
            # Ours allows it only while we bind, so that a second relay is still told that the
            # port is taken.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            lane.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            lane.setblocking(False)
            lane.bind(self.socket.getsockname())
            if libc.connect(lane.fileno(), address, len(address)):
                raise OSError(last_error(), "connect")
        except OSError:
            lane.close()
            return None
        finally:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        return lane

    def add_peer(self, peer: PeerPort) -> None:
        """Answer the peer's ICE checks from now on."""
        self._peers[peer.ice] = peer
        self.ice.add(peer.ice)

    def remove_peer(self, peer: PeerPort) -> None:
        """Forget the peer and its addresses."""
        self._peers.pop(peer.ice, None)
        self.ice.remove(peer.ice)
        for address in peer.ice.addresses:
            if self._by_address.get(address) is peer:
                self._forget(address)

    def _forget(self, address: bytes) -> None:
        del self._by_address[address]
        stream = self.streams.get(address)
        if stream is not None:
            stream.close()

    def attach(self, address: bytes, peer: PeerPort, stream: FrameStream) -> None:
        """What comes by `receive_frame` from `address`, a name of one of our own sockets, is of
        `peer`, and leaves through `stream`."""
        self.streams[address] = stream
        self._by_address[address] = peer

    def detach(self, address: bytes) -> None:
        """That socket is closed."""
        self.streams.pop(address, None)
        self._by_address.pop(address, None)

    def knows(self, address: bytes) -> bool:
        """Whether a peer was authenticated there."""
        return address in self._by_address

    def stream_lost(self, address: bytes, now: float) -> None:
        """The TCP connection from `address` is over; its peer waits for a check from elsewhere."""
        self.streams.pop(address, None)
        peer = self._by_address.pop(address, None)
        if peer is not None:
            peer.address_taken(address, now)

    def receive_frame(self, frame: bytes, address: bytes, now: float) -> None:
        """What came framed on a stream, at most as large as a datagram may be."""
        size = len(frame)
        self.counters.datagrams += 1
        self.counters.bytes += size
        if size < 4:
            self.counters.truncated += 1
            return
        self._view[:size] = frame
        self._datagram(0, size, address, now)

    def send_plain(self, data: bytes, address: bytes) -> None:
        """Send bytes that need no SRTP (STUN, DTLS); a full buffer or dead route drops them."""
        if self.streams and (stream := self.streams.get(address)) is not None:
            stream.send(data, CONTROL)
            return
        # Both protocols repeat themselves; a route that is gone now may come back.
        libc.sendto(self.fd, data, len(data), 0, address, len(address))

    def _readable(self) -> None:
        """The rest has something; in a crowd it is looked at again only after a while."""
        loop = self._loop
        if loop is None or len(self._peers) < _CROWD:
            self._read(self.fd)
            return
        loop.remove_reader(self.fd)
        self._read_together()

    def _read_together(self) -> None:
        loop, counters = self._loop, self.counters
        assert loop is not None
        self._later = None
        again = False
        try:
            for _ in range(_ROUNDS * _BATCH // _SLICE):
                before, media = counters.datagrams, counters.rtp
                count = self._take(self.fd, _SLICE, self._clock())
                # Nothing came; or media, which must not wait, from a teacher that just moved.
                again |= counters.datagrams > before
                if counters.rtp > media:
                    again = False
                    break
                if count < _SLICE:
                    break
                for fd, _ in self._ready.poll(0):
                    self._read(fd)
            self._after_batch(self._clock())
        finally:
            # Whatever happens, the port is read on.
            if again:
                self._later = loop.call_later(_TOGETHER, self._read_together)
            else:
                loop.add_reader(self.fd, self._readable)

    def _read(self, fd: int) -> None:
        now = self._clock()
        for _ in range(_ROUNDS):
            if self._take(fd, _BATCH, now) < _BATCH:
                break
        self._after_batch(now)

    def _take(self, fd: int, most: int, now: float) -> int:
        """Read at most so many datagrams; how many there were."""
        counters, words = self.counters, self._words
        count = int(libc.recvmmsg(fd, self._messages, most, 0, ffi.NULL))
        if count <= 0:
            return 0
        counters.datagrams += count
        for index in range(count):
            at = index * _WORDS
            size = words[at + _MESSAGE_LENGTH]
            counters.bytes += size
            if size < 4 or words[at + _FLAGS] & _MSG_TRUNC:
                counters.truncated += 1
                continue
            name = index * SOCKADDR_BYTES
            address = self._name_view[name : name + words[at + _NAME_LENGTH]]
            self._datagram(index, size, address, now)
        return count

    def _datagram(self, index: int, size: int, address: bytes, now: float) -> None:
        counters, view, start = self.counters, self._view, index * _SLOT
        first = view[start]
        peer = self._by_address.get(address)
        if first < 4:
            counters.stun += 1
            self._stun(bytes(view[start : start + size]), address, now)
        elif peer is None:
            counters.unknown_address += 1
        elif 128 <= first < 192:
            wire = peer.wire
            if wire is None:
                counters.early += 1
                return
            length = self._length
            length[0] = size
            # RFC 5761 §4: payload types 64 to 95 are RTCP's.
            kind = view[start + 1]
            control = 192 <= kind < 224
            source = start + (4 if control else 8)
            ssrc = bytes(view[source : source + 4])
            known = ssrc in wire.heard
            if not known and len(wire.heard) >= SSRCS_MAX:
                counters.crowded += 1
                return
            if control:
                status = unprotect_rtcp(wire.rx, self._slots[index], length)
                if status == 0:
                    counters.rtcp += 1
                    if not known:
                        wire.heard.add(ssrc)
                    peer.receive_rtcp(bytes(view[start : start + length[0]]), now)
                    return
            else:
                status = unprotect(wire.rx, self._slots[index], length)
                if status == 0:
                    counters.rtp += 1
                    if not known:
                        wire.heard.add(ssrc)
                    peer.receive_rtp(bytes(view[start : start + length[0]]), now)
                    return
            if status in SRTP_REPLAYED:
                counters.replayed += 1
            else:
                counters.forged += 1
        elif 20 <= first < 64:
            counters.dtls += 1
            peer.receive_dtls(bytes(view[start : start + size]))
        else:
            counters.unknown_kind += 1

    def _stun(self, data: bytes, address: bytes, now: float) -> None:
        check = self.ice.receive(data, address, now)
        if check.response is None:
            self.counters.stun_refused += 1
            return
        self.send_plain(check.response, address)
        if check.session is None:
            return
        peer = self._peers[check.session]
        before = self._by_address.get(address)
        if before is not None and before is not peer:
            # Somebody else proved to be there now: what we send to the former one is rubbish to
            # them, and a router that gives ports out again is common.
            before.address_taken(address, now)
        self._by_address[address] = peer
        if check.forgotten is not None and self._by_address.get(check.forgotten) is peer:
            self._forget(check.forgotten)
        if check.moved:
            peer.address_moved(address, now)
        peer.checked(now)
