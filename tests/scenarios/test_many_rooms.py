"""Poor rooms cost the teacher nothing, and good rooms not a picture.

Here: a short run of the story; `python -m tests.bench rooms` tells it with 200 rooms for ten
minutes. Not here: what a poor room itself sees (test_allocation, tests.bench weaklink).
"""

from __future__ import annotations

from tests.scenarios.many_rooms import tell


def test_many_rooms_half_of_them_poor() -> None:
    alone = tell(1, 20.0)
    many = tell(20, 20.0)
    assert many.joined > 25
    # Three layers on each beat, whoever comes, loses and cries.
    assert many.requests <= alone.requests
    assert many.missing == 0
    assert many.longest < 0.3
    assert many.spoken > 0.95
