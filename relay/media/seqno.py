"""Arithmetic on numbers that wrap: RTP sequence numbers, timestamps, picture ids.

Here: subtracting them (RFC 1982 in the sense of RFC 3550 A.1) and turning a wrapping number into
one that only grows. Not here: what a gap means (nack, renumber, reception).
All functions take numbers already inside their range; nothing is checked or raised.
"""

from __future__ import annotations


def delta16(a: int, b: int) -> int:
    """Steps from `b` to `a`, -32768 to 32767; negative when `a` is older."""
    return ((a - b + 0x8000) & 0xFFFF) - 0x8000


def delta32(a: int, b: int) -> int:
    """Steps from 32-bit `b` to `a`, for RTP timestamps; negative when `a` is older."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class Unwrapper:
    """Extends a number of `bits` bits so that it keeps growing across wraps.

    The first value starts one full cycle up, and a value is always placed within half a cycle of
    the highest one seen, so results are never negative and an old packet that arrives after the
    wrap still gets its place below it. The low `bits` bits of a result are the value itself.
    """

    __slots__ = ("_half", "_mask", "highest")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self.highest = -1
        """Largest result so far; -1 before the first value."""

    def unwrap(self, value: int) -> int:
        """The extended number of `value`, remembered if it is the highest so far."""
        highest = self.highest
        if highest < 0:
            self.highest = extended = value + self._mask + 1
            return extended
        half = self._half
        extended = highest + ((value - highest + half) & self._mask) - half
        if extended > highest:
            self.highest = extended
        return extended

    def peek(self, value: int) -> int:
        """What `unwrap` would give, remembering nothing."""
        highest = self.highest
        if highest < 0:
            return value + self._mask + 1
        half = self._half
        return highest + ((value - highest + half) & self._mask) - half
