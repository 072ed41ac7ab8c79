"""Reading fields of single bits out of bytes, most significant bit first.

Here: fixed-width, Exp-Golomb (H.264 9.1), unsigned variable-width (AV1 4.10.3) and non-symmetric
(AV1 4.10.7) fields. Not here: what any field means. For headers of keyframes and descriptors, not
for each packet's payload. Reading past the end raises PayloadError.
"""

from __future__ import annotations

from relay.media.frame_info import PayloadError
from relay.media.rtp import Buffer


class BitReader:
    """A cursor over one whole buffer held as a single integer: every read is a shift and a mask."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: Buffer) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def left(self) -> int:
        """Bits not read yet."""
        return self._left

    def read(self, width: int) -> int:
        """An unsigned number of `width` bits; 0 bits give 0."""
        left = self._left - width
        if left < 0:
            raise PayloadError("bits: ends inside a field")
        self._left = left
        return self._value >> left & (1 << width) - 1

    def flag(self) -> bool:
        return self.read(1) == 1

    def _zeros(self) -> int:
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise PayloadError("bits: variable-length number too long")
        return zeros

    def unsigned_golomb(self) -> int:
        """ue(v)."""
        zeros = self._zeros()
        return (1 << zeros) - 1 + self.read(zeros)

    def signed_golomb(self) -> int:
        """se(v)."""
        code = self.unsigned_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)

    def variable(self) -> int:
        """uvlc() of AV1: like ue(v), but 32 zeros or more mean 2^32 - 1."""
        zeros = self._zeros()
        return (1 << 32) - 1 if zeros >= 32 else (1 << zeros) - 1 + self.read(zeros)

    def non_symmetric(self, n: int) -> int:
        """ns(n): a number below `n`, which is at least 1, in the fewest bits."""
        width = n.bit_length()
        short = (1 << width) - n
        value = self.read(width - 1)
        if value < short:
            return value
        return (value << 1) - short + self.read(1)
