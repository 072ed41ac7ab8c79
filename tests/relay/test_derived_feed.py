"""The media process's end of the worker's socket: what a new worker is told, and letting go.

Here: records both ways without a socket. Not here: a real worker (tests/live/test_derived).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.derive import wire
from relay.media import rtp
from relay.record import feed
from relay.sfu.derived import MEDIUM, RIDS, SMALL, THIN, DerivedLayers
from relay.sfu.layer import Layer
from relay.transport.derived import (
    BACKLOG_BYTES,
    HEALTH_SECONDS,
    IDLE_SECONDS,
    MOST,
    SILENT_PACKETS,
    Derived,
)
from relay.transport.recorder_feed import BoundedStream
from tests.fakes.lesson_wire import Lesson
from tests.scenarios.story import single, voice

RECORDS: list[wire.Record] = [
    feed.Track(3, "", "camera", None, "h264", 90_000, None, {}, 102, None, {}),
    wire.Packet(3, 1_700_000_000.25, b"\x80packet"),
    wire.Go(3),
    wire.Keyframe(3, 1),
    wire.Derived(3, 2, b"\x80derived"),
    wire.Needs(3),
    wire.End(3),
    wire.Health({"pid": 1, "late_seconds": 0.5}),
]


def test_every_record_comes_out_as_it_went_in() -> None:
    data = b"".join(wire.encode(record) for record in RECORDS)
    assert list(wire.Parser().receive(data)) == RECORDS
    parser = wire.Parser()
    drops = [data[at : at + 1] for at in range(len(data))]
    assert [record for drop in drops for record in parser.receive(drop)] == RECORDS


@given(st.binary(max_size=200), st.integers(0, 7), st.integers(0, 300))
def test_rubbish_is_refused_by_name(rubbish: bytes, which: int, cut: int) -> None:
    data = bytearray(wire.encode(RECORDS[which]))
    at = cut % len(data)
    data[at : at + len(rubbish)] = rubbish
    try:
        for record in wire.Parser().receive(bytes(data) + rubbish):
            wire.encode(record)
    except wire.WireError:
        pass


class Socket:
    """A worker that reads, or not."""

    def __init__(self) -> None:
        self._closed = False
        self.reads = True
        self._parser = wire.Parser()
        self.records: list[wire.Record] = []
        self.waiting = 0

    def write(self, data: bytes) -> None:
        if self.reads:
            self.records += self._parser.receive(data)
        else:
            self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self._closed = True

    def is_closed(self) -> bool:
        return self._closed


class Rig:
    """A lesson and its worker's end."""

    def __init__(self) -> None:
        self.lesson = Lesson()
        self.derived = Derived(lambda: self.lesson.now, lambda _: None)
        self.lesson.router.derived.worker = self.derived

    def connect(self) -> Socket:
        socket = Socket()
        self.derived.attach(BoundedStream(socket, BACKLOG_BYTES), self.lesson.now)
        self.derived.flush()
        return socket

    def need(self) -> None:
        self.lesson.router.derived.need(voice=True, video=True, now=self.lesson.now)

    def advance(self, seconds: float, *, healthy: bool = True) -> None:
        for _ in range(round(seconds * 10)):
            self.lesson.advance(0.1)
            self.derived.flush()
            if healthy and not self.derived.missing:
                self.say(wire.Health({"pid": 1}))
            self.derived.handle_timer(self.lesson.now)

    def is_missing(self) -> bool:
        return self.derived.missing

    def say(self, record: wire.Record) -> None:
        self.derived.receive(wire.encode(record), self.lesson.now)

    def derived_layers(self) -> list[str]:
        publisher = self.lesson.router.publisher
        assert publisher is not None
        return [one.rid for one in publisher.layers if one.origin is not None]


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.lesson.publish(single(), voice())
    made.lesson.advance(1.0)
    return made


def tracks(socket: Socket) -> dict[str, int]:
    return {one.source: one.track for one in socket.records if isinstance(one, feed.Track)}


def test_a_worker_is_missed_only_when_something_is_needed(rig: Rig) -> None:
    assert not rig.is_missing()
    rig.need()
    assert rig.is_missing()
    socket = rig.connect()
    assert not rig.is_missing()
    rig.derived.detach()
    assert rig.is_missing()
    assert socket.is_closed()


def test_a_new_worker_gets_each_track_with_its_kept_pictures_first(rig: Rig) -> None:
    rig.need()
    rig.advance(1.0)
    socket = rig.connect()
    numbers = tracks(socket)
    assert set(numbers) == {"camera", "voice"}
    camera = [one for one in socket.records if getattr(one, "track", 0) == numbers["camera"]]
    assert isinstance(camera[0], feed.Track)
    assert isinstance(camera[-1], wire.Go)
    kept = camera[1:-1]
    assert len(kept) > 20
    assert all(isinstance(one, wire.Packet) for one in kept)
    voices = [one for one in socket.records if getattr(one, "track", 0) == numbers["voice"]]
    assert [type(one) for one in voices] == [feed.Track, wire.Go]
    rig.advance(0.5)
    live = [one for one in socket.records[len(camera) + 2 :] if isinstance(one, wire.Packet)]
    assert {one.track for one in live} == set(numbers.values())


