"""The sending end of the recorder feed: what is kept, what is told again, and what bounds it."""

from __future__ import annotations

from typing import cast

from relay.media.codec import OPUS
from relay.media.rtp import build
from relay.media.timeline import Anchor
from relay.media.told_timeline import TakeName, ToldTimeline, UpstreamClock
from relay.record import feed
from relay.sfu.layer import Layer
from relay.sfu.negotiated import TrackSpec
from relay.sfu.packet import Received
from relay.transport import recorder_feed
from relay.transport.recorder_feed import BoundedStream, RecorderFeed

VOICE = TrackSpec("voice", "0", "audio", {111: OPUS}, red={63: 111})


class Wire:
    """A recorder's socket: bytes in, records out."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.aborted = False
        self.waiting: int | None = None

    def write(self, data: bytes) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.data) if self.waiting is None else self.waiting

    def abort(self) -> None:
        self.aborted = True

    def records(self) -> list[tuple[int, feed.Record]]:
        parser = feed.FeedParser()
        found = list(parser.receive(bytes(self.data)))
        self.data.clear()
        return found


def layer(ssrc: int = 1) -> Layer:
    made = Layer(VOICE, "", 0, ssrc, 1)
    made.payload_type = 111
    return made


class Sent:
    """What of a received packet the feed takes."""

    def __init__(self, number: int, size: int = 10) -> None:
        self.arrived = 1000.0 + number
        self.data = build(111, False, number & 0xFFFF, number, 1, b"", bytes(size))


def packet(number: int, size: int = 10) -> Received:
    return cast(Received, Sent(number, size))


def anchor(stamp: int) -> Anchor:
    return Anchor(stamp, 1000.0)


def begun() -> tuple[RecorderFeed, Layer]:
    sending, voice = RecorderFeed(), layer()
    sending.begin_track("physics", voice, 1)
    sending.anchor(voice, anchor(0))
    return sending, voice


def kinds(records: list[tuple[int, feed.Record]]) -> list[str]:
    return [type(record).__name__ for _, record in records]


def acknowledge(sending: RecorderFeed, number: int) -> None:
    sending.receive(number.to_bytes(8, "big"))


def test_a_recorder_that_comes_late_gets_everything_in_order() -> None:
    sending, voice = begun()
    for number in range(3):
        sending.packet(voice, packet(number))
    wire = Wire()
    sending.attach(wire)
    records = wire.records()
    assert kinds(records) == ["Hello", "Track", "Sync", "Packet", "Packet", "Packet"]
    assert [sequence for sequence, _ in records] == [0, 1, 2, 3, 4, 5]
    sending.packet(voice, packet(3))
    assert kinds(wire.records()) == ["Packet"]


def test_what_was_acknowledged_is_not_told_again_but_for_the_living_tracks() -> None:
    sending, voice = begun()
    for number in range(5):
        sending.packet(voice, packet(number))
    sending.anchor(voice, anchor(960))
    acknowledge(sending, 6)
    assert sending.unacknowledged == 2
    wire = Wire()
    sending.attach(wire)
    records = wire.records()
    assert kinds(records) == ["Hello", "Track", "Sync", "Packet", "Sync"]
    assert [sequence for sequence, _ in records] == [0, 1, 2, 7, 8]


def test_the_anchor_in_force_is_told_again() -> None:
    sending, voice = begun()
    sending.anchor(voice, anchor(960))
    sending.packet(voice, packet(0))
    sending.packet(voice, packet(1))
    acknowledge(sending, 4)
    wire = Wire()
    sending.attach(wire)
    syncs = [record for _, record in wire.records() if isinstance(record, feed.Sync)]
    assert [sync.rtp_timestamp for sync in syncs] == [960]


def test_anchors_for_packets_that_come_late_are_told_again() -> None:
    sending, voice = begun()
    for step in range(1, 40):
        sending.packet(voice, packet(step * 960))
        sending.anchor(voice, Anchor(step * 960, 1000.0 + step, step * 960 + 1))
    acknowledge(sending, sending.unacknowledged)
    wire = Wire()
    sending.attach(wire)
    syncs = [record for _, record in wire.records() if isinstance(record, feed.Sync)]
    assert [sync.since for sync in syncs] == [step * 960 + 1 for step in range(24, 40)]


def test_an_anchor_is_told_once() -> None:
    sending, voice = begun()
    kept = sending.unacknowledged
    sending.anchor(voice, anchor(0))
    assert sending.unacknowledged == kept


def test_a_track_from_a_relay_above_keeps_its_name_its_anchors_and_its_time() -> None:
    anchors = [Anchor(0, 9000.0), Anchor(48_000, 9001.0, 48_001)]
    sending, voice = RecorderFeed(), layer()
    voice.timeline = ToldTimeline(48_000, TakeName("5f3a", 7), UpstreamClock(), anchors)
    sending.begin_track("physics", voice, 1)
    sending.anchor(voice, anchors[-1])
    voice.timeline.receive_packet(96_000, 1002.0)
    sending.packet(voice, packet(3))
    wire = Wire()
    sending.attach(wire)
    records = [record for _, record in wire.records()]
    begins = records[1]
    assert isinstance(begins, feed.Track)
    assert (begins.origin, begins.epoch) == ("5f3a", 7)
    syncs = [record for record in records if isinstance(record, feed.Sync)]
    assert [(one.rtp_timestamp, one.wall, one.since) for one in syncs] == [
        (0, 9000.0, None),
        (48_000, 9001.0, 48_001),
    ]
    assert isinstance(records[-1], feed.Packet)
    assert records[-1].arrival == 1003.0 + 8000.0


def test_an_ended_track_is_forgotten_once_its_end_has_arrived() -> None:
    sending, voice = begun()
    sending.end_track(voice, "stopped")
    sending.end_lesson("physics")
    acknowledge(sending, 4)
    wire = Wire()
    sending.attach(wire)
    assert kinds(wire.records()) == ["Hello"]


def test_tracks_of_two_lessons_never_share_a_number() -> None:
    sending, first, second = RecorderFeed(), layer(1), layer(2)
    sending.begin_track("physics", first, 1)
    sending.begin_track("history", second, 1)
    sending.packet(second, packet(0))
    sending.packet(first, packet(1))
    sending.end_track(first, "codec changed")
    sending.begin_track("physics", first, 1)
    sending.packet(first, packet(2))
    wire = Wire()
    sending.attach(wire)
    records = [record for _, record in wire.records()]
    tracks = {one.track: one.lesson for one in records if isinstance(one, feed.Track)}
    assert list(tracks.values()) == ["physics", "history", "physics"]
    owners = [tracks[one.track] for one in records if isinstance(one, feed.Packet)]
    assert owners == ["history", "physics", "physics"]


def test_words_about_a_track_that_has_ended_are_dropped() -> None:
    sending, voice = begun()
    sending.end_track(voice, "stopped")
    kept = sending.unacknowledged
    sending.anchor(voice, anchor(960))
    sending.end_track(voice, "stopped")
    assert sending.unacknowledged == kept


def test_red_is_named_beside_the_codec_in_it() -> None:
    sending, voice = RecorderFeed(), layer()
    voice.payload_type = 63
    sending.begin_track("physics", voice, 1)
    wire = Wire()
    sending.attach(wire)
    track = wire.records()[1][1]
    assert isinstance(track, feed.Track)
    assert (track.codec, track.payload_type, track.red_payload_type) == ("opus", 111, 63)


def test_memory_is_bounded_and_living_tracks_survive_the_bound() -> None:
    sending, voice = begun()
    size = 60_000
    for number in range(recorder_feed.KEEP_BYTES // size + 20):
        sending.packet(voice, packet(number, size))
    assert sending.dropped > 0
    wire = Wire()
    sending.attach(wire)
    assert len(wire.data) <= recorder_feed.KEEP_BYTES + size
    assert kinds(wire.records())[:3] == ["Hello", "Track", "Sync"]


def test_old_and_rubbish_acknowledgements_change_nothing() -> None:
    sending, voice = begun()
    sending.packet(voice, packet(0))
    acknowledge(sending, 2)
    acknowledge(sending, 1)
    assert (sending.acknowledged, sending.unacknowledged) == (2, 1)


def test_a_recorder_that_hangs_is_cut_off() -> None:
    wire = Wire()
    stream = BoundedStream(wire, 100)
    states = []
    for more in (bytes(100), b"x", b"more"):
        stream.write(more)
        stream.flush()
        states.append((len(wire.data), wire.aborted))
    assert states == [(100, False), (101, True), (101, True)]


def test_records_wait_until_they_are_flushed_and_go_together() -> None:
    wire = Wire()
    stream = BoundedStream(wire)
    for record in (b"one", b"two", b"three"):
        stream.write(record)
    assert wire.data == b""
    stream.flush()
    assert wire.data == b"onetwothree"
    stream.flush()
    assert wire.data == b"onetwothree"
