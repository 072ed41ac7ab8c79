"""One peer of the port: its ICE session, DTLS association, wire, and what it is for.

A peer lives from its POST until DELETE, goodbye, or its lifetime without consent. Media and
control packets are handed to its lesson's router; which side of the router is the peer's role.
A failure here ends this peer with a reason and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from relay.sfu.negotiated import SlotSpec, TrackSpec
from relay.sfu.router import Router
from relay.sfu.rungs import Rung
from relay.sfu.viewer import Viewer
from relay.transport.dtls import Dtls, HandshakeFailed, SharedCertificate
from relay.transport.ice import IceSession
from relay.transport.offer import Remote
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire

_log: Final = logging.getLogger("relay.media")


class Peer:
    """role: "publisher" or "viewer". lesson's router gets its packets once DTLS is done."""

    def __init__(
        self,
        identity: str,
        role: str,
        lesson: str,
        subject: str,
        router: Router[Wire],
        ice: IceSession,
        remote: Remote,
        certificate: SharedCertificate,
        port: UdpPort,
        now: float,
    ) -> None:
        self.identity = identity
        self.role = role
        self.lesson = lesson
        self.subject = subject
        self.router = router
        self.ice = ice
        self.remote = remote
        self.tracks: tuple[TrackSpec, ...] = ()
        self.slots: tuple[SlotSpec, ...] = ()
        self.created_at = now
        self.connected_at: float | None = None
        self.wire: Wire | None = None
        self.viewer: Viewer[Wire] | None = None
        self.expects: Rung | None = None
        """What a room is to have until its viewer begins."""
        self.behind = ""
        """Why a room is to be sent nothing live, see `relay.transport.behind`."""
        self.reason = ""
        self.ended = asyncio.Event()
        self.etag = 1
        # Kind and mid of the section whose transport the whole bundle uses.
        self.tag = ("audio", "")
        self.faults = 0
        self.moves = 0
        self._favoured: bytes | None = None
        """The address that the port reads at once: a teacher's."""
        self._reachable = asyncio.Event()
        self._port = port
        self._dtls = Dtls(
            certificate,
            remote.fingerprints,
            active=not remote.active,
            send=self._send_dtls,
            closed=lambda: self.end("the peer closed the connection"),
        )

    async def connect(self, patience: float) -> None:
        """Shake hands once the peer is reachable, all within `patience` seconds.

        Raises HandshakeFailed or TimeoutError.
        """
        async with asyncio.timeout(patience):
            await self._reachable.wait()
            wire = await self._dtls.handshake()
        if self.ice.selected is None:
            raise HandshakeFailed("no address")
        self.wire = wire
        self._point(wire, self.ice.selected)

    def end(self, reason: str) -> None:
        """Ask for the peer's end; its owner does the rest."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()

    async def close(self) -> None:
        """Free what the association holds."""
        self._favour(None)
        await self._dtls.close()

    def _send_dtls(self, data: bytes) -> None:
        if self.ice.selected is not None:
            self._port.send_plain(data, self.ice.selected)

    # Called by the UDP port

    def receive_dtls(self, data: bytes) -> None:
        """One datagram of DTLS."""
        self._dtls.receive(data)

    def receive_rtp(self, data: bytes, now: float) -> None:
        """Media: a publisher's goes to the router; a room is not called on, so its is dropped."""
        publisher = self.router.publisher
        if publisher is not None and publisher.identity == self.identity:
            try:
                self.router.receive_rtp(data, now)
            except Exception:  # the peer's edge, see `_fault`
                self._fault("RTP")

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """Control packets."""
        try:
            if self.viewer is not None:
                self.router.receive_viewer_rtcp(self.viewer, data, now)
                return
            publisher = self.router.publisher
            if publisher is not None and publisher.identity == self.identity:
                self.router.receive_publisher_rtcp(data, now)
        except Exception:  # the peer's edge, see `_fault`
            self._fault("RTCP")

    def _fault(self, what: str) -> None:
        """The peer's edge: a bug that one packet of it meets costs this packet, not the datagrams
        of others that were read with it. Told once for a peer, else a stream of them fills disks.
        """
        self.faults += 1
        if self.faults == 1:
            _log.exception("packet-failed", extra={"session": self.identity[:8], "packet": what})

    def address_moved(self, address: bytes, now: float) -> None:
        """The peer is somewhere else now: send there."""
        self.moves += 1
        if self.wire is not None:
            self._point(self.wire, address)

    def _point(self, wire: Wire, address: bytes) -> None:
        """Let everything leave to `address`, be it a datagram's or a stream's."""
        before, stream = wire.stream, self._port.streams.get(address)
        if stream is None:
            wire.set_address(address)
        wire.stream = stream
        if self.role == "publisher":
            self._favour(address if stream is None else None)
        if stream is before or self.viewer is None:
            return
        for leg in self.viewer.legs.values():
            if leg.group is not None:
                # The fan-out lays streams out apart from addresses.
                leg.group.legs.table = None

    def _favour(self, address: bytes | None) -> None:
        self._port.favour(address, instead_of=self._favoured)
        self._favoured = address

    def address_taken(self, address: bytes, now: float) -> None:
        """Somebody else is at this address now; a viewer is paused until its next check."""
        self.ice.addresses.pop(address, None)
        if self.ice.selected == address:
            self.ice.selected = None
            self.router.pause_viewer(self.identity, now)

    def checked(self, now: float) -> None:
        """Consent is fresh: a viewer that was paused gets its picture back at once."""
        self._reachable.set()
        if self.viewer is not None and not self.viewer.running:
            self.router.resume_viewer(self.identity, now)
