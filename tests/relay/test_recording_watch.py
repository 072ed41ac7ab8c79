"""When a lesson that is taught counts as not recorded, in virtual time."""

from __future__ import annotations

from relay.record.watch import RecordingWatch


def lost(watch: RecordingWatch, seconds: range, connected: bool, grows: float = 1.0) -> list[int]:
    """The moments, one a second, at which the lesson is said not to be recorded."""
    return [at for at in seconds if watch.check(at, connected, {"physics": at * grows})]


def test_a_recording_that_grows_is_well() -> None:
    assert lost(RecordingWatch(), range(100), connected=True) == []


def test_a_feed_away_for_five_seconds_is_told_until_it_is_back() -> None:
    watch = RecordingWatch()
    assert lost(watch, range(10), connected=True) == []
    assert lost(watch, range(10, 20), connected=False) == [15, 16, 17, 18, 19]
    assert lost(watch, range(20, 23), connected=True) == []
    assert lost(watch, range(23, 28), connected=False) == []


def test_a_lesson_that_begins_without_a_feed_has_the_same_patience() -> None:
    watch = RecordingWatch()
    assert all(watch.check(at, False, {}) == [] for at in range(100))
    assert lost(watch, range(100, 107), connected=False) == [105, 106]


def test_a_recording_that_stands_still_is_told_until_it_grows() -> None:
    watch = RecordingWatch()
    assert lost(watch, range(17), connected=True, grows=0.0) == [15, 16]
    assert lost(watch, range(17, 30), connected=True) == []


def test_each_lesson_has_its_own_time_and_a_pause_begins_it_anew() -> None:
    watch = RecordingWatch()
    for at in range(14):
        assert watch.check(at, True, {"physics": 0.0}) == []
    assert watch.check(14, True, {}) == []
    for at in range(15, 30):
        assert watch.check(at, True, {"physics": 0.0, "history": float(at)}) == []
    assert watch.check(30, True, {"physics": 0.0, "history": 30.0}) == ["physics"]
