"""What sending to one peer needs, laid out for the fan-out's inner loop.

A `Wire` is made when a peer's DTLS handshake is done and dies with the peer. It holds no logic
but the bookkeeping of transport-wide sequence numbers
(draft-holmer-rmcat-transport-wide-cc-extensions-01), which the fan-out writes and the
bandwidth estimate reads.
"""

from __future__ import annotations

from array import array
from typing import Final

from pylibsrtp import Session

from relay.transport.native import SOCKADDR_BYTES, CData, ffi, srtp_context

# Sent packets remembered for feedback: about 9 s at 110 packets/s, above any RTT in range.
SENT_RING: Final = 1024
SENT_MASK: Final = SENT_RING - 1


class Wire:
    """One peer's sending side: address, SRTP contexts, and when which packet was sent."""

    __slots__ = (
        "_address",
        "_sessions",
        "address",
        "address_length",
        "rx",
        "sent_at",
        "sent_size",
        "tag",
        "transport_sequence",
        "tx",
    )

    def __init__(self, tx: Session, rx: Session, tag: int) -> None:
        """tx, rx: SRTP sessions after DTLS; tag: authentication tag of RTP, bytes."""
        self._sessions = (tx, rx)
        self.tx: CData = srtp_context(tx)
        self.rx: CData = srtp_context(rx)
        self.tag = tag
        self._address = ffi.new("char[]", SOCKADDR_BYTES)
        self.address: CData = ffi.cast("void *", self._address)
        self.address_length = 0
        self.transport_sequence = 0
        self.sent_at = array("d", bytes(8 * SENT_RING))
        self.sent_size = array("H", bytes(2 * SENT_RING))

    def set_address(self, sockaddr: bytes) -> None:
        """Send to this raw socket address from now on."""
        ffi.buffer(self._address)[: len(sockaddr)] = sockaddr
        self.address_length = len(sockaddr)
