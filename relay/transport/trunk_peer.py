"""The child's end of a trunk: a publisher that this relay called, instead of one that called it.

Everything of a publishing peer holds (`peer`); what differs is that we are the full agent of ICE
and that the association's sockets are the trunk's own. It outlives outages: under the same keys,
with the same numbers, wherever the parent is found again.
"""

from __future__ import annotations

from collections.abc import Callable

from classroom.clock import Clock
from relay.sfu.router import Router
from relay.sfu.upstream import Upstream
from relay.transport.dtls import SharedCertificate
from relay.transport.ice import IceSession
from relay.transport.ice_client import IceClient
from relay.transport.peer import Peer
from relay.transport.trunk_paths import TrunkPaths
from relay.transport.trunk_sdp import ParentSide
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire


class TrunkPeer(Peer):
    """subject: the parent's address, for logs. Call `start` once it is among the sessions."""

    def __init__(
        self,
        identity: str,
        lesson: str,
        subject: str,
        router: Router[Wire],
        parent: ParentSide,
        certificate: SharedCertificate,
        port: UdpPort,
        clock: Clock,
        after_batch: Callable[[float], None],
    ) -> None:
        now = clock()
        self.client = IceClient(parent.remote.credentials, now)
        super().__init__(
            identity,
            "trunk",
            lesson,
            subject,
            router,
            IceSession(self.client.local, parent.remote.credentials),
            parent.remote,
            certificate,
            port,
            now,
        )
        self.upstream: Upstream | None = None
        self.begin: Callable[[], None] = lambda: None
        """Called once the keys are there, before any media is taken in."""
        self.paths = TrunkPaths(
            self,
            self.client,
            parent.candidates,
            port,
            clock,
            after_batch,
            self._answered,
            lambda: self.upstream.last_packet if self.upstream is not None else 0.0,
        )

    async def connect(self, patience: float) -> None:
        """As any peer; then what came too early is taken in."""
        await super().connect(patience)
        self.begin()
        self.paths.connected()

    def _answered(self, address: bytes, now: float) -> None:
        """ICE knows that the parent is there."""
        ice = self.ice
        ice.last_check = now
        if self.upstream is not None and self.client.rtt is not None:
            self.upstream.rtt = self.client.rtt
        if ice.selected != address:
            ice.selected = address
            self.address_moved(address, now)
        self.checked(now)

    def address_taken(self, address: bytes, now: float) -> None:
        """Our sockets are nobody else's."""

    async def close(self) -> None:
        """Close the sockets, too; goodbye goes out before."""
        await super().close()
        await self.paths.close()
