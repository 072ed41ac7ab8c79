"""ICE over TCP: what strangers may cost, what is written when the link is full, whose it is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aioice import stun

from relay.transport import tcp
from relay.transport.framing import framed
from relay.transport.ice import STREAM_MARK
from relay.transport.tcp import STRANGER_BYTES, STRANGERS_EACH, TcpPort, open_tcp, whose
from relay.transport.udp import UdpPort
from relay.transport.wire import CONTROL, PICTURE, VOICE
from tests.eventually import eventually
from tests.fakes.port_peer import PortPeer


@dataclass
class Rig:
    """Both ports in this process, and one peer who may come."""

    udp: UdpPort
    tcp: TcpPort
    peer: PortPeer
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.tcp.number)
        self.writers.append(writer)
        return reader, writer

    async def introduced(
        self, peer: PortPeer | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which the peer, or another one, was authenticated and wants to stay."""
        reader, writer = await self.connect()
        writer.write(framed((peer or self.peer).check()))
        answer = await frame(reader)
        assert stun.parse_message(answer).message_class == stun.Class.RESPONSE
        return reader, writer

    def another(self) -> PortPeer:
        """One more peer who may come."""
        peer = PortPeer()
        self.udp.add_peer(peer)
        return peer


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    udp = UdpPort(sock, lambda: 1.0, lambda now: None)
    bound = open_tcp("127.0.0.1", udp.port, 0)
    assert bound is not None
    streams = TcpPort(bound, udp, lambda: 1.0, lambda now: None)
    await streams.start()
    peer = PortPeer()
    udp.add_peer(peer)
    rig = Rig(udp, streams, peer)
    yield rig
    for writer in rig.writers:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    streams.close()
    udp.close(asyncio.get_running_loop())
    await eventually(lambda: streams.streams == 0)


async def frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def closed(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(10.0):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000):
                pass


async def test_a_check_makes_a_connection_its_peers_and_dtls_goes_both_ways(rig: Rig) -> None:
    reader, writer = await rig.introduced()
    own = rig.peer.ice.selected
    assert own is not None
    assert own.endswith(STREAM_MARK)
    hello = bytes([22, 254, 253]) + bytes(30)
    for byte in framed(hello) + framed(hello):
        writer.write(bytes([byte]))
        await writer.drain()
    await eventually(lambda: rig.peer.dtls == [hello, hello])
    rig.udp.send_plain(b"\x16flight", own)
    assert await frame(reader) == b"\x16flight"
    writer.close()
    await eventually(lambda: rig.peer.taken == [own])
    assert not rig.udp.streams


@pytest.mark.parametrize(
    "sent",
    [
        framed(bytes([22, 254, 253]) + bytes(30)),
        framed(bytes([128, 111]) + bytes(60)),
        b"GET / HTTP/1.1\r\n\r\n",
        (549).to_bytes(2, "big"),
        framed(PortPeer().check()) * (STRANGER_BYTES // 60),
        bytes(STRANGER_BYTES + 2),
    ],
)
async def test_a_stranger_is_closed_who_sends_what_strangers_may_not(rig: Rig, sent: bytes) -> None:
    reader, writer = await rig.connect()
    writer.write(sent)
    await closed(reader)
    assert rig.tcp.counters.unframed == 1
    assert rig.udp.counters.dtls == rig.udp.counters.rtp == 0


async def test_a_stranger_hears_nothing(rig: Rig) -> None:
    reader, writer = await rig.connect()
    writer.write(framed(rig.peer.check("w" * 24)) + framed(b"\x01\x02\x03\x04"))
    await eventually(lambda: rig.udp.counters.stun_refused == 2)
    writer.write(framed(rig.peer.check()))
    assert stun.parse_message(await frame(reader)).message_class == stun.Class.RESPONSE


async def test_who_says_nothing_is_closed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "STRANGER_SECONDS", 0.01)
    reader, _ = await rig.connect()
    await closed(reader)
    assert rig.tcp.counters.strangers == 1


async def test_a_known_peer_may_be_silent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "STRANGER_SECONDS", 0.05)
    await rig.introduced()
    reader, _ = await rig.connect()
    await closed(reader)
    assert rig.tcp.streams == 1


