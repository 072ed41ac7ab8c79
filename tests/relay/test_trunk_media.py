"""Two media cores and a trunk between them, on loopback: ICE, DTLS, SRTP and every byte are real.

The teacher is a made-up browser whose packets go straight into the root's router; what the child
has is looked at where it keeps it. What the two services would say to each other is carried by
hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from classroom.clock import monotonic
from classroom.errors import Refused
from relay.media import rtp
from relay.media.told_timeline import ToldTimeline
from relay.sfu.layer import Layer
from relay.sfu.router import Router
from relay.transport import ice_client, trunk_paths
from relay.transport.fanout import NativeFanOut
from relay.transport.recorder_feed import RecorderFeed
from relay.transport.send_log import SendLogs
from relay.transport.sessions import Limits, Sessions
from relay.transport.tcp import TcpPort, open_tcp
from relay.transport.trunk_peer import TrunkPeer
from relay.transport.trunks import Trunks
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire
from tests.eventually import eventually
from tests.fakes.lesson_publisher import FakePublisher
from tests.scenarios.story import camera, voice

LESSON = "toan-7"


class Node:
    """One relay's media core with its timers, as the media process runs it."""

    def __init__(self, name: str) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        self.name = name
        self.port = UdpPort(sock, monotonic, self._after_batch)
        self.feed = RecorderFeed()
        self.sessions = Sessions(
            self.port,
            NativeFanOut(self.port.fd, SendLogs(20), monotonic),
            self.feed,
            monotonic,
            Limits(viewers_max=10, start_bitrate=5_000_000.0),
            ["127.0.0.1"],
            lambda lesson: None,
        )
        self.trunks = Trunks(self.sessions, monotonic, self._after_batch)
        self.sessions.relay_connected = self.trunks.connected
        self.notices: list[tuple[str, dict[str, Any]]] = []

    @property
    def router(self) -> Router[Wire]:
        return self.sessions.routers[LESSON]

    def layer(self, source: str, rid: str = "") -> Layer | None:
        """The layer as it is here now."""
        publisher = self.router.publisher
        layers = publisher.layers if publisher is not None else []
        return next((one for one in layers if (one.track.source, one.rid) == (source, rid)), None)

    def _after_batch(self, now: float) -> None:
        for router in self.sessions.routers.values():
            router.flush(now)

    async def run(self) -> None:
        self.port.start(asyncio.get_running_loop())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sessions.run())
            tasks.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            now = monotonic()
            for router in self.sessions.routers.values():
                router.handle_timer(now)
                router.flush(now)
            await asyncio.sleep(0.005)


@dataclass
class Tree:
    """Relays above one another, the root first."""

    nodes: list[Node] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)
    """Of each child, by its name: its trunk."""

    @property
    def root(self) -> Node:
        return self.nodes[0]

    def join(
        self, child: Node, parent: Node, change: Callable[[str], str] = lambda answer: answer
    ) -> str:
        """Begin a trunk; change: makes another answer of the parent's."""
        offered = child.trunks.offer(LESSON)
        answered = parent.trunks.accept(LESSON, child.name, offered["offer"], {})
        child.trunks.answer(
            LESSON,
            offered["session"],
            parent.name,
            change(answered["answer"]),
            answered["epoch"],
            answered["tracks"],
        )
        self.sessions[child.name] = offered["session"]
        return str(offered["session"])

    def carry(self) -> None:
        """Let the services say what is due."""
        names = {node.name: node for node in self.nodes}
        for node in self.nodes:
            for name, notice in node.trunks.due():
                node.notices.append((name, notice))
                child = names.get(str(notice.get("subject")))
                if name == "trunk-tracks" and child is not None:
                    child.trunks.tell(
                        LESSON, self.sessions[child.name], notice["epoch"], notice["tracks"]
                    )


@contextlib.asynccontextmanager
async def tree(*names: str) -> AsyncIterator[Tree]:
    nodes = [Node(name) for name in names]
    running = [asyncio.create_task(node.run()) for node in nodes]
    await asyncio.sleep(0.01)
    try:
        yield Tree(nodes)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for node in nodes:
            node.port.close(asyncio.get_running_loop())


