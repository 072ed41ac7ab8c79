"""A relay below the one of a `Lesson`, in virtual time: its own router, and a trunk between them.

Verbs: `open_room` at the child; the links of the trunk can be changed at any time. What the
services would say to each other takes as long as a packet and is never lost. Not here: ICE, DTLS,
sockets.
"""

from __future__ import annotations

from typing import Any, Final

from relay.media import rtp
from relay.media.told_timeline import TakeName
from relay.sfu.negotiated import SlotCodec, SlotSpec
from relay.sfu.router import Router
from relay.sfu.upstream import EXTENSIONS, OPUS_TYPE, RED_TYPE, Upstream, track_specs
from relay.sfu.wants import Wants, wanted
from relay.transport.trunk_told import told_track
from tests.fakes.lesson_viewer import FakeViewer, FakeWire, Offer
from tests.fakes.lesson_wire import VIEWER_TIMER, FakeFanOut, FakeFeed, Lesson, Link

_TICK: Final = 0.02


def _templates() -> dict[str, SlotSpec]:
    found = {}
    for track in track_specs(()):
        red = RED_TYPE if track.kind == "audio" else None
        codecs = tuple(
            SlotCodec(number, codec, number + 1 if red is None else None, red)
            for number, codec in track.codecs.items()
        )
        found[track.source] = SlotSpec(
            track.source, track.mid, track.kind, 1, 2, codecs, EXTENSIONS, exact=True
        )
    assert found["voice"].codecs[0].payload_type == OPUS_TYPE
    return found


class Branch:
    """The child. down, up: the trunk's link, seen from the child."""

    def __init__(
        self, lesson: Lesson, *, down: Link | None = None, up: Link | None = None, bitrate: float
    ) -> None:
        """bitrate: what the trunk's link is thought to take at first."""
        self.lesson = lesson
        self.down, self.up = down or Link(), up or Link()
        self.feed = FakeFeed()
        self.router: Router[FakeWire] = Router(
            "toan-7", FakeFanOut(), self.feed, beat=8.0, now=lesson.now
        )
        self.rooms: dict[str, FakeViewer] = {}
        self.epoch = -1
        self.bytes = 0
        """That came over the trunk."""
        wire = FakeWire(lambda data: lesson._carry(self.down, data, self._receive))
        self.viewer = lesson.router.add_viewer("child", (), wire, lesson.now, bitrate)
        self.viewer.wants, self.viewer.templates = Wants(), _templates()
        self.viewer.repairs.delay = 4.0
        lesson.router.pause_viewer("child", lesson.now)
        lesson.router.resume_viewer("child", lesson.now)
        self._tick()

    @property
    def upstream(self) -> Upstream:
        """The trunk as the child's publisher."""
        publisher = self.router.publisher
        assert isinstance(publisher, Upstream)
        return publisher

    def _receive(self, data: bytes) -> None:
        now = self.lesson.now
        self.bytes += len(data)
        if rtp.is_rtcp(data):
            self.router.receive_publisher_rtcp(data, now)
        else:
            self.router.receive_rtp(data, now)
            self.router.flush(now)

    def _answer(self, data: bytes) -> None:
        self.lesson.router.receive_viewer_rtcp(self.viewer, data, self.lesson.now)

    def _tick(self) -> None:
        lesson, now = self.lesson, self.lesson.now
        above = lesson.router
        layers = above.publisher.layers if above.publisher is not None else []
        take = TakeName("root", above.epoch)
        told = [told_track("toan-7", one, take, now) for one in layers if one.payload_type >= 0]
        epoch = above.epoch
        lesson.at(now + self.down.delay, lambda: self._tell(epoch, told))
        lesson.at(now + _TICK, self._tick)
        if self.epoch >= 0:
            self.router.handle_timer(now)
            self.router.flush(now)
            self._want()

    def _tell(self, epoch: int, told: list[Any]) -> None:
        now = self.lesson.now
        if epoch != self.epoch and told:
            self.epoch = epoch
            self.router.publish("trunk", "parent", track_specs(told), now, kind=Upstream)
            self.upstream.rtt = self.down.delay + self.up.delay
            self.router.epoch = epoch
            wire = FakeWire(lambda data: self.lesson._carry(self.up, data, self._answer))
            self.router.connect_publisher("trunk", wire)
        if self.epoch == epoch:
            for data, at in self.upstream.tell(told, now).packets:
                self.router.receive_rtp(data, at)

    def _want(self) -> None:
        ladders: dict[str, list[tuple[int, float]]] = {}
        for one in sorted(self.upstream.told.values(), key=lambda one: one.index):
            if one.bitrate > 0.0:
                ladders.setdefault(one.source, []).append((one.index, one.bitrate))
        wants = wanted(self.router.viewers.values(), ladders)
        self.lesson.at(
            self.lesson.now + self.up.delay, lambda: setattr(self.viewer, "wants", wants)
        )

    def open_room(self, name: str, *, bitrate: float = 20_000_000.0) -> FakeViewer:
        """A room on the child's network."""
        lesson, link = self.lesson, Link(delay=0.001)
        room = FakeViewer(
            name,
            Offer(),
            lambda data: lesson._carry(link, data, lambda one: self._heard(name, one)),
        )
        room.wire = FakeWire(
            lambda data: lesson._carry(link, data, lambda one: room.receive(one, lesson.now))
        )
        self.rooms[name] = room
        room.viewer = self.router.add_viewer(name, room.slots, room.wire, lesson.now, bitrate)
        self._room_timer(room)
        return room

    def _room_timer(self, room: FakeViewer) -> None:
        room.handle_timer(self.lesson.now)
        self.lesson.at(self.lesson.now + VIEWER_TIMER, lambda: self._room_timer(room))

    def _heard(self, name: str, data: bytes) -> None:
        viewer = self.rooms[name].viewer
        assert viewer is not None
        self.router.receive_viewer_rtcp(viewer, data, self.lesson.now)
