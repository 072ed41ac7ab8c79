"""What becomes of a lesson's list of files when one is added or taken out."""

from __future__ import annotations

import hashlib

import pytest

from classroom.archive.materials import MAX_MATERIALS, Material, Materials
from classroom.errors import Refused
from classroom.lessons.materials import added, digest_of, removed

MB = 10**6
SLIDES = Material("Bài 1.pdf", 10 * MB, "a" * 64)
FILM = Material("Thí nghiệm.mp4", 20 * MB, "b" * 64)
NONE = Materials("vat-ly-9", ())
BOTH = Materials("vat-ly-9", (SLIDES, FILM))


def refused(known: Materials, new: Material, most: int = 100 * MB) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        added(known, new, most)
    return caught.value.status, caught.value.code


def test_files_stand_in_the_order_in_which_they_were_given() -> None:
    assert added(added(NONE, SLIDES, 100 * MB), FILM, 100 * MB) == BOTH
    assert removed(BOTH, "a" * 64) == Materials("vat-ly-9", (FILM,))


def test_what_is_there_already_changes_nothing() -> None:
    assert added(BOTH, FILM, 100 * MB) == BOTH


@pytest.mark.parametrize(
    ("new", "after"),
    [
        (Material(SLIDES.name, 1, "c" * 64), (Material(SLIDES.name, 1, "c" * 64), FILM)),
        (Material("Bài 2.pdf", SLIDES.bytes, SLIDES.digest), ("Bài 2.pdf", FILM)),
        (Material(SLIDES.name, FILM.bytes, FILM.digest), (SLIDES.name,)),
    ],
    ids=["other bytes of one name", "other name of the same bytes", "both at once"],
)
def test_a_name_and_a_file_stand_in_a_list_once(new: Material, after: tuple[object, ...]) -> None:
    found = added(BOTH, new, 100 * MB)
    assert tuple(one if one in after else one.name for one in found.materials) == after
    assert Materials.decode(found.encode()) == found


def test_a_list_has_its_most_files() -> None:
    full = Materials(
        "vat-ly-9", tuple(Material(f"{n}.pdf", 1, f"{n:064x}") for n in range(MAX_MATERIALS))
    )
    assert refused(full, Material("new.pdf", 1, "f" * 64)) == (409, "materials-full")
    for replaced in (Material("3.pdf", 2, "f" * 64), Material("new.pdf", 1, f"{3:064x}")):
        assert len(added(full, replaced, 100 * MB).materials) == MAX_MATERIALS


def test_a_list_has_its_most_bytes_and_what_is_replaced_no_longer_counts() -> None:
    third = Material("new.pdf", 20 * MB, "c" * 64)
    assert len(added(BOTH, third, 50 * MB).materials) == 3
    assert refused(BOTH, third, 50 * MB - 1) == (409, "materials-full")
    assert len(added(BOTH, Material(FILM.name, 40 * MB, "c" * 64), 50 * MB).materials) == 2


def test_a_list_above_a_lowered_setting_may_change_and_shrink_but_not_grow() -> None:
    assert added(BOTH, FILM, 5 * MB) == BOTH
    assert added(BOTH, Material(FILM.name, 15 * MB, "c" * 64), 5 * MB).total_bytes == 25 * MB
    assert refused(BOTH, Material("one.pdf", 1, "c" * 64), 5 * MB) == (409, "materials-full")


def test_what_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(Refused) as caught:
        removed(BOTH, "c" * 64)
    assert (caught.value.status, caught.value.code) == (404, "unknown-material")


def test_the_digest_of_a_list_is_that_of_its_document_and_of_none_there_is_none() -> None:
    assert digest_of(BOTH) == hashlib.sha256(BOTH.encode()).hexdigest()
    assert digest_of(NONE) is None
