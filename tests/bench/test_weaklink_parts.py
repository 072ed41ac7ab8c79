"""What the weak-link benchmark makes of a room's statistics, on made-up rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.bench import weaklink_figures as figures
from tests.bench import weaklink_times as times
from tests.bench.weaklink import disturbed
from tests.bench.weaklink_figures import Row, Window
from tests.bench.weaklink_table import markdown, medians, worse
from tests.bench.weaklink_timeline import lines, timeline
from tests.link import Report, Side
from tests.link_model import Counts

STEP = 0.1
SAMPLES = 4_800  # of a row's interval


def _rows(
    seconds: float,
    *,
    concealed: dict[float, int] | None = None,
    still: tuple[float, float] = (0.0, 0.0),
    away: tuple[float, float] = (0.0, 0.0),
    rung: str | None = None,
) -> list[Row]:
    """Ten pictures a second and a voice, from page time 100 on.

    concealed: time → samples concealed in the interval that ends there. still: from when to when no
    picture comes. away: likewise no packets.
    """
    rows = []
    totals = {"totalSamplesReceived": 0, "concealedSamples": 0, "packetsReceived": 0}
    frames, frozen = 0, 0.0
    for index in range(round(seconds / STEP) + 1):
        at = round(index * STEP, 3)
        gone = away[0] < at <= away[1]
        missing = (concealed or {}).get(at, SAMPLES if gone else 0)
        totals["totalSamplesReceived"] += SAMPLES
        totals["concealedSamples"] += missing
        totals["packetsReceived"] += 0 if gone else 5
        if not gone and not still[0] < at <= still[1]:
            frames += 1
            if at == round(still[1] + STEP, 3):
                frozen += still[1] - still[0]
        state: dict[str, Any] = {"generation": 1} | ({"rung": rung} if rung else {})
        camera = {"framesDecoded": frames, "frameHeight": 360, "totalFreezesDuration": frozen}
        rows.append({"t": 100.0 + at, "state": state, "voice": dict(totals), "camera": camera})
    return rows


WHOLE = Window(100.0, 110.0)


def test_a_clean_lesson_has_clean_figures() -> None:
    rows = _rows(10)
    voice, picture = figures.voice(rows, WHOLE), figures.picture(rows, WHOLE)
    assert (voice["concealed_pct"], voice["voice_gap_s"]) == (0.0, 0.0)
    assert picture["fps"] == pytest.approx(10.0)
    assert (picture["height"], picture["freeze_pct"]) == (360, 0.0)
    assert picture["picture_gap_s"] == pytest.approx(0.1)


def test_concealed_voice_is_a_share_of_all_and_its_gap_runs_over_intervals() -> None:
    rows = _rows(10, concealed={3.0: 2_400, 3.1: 4_800, 3.2: 1_200, 7.0: 960})
    voice = figures.voice(rows, WHOLE)
    assert voice["concealed_pct"] == pytest.approx(100 * 9_360 / 480_000)
    assert voice["voice_gap_s"] == pytest.approx(8_400 / 48_000)


def test_two_gaps_with_speech_between_are_two() -> None:
    rows = _rows(10, concealed={3.0: 2_400, 3.1: 2_400, 3.2: 0, 3.3: 1_200})
    assert figures.voice(rows, WHOLE)["voice_gap_s"] == pytest.approx(0.1)


def test_a_room_that_hears_nothing_has_lost_all() -> None:
    silent: list[Row] = [{"t": 100.0 + at, "state": {}} for at in range(11)]
    voice, picture = figures.voice(silent, WHOLE), figures.picture(silent, WHOLE)
    assert (voice["concealed_pct"], voice["voice_gap_s"]) == (100.0, 10.0)
    assert (picture["fps"], picture["freeze_pct"]) == (0.0, 100.0)


def test_a_freeze_counts_with_and_without_an_end_but_not_among_stills() -> None:
    ended = figures.picture(_rows(10, still=(4.0, 6.0)), WHOLE)
    assert ended["freeze_pct"] == pytest.approx(20.0, abs=0.5)
    assert ended["picture_gap_s"] == pytest.approx(2.1)
    open_ended = figures.picture(_rows(10, still=(7.0, 10.0)), WHOLE)
    assert open_ended["freeze_pct"] == pytest.approx(30.0, abs=0.5)
    assert figures.picture(_rows(10, still=(0.0, 10.0), rung="stills"), WHOLE)["freeze_pct"] is None


def test_only_what_is_to_move_is_measured_by_its_motion() -> None:
    """Stills for three seconds, then moving pictures of which the first takes one."""
    rows = _rows(10, still=(0.0, 4.0))
    for row in rows:
        row["state"]["rung"] = "stills" if row["t"] <= 103.0 else "small"
    picture = figures.picture(rows, WHOLE)
    assert picture["freeze_pct"] == pytest.approx(100 * 1.1 / 7.0, abs=0.5)
    assert picture["moving_fps"] == pytest.approx(60 / 7.0, abs=0.1)
    assert figures.picture(_rows(10, rung="stills"), WHOLE)["moving_fps"] is None
    # The other way round: moving pictures that stop, and three seconds later are given up.
    rows = _rows(10, still=(4.0, 10.0))
    for row in rows:
        row["state"]["rung"] = "small" if row["t"] <= 107.0 else "stills"
    assert figures.picture(rows, WHOLE)["freeze_pct"] == pytest.approx(100 * 3.1 / 7.0, abs=0.5)


def test_a_still_grows_old_until_the_next_one() -> None:
    rows = _rows(10, rung="stills", still=(0.0, 10.0))
    for row in rows:
        row["state"]["still"] = 1e3 * (101.0 if row["t"] < 107.0 else 106.5)
    assert figures.picture(rows, WHOLE)["still_age_s"] == pytest.approx(5.9)
    # Moving pictures end: the last of them stands.
    rows = _rows(10, still=(5.0, 10.0))
    for row in rows:
        row["state"]["rung"] = "small" if row["t"] <= 105.0 else "stills"
    assert figures.picture(rows, WHOLE)["still_age_s"] == pytest.approx(5.0)
    assert figures.picture(_rows(10), WHOLE)["still_age_s"] is None


def test_a_counter_that_begins_anew_is_another_connection() -> None:
    rows = _rows(5)
    again = [row | {"t": row["t"] + 5.1} for row in _rows(5)]
    assert figures.grown([*rows, *again], "camera", "framesDecoded") == 50 + 1 + 50


def test_joining_and_coming_back() -> None:
    rows = _rows(30, away=(10.0, 15.0), concealed={15.1: 4_800, 15.2: 4_800, 15.3: 4_000})
    assert set(times.joined(rows, 98.5).values()) == {1.5}
    early = [{"t": 99.0, "voice": {}, "camera": {}, "state": {"still": 98_000}}, *rows]
    assert times.joined(early, 98.5) == {
        "join_voice_s": 1.5,
        "join_picture_s": 0.5,
        "join_moving_s": 1.5,
    }
    back = times.resumed(rows, 110.0, 115.0)
    assert back["voice_back_s"] == pytest.approx(0.1)
    assert back["voice_steady_s"] == pytest.approx(0.3)
    assert back["picture_back_s"] == pytest.approx(0.1)
    assert back["same_session"] is True
    never = times.resumed(_rows(30, away=(10.0, 30.0)), 110.0, 115.0)
    assert never["voice_back_s"] is never["voice_steady_s"] is never["picture_back_s"] is None
    other = [row | {"state": {"generation": 2}} if row["t"] > 115 else row for row in rows]
    assert times.resumed(other, 110.0, 115.0)["same_session"] is False


def test_lines_come_back_up() -> None:
    rows = _rows(30)
    for row in rows:
        if 110.0 < row["t"] < 124.0:
            row["camera"]["frameHeight"] = 180
    assert times.back_up(rows, 110.0, 120.0) == pytest.approx(4.0)
    assert figures.rungs(rows, 100.0) == [(0.0, "360"), (10.1, "180"), (24.0, "360")]
    assert figures.height_within(rows, 105.0) == 360
    shares = figures.rung_shares(rows, Window(100.0, 120.0))
    assert shares == pytest.approx({"360": 0.5, "180": 0.5})
    stills = figures.rung_shares(_rows(10, rung="stills"), WHOLE)
    assert stills == {"stills": 1.0}


def test_bytes_on_the_link_by_kind() -> None:
    sdp = "m=audio 9 x 111\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\n"
    sdp += "m=video 9 x 98\r\na=rtpmap:98 VP9/90000\r\na=rtpmap:99 rtx/90000\r\n"
    sdp += "a=rtpmap:49 flexfec-03/90000\r\n"
    flows = {
        "rtp 111 5": (1, 100),
        "rtp 63 5": (1, 50),
        "rtp 98 6": (1, 1_000),
        "rtp 99 7": (1, 300),
        "rtp 99 7+padding": (1, 200),
        "rtp 49 8": (1, 70),
        "rtp 12 9": (1, 5),
        "stun": (2, 11),
    }
    assert figures.by_kind(flows, figures.kinds(sdp)) == {
        "voice": 150,
        "video": 1_000,
        "rtx": 300,
        "padding": 200,
        "fec": 70,
        "unknown": 5,
        "stun": 11,
    }


def test_a_timeline_joins_what_was_sent_with_what_came_of_it() -> None:
    def report(at: float, sent: int, voice: int) -> Report:
        down = Side(Counts(sent=sent, sent_bytes=100 * sent), Counter(), {"rtp 111 5": (1, voice)})
        return Report(at, down, Side(Counts(), Counter(), {}))

    rows = _rows(10, concealed={1.5: 480})
    reports = [report(0.0, 0, 0), report(1.0, 10, 800), report(2.0, 30, 2_000)]
    found = timeline(rows, reports, {111: "voice"}, 100.0, 100.0)
    assert [one["sent_kbit_s"] for one in found] == pytest.approx([8.0, 16.0])
    assert [one["arrived_kbit_s"]["voice"] for one in found] == pytest.approx([6.4, 9.6])
    assert [one["concealed_ms"] for one in found] == pytest.approx([0.0, 10.0])
    assert [(one["s"], one["rung"]) for one in found] == [(1.0, "360"), (2.0, "360")]
    steps = times.join_steps(rows, 99.0, {"html": 300.0, "offer": None})
    assert steps == pytest.approx(
        {"html": 0.3, "offer": None, "ice": None, "dtls": None}
        | {"voice": 1.0, "picture": 1.0, "moving": 1.0}
    )
    printed = lines({"join_steps": steps, "timeline": found}).splitlines()
    assert printed[0].startswith("html 0.30, offer never")
    assert len(printed) == 4


def test_medians_and_the_worse_of_two_queues() -> None:
    assert medians([{"a": 3.0, "w": "x"}, {"a": None, "w": "y"}, {"a": 1.0, "w": "z"}]) == {
        "a": 3.0,
        "w": "z",
    }
    assert medians([{"a": None}, {"a": None}, {"a": 1.0}]) == {"a": None}
    stood: list[dict[str, float | None]] = [
        {"freeze_pct": 4.0},
        {"freeze_pct": None},
        {"freeze_pct": 2.0},
    ]
    assert medians(stood) == {"freeze_pct": 3.0}
    assert medians(stood[1:2]) == {"freeze_pct": None}
    assert worse([{"freeze_pct": None}, {"freeze_pct": 1.0}]) == {"freeze_pct": 1.0}
    packets = {"concealed_pct": 2.0, "fps": 9.0, "voice_back_s": 1.0, "cpu": "packets"}
    counted = {"concealed_pct": 1.0, "fps": 4.0, "voice_back_s": None, "cpu": "bytes"}
    found = worse([packets, counted])
    assert found == {"concealed_pct": 2.0, "fps": 4.0, "voice_back_s": None, "cpu": "packets"}


def test_a_visit_that_the_machine_disturbed_is_known() -> None:
    calm = {"teacher_fps": {"q": 15.0, "f": 14.0}, "link_late_p99_ms": 0.3}
    assert disturbed(calm) is None
    assert disturbed(calm | {"teacher_fps": {"q": 15.0, "f": 9.0}}) is not None
    assert disturbed(calm | {"teacher_fps": {}}) is not None
    assert disturbed(calm | {"link_late_p99_ms": 220.0}) is not None


def test_the_table_has_a_row_for_each_link_and_one_for_what_is_measured_elsewhere() -> None:
    outage = {"words": "away", "worse": {"voice_back_s": 1.25, "same_session": 1.0}}
    text = markdown({"unlimited": {"fps": 15.0}, "scenarios": {"outage": outage}})
    first, second = text.split("\n\n")
    assert [line.split(" | ")[0] for line in first.splitlines()[2:]] == [
        "| no limit",
        "| away",
        "| 200 rooms, half of them poor, for 10 minutes (virtual time)",
    ]
    assert second.splitlines()[-1] == "| away | 1.25 | – | – | – | the same |"
