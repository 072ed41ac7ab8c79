"""What goes first when room is needed: pins, the timetable, the order of use; and no clock."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.cache.index import SERVED_SECONDS, Index


def nobody(lesson: str) -> bool:
    return False


def index_of(**sizes: int) -> Index:
    """An index of lessons, older ones first."""
    index = Index()
    for number, (name, size) in enumerate(sizes.items()):
        entry = index.entry(name)
        entry.here, entry.size, entry.epoch = True, size, 1e9 + number
    return index


def test_unwanted_goes_before_wanted_and_long_unused_before_just_used() -> None:
    index = index_of(aaa=1, bbb=1, ccc=1, ddd=1, eee=1)
    for name in ("ccc", "aaa", "bbb"):
        index.use(name, 0.0)
    index.want("ddd", 1_800_000_000.0)
    index.want("eee", 1_700_000_000.0)
    # Never used; then by last use; then the wanted ones, the soonest last.
    assert index.candidates(1e6, nobody) == ["ccc", "aaa", "bbb", "ddd", "eee"]
    index.want("ccc", 1_750_000_000.0)
    assert index.candidates(1e6, nobody) == ["aaa", "bbb", "ddd", "ccc", "eee"]


def test_of_lessons_that_nobody_used_the_oldest_goes_first() -> None:
    index = index_of(bbb=1, aaa=1)
    assert index.candidates(0.0, nobody) == ["bbb", "aaa"]


def test_pinned_live_and_served_lessons_stay() -> None:
    index = index_of(aaa=1, bbb=1, ccc=1, ddd=1)
    index.pin("aaa", True)
    index.use("bbb", 100.0)
    assert index.candidates(100.0 + SERVED_SECONDS - 1, lambda name: name == "ccc") == ["ddd"]
    assert index.candidates(100.0 + SERVED_SECONDS + 1, nobody) == ["ccc", "ddd", "bbb"]
    index.pin("aaa", False)
    assert "aaa" in index.candidates(1e6, nobody)


def test_the_only_copy_goes_last() -> None:
    index = index_of(aaa=1, bbb=1)
    index.entry("aaa").recorded = True
    index.want("bbb", 1_700_000_000.0)
    assert index.candidates(0.0, nobody) == ["bbb", "aaa"]


def test_a_lesson_puts_out_only_what_matters_less() -> None:
    index = index_of(aaa=1, bbb=1, ccc=1)
    index.use("aaa", 0.0)
    index.use("bbb", 0.0)
    assert index.candidates(1e6, nobody, "bbb") == ["ccc", "aaa"]
    assert index.candidates(1e6, nobody, "ccc") == []
    index.pin("ccc", True)
    assert index.candidates(1e6, nobody, "ccc") == ["aaa", "bbb"]


def test_a_lesson_that_is_not_here_yet_has_its_place_by_when_it_began() -> None:
    index = index_of(aaa=1, bbb=1, ccc=1)
    index.use("bbb", 0.0)
    assert index.candidates(1e6, nobody, "ddd", 2e9) == ["aaa", "ccc"]
    assert index.candidates(1e6, nobody, "ddd", 1e9 + 1.5) == ["aaa"]
    assert index.candidates(1e6, nobody, "ddd") == []
    # What is known of it here counts more, and asking leaves nothing behind.
    assert index.candidates(1e6, nobody, "aaa", 2e9) == []
    assert "ddd" not in index.entries


def test_no_two_lessons_put_out_each_other_in_turn() -> None:
    seeded = random.Random(5)
    for _ in range(200):
        index = index_of(aaa=1, bbb=1)
        for name in ("aaa", "bbb"):
            entry = index.entry(name)
            entry.wanted_at = seeded.choice([None, 1.7e9, 1.8e9])
            entry.recorded = seeded.random() < 0.2
            if seeded.random() < 0.5:
                index.use(name, 0.0)
        for one, other in (("aaa", "bbb"), ("bbb", "aaa")):
            if index.candidates(1e6, nobody, one) == [other]:
                assert index.candidates(1e6, nobody, other) == []


def test_a_clock_that_jumps_puts_out_nothing_wrong() -> None:
    """Dates come from the timetable alone; use is counted. So no clock is even asked."""
    index = index_of(old=1, used=1, wanted=1)
    index.entry("old").epoch = 4e9  # a machine that believed in 2096 recorded it
    index.use("used", 5.0)
    index.want("wanted", 1_700_000_000.0)  # long past, for a clock that says 2099
    assert index.candidates(1e9, nobody) == ["old", "used", "wanted"]
    # Only who wanted it takes that back.
    index.timetable({"used": 1_900_000_000.0})
    assert index.candidates(1e9, nobody) == ["wanted", "old", "used"]


def test_quota_and_floor_both_count() -> None:
    index = index_of(aaa=60, bbb=30)
    assert index.lacking(10, free=1000, quota=100, floor=0) == 0
    assert index.lacking(11, free=1000, quota=100, floor=0) == 1
    assert index.lacking(10, free=50, quota=0, floor=45) == 5
    assert index.lacking(20, free=50, quota=95, floor=45) == 15
    assert index.lacking(0, free=10, quota=0, floor=45) == 35


def test_no_more_goes_than_is_needed_and_nothing_in_vain() -> None:
    index = index_of(aaa=10, bbb=20, ccc=30)
    names = index.candidates(0.0, nobody)
    assert index.choose(0, names, whole=True) == []
    assert index.choose(10, names, whole=True) == ["aaa"]
    assert index.choose(11, names, whole=True) == ["aaa", "bbb"]
    assert index.choose(61, names, whole=True) == []
    assert index.choose(61, names, whole=False) == ["aaa", "bbb", "ccc"]


def test_what_was_put_out_is_remembered_until_somebody_asks_for_it() -> None:
    index = index_of(aaa=10)
    assert index.remove("aaa", evicted=True) == 10
    assert index.held == 0
    assert index.entry("aaa").evicted
    index.use("aaa", 0.0)
    assert not index.entry("aaa").evicted
    index = index_of(**{f"lesson-{number}": 1 for number in range(5000)})
    for name in list(index.entries):
        index.remove(name, evicted=True)
    assert 0 < len(index.entries) < 4200


def test_verified_files_are_known_by_their_stamp() -> None:
    index = index_of(aaa=1)
    index.verify("aaa", "voice/0.m4s", (1, 2, 3), "digest")
    assert index.verified("aaa", "voice/0.m4s", (1, 2, 3)) == "digest"
    assert index.verified("aaa", "voice/0.m4s", (1, 2, 4)) is None
    for number in range(200):
        for part in range(100):
            index.verify(f"lesson-{number}", f"voice/{part}.m4s", 1, "digest")
    assert index.verified("lesson-199", "voice/0.m4s", 1) == "digest"
    assert index.verified("lesson-50", "voice/0.m4s", 1) == "digest"
    assert index.verified("aaa", "voice/0.m4s", (1, 2, 3)) is None


def test_the_state_survives_its_file() -> None:
    index = index_of(aaa=10, bbb=20)
    index.use("bbb", 5.0)
    index.pin("aaa", True)
    index.want("ccc", 1_700_000_000.0)
    index.entry("bbb").settled = True
    index.entry("bbb").manifest = "ab" * 32
    again = Index.decode(index.encode())
    assert again.uses == 1
    assert again.entries["aaa"].pinned
    assert again.entries["bbb"].settled
    assert again.entries["bbb"].manifest == "ab" * 32
    assert again.entries["ccc"].wanted_at == 1_700_000_000.0
    assert Index.decode(again.encode()).encode() == again.encode()


@pytest.mark.parametrize(
    "line",
    [
        ["../x", 1, 1, 0, None, 1, "", 1, ""],
        ["aaa", 1, 1, 0, None, 1, "", 1],
        ["aaa", -1, 1, 0, None, 1, "", 1, ""],
        ["aaa", 1, 1, 0, float("nan"), 1, "", 1, ""],
        ["aaa", 1, 1, 0, "soon", 1, "", 1, ""],
        ["aaa", 1, 1, 0, None, 1, None, 1, ""],
        [["aaa"], 1, 1, 0, None, 1, "", 1, ""],
        7,
        [],
    ],
)
def test_a_damaged_state_is_refused_by_name(line: object) -> None:
    head = json.dumps({"format": 1, "uses": 1})
    good = json.dumps(["bbb", 1, 1, 0, None, 1, "", 1, ""])
    assert Index.decode(f"{head}\n{good}\n".encode()).entries["bbb"].size == 1
    with pytest.raises(Refused) as refused:
        Index.decode(f"{head}\n{good}\n{json.dumps(line)}\n".encode())
    assert refused.value.code == "cache-state-malformed"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_for_a_state_raise_only_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        Index.decode(data)
