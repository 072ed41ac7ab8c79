"""What sending to one peer needs: address, SRTP contexts, its row in the send log.

A `Wire` is made when a peer's DTLS handshake is done and dies with the peer. It holds no logic;
the fan-out reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from pylibsrtp import Session

from relay.transport.native import SOCKADDR_BYTES, CData, ffi, srtp_context
from relay.transport.send_log import SendLogs

# Packets that left again, of which feedback may still tell: more than are asked for in ten seconds.
_AGAIN: Final = 512

# Urgency of what a stream is given: how much may wait before it for it still to be written.
CONTROL, VOICE, PICTURE = range(3)


class FrameStream(Protocol):
    """A TCP connection as those who send see it; the other side of it is `tcp.Stream`."""

    rate: float
    """What the peer's link is believed to carry, bit/s; told by whoever estimates it."""

    def send(self, packet: bytes | bytearray | memoryview, urgency: int) -> bool:
        """Write one frame, unless too much waits before it; whether it was written."""

    def close(self) -> None:
        """Cut the connection."""


class Wire:
    """One peer's sending side. sent_at, sent_size: see `SendLogs`; empty without a log."""

    __slots__ = (
        "_logs",
        "_memory",
        "_sessions",
        "address",
        "address_length",
        "again",
        "heard",
        "row",
        "rx",
        "sent_at",
        "sent_size",
        "stream",
        "tag",
        "tx",
    )

    def __init__(self, tx: Session, rx: Session, tag: int) -> None:
        """tx, rx: SRTP sessions after DTLS; tag: authentication tag of RTP, bytes."""
        self._sessions = (tx, rx)
        self.tx: CData = srtp_context(tx)
        self.rx: CData = srtp_context(rx)
        self.tag = tag
        self._memory = ffi.new("char[]", SOCKADDR_BYTES)
        self.address = int(ffi.cast("uintptr_t", self._memory))
        """Where in memory the raw socket address stands."""
        self.address_length = 0
        self.stream: FrameStream | None = None
        """The TCP connection that everything leaves through, instead of datagrams."""
        self.heard: set[bytes] = set()
        """SSRCs of authentic packets, as they stand in them."""
        self._logs: SendLogs | None = None
        self.row = -1
        self.again: dict[int, None] = {}
        """Transport-wide numbers, of 16 bits, of packets that left a second time; oldest first."""
        self.sent_at: Sequence[float] = ()
        self.sent_size: Sequence[int] = ()

    def set_address(self, sockaddr: bytes) -> None:
        """Send datagrams to this raw socket address from now on."""
        self.stream = None
        ffi.buffer(self._memory)[: len(sockaddr)] = sockaddr
        self.address_length = len(sockaddr)

    def note_again(self, number: int) -> None:
        """The packet with this transport-wide number leaves a second time."""
        self.again.pop(number, None)
        self.again[number] = None
        if len(self.again) > _AGAIN:
            del self.again[next(iter(self.again))]

    def begin_log(self, logs: SendLogs) -> None:
        """Media will be sent: note it in `logs`."""
        self._logs = logs
        self.row = logs.take()
        self.sent_at, self.sent_size = logs.times(self.row), logs.sizes(self.row)

    def end_log(self) -> int:
        """No more media. Returns how many packets were noted, 0 without a log."""
        logs, self._logs = self._logs, None
        if logs is None:
            return 0
        count = logs.count(self.row)
        logs.give_back(self.row)
        return count