def test_what_the_worker_makes_becomes_layers_and_ends_with_it(rig: Rig) -> None:
    rig.need()
    socket = rig.connect()
    numbers = tracks(socket)
    frame = rtp.build(96, True, 1, 5, 1, b"", b"\x10\0\0\0")
    rig.say(wire.Derived(numbers["camera"], RIDS.index(MEDIUM), frame))
    rig.say(wire.Derived(numbers["camera"], RIDS.index(SMALL), frame))
    rig.say(wire.Derived(numbers["voice"], RIDS.index(THIN), frame))
    assert sorted(rig.derived_layers()) == [MEDIUM, SMALL, THIN]
    router = rig.lesson.router
    camera = [one for one in router._layers() if one.track.source == "camera"]
    assert [one.rid for one in sorted(camera, key=lambda one: one.index)] == [SMALL, MEDIUM, ""]
    router.derived.request_keyframes(camera)
    rig.derived.flush()
    asked = [one for one in socket.records if isinstance(one, wire.Keyframe)]
    assert {RIDS[one.rid] for one in asked} == {SMALL, MEDIUM}
    rig.say(wire.Derived(99, 0, frame))
    rig.say(wire.Derived(numbers["camera"], 200, frame))
    rig.derived.detach()
    assert rig.derived_layers() == []


def test_a_worker_that_says_nothing_is_let_go(rig: Rig) -> None:
    rig.need()
    socket = rig.connect()
    rig.advance(HEALTH_SECONDS + 2.0)
    assert not socket.is_closed()
    rig.advance(HEALTH_SECONDS + 0.2, healthy=False)
    assert socket.is_closed()
    assert rig.derived.lost == 1


def test_a_worker_that_does_not_read_is_let_go_and_the_lesson_goes_on(rig: Rig) -> None:
    rig.need()
    socket = rig.connect()
    socket.reads = False
    socket.waiting = BACKLOG_BYTES
    room = rig.lesson.open_room("room")
    rig.advance(1.0)
    assert socket.is_closed()
    assert rig.is_missing()
    assert len(room.shown("voice")) > 40


def test_a_voice_that_stops_coming_back_is_noticed_within_two_seconds(rig: Rig) -> None:
    rig.need()
    socket = rig.connect()
    number = tracks(socket)["voice"]
    thin = rtp.build(111, False, 1, 5, 1, b"", b"\xf8\0")
    rig.say(wire.Derived(number, RIDS.index(THIN), thin))
    rig.advance(SILENT_PACKETS / 50 - 0.3)
    assert rig.derived_layers() == [THIN]
    rig.advance(0.6)
    assert socket.is_closed()
    assert rig.derived_layers() == []


def test_a_worker_stays_a_while_after_the_last_need(rig: Rig) -> None:
    rig.need()
    socket = rig.connect()
    rig.lesson.unpublish()
    rig.advance(IDLE_SECONDS - 1.0)
    assert not socket.is_closed()
    rig.advance(1.2)
    assert socket.is_closed()
    assert rig.derived.lost == 0
    assert not rig.is_missing()


def test_a_hungry_worker_has_the_source_asked(rig: Rig) -> None:
    teacher = rig.lesson.publisher
    assert teacher is not None
    rig.need()
    socket = rig.connect()
    before = len(teacher.requests)
    for _ in range(5):
        rig.say(wire.Needs(tracks(socket)["camera"]))
    rig.lesson.advance(0.3)
    assert len(teacher.requests) == before + 1


def test_one_source_that_meets_a_bug_leaves_the_others_theirs(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.need()
    socket = rig.connect()
    numbers = tracks(socket)
    frame = rtp.build(96, True, 1, 5, 1, b"", b"\x10\0\0\0")
    derived = rig.lesson.router.derived
    usual = derived.receive

    def fail(layer: Layer, rid: str, data: bytes, now: float) -> None:
        if layer.is_video:
            raise RuntimeError("a bug")
        usual(layer, rid, data, now)

    monkeypatch.setattr(derived, "receive", fail)
    rig.say(wire.Derived(numbers["camera"], RIDS.index(SMALL), frame))
    rig.say(wire.Derived(numbers["camera"], RIDS.index(SMALL), frame))
    rig.say(wire.Derived(numbers["voice"], RIDS.index(THIN), frame))
    assert [one.message for one in caplog.records] == ["derived-failed"]
    assert rig.derived_layers() == [THIN]
    rig.advance(0.5)
    assert wire.End(numbers["camera"]) in socket.records
    rig.lesson.unpublish()
    assert not rig.lesson.router.derived.sources


def test_sources_beyond_what_one_core_can_do_wait_for_others_to_end(rig: Rig) -> None:
    socket = rig.connect()
    owner, known = rig.lesson.router.derived, rig.lesson.router._layers()
    kinds = {one.track.kind: one.track for one in known}
    layers = {
        kind: [Layer(kinds[kind], "", 0, number, number) for number in range(most + 2)]
        for kind, most in MOST.items()
    }
    for layer in (one for some in layers.values() for one in some):
        layer.payload_type = next(iter(layer.track.codecs))
        rig.derived.begin(owner, layer)
    rig.derived.flush()

    def told() -> int:
        return sum(isinstance(one, feed.Track) for one in socket.records)

    assert told() == sum(MOST.values())
    assert rig.derived.statistics()["waiting"] == 4
    rig.derived.end(layers["video"][-1])
    rig.derived.end(layers["video"][0])
    rig.derived.end(layers["video"][1])
    rig.derived.flush()
    assert told() == sum(MOST.values()) + 1
    assert rig.derived.statistics()["waiting"] == 2


def test_a_second_worker_takes_over(rig: Rig) -> None:
    rig.need()
    first = rig.connect()
    second = rig.connect()
    assert first.is_closed()
    assert tracks(second) == tracks(first)


def test_the_protocols_name_what_the_router_uses(rig: Rig) -> None:
    """The worker's end may be called for layers that it does not know: they ended meanwhile."""
    layer = Layer(rig.lesson.router._layers()[0].track, "", 0, 1, 1)
    rig.derived.request_keyframe(layer, SMALL)
    assert isinstance(rig.lesson.router.derived, DerivedLayers)
