"""A way from UDP to ICE over TCP: what a light peer sends as datagrams goes framed to the relay.

Lives here: one UDP socket, one TCP connection, frames between them (RFC 4571, written here anew, so
that it does not agree with the relay's by being the same). Must not live here: ICE or media.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast


class StreamBridge(asyncio.DatagramProtocol):
    """`address` is what the peer sends to."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.address = ("", 0)
        self._writer = writer
        self._peer: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The UDP side is there."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the peer to the relay."""
        self._peer = addr
        self._writer.write(len(data).to_bytes(2, "big") + data)

    async def pump(self, reader: asyncio.StreamReader) -> None:
        """From the relay to the peer, until the connection ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(size)
                if self._transport is not None and self._peer is not None:
                    self._transport.sendto(data, self._peer)


@contextlib.asynccontextmanager
async def stream_bridge(host: str, port: int) -> AsyncIterator[StreamBridge]:
    """A bridge to the relay's TCP port; leaving the block cuts the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    bridge = StreamBridge(writer)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: bridge, ("127.0.0.1", 0))
    pumping = asyncio.create_task(bridge.pump(reader))
    try:
        yield bridge
    finally:
        writer.transport.abort()
        await pumping
        transport.close()
