"""Small parts of the forwarding core: the cached pictures, the schedule, the choice, the rates.

Here: what scenarios would pin only by accident. Not here: the parts at work together
(tests/scenarios).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media.codec import OPUS, VP8
from relay.media.frame_info import PacketInfo
from relay.media.layers import SILENT_AFTER, LayerRate
from relay.media.rtcp import Sdes, SenderReport
from relay.media.rtcp_parse import parse
from relay.sfu.group import Profile
from relay.sfu.joining import Joining
from relay.sfu.keyframes import MIN_INTERVAL, KeyframeSchedule
from relay.sfu.layer import Layer
from relay.sfu.negotiated import SlotCodec, SlotSpec, TrackSpec
from relay.sfu.packet import Received
from relay.sfu.pictures import MAX_BYTES, GroupOfPictures
from relay.sfu.reports import sender_reports
from relay.sfu.sink import Run
from relay.sfu.viewer import Viewer
from tests.relay.fuzzing import FUZZ


def packet(
    sequence: int, timestamp: int, *, marker: bool = True, temporal: int = 0, size: int = 100
) -> Received:
    info = PacketInfo(temporal_id=temporal)
    return Received(sequence, bytes(size), 96, marker, timestamp, 12, size, 0, info, 0.0)


def sequences(frames: list[list[Received]]) -> list[list[int]]:
    return [[one.sequence for one in frame] for frame in frames]


def test_base_frames_leave_out_upper_layers_and_the_unfinished() -> None:
    pictures = GroupOfPictures()
    pictures.begin(packet(10, 0, marker=False))
    pictures.add(packet(11, 0))
    pictures.add(packet(12, 1, temporal=2))
    pictures.add(packet(13, 2, marker=False))
    pictures.add(packet(14, 2))
    pictures.add(packet(15, 3, marker=False))
    assert sequences(pictures.base_frames()) == [[10, 11], [13, 14]]
    assert pictures.is_whole()
    pictures.add(packet(16, 3))
    assert sequences(pictures.base_frames()) == [[10, 11], [13, 14], [15, 16]]


@FUZZ
@given(st.permutations(range(1, 12)), st.integers(0, 11))
def test_any_order_of_arrival_makes_the_same_group(order: list[int], again: int) -> None:
    pictures = GroupOfPictures()
    pictures.begin(packet(0, 0))
    seen = {0}
    for number in [*order, again]:
        pictures.add(packet(number, number))
        seen.add(number)
        until = next(n for n in range(13) if n not in seen)
        assert sequences(pictures.base_frames()) == [[n] for n in range(until)]
        assert pictures.weight == 100 * until
        assert pictures.is_whole() == (len(seen) == max(seen) + 1)
    assert len(pictures) == 12


def test_a_keyframe_that_came_late_keeps_what_follows_it() -> None:
    pictures = GroupOfPictures()
    pictures.begin(packet(0, 0))
    for number in (1, 2, 4, 5):
        pictures.add(packet(number, number))
    pictures.begin(packet(3, 3))
    assert sequences(pictures.base_frames()) == [[3], [4], [5]]
    assert pictures.weight == 300


def test_a_group_that_outgrows_its_bound_is_dropped() -> None:
    pictures = GroupOfPictures()
    pictures.begin(packet(0, 0, size=1000))
    for number in range(1, MAX_BYTES // 1000 + 2):
        pictures.add(packet(number, number, size=1000))
    assert pictures.first is None
    assert pictures.base_frames() == []
    assert pictures.weight == 0
    assert not pictures.is_whole()


def layer(rid: str, *, kind: str = "video", pli: bool = True) -> Layer:
    codecs = {96: VP8} if kind == "video" else {111: OPUS}
    one = Layer(TrackSpec("camera", "0", kind, codecs, rids=("q", "h"), pli=pli), rid, 0, 1, 1)
    one.rate.receive(100, 0, 1_000.0)
    return one


def test_a_late_packet_does_not_set_a_group_back() -> None:
    """What a leg continues when it leaves is the newest packet, not the last to arrive."""
    one = layer("q")
    group = one.group(7, Profile(96, 1))
    for sequence, timestamp in ((10, 1000), (12, 3000), (11, 2000)):
        group.forward(packet(sequence, timestamp))
    assert group.last_timestamp == 3000
    assert group.packets == 3
    assert group.next_sequence == 13
    group.forward(packet(14, 5000))
    assert group.next_sequence == 15  # the missing one keeps its number


def test_a_packet_that_only_others_overtook_is_the_groups_newest() -> None:
    """A packet of a layer that is left out came first: for this group the late one is the last."""
    group = layer("q").group(0, Profile(96, 1))
    group.forward(packet(10, 1000))
    assert group.forward(packet(12, 3000, temporal=2)) is None
    group.forward(packet(11, 2000))
    assert group.last_timestamp == 2000


def test_a_keyframe_above_a_legs_temporal_layer_takes_nobody_along() -> None:
    """Only a hostile stream has one; a leg that joined with it would never get its first packet."""
    one = layer("q")
    one.payload_type = 96
    slot = SlotSpec("camera", "0", "video", 1, 2, (SlotCodec(96, VP8),))
    viewer = Viewer("room", [slot], Log(), NoFanOut(), 1_000.0, 1e6, lambda pace: None)
    leg = viewer.legs["camera"]
    joining: Joining[Log] = Joining(lambda now: None, NoFanOut())
    joining.want(leg, one, 0, 1_000.0)
    above = packet(10, 1000, temporal=2)
    above.info.keyframe = True
    joining.at_frame_start(one, above, True, 1_000.0)
    assert joining.joined == {}
    assert one.joiners == [leg]
    base = packet(11, 2000)
    base.info.keyframe = True
    joining.at_frame_start(one, base, True, 1_000.0)
    assert list(joining.joined.values()) == [[(leg, False)]]
    # A room that leaves just then is not to be found there either.
    joining.detach(leg)
    assert list(joining.joined.values()) == [[]]


class NoFanOut:
    """Nothing is sent."""

    def fan_out(self, runs: Sequence[Run[Log]], now: float) -> None:
        raise AssertionError

    def send_rtp(
        self,
        wire: Log,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        raise AssertionError

    def send_rtcp(self, wire: Log, packet: bytes) -> None:
        raise AssertionError


def test_reports_speak_of_the_legs_own_timestamps() -> None:
    one = layer("q")
    one.timeline.receive_packet(1000, 1_000.0)
    one.slot_offset = 5
    group = one.group(7, Profile(96, 1))
    slot = SlotSpec("camera", "0", "video", 1, 2, (SlotCodec(96, VP8),))
    viewer = Viewer("room", [slot], Log(), NoFanOut(), 1_000.0, 1e6, lambda pace: None)
    leg = viewer.legs["camera"]
    assert sender_reports(viewer, "toan-7", 1_002.0) == b""
    leg.last_timestamp = 500_000
    out = group.forward(packet(10, 1000))
    assert out is not None
    leg.join(group, out, continues=False)
    assert leg.timestamp_offset == 500_001 - 1005
    report, names = parse(sender_reports(viewer, "toan-7", 1_002.0))
    assert isinstance(report, SenderReport)
    assert isinstance(names, Sdes)
    assert report.rtp_timestamp == 500_001 + 2 * 90_000
    assert report.ntp_time == pytest.approx(1_002.0)
    assert names.cnames == [(1, "toan-7")]


class Log:
    """A wire of which only the send log is looked at."""

    def __init__(self) -> None:
        self.sent_at = array("d", bytes(8 * 1024))
        self.sent_size = array("H", bytes(2 * 1024))
        self.again: set[int] = set()


@pytest.mark.parametrize("beat", [7.3, 8.0, 0.1])
@pytest.mark.parametrize("epoch", [1_700_000_000.0, 1_700_000_000.123, 0.7])
def test_each_beat_once(beat: float, epoch: float) -> None:
    schedule = KeyframeSchedule(beat)
    schedule.start(epoch)
    times = []
    for _ in range(5_000):
        due = schedule.get_timer()
        assert due is not None
        schedule.handle_timer([], due)
        times.append(due)
    assert all(abs(time - epoch - n * beat) < 1e-4 for n, time in enumerate(times, 1))


def test_beats_that_were_slept_through_are_not_made_up_for() -> None:
    schedule = KeyframeSchedule(8.0)
    schedule.start(1_000.0)
    schedule.handle_timer([], 1_100.0)
    assert schedule.get_timer() == 1_104.0


def test_who_may_be_asked() -> None:
    schedule = KeyframeSchedule(8.0)
    one, other = layer("q"), layer("h")
    assert schedule.ask([one], 1_000.0) == [one]
    assert schedule.ask([one, other], 1_001.0) == [other]
    assert schedule.ask([one, other], 1_000.0 + MIN_INTERVAL) == [one]
    assert schedule.ask([layer("q", pli=False), layer("", kind="audio")], 1_000.0) == []


def test_rates_by_temporal_layer_and_silence() -> None:
    rate, now = LayerRate(), 50.0
    for step in range(400):
        now = 50.0 + step * 0.02
        rate.receive(250, (0, 2, 1, 2)[step % 4], now)
    assert rate.rate(7, now) == pytest.approx(100_000, rel=0.1)
    assert rate.rate(0, now) == pytest.approx(25_000, rel=0.15)
    assert rate.temporal_layers() == 3
    assert rate.is_active(now + SILENT_AFTER - 0.1)
    assert not rate.is_active(now + SILENT_AFTER)
    assert rate.rate(7, now + 20.0) == 0.0