async def test_strangers_of_one_address_are_few_and_known_peers_do_not_count(rig: Rig) -> None:
    known = [await rig.introduced(rig.another()) for _ in range(3)]
    strangers = [await rig.connect() for _ in range(STRANGERS_EACH)]
    await eventually(lambda: rig.tcp.streams == len(known) + STRANGERS_EACH)
    reader, _ = await rig.connect()
    await closed(reader)
    assert rig.tcp.counters.refused == 1
    strangers[0][1].close()
    await eventually(lambda: rig.tcp.streams == len(known) + STRANGERS_EACH - 1)
    await rig.connect()
    await eventually(lambda: rig.tcp.streams == len(known) + STRANGERS_EACH)


def test_strangers_of_one_network_count_together() -> None:
    assert whose("192.0.2.7") == "192.0.2.7"
    assert whose("2001:db8:1:2::7") == whose("2001:db8:1:2:ffff::9%eth0") != whose("2001:db8::7")
    # Behind a socket for both families each old address is still one.
    assert whose("::ffff:192.0.2.7") != whose("::ffff:192.0.2.8")


async def test_a_peer_with_many_connections_keeps_two(rig: Rig) -> None:
    readers = [(await rig.introduced())[0] for _ in range(4)]
    await closed(readers[0])
    await closed(readers[1])
    await eventually(lambda: rig.tcp.streams == 2)
    assert rig.peer.ice.selected in rig.udp.streams
    assert rig.udp.streams.keys() == rig.peer.ice.addresses.keys()


async def test_when_all_places_are_taken_the_oldest_that_is_nobodys_path_makes_room(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "STREAMS_MAX", 4)
    await rig.introduced()
    first = rig.peer.ice.selected
    greedy = rig.another()
    spare = [(await rig.introduced(greedy))[0] for _ in range(2)]
    _, stranger = await rig.connect()
    await eventually(lambda: rig.tcp.streams == 4)
    # Of all who come at once one finds a place: the others are paths, or strangers.
    newcomers = await asyncio.gather(*(rig.connect() for _ in range(3)))
    await closed(spare[0])
    await eventually(lambda: rig.tcp.counters.refused == 2)
    assert (rig.tcp.streams, rig.tcp.counters.displaced) == (4, 1)
    stranger.write(framed(rig.another().check()))
    for reader, writer in newcomers:
        writer.write(framed(rig.another().check()))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await frame(reader)
    assert rig.tcp.streams == 4
    # Now all are paths.
    reader, _ = await rig.connect()
    await closed(reader)
    assert (rig.tcp.counters.refused, rig.tcp.counters.displaced) == (3, 1)
    assert rig.peer.ice.selected == first
    assert len(greedy.taken) == 1
    assert greedy.ice.selected in rig.udp.streams


async def test_a_peer_that_is_removed_loses_its_connections(rig: Rig) -> None:
    reader, _ = await rig.introduced()
    rig.udp.remove_peer(rig.peer)
    await closed(reader)


async def test_when_much_waits_pictures_go_first_and_the_voice_last(rig: Rig) -> None:
    reader, _ = await rig.introduced()
    assert rig.peer.ice.selected is not None
    stream = rig.udp.streams[rig.peer.ice.selected]
    stream.rate = 400_000.0
    # Nobody reads: fill what the kernel takes, then our own buffer.
    while stream.send(bytes(1_200), PICTURE):
        pass
    counters = rig.tcp.counters
    assert (counters.pictures_dropped, counters.voices_dropped) == (1, 0)
    spoken = 0
    while stream.send(bytes(100), VOICE):
        spoken += 1
    # 400 ms more of the estimate than what pictures may fill.
    assert spoken == pytest.approx(0.4 * 400_000 / 8 / 102, abs=12)
    assert stream.send(bytes(100), CONTROL)
    assert not stream.send(bytes(1_200), PICTURE)
    # Once it is read, all may be written again.
    reading = asyncio.create_task(closed(reader))
    await eventually(lambda: stream.send(bytes(1_200), PICTURE))
    stream.close()
    await reading
    assert not stream.send(b"late", CONTROL)


async def test_a_port_that_is_taken_is_replaced_and_switched_off_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        found = open_tcp("127.0.0.1", taken, 0)
        assert found is not None
        with found:
            assert found.getsockname()[1] != taken
        assert open_tcp("127.0.0.1", taken, taken) is None
    assert open_tcp("127.0.0.1", taken, -1) is None
