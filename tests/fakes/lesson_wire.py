"""A whole lesson on a fake wire: teacher, router and rooms, seeded links, virtual time.

Verbs: `open_room`, `close_room`, `advance`, `publish`, `unpublish`; then ask the rooms what they
saw. Links lose, delay, repeat and reorder packets from one seed, so a failure repeats itself. The
fan-out here writes what relay.transport.fanout writes, with the same function where picture ids
are concerned. Not here: how frames are packed, how a receiver judges.
"""

from __future__ import annotations

import heapq
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.media import rtp
from relay.media.timeline import Anchor
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.packet import Outgoing, Received, patch_picture
from relay.sfu.router import Router
from relay.sfu.sink import Run
from tests.fakes.lesson_publisher import FakePublisher, SourcePlan
from tests.fakes.lesson_viewer import RING, FakeViewer, FakeWire, Offer

START: Final = 1_700_000_000.0
BEAT: Final = 8.0
VIEWER_TIMER: Final = 0.02


@dataclass(slots=True)
class Link:
    """One direction. loss, repeat, reorder: chances; delay, jitter: seconds; rate: bit/s.

    drop: says of single packets that they are lost. queue: seconds of `rate` that may wait.
    """

    loss: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0
    rate: float = 0.0
    queue: float = 0.5
    drop: Callable[[bytes], bool] | None = None
    up: bool = True
    _busy_until: float = 0.0
    _last: float = 0.0

    def arrivals(self, data: bytes, now: float, seed: random.Random) -> list[float]:
        """When the packet arrives: never, once, or twice."""
        if not self.up or (self.drop is not None and self.drop(data)):
            return []
        if self.loss and seed.random() < self.loss:
            return []
        at = now
        if self.rate:
            begins = max(now, self._busy_until)
            if begins - now > self.queue:
                return []
            self._busy_until = at = begins + (len(data) + 44) * 8 / self.rate
        at += self.delay + (seed.random() * self.jitter if self.jitter else 0.0)
        if self.reorder and seed.random() < self.reorder:
            at += 0.005 + seed.random() * 0.03
        else:
            # Without reordering a link is a queue: jitter never lets one overtake another.
            self._last = at = max(at, self._last)
        if self.repeat and seed.random() < self.repeat:
            return [at, at + 0.004]
        return [at]


