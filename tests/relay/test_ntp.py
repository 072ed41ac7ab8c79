"""NTP time: both ways, the middle bits, and round trips out of reports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media import ntp
from tests.relay.fuzzing import FUZZ


def test_the_epochs_meet() -> None:
    assert ntp.from_unix(0.0) == 2_208_988_800 << 32
    assert ntp.from_unix(0.5) & 0xFFFFFFFF == 0x80000000
    assert ntp.to_unix(2_208_988_800 << 32) == 0.0


@FUZZ
@given(st.floats(0, 4e9))
def test_times_survive_both_ways_and_2036(seconds: float) -> None:
    raw = ntp.from_unix(seconds)
    assert 0 <= raw < 1 << 64
    assert ntp.to_unix(raw) == pytest.approx(seconds, abs=1e-6)


def test_durations_in_65536ths() -> None:
    assert ntp.short(1.5) == 98304
    assert ntp.seconds(98304) == 1.5
    assert ntp.short(-1.0) == 0
    assert ntp.short(1e9) == 0xFFFFFFFF
    assert ntp.middle(0x0000123456780000) == 0x12345678


@pytest.mark.parametrize("start", [0.0, 1_700_000_000.25, 65535.9, 2_085_978_495.99])
def test_round_trip_is_what_passed_less_the_delay(start: float) -> None:
    sent = ntp.middle(ntp.from_unix(start))
    back = ntp.middle(ntp.from_unix(start + 0.9))
    assert ntp.round_trip(back, sent, ntp.short(0.3)) == pytest.approx(0.6, abs=1e-4)


def test_impossible_round_trips_are_none() -> None:
    assert ntp.round_trip(100, 0, 0) is None
    assert ntp.round_trip(65536, 65536, 65536) is None
    assert ntp.round_trip(65536, 65536 + 60, 0) == 0.0
    assert ntp.round_trip(0x7FFFFFFF, 1, 0) is None
