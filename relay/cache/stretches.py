"""Which bytes of a file are here: stretches of it, in order and apart from each other. PURE.

A stretch is (first byte, byte behind the last). Not here: files, and who brings the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Stretch = tuple[int, int]


def added(stretches: Iterable[Stretch], first: int, end: int) -> list[Stretch]:
    """The stretches with another one, which may lie over others or beside them."""
    found: list[Stretch] = []
    for low, high in sorted([*stretches, (first, end)]):
        if high <= low:
            continue
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def holes(stretches: Iterable[Stretch], size: int) -> list[Stretch]:
    """What is not here of a file of `size` bytes."""
    found, at = [], 0
    for low, high in added(stretches, 0, 0):
        if at < min(low, size):
            found.append((at, min(low, size)))
        at = max(at, high)
    if at < size:
        found.append((at, size))
    return found


def total(stretches: Iterable[Stretch]) -> int:
    """Bytes of all of them, which are apart."""
    return sum(end - first for first, end in stretches)


def next_stretch(here: Sequence[Stretch], busy: Iterable[Stretch], size: int, most: int) -> Stretch:
    """What to ask for next of a file: the first bytes that are neither here nor under way, at most
    `most` of them; an empty stretch when there are none."""
    taken = list(here)
    for first, end in busy:
        taken = added(taken, first, end)
    first, end = next(iter(holes(taken, size)), (size, size))
    return first, min(end, first + most)
