"""Datagrams on a stream: RFC 4571, two bytes of length before each (RFC 6544 §3).

Bytes in, frames out, to a bound; whatever breaks the bound raises, and the stream is to be closed.
No sockets and no clock here, and no look into what a frame holds.
"""

from __future__ import annotations

from typing import Final

# What the port's slots hold: above any path MTU, so that no honest frame is larger.
FRAME_MOST: Final = 2_048
HEAD: Final = 2


class BadFraming(Exception):
    """The peer sent what is no frame that it may send."""


class Deframer:
    """Takes a stream apart. most: bytes of the largest frame taken; it may be raised later."""

    def __init__(self, most: int = FRAME_MOST) -> None:
        self.most = most
        self._data = b""
        self._at = 0

    def receive(self, data: bytes) -> None:
        """Bytes as they come off the stream; then call `next` until it has no more."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def next(self) -> bytes | None:
        """The next whole frame, empty ones left out; None when more bytes are needed.

        Raises BadFraming when the frame is larger than `most`: it is refused by its head, so that
        nobody makes us wait for the rest of it.
        """
        data = self._data
        while len(data) - self._at >= HEAD:
            begin = self._at + HEAD
            size = data[begin - 2] << 8 | data[begin - 1]
            if size > self.most:
                raise BadFraming(f"a frame of {size} bytes, more than {self.most}")
            if len(data) - begin < size:
                break
            self._at = begin + size
            if size:
                return data[begin : begin + size]
        return None


def framed(packet: bytes | bytearray | memoryview) -> bytes:
    """`packet` with its length before it."""
    return len(packet).to_bytes(HEAD, "big") + packet
