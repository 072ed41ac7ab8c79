"""How little is made of a source when the machine cannot keep up, and how it comes back."""

from __future__ import annotations

import pytest

from relay.derive.pace import HOPELESS, LATE, RECOVER, SETTLE, TOP, Pace, rungs, size


def test_in_time_everything_is_made() -> None:
    pace = Pace()
    for frame in range(100):
        pace.note(0.01, frame / 15)
    assert pace.step == 0
    small, medium = rungs("camera", 720)
    assert pace.makes(0)
    assert pace.makes(1)
    assert pace.interval(small) == pace.interval(medium) == pytest.approx(1 / 15)


def test_step_by_step_less_and_after_a_quiet_time_more() -> None:
    pace = Pace()
    (small, *_) = rungs("camera", 720)
    now, steps, intervals = 0.0, [], []
    while pace.step < TOP:
        pace.note(LATE + 0.1, now)
        steps.append(pace.step)
        intervals.append(round(pace.interval(small) * 15))
        now += SETTLE / 4
    assert steps == sorted(steps)
    assert set(intervals) == {2, 4}
    assert pace.makes(0)
    assert not pace.makes(1)
    top_at = now
    while pace.step:
        pace.note(0.0, now)
        now += 0.1
    assert now - top_at == pytest.approx(TOP * RECOVER, abs=1.5)
    assert pace.makes(1)


def test_one_late_frame_is_one_step() -> None:
    pace = Pace()
    pace.note(LATE * 2, 0.0)
    pace.note(LATE * 2, SETTLE / 2)
    assert pace.step == 1
    assert not pace.is_hopeless(LATE * 2)
    assert pace.is_hopeless(HOPELESS * 1.01)


@pytest.mark.parametrize(
    ("source", "height", "lines"),
    [
        ("camera", 1080, [180, 360]),
        ("camera", 480, [180, 360]),
        ("camera", 360, [180]),
        ("camera", 120, [180]),
        ("screen", 1080, [360, 720]),
        ("screen", 768, [360]),
    ],
)
def test_what_is_made_of_a_source(source: str, height: int, lines: list[int]) -> None:
    assert [rung.lines for rung in rungs(source, height)] == lines


@pytest.mark.parametrize(
    ("width", "height", "lines", "expected"),
    [
        (1280, 720, 180, (320, 180)),
        (720, 1280, 180, (180, 320)),
        (1366, 768, 360, (640, 360)),
        (160, 120, 180, (160, 120)),
        (161, 121, 180, (160, 120)),
        (1, 1, 180, (2, 2)),
    ],
)
def test_sides_are_even_and_never_grow(
    width: int, height: int, lines: int, expected: tuple[int, int]
) -> None:
    made = size(width, height, lines)
    assert made == expected