class FakeFanOut:
    """What NativeFanOut does but for encryption and sockets."""

    def __init__(self) -> None:
        self.packets = 0
        self.alone = 0
        self.largest_train = 0

    def fan_out(self, runs: Sequence[Run[Any]], now: float) -> None:
        for run, legs in runs:
            self._fan_out(run, legs, now)

    def _fan_out(self, run: Sequence[Outgoing], legs: Sequence[Leg[Any]], now: float) -> None:
        first = run[0]
        size = len(first.data)
        assert 1 <= len(run) <= 12
        assert (size + 16) * len(run) <= 16 * 1024
        assert all(len(one.data) == size for one in run[:-1])
        assert len(run[-1].data) <= size
        assert all(one.twcc_offset == first.twcc_offset for one in run)
        self.largest_train = max(self.largest_train, len(run))
        for leg in legs:
            for packet in run:
                buffer = bytearray(packet.data)
                struct.pack_into(
                    "!HI",
                    buffer,
                    2,
                    packet.sequence + leg.sequence_offset & 0xFFFF,
                    packet.timestamp + leg.timestamp_offset & 0xFFFFFFFF,
                )
                if packet.picture_offset and (leg.picture_offset or leg.tl0_offset):
                    patch_picture(buffer, 0, packet, leg.picture_offset, leg.tl0_offset)
                self._send(leg.wire, buffer, packet.twcc_offset, now)

    def send_rtp(
        self,
        wire: FakeWire,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        self.alone += 1
        left = wire.left.get(bytes(packet[2:4] + packet[8:12])) if again else None
        if left is not None and twcc_offset:
            self.packets += 1
            wire.again.add(left)
            struct.pack_into("!H", packet, twcc_offset, left)
            wire.send(bytes(packet))
            return
        self._send(wire, packet, twcc_offset, now)

    def _send(self, wire: FakeWire, packet: bytearray, twcc_offset: int, now: float) -> None:
        self.packets += 1
        if twcc_offset:
            number = wire.transport_sequence
            wire.left[bytes(packet[2:4] + packet[8:12])] = number & 0xFFFF
            struct.pack_into("!H", packet, twcc_offset, number & 0xFFFF)
            wire.sent_at[number % RING] = now
            wire.sent_size[number % RING] = len(packet) + wire.tag
            wire.transport_sequence = number + 1
        wire.send(bytes(packet))

    def send_rtcp(self, wire: FakeWire, packet: bytes) -> None:
        wire.send(packet)


class FakeFeed:
    """A recorder that insists on the order of begin, anchor, packets, end."""

    def __init__(self) -> None:
        self.tracks: dict[int, tuple[str, str, str]] = {}
        self.ended: dict[int, str] = {}
        self.packets: dict[int, list[Received]] = {}
        self.anchors: dict[int, list[Anchor]] = {}
        self.numbers: dict[int, set[int]] = {}
        self.keep = True

    def begin_track(self, lesson: str, layer: Layer, epoch: int) -> None:
        assert layer.feed_track not in self.tracks, "a track begins twice"
        self.tracks[layer.feed_track] = (layer.track.source, layer.rid, layer.codec_name)
        self.packets[layer.feed_track] = []
        self.anchors[layer.feed_track] = []

    def anchor(self, layer: Layer, anchor: Anchor) -> None:
        self.anchors[layer.feed_track].append(anchor)

    def packet(self, layer: Layer, packet: Received) -> None:
        assert layer.feed_track not in self.ended, "a packet after the end"
        assert self.anchors[layer.feed_track], "a packet before its anchor"
        if self.keep:
            numbers = self.numbers.setdefault(layer.feed_track, set())
            assert packet.sequence not in numbers, "a packet twice"
            numbers.add(packet.sequence)
            self.packets[layer.feed_track].append(packet)

    def end_track(self, layer: Layer, reason: str) -> None:
        assert layer.feed_track not in self.ended, "a track ends twice"
        self.ended[layer.feed_track] = reason


class Lesson:
    """One router and all who meet there. `seed` makes every chance repeatable."""

    def __init__(
        self,
        seed: int = 1,
        *,
        beat: float = BEAT,
        start: float = START,
        grain: float = 0.0,
        fan_out: FakeFanOut | None = None,
    ) -> None:
        """grain: timers run no oftener than this, seconds; for stories of hours."""
        self.now = start
        self.grain = grain
        self._timer_at = -1e9
        self.seed = random.Random(seed)
        self.fan_out = fan_out or FakeFanOut()
        self.feed = FakeFeed()
        self.router: Router[FakeWire] = Router(
            "toan-7", self.fan_out, self.feed, beat=beat, now=start
        )
        self.publisher: FakePublisher | None = None
        self.rooms: dict[str, FakeViewer] = {}
        self.teacher_up = Link(delay=0.01)
        self.teacher_down = Link(delay=0.01)
        self.downlinks: dict[str, Link] = {}
        self.uplinks: dict[str, Link] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._serial = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run `action` at a time."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def _carry(self, link: Link, data: bytes, deliver: Callable[[bytes], None]) -> None:
        for when in link.arrivals(data, self.now, self.seed):
            self.at(when, lambda: deliver(data))

    # The teacher

    def publish(self, *plans: SourcePlan, **settings: Any) -> FakePublisher:
        """A teacher goes live (again); settings are FakePublisher's."""
        self._serial += 1
        identity = f"teacher-{self._serial}"
        publisher = FakePublisher(
            plans,
            lambda data: self._carry(
                self.teacher_up, data, lambda one: self._from_teacher(identity, one)
            ),
            serial=self._serial,
            **settings,
        )
        self.publisher = publisher
        self.router.publish(identity, "teacher", publisher.tracks, self.now)
        wire = FakeWire(
            lambda data: self._carry(
                self.teacher_down, data, lambda one: publisher.receive(one, self.now)
            )
        )
        self.router.connect_publisher(identity, wire)
        for plan in plans:
            self._schedule(publisher, plan, self.now)
        return publisher

    def unpublish(self) -> None:
        """The teacher stops."""
        self.publisher = None
        self.router.unpublish("stopped", self.now)

    def _next_frame(self, publisher: FakePublisher, plan: SourcePlan) -> None:
        if publisher is not self.publisher:
            return
        publisher.frame(plan.source, self.now)
        publisher.handle_timer(self.now)
        self._schedule(publisher, plan, self.now + 1 / plan.rate)

    def _schedule(self, publisher: FakePublisher, plan: SourcePlan, when: float) -> None:
        self.at(when, lambda: self._next_frame(publisher, plan))

    def _from_teacher(self, identity: str, data: bytes) -> None:
        current = self.router.publisher
        if current is None or current.identity != identity:
            return
        if rtp.is_rtcp(data):
            self.router.receive_publisher_rtcp(data, self.now)
        else:
            self.router.receive_rtp(data, self.now)

    # Rooms

    def open_room(
        self,
        name: str,
        offer: Offer | None = None,
        *,
        down: Link | None = None,
        up: Link | None = None,
        bitrate: float = 20_000_000.0,
    ) -> FakeViewer:
        """A room joins; `bitrate` is what its link is thought to take at first."""
        self.downlinks[name] = down or Link()
        self.uplinks[name] = up or Link()
        room = FakeViewer(
            name,
            offer or Offer(),
            lambda data: self._carry(
                self.uplinks[name], data, lambda one: self._from_room(name, one)
            ),
        )
        room.wire = FakeWire(
            lambda data: self._carry(
                self.downlinks[name], data, lambda one: room.receive(one, self.now)
            )
        )
        self.rooms[name] = room
        room.viewer = self.router.add_viewer(name, room.slots, room.wire, self.now, bitrate)
        self._room_timer(room)
        return room

    def close_room(self, name: str) -> None:
        """A room goes away."""
        self.router.remove_viewer(name, self.now)
        del self.rooms[name]

    def _room_timer(self, room: FakeViewer) -> None:
        if self.rooms.get(room.identity) is room:
            room.handle_timer(self.now)
            self.at(self.now + max(VIEWER_TIMER, self.grain), lambda: self._room_timer(room))

    def _from_room(self, name: str, data: bytes) -> None:
        room = self.rooms.get(name)
        if room is None or room.viewer is None:
            return
        self.router.receive_viewer_rtcp(room.viewer, data, self.now)

    # Time

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        router = self.router
        while True:
            event = self._events[0][0] if self._events else end + 1.0
            timer = max(router.get_timer(), self.now, self._timer_at + self.grain)
            following = min(event, timer)
            if following > end:
                break
            self.now = following
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            router.flush(self.now)
            if timer <= self.now:
                self._timer_at = self.now
                router.handle_timer(self.now)
                assert router.get_timer() > self.now, "a timer that is always due"
        self.now = end

    def settle(self) -> None:
        """The teacher falls silent, and all that is under way arrives or is repaired."""
        self.publisher, teacher = None, self.publisher
        self.advance(2.0)
        self.publisher = teacher
