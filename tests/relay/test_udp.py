"""The one port in a crowd: teachers are read at once, the rest together, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from classroom.errors import Misuse
from relay.node import open_udp
from relay.transport.udp import UdpPort
from tests.eventually import eventually
from tests.fakes.port_peer import PortPeer

HELLO = bytes([22, 254, 253, 0])
CROWD = 20


@dataclass(eq=False)
class Browser(PortPeer):
    """A peer with its socket."""

    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((self.host, 0))


@dataclass
class Rig:
    """The port, a teacher who is favoured, and a crowd of rooms."""

    port: UdpPort
    teacher: Browser
    rooms: list[Browser]
    wakes: list[int] = field(default_factory=list)
    """Datagrams so far, after each time that some were read."""

    def send(self, peer: Browser, data: bytes) -> None:
        peer.socket.sendto(data, self.port.socket.getsockname()[:2])


@pytest.fixture(params=["127.0.0.1", "::1"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    rig: Rig
    port = UdpPort(
        open_udp(request.param, 0),
        lambda: 1.0,
        lambda now: rig.wakes.append(rig.port.counters.datagrams),
    )
    rig = Rig(
        port, Browser(host=request.param), [Browser(host=request.param) for _ in range(CROWD)]
    )
    loop = asyncio.get_running_loop()
    port.start(loop)
    for peer in (rig.teacher, *rig.rooms):
        port.add_peer(peer)
        rig.send(peer, peer.check())
    await eventually(lambda: all(peer.address for peer in (rig.teacher, *rig.rooms)))
    port.favour(rig.teacher.address)
    yield rig
    port.close(loop)
    for peer in (rig.teacher, *rig.rooms):
        peer.socket.close()
        assert not peer.taken


async def _spin(reached: Callable[[], object]) -> None:
    """Let the loop turn, no longer than needed."""
    for _ in range(100_000):
        if reached():
            return
        await asyncio.sleep(0)
    raise AssertionError("never came")


async def test_in_a_crowd_what_rooms_send_is_read_together(rig: Rig) -> None:
    await asyncio.sleep(0.02)
    rig.wakes.clear()
    before = rig.port.counters.datagrams
    # One datagram after the other, each of which would wake the process.
    for number in range(10):
        for room in rig.rooms:
            rig.send(room, HELLO + bytes([number]))
            await asyncio.sleep(0)
    await eventually(lambda: all(len(room.dtls) == 10 for room in rig.rooms))
    assert rig.port.counters.datagrams - before == 10 * CROWD
    assert len([one for one in rig.wakes if one > before]) < 5 * CROWD
    # In order, and to nobody else.
    for room in rig.rooms:
        assert room.dtls == [HELLO + bytes([number]) for number in range(10)]


async def test_a_teacher_does_not_wait_for_the_crowd(rig: Rig) -> None:
    rig.send(rig.rooms[0], HELLO)
    await _spin(lambda: rig.rooms[0].dtls)
    # The crowd was read just now and waits for its next turn; the teacher has none to wait for.
    loop = asyncio.get_running_loop()
    rig.send(rig.rooms[1], HELLO)
    rig.send(rig.teacher, HELLO)
    turn = rig.port._later
    assert turn is not None
    assert turn.when() > loop.time()
    await _spin(lambda: rig.teacher.dtls)
    assert rig.port._later is turn, "it came with the crowd's turn"
    assert not rig.rooms[1].dtls
    await eventually(lambda: rig.rooms[1].dtls)


async def test_a_teacher_does_not_wait_until_the_crowd_was_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, read_before = rig.rooms[0], []

    def speak(data: bytes) -> None:
        """While what the crowd sent is being read, the teacher says something."""
        first.dtls.append(data)
        if len(first.dtls) == 1:
            rig.send(rig.teacher, HELLO)

    def heard(data: bytes) -> None:
        rig.teacher.dtls.append(data)
        read_before.append(sum(len(room.dtls) for room in rig.rooms))

    await asyncio.sleep(0.02)
    monkeypatch.setattr(first, "receive_dtls", speak)
    monkeypatch.setattr(rig.teacher, "receive_dtls", heard)
    for number in range(10):
        for room in rig.rooms:
            rig.send(room, HELLO + bytes([number]))
    await eventually(lambda: sum(len(room.dtls) for room in rig.rooms) == 10 * CROWD)
    assert len(rig.teacher.dtls) == 1
    assert read_before[0] < CROWD


async def test_a_teacher_who_moves_is_heard_from_both_places(rig: Rig) -> None:
    old = rig.teacher.address
    moved = Browser(host=rig.teacher.host)
    moved.ice = rig.teacher.ice
    rig.send(moved, rig.teacher.check())
    await eventually(lambda: rig.teacher.address != old)
    rig.port.favour(rig.teacher.address, instead_of=old)
    assert list(rig.port._lanes) == [rig.teacher.address]
    rig.send(moved, HELLO + b"new")
    rig.send(rig.teacher, HELLO + b"old")
    await eventually(lambda: len(rig.teacher.dtls) == 2)
    # Another session from the same place outlives the first.
    rig.port.favour(rig.teacher.address)
    rig.port.favour(None, instead_of=rig.teacher.address)
    assert list(rig.port._lanes) == [rig.teacher.address]
    rig.port.favour(None, instead_of=rig.teacher.address)
    assert not rig.port._lanes
    rig.send(moved, HELLO + b"rest")
    await eventually(lambda: len(rig.teacher.dtls) == 3)
    moved.socket.close()


async def test_the_port_is_still_taken_for_everybody_else(rig: Rig) -> None:
    host, number = rig.port.socket.getsockname()[:2]
    with pytest.raises(Misuse, match="cannot use UDP port"):
        open_udp(host, number)


async def test_an_error_while_reading_does_not_make_it_deaf(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    await asyncio.sleep(0.02)
    with monkeypatch.context() as patch:
        patch.setattr(rig.rooms[0], "receive_dtls", fail)
        rig.send(rig.rooms[0], HELLO)
        await eventually(lambda: told)
    rig.send(rig.rooms[1], HELLO)
    await eventually(lambda: rig.rooms[1].dtls)


async def test_a_favour_asked_too_often_costs_no_more_descriptors(rig: Rig) -> None:
    for number in range(100):
        address = rig.teacher.address[:4] + bytes([127, 0, 1, number]) + rig.teacher.address[8:]
        rig.port.favour(address)
    assert len(rig.port._lanes) <= 64
