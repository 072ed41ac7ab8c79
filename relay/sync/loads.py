"""What one request brings: bytes of several parts of a rendition, one after the other. PURE.

Here: a rendition as one long run of bytes (its files in the order of `relay.cache.parts`), choosing
what of it to ask for at once, and the words of that request, for both ends. A segment of the voice
is 30 kB: asked for one by one over 600 ms, most of a link's time is spent waiting. Not here: which
rendition comes next (`plan`), sockets and files.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from classroom.errors import Refused
from relay.cache.parts import Part

# Stretches in one request: more than a request of this size has, and an address stays below 2 kB.
MAX_STRETCHES: Final = 64
_STRETCH: Final = re.compile(r"(0|[1-9]\d{0,14})-(0|[1-9]\d{0,14})")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of which the first `skip` bytes are here already."""

    part: Part
    skip: int = 0

    @property
    def size(self) -> int:
        """Bytes that are still to come."""
        return self.part.bytes - self.skip


@dataclass(frozen=True, slots=True)
class Load:
    """What one request brings, in this order. Never empty; all of one rendition."""

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Bytes of the answer's body."""
        return sum(piece.size for piece in self.pieces)

    @property
    def lesson(self) -> str:
        return self.pieces[0].part.lesson

    @property
    def rendition(self) -> str:
        return self.pieces[0].part.rendition


def starts(parts: Iterable[Part]) -> dict[str, int]:
    """Where each part of one rendition begins in its run of bytes, by name."""
    found, total = {}, 0
    for part in parts:
        found[part.name] = total
        total += part.bytes
    return found


def next_load(
    missing: Sequence[Part],
    here: Mapping[str, int],
    busy: Container[str],
    most: int,
    since: float = 0.0,
) -> Load | None:
    """The next parts of one rendition to ask for, at most `most` bytes but one part at least; None
    when all that is missing is under way.

    missing: in order of time. here: bytes that are here of a part, by name. busy: names that are
    under way. since: seconds of media time to begin with; what is before comes last. An
    initialisation file comes before all, for without it nothing plays.
    """
    free = [part for part in missing if part.name not in busy]
    free.sort(key=lambda part: (part.start < part.end, part.end <= since))
    chosen: list[Piece] = []
    size = 0
    for part in free:
        piece = Piece(part, min(here.get(part.name, 0), part.bytes))
        if chosen and (size + piece.size > most or len(chosen) >= MAX_STRETCHES):
            break
        chosen.append(piece)
        size += piece.size
    return Load(tuple(chosen)) if chosen else None


def stretches(load: Load, begins: Mapping[str, int]) -> list[tuple[int, int]]:
    """The load as stretches (first byte, byte behind the last) of its rendition's run."""
    found: list[tuple[int, int]] = []
    for piece in load.pieces:
        first = begins[piece.part.name] + piece.skip
        end = begins[piece.part.name] + piece.part.bytes
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], end)
        elif end > first:
            found.append((first, end))
    return found


def write_stretches(found: Iterable[tuple[int, int]]) -> str:
    """ "0-99,300-399": as in RFC 9110 14.1.2, both ends inclusive."""
    return ",".join(f"{first}-{end - 1}" for first, end in found)


def read_stretches(text: str, size: int) -> list[tuple[int, int]]:
    """What `write_stretches` wrote, for a run of `size` bytes. Raises Refused 400
    `bytes-invalid`."""
    found = []
    words = text.split(",", MAX_STRETCHES)
    if len(words) > MAX_STRETCHES:
        raise _invalid()
    for word in words:
        match = _STRETCH.fullmatch(word)
        if match is None or not int(match[1]) <= int(match[2]) < size:
            raise _invalid()
        found.append((int(match[1]), int(match[2]) + 1))
    if any(later[0] < earlier[1] and earlier[0] < later[1] for earlier, later in pairwise(found)):
        raise _invalid()
    return found


def files(parts: Sequence[Part], wanted: Iterable[tuple[int, int]]) -> list[tuple[Part, int, int]]:
    """The files that hold these stretches of the run: part, first byte, how many bytes of it."""
    begins = starts(parts)
    found = []
    for first, end in wanted:
        for part in parts:
            begin = begins[part.name]
            low, high = max(first, begin), min(end, begin + part.bytes)
            if low < high:
                found.append((part, low - begin, high - low))
    return found


def _invalid() -> Refused:
    return Refused(
        400,
        "bytes-invalid",
        "These bytes of the recording cannot be asked for.",
        fix=f"Ask for up to {MAX_STRETCHES} stretches like 0-99,300-399 inside the rendition.",
        field="bytes",
    )
