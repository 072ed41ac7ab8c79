"""Writing fields of single bits, to build headers in tests field by field, as the specs list them.

The mirror of relay.media.bits, written apart from it. Not here: any header.
"""

from __future__ import annotations


class BitWriter:
    def __init__(self) -> None:
        self._bits = ""

    def put(self, value: int, width: int) -> BitWriter:
        assert 0 <= value < 1 << width
        self._bits += f"{value:0{width}b}" if width else ""
        return self

    def golomb(self, value: int) -> BitWriter:
        """ue(v)."""
        code = f"{value + 1:b}"
        self._bits += "0" * (len(code) - 1) + code
        return self

    def signed_golomb(self, value: int) -> BitWriter:
        return self.golomb(2 * value - 1 if value > 0 else -2 * value)

    def non_symmetric(self, value: int, n: int) -> BitWriter:
        width = n.bit_length()
        short = (1 << width) - n
        if value < short:
            return self.put(value, width - 1)
        return self.put(value + short, width)

    def done(self) -> bytes:
        bits = self._bits + "0" * (-len(self._bits) % 8)
        return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
