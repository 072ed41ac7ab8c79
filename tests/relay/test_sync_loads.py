"""One request for many parts: which, in which words, and what both ends make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.cache.parts import Part
from relay.sync import loads
from relay.sync.loads import Load, Piece


def part(name: str, size: int, start: float, end: float | None = None) -> Part:
    return Part("toan-7", "voice", name, size, "0" * 64, start, start + 8 if end is None else end)


INIT = part("init-0.mp4", 60, 0.0, 0.0)
PARTS = [INIT, *(part(f"{beat}.m4s", 100 + beat, 8.0 * beat) for beat in range(6))]


def names(load: Load | None) -> list[str]:
    return [piece.part.name for piece in load.pieces] if load else []


def test_a_load_takes_what_is_missing_in_order_up_to_its_size() -> None:
    load = loads.next_load(PARTS, {}, set(), 300)
    assert names(load) == ["init-0.mp4", "0.m4s", "1.m4s"]
    assert load is not None
    assert load.size == 60 + 100 + 101


def test_one_part_is_taken_however_large_and_none_that_is_under_way() -> None:
    assert names(loads.next_load(PARTS[1:], {}, {"0.m4s"}, 1)) == ["1.m4s"]
    assert loads.next_load(PARTS, {}, {each.name for each in PARTS}, 1) is None


def test_a_part_goes_on_where_it_was() -> None:
    load = loads.next_load(PARTS[1:3], {"1.m4s": 40}, set(), 1_000)
    assert load == Load((Piece(PARTS[1], 0), Piece(PARTS[2], 40)))
    begins = loads.starts(PARTS)
    assert loads.write_stretches(loads.stretches(load, begins)) == "60-159,200-260"


def test_what_a_pupil_watches_comes_first_and_what_is_behind_last() -> None:
    load = loads.next_load(PARTS, {}, set(), 10_000, since=16.0)
    assert names(load) == [
        *("init-0.mp4", "2.m4s", "3.m4s", "4.m4s", "5.m4s"),
        *("0.m4s", "1.m4s"),
    ]


def test_neighbours_become_one_stretch() -> None:
    load = Load(tuple(Piece(each) for each in (PARTS[0], PARTS[1], PARTS[3])))
    assert loads.stretches(load, loads.starts(PARTS)) == [(0, 160), (261, 363)]


def test_a_request_is_bounded_in_stretches() -> None:
    many = [part(f"{beat}.m4s", 10, 8.0 * beat) for beat in range(500)]
    load = loads.next_load(many, {}, set(), 10**9)
    assert len(names(load)) == loads.MAX_STRETCHES


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "5-4", "0-600", "-5", "0-", "a-b", "00-5", "0-1,1-2", "0-99,5-9", "1-2;3-4"),
        ",".join(f"{n}-{n}" for n in range(65)),
        "0-" + "9" * 40,
    ],
)
def test_stretches_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Refused, match="cannot be asked for"):
        loads.read_stretches(text, 600)


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.lists(st.integers(0, 59), min_size=7, max_size=7),
)
def test_both_ends_mean_the_same_bytes(chosen: set[int], skips: list[int]) -> None:
    load = Load(tuple(Piece(PARTS[n], skips[n]) for n in sorted(chosen)))
    size = sum(each.bytes for each in PARTS)
    text = loads.write_stretches(loads.stretches(load, loads.starts(PARTS)))
    found = loads.files(PARTS, loads.read_stretches(text, size))
    assert [(p.name, first, first + much) for p, first, much in found] == [
        (piece.part.name, piece.skip, piece.part.bytes) for piece in load.pieces
    ]
    assert sum(much for *_, much in found) == load.size
