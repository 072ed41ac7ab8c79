"""The send log: which number each packet gets, and what is remembered of it."""

from __future__ import annotations

import numpy as np
import pytest

from relay.transport.send_log import FORGOTTEN, SENT_RING, SendLogs


def test_viewers_of_a_batch_are_numbered_each_on_their_own() -> None:
    logs = SendLogs(3)
    first, second, third = (logs.take() for _ in range(3))
    assert logs.sent_one(second, 100, 1.0) == 0
    rows = np.array([first, second])
    assert logs.sent(rows, np.array([500, 400]), 2.0).tolist() == [[0, 1], [1, 2]]
    assert [logs.count(row) for row in (first, second, third)] == [2, 3, 0]
    assert list(logs.times(second)[:4]) == [1.0, 2.0, 2.0, 0.0]
    assert list(logs.sizes(second)[:4]) == [100, 500, 400, 0]
    assert list(logs.times(third)[:2]) == [0.0, 0.0]


def test_the_ring_goes_round_within_a_train() -> None:
    logs = SendLogs(1)
    row = logs.take()
    for _ in range(SENT_RING - 1):
        logs.sent_one(row, 1, 1.0)
    numbers = logs.sent(np.array([row]), np.array([7, 7, 7]), 9.0)
    assert numbers.tolist() == [[SENT_RING - 1], [SENT_RING], [SENT_RING + 1]]
    times = logs.times(row)
    assert [times[SENT_RING - 1], times[0], times[1], times[2]] == [9.0, 9.0, 9.0, 1.0]
    assert logs.sizes(row)[1] == 7


def test_a_row_that_was_given_back_begins_anew() -> None:
    logs = SendLogs(1)
    row = logs.take()
    logs.sent_one(row, 100, 1.0)
    with pytest.raises(IndexError):
        logs.take()
    logs.give_back(row)
    assert logs.free == 1
    assert logs.take() == row
    assert logs.count(row) == 0
    assert logs.times(row)[0] == 0.0


def own(ssrc: int, sequence: int) -> int:
    return ssrc << 16 | sequence & 0xFFFF


def test_a_packet_that_may_leave_again_is_known_by_its_own_number() -> None:
    logs = SendLogs(2)
    rows = np.array([logs.take(), logs.take()])
    first, second = (int(row) for row in rows)
    packets = np.array([[own(7, 65_535), own(7, 9)], [own(7, 0), own(7, 10)]])
    logs.keep(rows, packets, np.array([[70_000, 3], [70_001, 4]]))
    assert logs.number_of(first, own(7, 65_535)) == 70_000 - 65_536
    assert logs.number_of(first, own(7, 0)) == 70_001 - 65_536
    assert logs.number_of(second, own(7, 10)) == 4
    logs.keep_one(second, own(7, 11), 65_540)
    assert logs.number_of(second, own(7, 11)) == 4


def test_what_never_left_is_told_from_what_is_forgotten() -> None:
    logs = SendLogs(1)
    row = logs.take()
    assert logs.number_of(row, own(7, 5)) is None
    logs.keep_one(row, own(7, 65_000), 1)
    # The same place a round later: it has not been there yet; a round earlier: it may have been.
    assert logs.number_of(row, own(7, 65_000 + 1024)) is None
    assert logs.number_of(row, own(7, 65_000 - 1024)) == FORGOTTEN
    assert logs.number_of(row, own(8, 65_000 + 1024)) == FORGOTTEN
    logs.give_back(row)
    assert logs.number_of(logs.take(), own(7, 65_000)) is None
