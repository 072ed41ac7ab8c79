"""Resends to rooms on weak links: how many rounds, never too late, never more than their share.

Here: voice and pictures that are asked for again over far and lossy links, bursts of loss, floods
of requests. Not here: that repairs are what was sent (test_loss), redundancy (test_repair_red).
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from relay.media import playout, rtcp_build, rtp
from relay.sfu.repair_budget import LATENESS, REPAIR_LEAST
from tests.fakes.lesson_viewer import OWN_SSRC, FakeViewer, Offer
from tests.fakes.lesson_wire import Lesson, Link
from tests.scenarios.story import STARTS, FixedPlan, camera, continuous, flawless, guard, voice


def voice_room(lesson: Lesson, rtt: float, loss: float, delay: float | None) -> FakeViewer:
    room = lesson.open_room(
        "room", down=Link(delay=rtt / 2, loss=loss), up=Link(delay=rtt / 2, loss=loss)
    )
    assert room.viewer is not None
    room.rtt = rtt
    room.viewer.rtt = rtt
    room.viewer.plan = FixedPlan(lesson.now)
    room.viewer.repairs.delay = delay
    return room


def heard_in_time(room: FakeViewer, delay: float, link_delay: float) -> float:
    """Share of the voice that came within `delay` of when it would have come at best."""
    stream = room.streams["voice"]
    numbers = sorted(stream.held)
    shown = {one.timestamp: one for one in room.shown("voice")}
    in_time = sum(
        one.arrived - one.tag.captured <= 0.01 + link_delay + delay for one in shown.values()
    )
    return in_time / (numbers[-1] - numbers[0] + 1)


@pytest.mark.parametrize(("rtt", "loss"), [(0.2, 0.05), (0.3, 0.03), (0.6, 0.05), (0.8, 0.1)])
def test_as_many_rounds_as_the_delay_allows(rtt: float, loss: float) -> None:
    lesson = Lesson()
    lesson.publish(voice())
    lesson.advance(0.2)
    delay = playout.needed(rtt, 0.01, loss)
    room = voice_room(lesson, rtt, loss, delay)
    lesson.advance(25.0)
    lesson.downlinks["room"].loss = lesson.uplinks["room"].loss = 0.0
    lesson.advance(3.0)
    missed = 1.0 - heard_in_time(room, delay + LATENESS, rtt / 2)
    # Requests are lost, too, hence not the square and cube.
    assert missed < 2.5 * max(loss**2, 0.004)
    assert missed < 0.5 * loss
    flawless_but_missing(room)


def flawless_but_missing(room: FakeViewer) -> None:
    assert not room.streams["voice"].audit.faults


def test_no_voice_is_sent_again_after_its_time() -> None:
    lesson = Lesson()
    lesson.publish(voice())
    lesson.advance(0.2)
    room = voice_room(lesson, 0.6, 0.05, 0.3)
    lesson.advance(10.0)
    assert room.viewer is not None
    budget = room.viewer.repairs
    assert budget.resent == 0
    assert budget.late > 10
    budget.delay = 0.8
    lesson.advance(10.0)
    assert budget.resent > 10


@pytest.mark.parametrize("start", STARTS)
def test_bursts_of_loss(start: int) -> None:
    """Eight packets in a row, again and again: all are back one round later."""
    lesson = Lesson()
    lesson.publish(camera(), voice(), start=start)
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(delay=0.1), up=Link(delay=0.1), bitrate=2e6)
    guard(lesson, room, playout=1_000)
    lesson.downlinks["room"].drop = bursts(random.Random(4), 8, 0.05)
    lesson.advance(10.0)
    lesson.downlinks["room"].drop = None
    lesson.advance(1.0)
    lesson.settle()
    flawless(room, "camera", "voice")
    assert room.viewer is not None
    assert room.viewer.repairs.resent > 30
    continuous(room.shown("voice"), lesson.now - 12.0, lesson.now - 3.5, 0.1)


def bursts(seed: random.Random, length: int, share: float) -> Callable[[bytes], bool]:
    """Loses `share` of all media packets, `length` in a row."""
    left = 0

    def drop(data: bytes) -> bool:
        nonlocal left
        if rtp.is_rtcp(data):
            return False
        if left == 0 and seed.random() < share / length / (1 - share):
            left = length
        left -= left > 0
        return left > 0

    return drop


@pytest.mark.parametrize("loss", [0.3, 0.6])
def test_an_overloaded_link_is_not_filled_with_its_own_repairs(loss: float) -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", down=Link(delay=0.3), up=Link(delay=0.3), bitrate=100_000.0)
    lesson.downlinks["room"].loss = loss
    before = lesson.now
    lesson.advance(12.0)
    assert room.viewer is not None
    budget = room.viewer.repairs
    most = REPAIR_LEAST + 0.3 * 100_000.0 / 8 * (lesson.now - before)
    assert 0 < budget.resent_bytes <= most


def test_a_flood_of_requests_costs_no_more_than_its_share() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(3.0)
    hostile = lesson.open_room("hostile", bitrate=200_000.0)
    other = lesson.open_room("other")
    lesson.advance(1.0)
    sent = lesson.fan_out.alone
    assert hostile.viewer is not None
    budget = hostile.viewer.repairs
    resent = budget.resent
    began = lesson.now
    for _ in range(100):
        for slot in ("voice", "camera"):
            ssrc = hostile.streams[slot].spec.ssrc
            newest = max(hostile.streams[slot].held)
            wanted = [one & 0xFFFF for one in range(newest - 200, newest)]
            hostile.uplink(rtcp_build.build_nack(OWN_SSRC, ssrc, wanted))
            hostile.uplink(rtcp_build.build_pli(OWN_SSRC, ssrc))
        lesson.advance(0.02)
    seconds = lesson.now - began
    assert budget.resent_bytes <= REPAIR_LEAST + 0.3 * 5e6 / 8 * seconds
    assert budget.flooded > 30_000
    # No packet twice within a round trip, whatever was asked.
    trips = seconds / hostile.viewer.rtt + 2
    assert budget.resent - resent <= trips * 300
    assert lesson.fan_out.alone - sent <= trips * 300 + 200
    lesson.settle()
    flawless(other, "camera", "voice")


def test_a_slot_that_agreed_no_repairs_gets_none() -> None:
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", Offer())
    lesson.advance(0.5)
    assert room.viewer is not None
    leg = room.viewer.legs["voice"]
    object.__setattr__(leg.spec, "nack", False)
    before = lesson.fan_out.alone
    room.ask_again("voice", [max(room.streams["voice"].held) & 0xFFFF])
    lesson.advance(0.2)
    assert lesson.fan_out.alone == before


@pytest.mark.parametrize("rtx", [True, False])
def test_what_still_waits_for_a_slow_link_is_not_sent_twice(rtx: bool) -> None:
    """A packet that came late from the teacher waits behind those that are asked about."""
    lesson = Lesson(3)
    lesson.publish(camera(), voice())
    lesson.advance(6.0)
    down = Link(rate=250_000.0, delay=0.15, queue=1.0)
    room = lesson.open_room("room", Offer(rtx=rtx), down=down, bitrate=60e3)
    assert room.viewer is not None
    leg = room.viewer.legs["camera"]
    while leg.pace is None or len(leg.pace.unsent_numbers(leg)) < 5:
        lesson.advance(0.01)
    waiting = sorted(leg.pace.unsent_numbers(leg))[2:]
    room.uplink(rtcp_build.build_nack(OWN_SSRC, leg.spec.ssrc, waiting))
    lesson.advance(0.05)
    assert not leg.repaired
    lesson.advance(5.0)
    lesson.settle()
    flawless(room, "camera", "voice")
    assert not room.streams["camera"].repeats