class Teacher:
    """A made-up browser that sends into the root until it is told to stop."""

    def __init__(self, root: Node, serial: int = 1) -> None:
        self.fake = FakePublisher((voice(), camera("vp8")), self._send, serial=serial, start=65_530)
        self.sent: dict[tuple[int, int], bytes] = {}
        """(SSRC, sequence number) → packet."""
        self._root = root
        self._identity = f"teacher-{serial}"
        router = root.sessions.router_of(LESSON, monotonic())
        router.publish(self._identity, "ms-lan", self.fake.tracks, monotonic())

    def _send(self, data: bytes) -> None:
        now, publisher = monotonic(), self._root.router.publisher
        if publisher is None or publisher.identity != self._identity:
            return  # another one teaches
        if rtp.is_rtcp(data):
            self._root.router.receive_publisher_rtcp(data, now)
            return
        header = rtp.parse(data)
        self.sent[header.ssrc, header.sequence_number] = data
        self._root.router.receive_rtp(data, now)

    async def run(self) -> None:
        while True:
            now = monotonic()
            self.fake.handle_timer(now)
            self.fake.frame("voice", now)
            self.fake.frame("camera", now)
            self._root.router.flush(now)
            await asyncio.sleep(0.02)


def as_sent(layer: Layer, teacher: Teacher, rid: str) -> int:
    """How many packets the child's layer has; each must be what the teacher sent, in order."""
    source = layer.track.source
    outlet = teacher.fake.outlet(source, rid)
    by_tag = {
        data[rtp.parse(data).payload_offset :]: data
        for (ssrc, _), data in teacher.sent.items()
        if ssrc == outlet.ssrc
    }
    found = [one for n in range(layer.highest + 1) if (one := layer.cached(n)) is not None]
    numbers = []
    for packet in found:
        original = by_tag[packet.data[packet.payload_offset : packet.payload_end]]
        header = rtp.parse(original)
        assert (packet.timestamp, packet.marker) == (header.timestamp, header.marker)
        numbers.append(header.sequence_number)
    steps = {(b - a) & 0xFFFF for a, b in pairwise(numbers)}
    assert steps <= {1}, "a packet is missing, or came twice"
    return len(found)


async def test_a_child_has_each_layer_as_it_is_at_the_root() -> None:
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        teacher = Teacher(root)
        sending = asyncio.create_task(teacher.run())
        await eventually(lambda: root.layer("camera", "f"))
        relays.join(school, root)
        await eventually(lambda: school.layer("camera", "f") and school.layer("voice"))
        camera_there, voice_there = school.layer("camera", "f"), school.layer("voice")
        assert camera_there is not None
        assert voice_there is not None
        await eventually(lambda: len(camera_there.pictures) > 40)
        sending.cancel()
        assert as_sent(camera_there, teacher, "f") > 20
        assert as_sent(voice_there, teacher, "") > 3
        above = root.layer("camera", "f")
        assert above is not None
        relays.carry()
        assert (camera_there.index, camera_there.track.rids) == (2, ("q", "h", "f"))
        assert camera_there.slot_offset == above.slot_offset
        assert isinstance(camera_there.timeline, ToldTimeline)
        assert camera_there.timeline.take.feed == root.feed.name
        assert camera_there.timeline.anchor == above.timeline.anchor
        # One copy: of a camera with three layers the largest alone.
        assert school.layer("camera", "q") is None
        assert school.layer("camera", "h") is None


