"""Adding to and removing from the list of files that go along with a lesson. PURE.

Here: what a list looks like after a change, and what is refused. Not here: the form of the list,
its names and kinds (`classroom.archive.materials`), and the files themselves.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from classroom.archive.materials import MAX_MATERIALS, Material, Materials
from classroom.errors import Refused


def added(known: Materials, new: Material, most_bytes: int) -> Materials:
    """`known` with `new`, in the place of the file of the same name or with the same bytes.

    most_bytes: what all files of a lesson may take; a list that has more (the setting was lowered)
    may change, but not grow. Refused 409 `materials-full`.
    """
    replaced = [one for one in known.materials if new.digest == one.digest or new.name == one.name]
    kept = [
        new if replaced and one is replaced[0] else one
        for one in known.materials
        if one not in replaced[1:]
    ]
    after = replace(known, materials=tuple(kept if replaced else [*kept, new]))
    if len(after.materials) > MAX_MATERIALS:
        raise _full(f"The lesson has {MAX_MATERIALS} files already.")
    if after.total_bytes > max(most_bytes, known.total_bytes):
        raise _full(f"All files of a lesson may take {most_bytes // 10**6} MB together.")
    return after


def removed(known: Materials, digest: str) -> Materials:
    """`known` without the file; Refused 404 `unknown-material`."""
    found = known.find(digest)
    if found is None:
        raise unknown_material()
    return replace(known, materials=tuple(one for one in known.materials if one is not found))


def digest_of(known: Materials) -> str | None:
    """The digest of the list, as the lesson is told with it; None if there are no files."""
    return hashlib.sha256(known.encode()).hexdigest() if known.materials else None


def unknown_material() -> Refused:
    """What is told of a digest that is not in the lesson's list."""
    return Refused(
        404,
        "unknown-material",
        "The lesson has no such file.",
        fix="Reload the list: the file was removed, or replaced by another.",
        field="digest",
    )


def _full(detail: str) -> Refused:
    return Refused(
        409,
        "materials-full",
        detail,
        fix="Remove a file from the lesson, or make this one smaller.",
        field="name",
    )
