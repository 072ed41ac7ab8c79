"""Stretches of a file, tried against a set of bytes."""

from __future__ import annotations

import itertools
import random

from relay.cache.stretches import added, holes, next_stretch, total


def test_stretches_are_as_a_set_of_bytes() -> None:
    chance = random.Random(5)
    for _ in range(300):
        found: list[tuple[int, int]] = []
        wanted: set[int] = set()
        for _ in range(chance.randrange(8)):
            first = chance.randrange(40)
            end = first + chance.randrange(10)
            found = added(found, first, end)
            wanted.update(range(first, end))
        assert total(found) == len(wanted)
        lacking = {at for first, end in holes(found, 45) for at in range(first, end)}
        assert lacking == set(range(45)) - wanted
        assert all(a[1] < b[0] for a, b in itertools.pairwise(found))


def test_the_next_stretch_is_neither_here_nor_under_way() -> None:
    assert next_stretch([(0, 10)], [(10, 20)], 100, 30) == (20, 50)
    assert next_stretch([(40, 100)], [(0, 20)], 100, 30) == (20, 40)
    first, end = next_stretch([(40, 100)], [(0, 40)], 100, 30)
    assert first == end
