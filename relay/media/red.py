"""Redundant audio (RFC 2198): one packet that carries earlier ones again.

Here: taking a payload apart to its blocks and putting one together. Not here: choosing how much
to repeat, or the payload types' meaning. Raises only PayloadError, or ValueError at building.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.media.frame_info import PayloadError
from relay.media.rtp import Buffer

MAX_TIMESTAMP_OFFSET = (1 << 14) - 1
MAX_BLOCK = (1 << 10) - 1


def parse(data: Buffer, start: int, end: int) -> list[tuple[int, int, bytes]]:
    """Blocks in the order sent, the primary one last: (payload type, how many timestamp units
    before the packet's own timestamp, payload)."""
    heads: list[tuple[int, int, int]] = []
    position = start
    while True:
        if position >= end:
            raise PayloadError("red: ends inside the block heads")
        first = data[position]
        if first < 0x80:
            primary = first
            position += 1
            break
        if position + 4 > end:
            raise PayloadError("red: ends inside the block heads")
        word = data[position + 1] << 16 | data[position + 2] << 8 | data[position + 3]
        heads.append((first & 0x7F, word >> 10, word & 0x3FF))
        position += 4
    blocks = []
    for payload_type, offset, length in heads:
        if position + length > end:
            raise PayloadError("red: block does not fit")
        blocks.append((payload_type, offset, bytes(data[position : position + length])))
        position += length
    blocks.append((primary, 0, bytes(data[position:end])))
    return blocks


def primary(data: Buffer, start: int, end: int) -> tuple[int, int]:
    """(payload type, offset) of the primary block alone; it ends where the payload ends."""
    position = start
    skip = 0
    while True:
        if position >= end:
            raise PayloadError("red: ends inside the block heads")
        if data[position] < 0x80:
            payload_type = data[position]
            position += 1 + skip
            if position > end:
                raise PayloadError("red: block does not fit")
            return payload_type, position
        if position + 4 > end:
            raise PayloadError("red: ends inside the block heads")
        skip += (data[position + 2] & 3) << 8 | data[position + 3]
        position += 4


def build(blocks: Sequence[tuple[int, int, Buffer]]) -> bytes:
    """A payload out of blocks as `parse` gives them. Raises ValueError when there is none, or an
    offset or length is too large for its field (14 and 10 bits)."""
    if not blocks:
        raise ValueError("RED needs a block")
    heads = bytearray()
    for payload_type, offset, payload in blocks[:-1]:
        if not 0 <= offset <= MAX_TIMESTAMP_OFFSET or len(payload) > MAX_BLOCK:
            raise ValueError("RED block out of range")
        heads.append(0x80 | payload_type)
        heads += (offset << 10 | len(payload)).to_bytes(3, "big")
    heads.append(blocks[-1][0])
    return b"".join((bytes(heads), *(payload for _, _, payload in blocks)))
