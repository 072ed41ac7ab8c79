"""First pictures say when they leave: whole frames, in order, and no longer than needed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.media.seqno import delta32
from relay.sfu.first_pictures import FirstPictures
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SlotSpec

TICK = 90_000
FRAME = 6_000


def _leave(first: FirstPictures, timestamp: int, size: int, waits: float, now: float) -> int:
    assert first.wait(timestamp, size, now - waits)
    return first.leave(timestamp, 80_000.0, now)


def _is_over(first: FirstPictures) -> bool:
    return first.is_over


def test_a_frame_tells_when_its_last_byte_leaves() -> None:
    first = FirstPictures(0.0)
    assert first.wait(1_000, 4_000, 0.0)
    assert first.wait(1_000, 1_000, 0.0)
    # 5,000 bytes at 80 kbit/s take half a second, of which 50 ms are nothing.
    assert first.leave(1_000, 80_000.0, 0.2) == 1_000 + round(0.65 * TICK)
    # The other packets are of the same frame whenever they leave, as are resends.
    assert first.leave(1_000, 80_000.0, 0.6) == first.find(1_000) == 1_000 + round(0.65 * TICK)
    assert first.find(1_000 + TICK) == 1_000 + TICK


def test_what_is_in_time_stays_as_it_is() -> None:
    first = FirstPictures(0.0)
    assert _leave(first, 1_000, 100, 0.01, 0.01) == 1_000


@pytest.mark.parametrize("start", [0, 2**32 - 40_000])
def test_a_rate_that_rises_keeps_the_order(start: int) -> None:
    first = FirstPictures(0.0)
    stamps = [start + index * FRAME & 0xFFFFFFFF for index in range(12)]
    for index, stamp in enumerate(stamps):
        assert first.wait(stamp, 2_000, index / 15)
    moved = [first.leave(stamp, 20e3 * 2**index, 1.0) for index, stamp in enumerate(stamps)]
    assert all(delta32(after, before) >= 90 for before, after in pairwise(moved))
    assert len(set(moved)) == len(stamps)


@pytest.mark.parametrize("waits", [0.0, 0.9])
def test_a_frame_that_comes_late_to_the_relay_fits_in_between(waits: float) -> None:
    first = FirstPictures(0.0)
    before = _leave(first, 0, 500, 0.5, 1.0)
    after = _leave(first, 2 * FRAME, 500, 0.5, 1.1)
    between = _leave(first, FRAME, 500, waits, 1.2)
    assert before < between < after


@pytest.mark.parametrize("start", [0, 2**32 - 9 * FRAME])
@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)])
def test_several_frames_that_come_late_keep_their_order(start: int, order: tuple[int, ...]) -> None:
    first = FirstPictures(0.0)
    stamps = [start + index * FRAME & 0xFFFFFFFF for index in range(6)]
    # The first left late, the last at a rate that had risen.
    moved = {0: _leave(first, stamps[0], 500, 0.9, 1.0)}
    assert first.wait(stamps[5], 500, 1.0)
    moved[5] = first.leave(stamps[5], 8e6, 1.0)
    for index in order:
        moved[index] = _leave(first, stamps[index], 500, 0.0, 1.2)
    assert all(delta32(moved[index + 1], moved[index]) > 0 for index in range(5))


def test_what_never_left_is_told_a_time_between_those_that_did() -> None:
    """A room that has gone on with another layer asks for it."""
    first = FirstPictures(0.0)
    before = _leave(first, 0, 500, 0.9, 1.0)
    after = _leave(first, 2 * FRAME, 500, 0.9, 1.1)
    assert before > FRAME
    assert before < first.find(FRAME) < after
    assert first.find(FRAME) == first.find(FRAME)
    assert first.find(2 * TICK) == 2 * TICK
    # One that waits is told its time when it leaves, whoever asks before.
    last = 2 * TICK
    assert first.wait(last, 500, 1.2)
    assert first.find(last) == last
    assert first.leave(last, 80_000.0, 4.0) > last
    assert first.wait(last - FRAME, 500, 4.1)
    assert first.find(last - FRAME) == last - FRAME
    first.give_up([last - FRAME, last])
    assert after < first.find(last - FRAME) < first.find(last)


def test_it_is_over_once_all_was_in_time_for_a_while() -> None:
    first = FirstPictures(0.0)
    _leave(first, 1_000, 5_000, 0.0, 0.5)
    first.note_empty(1.0)
    assert not _is_over(first)  # it leaves in pieces at first
    late = _leave(first, 1_000 + FRAME, 5_000, 1.0, 2.5)
    first.note_empty(3.0)
    # The rest of that frame may still come from the teacher, and must not tell another time.
    assert not _is_over(first)
    assert _leave(first, 1_000 + FRAME, 100, 0.0, 3.2) == late
    first.note_empty(4.0)
    assert _is_over(first)
    assert not first.wait(50_000, 100, 4.1)
    assert first.find(1_000 + FRAME) == late


def test_it_ends_on_a_link_that_pictures_fill_at_all_times() -> None:
    first = FirstPictures(0.0)
    before = None
    for index in range(30 * 15):
        now = index / 15
        # Each of them leaves 80 ms late.
        if not first.wait(index * FRAME, 200, now - 0.08):
            break
        told = first.leave(index * FRAME, 80_000.0, now)
        assert before is None or told > before
        before = told
        first.note_empty(now)
    assert 20.0 < now < 22.5
    assert told == index * FRAME - FRAME


def test_it_is_not_over_before_the_time_that_was_told() -> None:
    first = FirstPictures(0.0)
    assert first.wait(1_000, 40_000, 0.0)
    # Four seconds at the rate of the moment, which rises at once.
    assert first.leave(1_000, 80_000.0, 0.1) > 1_000 + 3.9 * TICK
    first.note_empty(3.0)
    assert not _is_over(first)
    assert _leave(first, 1_000 + round(3.0 * TICK), 100, 0.0, 3.0) > 1_000 + 3.9 * TICK


def test_it_begins_again_while_the_browser_knows_little_else() -> None:
    first = FirstPictures(0.0)
    first.note_empty(5.0)
    assert _is_over(first)
    first.begin_again(19.0)
    assert not _is_over(first)
    first.note_empty(22.0)
    first.begin_again(23.0)
    assert _is_over(first)


def test_what_is_remembered_is_bounded_and_goes_in_the_end() -> None:
    first = FirstPictures(0.0)
    for index in range(1_000):
        _leave(first, index * FRAME, 5_000, 1.0, 1.0 + index / 60)
    moved = sum(first.find(index * FRAME) != index * FRAME for index in range(1_000))
    assert moved == 300
    first.expire(60.0)
    assert first.find(999 * FRAME) != 999 * FRAME  # it is not over
    first.note_empty(60.0)
    first.expire(60.0)
    assert first.find(999 * FRAME) == 999 * FRAME


def test_what_follows_tells_no_earlier_time_than_they_did() -> None:
    leg: Leg[str] = Leg("room", SlotSpec("camera", "0", "video", 7, 8, ()))
    began = 0xFFFFFFFF - FRAME
    found = [leg.told_until]
    leg.last_timestamp = began
    leg.first_pictures = FirstPictures(0.0)
    found.append(leg.told_until)
    told = _leave(leg.first_pictures, began, 1_000, 2.0, 2.0)
    assert delta32(told, began) > TICK
    found.append(leg.told_until)
    # What came in time since then counts as it is.
    leg.last_timestamp = told + 1 & 0xFFFFFFFF
    found.append(leg.told_until)
    assert found == [None, began, told, told + 1]
