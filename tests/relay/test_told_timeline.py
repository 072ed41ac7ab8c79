"""Timelines that are told: the same times as above, whatever the clock here shows.

Packets by hand, virtual time. Not here: what is recorded by them.
"""

from __future__ import annotations

import json

import msgpack
import pytest

from classroom.errors import Refused
from relay.media.timeline import ANCHORS_KEPT, Anchor
from relay.media.told_timeline import (
    TakeName,
    ToldTimeline,
    UpstreamClock,
    decode_anchors,
    decode_take,
    encode_anchors,
    encode_take,
)

NOW = 1_790_000_000.0
TAKE = TakeName("5f3a", 2)
FIRST = Anchor(1_000, NOW + 1 / 3)
SECOND = Anchor(100_000, NOW + 2.0, 100_001)


def told(behind: float, anchors: tuple[Anchor, ...] = (FIRST,)) -> ToldTimeline:
    """behind: how far our clock is behind the one above, seconds."""
    timeline = ToldTimeline(90_000, TAKE, UpstreamClock(), anchors)
    for packet in range(100):
        captured = FIRST.wall + packet / 50
        arrives = captured + 0.2 + 0.01 * (packet % 5) - behind
        timeline.receive_packet(1_000 + packet * 1_800, arrives)
    return timeline


@pytest.mark.parametrize("behind", [0.0, 3.0, 1.5e9])
def test_times_are_the_ones_above_whatever_the_clock_here_shows(behind: float) -> None:
    timeline = told(behind)
    assert timeline.anchors == (FIRST,)
    assert timeline.slot_offset() == (round(FIRST.wall * 90_000) - 1_000) & 0xFFFFFFFF
    assert timeline.ahead == pytest.approx(behind - 0.2, abs=0.01)
    # Reports to rooms speak of the clock here.
    assert timeline.wall(1_000) == pytest.approx(FIRST.wall + 0.2 - behind, abs=0.01)


def test_tracks_of_one_trunk_share_its_clock_and_it_never_runs_backwards() -> None:
    clock = UpstreamClock()
    times = []
    for step in range(10_000):
        late = 2.0 if step % 100 else 0.1
        now = step / 50
        times.append(now + clock.receive(NOW + now - late, now))
    assert times == sorted(times)
    assert times[-1] == pytest.approx(NOW + 9_999 / 50 - 0.1, abs=0.01)


def test_only_what_was_not_known_is_new() -> None:
    timeline = told(0.0)
    assert timeline.tell([FIRST, SECOND]) == [SECOND]
    assert timeline.tell([FIRST, SECOND]) == []
    assert timeline.anchors == (FIRST, SECOND)
    assert timeline.anchor == SECOND


def test_what_was_forgotten_long_ago_is_not_news() -> None:
    many = [Anchor(at, NOW + at, at) for at in range(3 * ANCHORS_KEPT)]
    timeline = told(0.0, tuple(many[:1]))
    for index in range(len(many)):
        timeline.tell(many[: index + 1][-ANCHORS_KEPT:])
    assert timeline.tell(many) == []
    assert timeline.anchor == many[-1]


@pytest.mark.parametrize("through", ["json", "msgpack"])
def test_anchors_and_takes_travel_exactly(through: str) -> None:
    value: object = [encode_anchors([FIRST, SECOND]), encode_take(TAKE)]
    if through == "json":
        anchors, take = json.loads(json.dumps(value))
    else:
        anchors, take = msgpack.unpackb(msgpack.packb(value))
    assert decode_anchors(anchors) == (FIRST, SECOND)
    assert decode_take(take) == TAKE


@pytest.mark.parametrize(
    "anchors",
    [
        None,
        [],
        {},
        "anchors",
        [[1, 2.0]],
        [[1, 2.0, None, 4]],
        [[-1, 2.0, None]],
        [[2**32, 2.0, None]],
        [[True, 2.0, None]],
        [[1, float("nan"), None]],
        [[1, float("inf"), None]],
        [[1, 1e30, None]],
        [[1, "2", None]],
        [[1, 2.0, -1]],
        [[1, 2.0, 1.5]],
        [[1, 2.0, None]] * (ANCHORS_KEPT + 1),
    ],
)
def test_anchors_that_no_relay_tells_are_refused(anchors: object) -> None:
    with pytest.raises(Refused) as refused:
        decode_anchors(anchors, "tracks.anchors")
    assert refused.value.code == "trunk-malformed"
    assert refused.value.field == "tracks.anchors"


@pytest.mark.parametrize(
    "take", [None, [], ["a"], ["", 1], ["a" * 65, 1], [1, 1], ["a", -1], ["a", True], ["a", 2**53]]
)
def test_takes_that_no_relay_tells_are_refused(take: object) -> None:
    with pytest.raises(Refused) as refused:
        decode_take(take)
    assert refused.value.code == "trunk-malformed"
