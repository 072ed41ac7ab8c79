"""Pieces leave at their moment, wait while nobody reads, and a reader begins at a keyframe.

Time is virtual where a timeline is judged, and threads are real where a queue is.
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from aiortc.mediastreams import MediaStreamError

from classroom.host.outlet import (
    AHEAD_S,
    LATE_S,
    LIVE_DELAY_S,
    Outlet,
    PacketTrack,
    Piece,
    Timeline,
)


class FakeClock:
    """Virtual seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _piece(time: float, *, keyframe: bool = True) -> Piece:
    return Piece(b"x", time, keyframe)


def test_the_first_piece_is_due_at_once_and_the_others_at_their_distance() -> None:
    clock = FakeClock()
    timeline = Timeline(live=False, clock=clock)
    assert timeline.wait(5.0) == 0.0
    assert timeline.wait(5.5) == pytest.approx(0.5)
    clock.now += 0.4
    assert timeline.wait(5.5) == pytest.approx(0.1)


def test_a_little_lateness_is_caught_up_and_a_pause_starts_anew() -> None:
    clock = FakeClock()
    timeline = Timeline(live=False, clock=clock)
    timeline.wait(0.0)
    clock.now += 1.0 + LATE_S - 0.01
    assert timeline.wait(1.0) < 0
    clock.now += 60.0
    assert timeline.wait(1.02) == 0.0
    assert timeline.wait(1.04) == pytest.approx(0.02)


def test_a_late_piece_was_due_at_its_moment() -> None:
    clock = FakeClock()
    timeline = Timeline(live=False, clock=clock)
    timeline.wait(5.0)
    clock.now += 1.2
    assert timeline.wait(6.0) == pytest.approx(-0.2)
    assert timeline.due(6.0) == pytest.approx(clock.now - 0.2)


def test_a_pause_is_a_gap_in_the_timestamps_of_all_tracks() -> None:
    clock = FakeClock()
    timeline = Timeline(live=False, clock=clock)
    timeline.wait(0.0)
    assert timeline.stamp(0.5) == 0.5
    clock.now += 7.0  # nothing was read for so long
    timeline.wait(1.0)
    assert timeline.stamp(1.0) == pytest.approx(7.0)
    assert timeline.stamp(1.5) == pytest.approx(7.5)
    timeline.restart()
    assert timeline.stamp(9.0) == 9.0


def test_a_file_may_be_far_ahead_but_a_live_source_may_not() -> None:
    clock = FakeClock()
    recorded, live = Timeline(live=False, clock=clock), Timeline(live=True, clock=clock)
    recorded.wait(0.0)
    live.wait(0.0)
    assert recorded.wait(5.0) == pytest.approx(5.0)
    assert live.wait(5.0) == pytest.approx(LIVE_DELAY_S)


def test_voice_and_picture_of_one_source_share_their_time() -> None:
    clock = FakeClock()
    timeline = Timeline(live=True, clock=clock)
    voice = timeline.wait(1.00)
    clock.now += 0.03  # the picture took this long to code
    assert timeline.wait(1.00) == pytest.approx(voice - 0.03)


async def test_a_recorded_source_waits_for_its_reader_and_loses_nothing() -> None:
    outlet = Outlet("camera", "h264", live=False)
    times = [n / 10 for n in range(50)]

    def produce() -> None:
        for time in times:
            outlet.put(_piece(time))
        outlet.close()

    thread = threading.Thread(target=produce)
    thread.start()
    read = []
    while (piece := await outlet.get()) is not None:
        read.append(piece.time)
    thread.join()
    assert read == times
    assert outlet.ended


def test_a_live_source_drops_the_oldest() -> None:
    outlet = Outlet("voice", "opus", live=True)
    for number in range(100):
        assert outlet.put(_piece(number / 50))
    assert outlet.dropped >= 100 - AHEAD_S * 50 - 2
    assert not outlet.ended


def test_after_a_drop_the_picture_goes_on_at_a_keyframe_and_one_is_asked_for() -> None:
    outlet = Outlet("camera", "h264", live=True)
    asked = []
    outlet.request_keyframe = lambda: asked.append(True)
    for number in range(20):
        outlet.put(_piece(number / 10, keyframe=number in (0, 17)))
    outlet.close()
    assert [piece.time for piece in outlet._pieces] == [1.7, 1.8, 1.9]
    assert (outlet.dropped, len(asked)) == (17, 1)


def test_a_hungry_sibling_is_fed_even_when_this_one_is_full() -> None:
    voice, camera = Outlet("voice", "opus", live=False), Outlet("camera", "h264", live=False)
    camera.siblings = (voice,)
    for number in range(20):
        camera.put(_piece(number / 10))  # two seconds: would block, if voice were not empty
    assert not camera.ended


def test_putting_into_a_closed_outlet_says_so() -> None:
    outlet = Outlet("camera", "h264", live=False)
    outlet.close()
    assert not outlet.put(_piece(0.0))


async def test_a_track_begins_at_a_keyframe_and_ends_with_its_source() -> None:
    outlet = Outlet("camera", "h264", live=False)
    for number in range(4):
        outlet.put(_piece(number / 100, keyframe=number == 2))
    outlet.close()
    track = PacketTrack(outlet, Timeline(live=False))
    packets = [await track.recv(), await track.recv()]
    assert [packet.pts for packet in packets] == [1800, 2700]
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.readyState == "ended"


async def test_the_voice_begins_at_once_and_counts_in_its_own_clock() -> None:
    outlet = Outlet("voice", "opus", live=False)
    outlet.put(_piece(0.02, keyframe=False))
    packet = await PacketTrack(outlet, Timeline(live=False)).recv()
    assert packet.pts == 960
    assert packet.time_base is not None
    assert packet.time_base.denominator == 48_000


async def test_reading_wakes_up_when_a_piece_comes_from_another_thread() -> None:
    outlet = Outlet("voice", "opus", live=False)
    reading = asyncio.ensure_future(outlet.get())
    await asyncio.sleep(0)
    threading.Thread(target=outlet.put, args=(_piece(1.0),)).start()
    assert await reading == _piece(1.0)
