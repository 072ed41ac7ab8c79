"""Finding lessons as people type: without marks, in any order, with part words."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Refused
from classroom.library import Listing, Query, fold, indexed, read_listing, search, stems


@dataclass(frozen=True)
class Row:
    id: str
    title: str
    teacher: str = ""
    subject: str | None = None
    grade: str | None = None
    school: str | None = None
    state: str = "published"
    started_at: float | None = None
    planned_at: float | None = None


OHM = Row("om", "Định luật Ôm", "Cô Hoa", "Vật lý", "9", "Mường La", started_at=100.0)
LINE = Row("duong", "Đường thẳng song song", "Thầy Ôm", "Toán", "8", started_at=200.0)
POEM = Row("tho", "Thơ Đường", "Cô Hoa", "Ngữ văn", "9", state="live", started_at=300.0)
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
        ("ᶞ", "d"),
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
    assert ids(Query(school="muong la")) == ["om"]
    assert ids(Query(states=frozenset())) == []


def test_what_a_database_keeps_of_a_lesson_holds_the_beginning_of_each_of_its_words() -> None:
    kept = indexed(OHM)
    assert (kept.title, kept.rest) == (" dinh luat om", " co hoa vat ly 9 muong la om")
    assert (kept.subject, kept.grade, kept.school) == ("vat ly", "9", "muong la")
    assert kept.at == 100.0
    assert stems("  Lu-Đị ") == (" lu", " di")
    assert all(stem in kept.title for stem in stems("luat dinh"))


@given(st.text(max_size=20), st.text(max_size=8))
def test_stems_are_found_in_what_is_kept_exactly_where_the_search_finds(
    title: str, words: str
) -> None:
    row = Row("x", title)
    kept = indexed(row)
    by_stems = all(stem in kept.title or stem in kept.rest for stem in stems(words))
    assert by_stems == bool(search([row], Query(words)))


def test_a_listing_is_read_from_a_query_string() -> None:
    assert read_listing({}) == Listing(Query(), 500, 0)
    asked = {"q": " ôm ", "grade": "9", "school": "La", "state": "live, ended,"}
    asked |= {"limit": "2000", "offset": "3"}
    query = Query("ôm", None, "9", frozenset({"live", "ended"}), "La")
    assert read_listing({**asked, "token": "t"}) == Listing(query, 2000, 3)
    assert list(Listing(Query(), 2, 3).part("abcdefg")) == ["d", "e"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("limit", "0", "a whole number from 1 to 2000"),
        ("limit", "2001", "a whole number from 1 to 2000"),
        ("limit", "many", "a whole number from 1 to 2000"),
        ("limit", "9" * 5000, "a whole number from 1 to 2000"),
        ("limit", "٣", "a whole number from 1 to 2000"),
        ("offset", "-1", "a whole number from 0"),
        ("state", "asleep", "one or more of planned, live, ended, published"),
        ("q", "x" * 201, "at most 200 characters"),
        ("grade", "a\nb", "text in one line"),
        ("school", "x" * 61, "at most 60 characters"),
        ("page", "2", "unknown here"),
    ],
)
def test_a_value_that_cannot_be_is_named_and_what_can_be_is_said(
    name: str, value: str, words: str
) -> None:
    with pytest.raises(Refused) as caught:
        read_listing({name: value})
    assert (caught.value.status, caught.value.field) == (400, name)
    assert words in caught.value.detail


@given(st.dictionaries(st.sampled_from(["q", "state", "limit", "offset", "x"]), st.text()))
def test_any_query_string_is_read_or_refused_by_field(values: dict[str, str]) -> None:
    try:
        found = 1 <= read_listing(values).limit <= 2000
    except Refused as error:
        found = error.code == "field-invalid" and error.field in values
    assert found
