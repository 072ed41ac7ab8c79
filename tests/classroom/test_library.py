"""Finding lessons as people type: without marks, in any order, with part words."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.library import Query, fold, search


@dataclass(frozen=True)
class Row:
    id: str
    title: str
    teacher: str = ""
    subject: str | None = None
    grade: str | None = None
    state: str = "published"
    started_at: float | None = None
    planned_at: float | None = None


OHM = Row("om", "Định luật Ôm", "Cô Hoa", "Vật lý", "9", started_at=100.0)
LINE = Row("duong", "Đường thẳng song song", "Thầy Ôm", "Toán", "8", started_at=200.0)
POEM = Row("tho", "Thơ Đường", "Cô Hoa", "Ngữ văn", "9", "live", started_at=300.0)
ROWS = [OHM, LINE, POEM]


def ids(query: Query) -> list[str]:
    return [row.id for row in search(ROWS, query)]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Đường thẳng", "duong thang"),
        ("ĐỊNH LUẬT ÔM", "dinh luat om"),
        ("Nguyễn Thị Hoa", "nguyen thi hoa"),
        ("ơ ư ă â ê ô đ", "o u a a e o d"),
        ("Straße", "strasse"),
        ("ÐƯỜNG", "duong"),
        ("℡", "tel"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(unicodedata.normalize("NFD", text)) == folded


@given(st.text(st.characters(max_codepoint=0x1EFF)))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_words_are_found_without_marks_in_any_order_and_in_part() -> None:
    assert ids(Query("luat dinh")) == ["om"]
    assert ids(Query("song duon")) == ["duong"]
    assert ids(Query("uong")) == []


def test_title_matches_come_first_then_the_newest() -> None:
    assert ids(Query("ôm")) == ["om", "duong"]
    assert ids(Query("hoa")) == ["tho", "om"]
    assert ids(Query("duong")) == ["tho", "duong"]
    assert ids(Query()) == ["tho", "duong", "om"]


def test_filters() -> None:
    assert ids(Query(subject="vat ly")) == ["om"]
    assert ids(Query(grade="9")) == ["tho", "om"]
    assert ids(Query(grade="9", states=frozenset({"published"}))) == ["om"]
    assert ids(Query(states=frozenset())) == []
