"""The recorder feed under any sequence of events: what a recorder that comes back can read of it.

Here: properties over random tracks, losses of memory and acknowledgements; single stories stand
in test_recorder_feed.py. The reader is the recorder's own parser.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.media.codec import FORWARDED
from relay.media.rtp import DEPENDENCY_DESCRIPTOR
from relay.record import feed
from relay.sfu.layer import Layer
from relay.sfu.negotiated import TrackSpec
from relay.transport.recorder_feed import RecorderFeed
from tests.relay.test_recorder_feed import Wire, acknowledge, anchor, layer, packet

KEEP = 2_000
ANY_TEXT = st.text(st.characters(), max_size=1_200)  # lone surrogates, too
PARAMETERS = st.dictionaries(
    ANY_TEXT | st.sampled_from(["sprop-parameter-sets", "packetization-mode"]), ANY_TEXT
)
MANY = {f"key-{number}": "x" for number in range(200)}
EXTENSIONS = st.dictionaries(ANY_TEXT | st.just(DEPENDENCY_DESCRIPTOR), st.integers(-1, 2**20))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORWARDED),
    PARAMETERS | st.just(MANY) | st.just({"sprop-parameter-sets": "Z" * 1_001}),
    EXTENSIONS | st.just(dict.fromkeys(MANY, 1)),
    st.sampled_from(["", "f", "abcdefghijklmnop"]),
)
def test_any_track_that_is_told_can_be_read(
    codec: object, fmtp: dict[str, str], extensions: dict[str, int], rid: str
) -> None:
    known = next(one for one in FORWARDED if one is codec)
    spec = TrackSpec(
        "camera", "0", known.kind, {96: replace(known, fmtp=fmtp)}, extensions=extensions
    )
    told = Layer(spec, rid, 0, 1, 1)
    told.payload_type = 96
    sending, wire = RecorderFeed(), Wire()
    sending.attach(wire)
    sending.begin_track("physics", told, 1)
    track = wire.records()[1][1]
    assert isinstance(track, feed.Track)
    sets = fmtp.get("sprop-parameter-sets", "")
    if sets.isascii() and 0 < len(sets) <= feed.MAX_TEXT:
        assert track.fmtp == {"sprop-parameter-sets": sets}
    else:
        assert not track.fmtp
    number = extensions.get(DEPENDENCY_DESCRIPTOR, 0)
    assert track.extensions == ({DEPENDENCY_DESCRIPTOR: number} if 0 < number < 256 else {})


@dataclass
class Reader:
    """What a recorder that knows nothing makes of a connection; `wire` is attached to it."""

    wire: Wire = field(default_factory=Wire)
    anchored: dict[int, int] = field(default_factory=dict)
    """Of each living track, the RTP timestamp of the anchor in force."""
    ended: list[int] = field(default_factory=list)
    lessons: int = 0
    last: int = 0
    packets: dict[int, int] = field(default_factory=dict)
    """Feed sequence of each packet, and the anchor that timed it."""

    def read(self) -> None:
        tracks: set[int] = set()
        for sequence, record in self.wire.records():
            assert isinstance(record, feed.Hello) or sequence > self.last
            self.last = sequence
            match record:
                case feed.Track(track=track):
                    tracks.add(track)
                case feed.Sync(track=track, rtp_timestamp=stamp):
                    assert track in tracks
                    self.anchored[track] = stamp
                case feed.Packet(track=track):
                    assert track not in self.ended
                    self.packets[sequence] = self.anchored[track]
                case feed.End(track=track):
                    self.ended.append(track)
                case feed.LessonEnd():
                    self.lessons += 1


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["packet"] * 8 + ["anchor", "anchor", "restart", "lesson", "ack"]),
        st.integers(0, 2),
        st.integers(0, 400),
    ),
    min_size=20,
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_a_recorder_that_comes_late_can_time_and_end_all_that_is_kept(
    events: list[tuple[str, int, int]],
) -> None:
    sending = RecorderFeed(KEEP)
    all_along = Reader()
    sending.attach(all_along.wire)
    layers = [layer(number) for number in range(3)]
    told = acknowledged = 0
    ends: list[int] = []
    lesson_ends: list[int] = []

    def count() -> int:
        nonlocal told
        told += 1
        return told

    for one in layers:
        sending.begin_track("physics", one, 1)
        sending.anchor(one, anchor(count()))
        told += 1
    for stamp, (event, which, size) in enumerate(events):
        one = layers[which]
        match event:
            case "packet":
                sending.packet(one, packet(stamp, size))
                count()
            case "anchor":
                sending.anchor(one, anchor(1_000 + stamp))
                count()
            case "restart":
                sending.end_track(one, "left")
                ends.append(count())
                sending.begin_track("physics", one, 1)
                count()
                sending.anchor(one, anchor(1_000 + stamp))
                count()
            case "lesson":
                sending.end_lesson("physics")
                lesson_ends.append(count())
            case _:
                acknowledged = max(acknowledged, told * size // 400)
                acknowledge(sending, acknowledged)
    late = Reader()
    sending.attach(late.wire)
    all_along.read()
    late.read()
    # The same anchors time the same packets, and nothing that ends a lesson or a track is lost.
    assert late.packets.items() <= all_along.packets.items()
    assert late.lessons == sum(number > acknowledged for number in lesson_ends)
    assert len(late.ended) == sum(number > acknowledged for number in ends)
    if told > acknowledged and events[-1][0] == "packet":
        assert told in late.packets


def test_hours_without_a_recorder_do_not_fill_the_memory() -> None:
    sending, voice = RecorderFeed(KEEP), layer()
    for take in range(300):
        sending.begin_track("physics", voice, take)
        for number in range(30):
            sending.anchor(voice, anchor(number))
            sending.packet(voice, packet(number, 100))
        sending.end_track(voice, "left")
    sending.begin_track("physics", voice, 300)
    assert len(sending._tracks) < 5
    assert sum(len(track.anchors) for track in sending._tracks.values()) < 40
    reader = Reader()
    sending.attach(reader.wire)
    # Ends alone are left of all those takes: some dozen bytes each.
    assert len(reader.wire.data) < KEEP + 300 * 60
    reader.read()
    assert len(reader.ended) == 300


def test_a_living_track_keeps_one_anchor_from_before_what_is_kept() -> None:
    sending, voice = RecorderFeed(KEEP), layer()
    sending.begin_track("physics", voice, 1)
    for number in range(1_000):
        sending.anchor(voice, anchor(number))
        for one in range(5):
            sending.packet(voice, packet(one, 100))
    assert len(sending._tracks[1].anchors) <= 5
