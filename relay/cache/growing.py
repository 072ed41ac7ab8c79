"""Parts on their way in: bytes appended as they come, verified and put in place when whole.

Here: the file that a part grows in, beside the place where it belongs. Not here: which parts are
wanted, what else is in the archive. Its name is not the recorder's, who may be writing a segment of
the same name at this very moment. Bytes are not flushed as they come: after a power cut the file
may hold anything, and then its digest says so, and that one part is fetched again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from classroom.archive.names import (
    CAPTIONS,
    is_copy,
    is_lesson,
    is_rendition,
    parse_captions,
    parse_init,
    parse_segment,
)
from classroom.errors import Misuse, Refused
from relay.cache.files import (
    Stamp,
    hash_file,
    make_directory,
    remove,
    size_of,
    sync_directory,
    sync_file,
    write_all,
)
from relay.cache.parts import Part

FETCHED: Final = ".fetch"
"""Suffix of a part that is not whole yet."""
ROTTEN: Final = ".rotten"
"""Suffix of a part that was whole once and is not what its digest says; nobody reads it."""


def place(archives: Path, part: Part) -> Path:
    """Where the whole part belongs. Raises Misuse for names that no archive has."""
    if part.rendition == CAPTIONS:
        known = parse_captions(part.name) is not None
    else:
        named = parse_init(part.name) is not None or parse_segment(part.name) is not None
        known = named and (is_rendition(part.rendition) or is_extra(part))
    if not (known and is_lesson(part.lesson)):
        raise Misuse(f"{part.lesson}/{part.rendition}/{part.name} is no part of an archive")
    return archives / part.lesson / part.rendition / part.name


def is_extra(part: Part) -> bool:
    """Whether it is one of captions and copies, of which the manifest does not know."""
    return is_copy(part.rendition) or part.rendition == CAPTIONS


def growing(path: Path) -> Path:
    """Where the part at `path` grows."""
    return path.with_name(path.name + FETCHED)


def rotten(path: Path) -> Path:
    """Where the part at `path` is set aside."""
    return path.with_name(path.name + ROTTEN)


def append(path: Path, part: Part, offset: int, data: bytes) -> None:
    """Write what follows `offset` into the growing file of the part at `path`. Raises Misuse when
    the file does not end there, Refused 400 `part-too-long`, OSError."""
    file = growing(path)
    if offset + len(data) > part.bytes:
        raise Refused(
            400,
            "part-too-long",
            f"The source sends more of {part.rendition}/{part.name} than its manifest says.",
            fix="Take the lesson from another source, or copy it again there.",
            field=part.name,
        )
    if not path.parent.is_dir():
        if not path.parent.parent.is_dir():
            raise FileNotFoundError(f"{part.lesson} is not here any more")
        make_directory(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size != offset:
            raise Misuse(f"{part.rendition}/{part.name} goes on at {size}, not at {offset}")
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def complete(path: Path, part: Part) -> Stamp:
    """Verify the growing file, make it durable, put it in place; returns its stamp there. Raises
    Refused 400 `part-digest-wrong`, and OSError."""
    file = growing(path)
    found = hash_file(file) if size_of(file) == part.bytes else None
    if found is None or found[1] != part.digest:
        remove(file)
        raise Refused(
            400,
            "part-digest-wrong",
            f"What came of {part.rendition}/{part.name} is not what the manifest says.",
            fix="It is fetched again by itself; if it stays so, copy it from another source.",
            field=part.name,
        )
    sync_file(file)
    os.replace(file, path)
    sync_directory(path.parent)
    return found[0]