async def test_a_tree_of_three_has_it_as_well() -> None:
    async with tree("root", "region", "school") as relays:
        root, region, school = relays.nodes
        teacher = Teacher(root)
        sending = asyncio.create_task(teacher.run())
        relays.join(region, root)
        relays.join(school, region)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                while (there := school.layer("camera", "f")) is None or len(there.pictures) < 40:
                    relays.carry()
                    await asyncio.sleep(0.02)
        sending.cancel()
        assert there is not None
        assert as_sent(there, teacher, "f") > 20
        assert isinstance(there.timeline, ToldTimeline)
        assert there.timeline.take.feed == root.feed.name
        # What a school's status shows of its link: a tenth of what came had to come again.
        there.nack.recovered += there.reception.received // 9
        (trunk,) = school.trunks._trunks.values()
        trunk.loss.update([there], monotonic() + 60)
        (told,) = school.trunks.statistics()
        assert told["loss"] == trunk.loss.loss
        assert 0.015 < told["loss"] < 0.025


async def test_a_parent_with_another_certificate_is_hung_up_on() -> None:
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        own, other = (one.sessions.certificate.fingerprint() for one in (root, school))
        session = relays.join(school, root, lambda answer: answer.replace(own, other))
        await eventually(lambda: session not in school.sessions.peers)
        assert school.sessions.handshakes_failed == 1


async def test_a_teacher_who_began_here_meanwhile_is_not_displaced() -> None:
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        Teacher(root)
        relays.join(school, root)
        # Nobody taught here when the answer came; the trunk's handshake takes seconds.
        here = Teacher(school, serial=2)
        await eventually(lambda: not school.sessions.peers)
        publisher = school.router.publisher
        assert publisher is not None
        assert publisher.identity == "teacher-2"
        sending = asyncio.create_task(here.run())
        await eventually(lambda: school.layer("voice"))
        sending.cancel()


async def test_an_answer_to_nothing_is_refused() -> None:
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        offered = school.trunks.offer(LESSON)
        answered = root.trunks.accept(LESSON, "school", offered["offer"], {})
        with pytest.raises(Refused):
            school.trunks.answer(LESSON, "other", "root", answered["answer"], 0, [])
        with pytest.raises(Refused) as caught:
            school.trunks.answer(LESSON, offered["session"], "root", offered["offer"], 0, [])
        assert caught.value.code == "trunk-answer"


