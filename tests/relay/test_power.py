"""Power cuts told from clean ends by the mark that a running relay leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from relay.power import HISTORY, MARK, Power, Stop, read_running, read_stops


def cut(data: Path, seen_at: float, boot_id: str = "another-start") -> None:
    """Leave the mark of a relay that was last seen at `seen_at`, from another start."""
    mark = json.loads((data / MARK).read_text())
    (data / MARK).write_text(json.dumps(mark | ({"boot_id": boot_id} if boot_id else {})))
    os.utime(data / MARK, (seen_at, seen_at))


def test_a_clean_end_leaves_nothing(tmp_path: Path) -> None:
    power = Power(tmp_path)
    assert power.begin("http://127.0.0.1:8081", 100.0) is None
    running = read_running(tmp_path)
    assert running is not None
    assert (running.url, running.pid) == ("http://127.0.0.1:8081", os.getpid())
    power.end()
    assert read_running(tmp_path) is None
    assert Power(tmp_path).begin("", 200.0) is None
    assert read_stops(tmp_path) == []


def test_a_mark_from_another_start_of_the_machine_is_a_power_cut(tmp_path: Path) -> None:
    power = Power(tmp_path)
    power.begin("", 100.0)
    power.beat(160.0)
    cut(tmp_path, 160.0)
    stop = Stop("power", 160.0, 400.0)
    assert Power(tmp_path).begin("", 400.0) == stop
    assert read_stops(tmp_path) == [stop]


def test_a_mark_of_this_start_means_that_the_relay_was_killed(tmp_path: Path) -> None:
    Power(tmp_path).begin("", 100.0)
    assert Power(tmp_path).begin("", 150.0) == Stop("killed", 100.0, 150.0)
    cut(tmp_path, 170.0)
    Power(tmp_path).begin("", 200.0)
    assert [stop.kind for stop in read_stops(tmp_path)] == ["killed", "power"]


def test_a_clock_that_fell_back_gives_no_date(tmp_path: Path) -> None:
    Power(tmp_path).begin("", 1_700_000_000.0)
    cut(tmp_path, 1_700_000_000.0)
    assert Power(tmp_path).begin("", 60.0) == Stop("power", None, 60.0)


def test_the_history_is_bounded(tmp_path: Path) -> None:
    for number in range(70):
        Power(tmp_path).begin("", float(number))
    stops = read_stops(tmp_path)
    assert len(stops) == 50
    assert stops[-1].back_at == 69.0


@pytest.mark.parametrize(
    "rubbish", [b"", b"{", b"[" * 100_000, b'[1, {}, {"kind": "power", "back_at": 1e999}]', b"\xff"]
)
def test_torn_files_stop_nobody(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / MARK).write_bytes(rubbish)
    (tmp_path / HISTORY).write_bytes(rubbish)
    stop = Power(tmp_path).begin("", 1e11)
    assert stop is not None
    assert read_stops(tmp_path) == [stop]


def test_a_directory_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    power = Power(tmp_path / "missing")
    assert power.begin("", 1.0) is None
    power.beat(2.0)
    power.end()
