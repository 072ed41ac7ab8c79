"""`materials.json`: what goes in comes out, what no list may hold is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.archive import canonical
from classroom.archive.materials import (
    MAX_LIST_BYTES,
    MAX_MATERIALS,
    MAX_NAME,
    MEDIA_TYPES,
    Material,
    Materials,
    check_name,
    is_name,
)
from classroom.errors import Refused

SLIDES = Material("Định luật Ôm.pdf", 1_200_000, "a" * 64)
FILM = Material("Thí nghiệm.MP4", 9_000_000, "b" * 64)
LIST = Materials("vat-ly-9", (SLIDES, FILM))


def _document(**changes: Any) -> bytes:
    value = {**json.loads(LIST.encode()), **changes}
    return canonical.encode(value)


def _entry(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": SLIDES.name, "bytes": SLIDES.bytes, "digest": SLIDES.digest, **changes}]


def test_a_list_comes_back_as_it_was() -> None:
    assert Materials.decode(LIST.encode()) == LIST
    assert LIST.total_bytes == 10_200_000
    assert LIST.find("b" * 64) == FILM
    assert LIST.find("c" * 64) is None


def test_the_most_and_longest_names_fit_in_a_list() -> None:
    materials = tuple(
        Material("ữ" * (MAX_NAME - 6) + f"{n:02}.pdf", 1, f"{n:064x}") for n in range(MAX_MATERIALS)
    )
    data = Materials("vat-ly-9", materials).encode()
    assert len(data) <= MAX_LIST_BYTES / 1.5
    assert Materials.decode(data).materials == materials


def test_kinds_are_told_by_the_suffix_in_any_case() -> None:
    assert SLIDES.media_type == "application/pdf"
    assert FILM.media_type == "video/mp4"
    assert not {"html", "htm", "svg", "xml", "js", "xhtml"} & set(MEDIA_TYPES)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "materials"),
        (b"[]", "materials"),
        (b" " * (MAX_LIST_BYTES + 1), "materials"),
        (_document(format=2), "materials.format"),
        (_document(lesson="../x"), "materials.lesson"),
        (_document(materials=_entry() * (MAX_MATERIALS + 1)), "materials.materials"),
        (_document(materials=_entry() * 2), "materials.materials.name"),
        (
            _document(materials=_entry() + _entry(name="b.pdf")),
            "materials.materials.digest",
        ),
        (_document(materials=_entry(name="../b.pdf")), "materials.materials.name"),
        (_document(materials=_entry(name="b.html")), "materials.materials.name"),
        (_document(materials=_entry(name="b")), "materials.materials.name"),
        (_document(materials=_entry(bytes=0)), "materials.materials.bytes"),
        (_document(materials=_entry(bytes=10**12)), "materials.materials.bytes"),
        (_document(materials=_entry(digest="A" * 64)), "materials.materials.digest"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, field: str) -> None:
    with pytest.raises(Refused) as refused:
        Materials.decode(data)
    assert (refused.value.code, refused.value.field) == ("archive-malformed", field)


@given(st.binary(max_size=400))
def test_anything_else_is_refused_too(data: bytes) -> None:
    with pytest.raises(Refused):
        Materials.decode(data)


def test_names_are_composed_and_trimmed() -> None:
    assert check_name(" Ba\u0300i 1.pdf ") == "Bài 1.pdf"
    assert check_name("a.PDF") == "a.PDF"


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".pdf", "a/b.pdf", "a\\b.pdf", "a\nb.pdf", "c:b.pdf", "a?.pdf", "\ud800.pdf"),
        "x" * MAX_NAME + ".pdf",
    ],
)
def test_names_that_no_file_has_are_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_name(name)
    assert (refused.value.status, refused.value.code) == (400, "material-name")
    assert not is_name(name)


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.exe", "pdf", "a.pdf.", "a.pdf.js"])
def test_kinds_that_are_not_shown_are_refused(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_name(name)
    assert (refused.value.status, refused.value.code) == (415, "material-type")
