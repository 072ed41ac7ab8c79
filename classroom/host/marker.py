"""The frame number as a row of black and white cells, so that a program can tell frames apart.

Lives here: how a 24-bit frame number is laid out as 32 cells across the bottom of a picture, and
how it is read back from a row of brightness values after scaling and lossy coding. Must not live
here: anything that opens, decodes or draws whole pictures. Pure: imports nothing of ours.

Cells, left to right: white, black (they set the threshold), 24 bits of the number (most
significant first, white is 1), 4 check bits (all six nibbles XORed, then inverted), black, white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

CELLS: Final = 32
NUMBER_BITS: Final = 24
STRIP_SHARE: Final = 18  # the strip is 1/18 of the picture's height: 40 lines of 720, 10 of 180
BLACK: Final = 16  # luma of BT.601/709 limited range
WHITE: Final = 235
MIN_CONTRAST: Final = 48  # below this the row is not a strip, or is coded too badly to trust


def strip_height(height: int) -> int:
    """Lines that the strip takes at the bottom of a picture of `height` lines; even, at least 2."""
    return max(2, height // STRIP_SHARE // 2 * 2)


def cells(number: int) -> list[bool]:
    """The 32 cells for `number` (taken modulo 2**24); True is white."""
    number %= 1 << NUMBER_BITS
    bits = [bool(number >> shift & 1) for shift in range(NUMBER_BITS - 1, -1, -1)]
    check = _check(number)
    return [True, False, *bits, *(bool(check >> shift & 1) for shift in (3, 2, 1, 0)), False, True]


def luma_row(number: int, width: int) -> bytes:
    """One line of luma, `width` pixels, that shows `number`."""
    shades = [WHITE if cell else BLACK for cell in cells(number)]
    return bytes(shades[x * CELLS // width] for x in range(width))


def read_row(row: Sequence[int]) -> int | None:
    """The number in one line of brightness values (any width of 64 or more), or None if none.

    Samples the middle half of each cell, so blurred edges do not matter.
    """
    width = len(row)
    if width < 2 * CELLS:
        return None
    means = []
    for cell in range(CELLS):
        left, right = cell * width / CELLS, (cell + 1) * width / CELLS
        quarter = (right - left) / 4
        first = math.ceil(left + quarter)
        samples = row[first : max(int(right - quarter), first + 1)]
        means.append(sum(samples) / len(samples))
    return read_cells(means)


def read_cells(brightness: Sequence[float]) -> int | None:
    """The number in 32 cell brightnesses (0 to 255), or None if they are not a strip."""
    if len(brightness) != CELLS:
        return None
    white = min(brightness[0], brightness[-1])
    black = max(brightness[1], brightness[-2])
    if white - black < MIN_CONTRAST:
        return None
    threshold = (white + black) / 2
    bits = [value > threshold for value in brightness]
    number = 0
    for bit in bits[2 : 2 + NUMBER_BITS]:
        number = number << 1 | bit
    return number if cells(number) == bits else None


def _check(number: int) -> int:
    folded = 0
    for shift in range(0, NUMBER_BITS, 4):
        folded ^= number >> shift & 15
    return folded ^ 15
