"""A peer as the relay's ports see it (`PeerPort`), that writes down what was handed to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aioice import stun

from relay.transport.ice import Credentials, IceSession
from relay.transport.wire import Wire


@dataclass(eq=False)
class PortPeer:
    """No keys are agreed, so that no media of it is ever undone."""

    ice: IceSession = field(
        default_factory=lambda: IceSession(Credentials.generate(), Credentials("peer", "p" * 24))
    )
    wire: Wire | None = None
    dtls: list[bytes] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    address: bytes = b""
    """Where it was found last."""

    def receive_dtls(self, data: bytes) -> None:
        self.dtls.append(data)

    def receive_rtp(self, data: bytes, now: float) -> None:
        raise AssertionError("no keys were agreed")

    def receive_rtcp(self, data: bytes, now: float) -> None:
        raise AssertionError("no keys were agreed")

    def address_moved(self, address: bytes, now: float) -> None:
        self.address = address

    def address_taken(self, address: bytes, now: float) -> None:
        self.taken.append(address)
        self.ice.addresses.pop(address, None)
        if self.ice.selected == address:
            self.ice.selected = None

    def checked(self, now: float) -> None:
        pass

    def check(self, password: str | None = None) -> bytes:
        """A check of this peer's, signed with our password unless told otherwise."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.ice.local.ufrag}:peer"
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity((password or self.ice.local.password).encode())
        return bytes(request)
