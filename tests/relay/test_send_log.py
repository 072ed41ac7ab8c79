"""The send log: which number each packet gets, and what is remembered of it."""

from __future__ import annotations

import numpy as np
import pytest

from relay.transport.send_log import SENT_RING, SendLogs


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