class Detour(asyncio.DatagramProtocol):
    """A way between two ports that can be cut, and that gives the caller another address."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.is_up = True
        self.refuses = False
        self._target = target
        self._ways: dict[tuple[str, int], socket.socket] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> int:
        """Its port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        return int(self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr not in self._ways:
            way = self._ways[addr] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            way.setblocking(False)
            way.connect(self._target)
            asyncio.get_running_loop().add_reader(way.fileno(), self._back, way, addr)
        if self.is_up:
            self._ways[addr].send(data)

    def _back(self, way: socket.socket, addr: tuple[str, int]) -> None:
        data = way.recv(2_048)
        if self.is_up and self._transport is not None:
            self._transport.sendto(data, addr)

    def renumber(self) -> None:
        """The router between forgets whom it knows: all come from other ports from now on."""
        for way in self._ways.values():
            asyncio.get_running_loop().remove_reader(way.fileno())
            way.close()
        self._ways.clear()

    def close(self) -> None:
        self.renumber()
        if self._transport is not None:
            self._transport.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback's round trips are short: what is waited for on real links may be as well."""
    monkeypatch.setattr(ice_client, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(ice_client, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(ice_client, "FIRST_RTO", 0.05)
    monkeypatch.setattr(ice_client, "LAST_RTO", 0.1)
    monkeypatch.setattr(trunk_paths, "RENEW_SECONDS", 0.15)


@contextlib.asynccontextmanager
async def detoured() -> AsyncIterator[tuple[Tree, Teacher, Detour]]:
    """A school behind a way that can be cut, which has a lesson."""
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        teacher = Teacher(root)
        sending = asyncio.create_task(teacher.run())
        detour = Detour(("127.0.0.1", root.port.port))
        number = await detour.start()
        await eventually(lambda: root.layer("camera", "f"))
        relays.join(school, root, lambda text: text.replace(f" {root.port.port} ", f" {number} "))
        await eventually(lambda: len_of(school) > 20)
        try:
            yield relays, teacher, detour
        finally:
            sending.cancel()
            detour.close()


def len_of(node: Node) -> int:
    layer = node.layer("voice")
    return layer.reception.received if layer is not None else 0


async def resumed(school: Node) -> None:
    before = len_of(school)
    await eventually(lambda: len_of(school) > before + 5)


@pytest.mark.usefixtures("hasty")
async def test_an_outage_is_over_as_soon_as_the_link_is_back() -> None:
    async with detoured() as (relays, _, detour):
        school = relays.nodes[1]
        peer = school.sessions.peers[relays.sessions["school"]]
        voice_before = school.layer("voice")
        detour.is_up = False
        await eventually(lambda: ("trunk", "broken") in states(school))
        detour.is_up = True
        await resumed(school)
        # The same session under the same keys: nobody began anything anew.
        assert school.sessions.peers[relays.sessions["school"]] is peer
        assert school.layer("voice") is voice_before
        await eventually(lambda: ("trunk", "live") in states(school))


@pytest.mark.usefixtures("hasty")
async def test_another_address_of_ours_is_followed() -> None:
    async with detoured() as (relays, _, detour):
        root, school = relays.nodes
        detour.renumber()
        await resumed(school)
        child = next(peer for peer in root.sessions.peers.values() if peer.role == "relay")
        assert child.moves >= 2


@pytest.mark.usefixtures("hasty")
async def test_a_teacher_who_begins_anew_is_followed_by_the_same_trunk() -> None:
    async with detoured() as (relays, _, _):
        root, school = relays.nodes
        epoch = root.router.epoch
        second = Teacher(root, serial=2)
        sending = asyncio.create_task(second.run())

        def is_followed() -> bool:
            relays.carry()
            layer = school.layer("camera", "f")
            return (
                school.router.epoch == epoch + 1 and layer is not None and len(layer.pictures) > 20
            )

        await eventually(is_followed)
        sending.cancel()
        there = school.layer("camera", "f")
        assert there is not None
        assert as_sent(there, second, "f") > 20


async def test_streams_that_nobody_told_of_are_dropped_and_counted() -> None:
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        teacher = Teacher(root)
        sending = asyncio.create_task(teacher.run())
        await eventually(lambda: root.layer("camera", "f"))
        relays.join(school, root)
        await eventually(lambda: len_of(school) > 5)
        upstream = school.router.publisher
        assert upstream is not None
        before = len(upstream.layers)
        for ssrc in range(5_000):
            data = rtp.build(96, True, 7, 90, 1_000_000 + ssrc, b"", bytes(1_000))
            school.router.receive_rtp(data, monotonic())
        assert upstream.unknown == 5_000
        assert len(upstream.layers) == before
        await resumed(school)
        sending.cancel()


def states(node: Node) -> set[tuple[str, str]]:
    """What the service was told of its trunks so far."""
    node.notices += node.trunks.due()
    return {(name, str(notice.get("state"))) for name, notice in node.notices[-3:]}


async def test_where_no_datagram_gets_through_a_stream_carries_the_lesson(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trunk_paths, "TCP_AFTER", 0.05)
    async with tree("root", "school") as relays:
        root, school = relays.nodes
        listening = open_tcp("127.0.0.1", 0, 0)
        assert listening is not None
        streams = TcpPort(listening, root.port, monotonic, root._after_batch)
        await streams.start()
        root.sessions.tcp_port = streams.number
        teacher = Teacher(root)
        sending = asyncio.create_task(teacher.run())
        await eventually(lambda: root.layer("camera", "f"))

        def blocked(answer: str) -> str:
            lines = answer.split("\r\n")
            return "\r\n".join(line for line in lines if " udp " not in line)

        session = relays.join(school, root, blocked)
        await eventually(lambda: len_of(school) > 20)
        sending.cancel()
        peer = school.sessions.peers[session]
        assert isinstance(peer, TrunkPeer)
        assert peer.paths.over_tcp
        there = school.layer("camera", "f")
        assert there is not None
        assert as_sent(there, teacher, "f") > 20
        streams.close()
