"""HTTP bodies, read to their end within a bound.

One `read` of a stream gives what has come so far: over a real network that is less than the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

_PIECE_BYTES: Final = 256 * 1024
# A body that trickles is a stall as well: less than so many bytes in so many seconds.
_TRICKLE_BYTES: Final = 1_000
_TRICKLE_SECONDS: Final = 60.0


async def read_body(content: aiohttp.StreamReader, most: int) -> bytes:
    """All of it; ValueError if it is more than `most` bytes."""
    raw = b""
    while piece := await content.read(most + 1 - len(raw)):
        raw += piece
        if len(raw) > most:
            raise ValueError(f"the body is larger than {most} bytes")
    return raw


async def pieces(
    content: aiohttp.StreamReader, most: int, stall_s: float
) -> AsyncIterator[bytearray]:
    """The body as it comes, in pieces that are worth a write.

    ValueError if it is more than `most` bytes; TimeoutError if nothing comes for `stall_s` seconds
    or it trickles. What the stream itself raises (it broke off) is passed on.
    """
    now = asyncio.get_running_loop().time
    total, since, counted = 0, now(), 0
    gathered = bytearray()
    while True:
        async with asyncio.timeout(stall_s):
            piece = await content.read(_PIECE_BYTES)
        if not piece:
            break
        total += len(piece)
        if total > most:
            raise ValueError(f"the body is larger than {most} bytes")
        if now() - since > _TRICKLE_SECONDS:
            if total - counted < _TRICKLE_BYTES:
                raise TimeoutError
            since, counted = now(), total
        gathered += piece
        if len(gathered) >= _PIECE_BYTES:
            yield gathered
            gathered = bytearray()
    if gathered:
        yield gathered
