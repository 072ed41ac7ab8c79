"""One clock for all of a publisher's tracks: reports late, stale or from a clock that was set."""

from __future__ import annotations

import pytest

from relay.media.timeline import STEP_PROOF, PublisherClock, TrackTimeline

AHEAD = 1_000.0  # the publisher's clock minus the relay's
T0 = 1_790_000_000.0


class Track:
    """A track that captures at `rate`; `capture(at, delay)` sends one packet of that moment."""

    def __init__(self, clock: PublisherClock, rate: int, origin: int) -> None:
        self.clock, self.rate, self.origin = clock, rate, origin
        self.timeline = TrackTimeline(rate)

    def timestamp(self, at: float) -> int:
        return (self.origin + round((at - T0) * self.rate)) & 0xFFFFFFFF

    def capture(self, at: float, delay: float = 0.02) -> None:
        self.timeline.receive_packet(self.timestamp(at), at + delay)

    def report(self, about: float, arrives: float, ahead: float = AHEAD) -> None:
        self.timeline.receive_report(self.timestamp(about), about + ahead, self.clock, arrives)

    def error(self, at: float) -> float:
        """Where the timeline puts the moment `at`, minus `at`."""
        return self.timeline.wall(self.timestamp(at)) - at


def pair() -> tuple[Track, Track]:
    clock = PublisherClock()
    return Track(clock, 48_000, 0xFFFFF000), Track(clock, 90_000, 77)


def run(tracks: tuple[Track, Track], start: float, seconds: int, delay: float = 0.02) -> None:
    for second in range(seconds):
        for step in range(10):
            for track in tracks:
                track.capture(start + second + step / 10, delay)
        for track in tracks:
            track.report(start + second + 0.9, start + second + 0.9 + delay)


def test_two_tracks_of_one_publisher_agree_to_the_millisecond() -> None:
    voice, camera = tracks = pair()
    run(tracks, T0, 30)
    assert voice.error(T0 + 30) == pytest.approx(camera.error(T0 + 30), abs=0.001)
    assert voice.error(T0 + 30) == pytest.approx(0.02, abs=0.005)


def test_a_report_about_a_packet_of_long_ago_moves_nothing() -> None:
    voice, camera = tracks = pair()
    voice.capture(T0)
    voice.report(T0, T0 + 6.0)  # the first report of all, six seconds stale
    camera.capture(T0 + 6.0)
    camera.report(T0 + 6.0, T0 + 6.02)
    assert voice.error(T0 + 6) == pytest.approx(camera.error(T0 + 6), abs=0.001)
    run(tracks, T0 + 7, 3)
    assert voice.error(T0 + 9) == pytest.approx(camera.error(T0 + 9), abs=0.001)


def test_a_report_that_comes_while_the_link_stalls_is_measured_by_a_prompt_packet() -> None:
    """The difference of the clocks, once wrong, would be set right by 0.2 ms a second."""
    voice, camera = tracks = pair()
    for step in range(6):
        for track in tracks:
            track.capture(T0 + step / 10, 0.3 if step in (0, 5) else 0.02)
    for track in tracks:
        track.report(T0 + 0.5, T0 + 0.8)
    assert voice.error(T0) == pytest.approx(0.02, abs=0.001)
    assert camera.error(T0) == pytest.approx(0.02, abs=0.001)


def test_a_link_that_stalls_for_seconds_moves_no_track() -> None:
    voice, camera = tracks = pair()
    run(tracks, T0, 10)
    voice.capture(T0 + 10, 5.0)
    voice.report(T0 + 10, T0 + 15)
    assert voice.error(T0 + 10) == pytest.approx(camera.error(T0 + 10), abs=0.001)
    assert voice.error(T0 + 10) == pytest.approx(0.02, abs=0.005)


def test_a_stream_that_was_stopped_hours_ago_and_is_reported_on_moves_nothing() -> None:
    """Half a cycle of its timestamps is 6.6 hours."""
    voice, screen = tracks = pair()
    run(tracks, T0, 30)
    for minute in range(1, 9 * 60):
        at = T0 + 60.0 * minute
        voice.capture(at)
        voice.report(at, at + 0.02)
        screen.report(at, at + 0.02)
        assert voice.error(at) == pytest.approx(0.02, abs=0.005)
        assert screen.error(at) == pytest.approx(0.02, abs=0.005)
    # It is shared again.
    run(tracks, T0 + 9 * 3600, 30)
    assert voice.error(T0 + 9 * 3600 + 29) == pytest.approx(0.02, abs=0.005)
    assert screen.error(T0 + 9 * 3600 + 29) == pytest.approx(0.02, abs=0.005)


def test_a_publishers_clock_that_was_set_is_followed_either_way() -> None:
    for step in (-500.0, 500.0):
        voice, camera = tracks = pair()
        run(tracks, T0, 10)
        for second in range(10, 12 + int(STEP_PROOF)):
            for track in tracks:
                track.capture(T0 + second)
                track.report(T0 + second, T0 + second + 0.02, AHEAD + step)
        at = T0 + 11 + int(STEP_PROOF)
        assert voice.error(at) == pytest.approx(0.02, abs=0.01), step
        assert camera.error(at) == pytest.approx(0.02, abs=0.01), step
