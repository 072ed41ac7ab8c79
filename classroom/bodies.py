"""HTTP bodies, read to their end within a bound.

One `read` of a stream gives what has come so far: over a real network that is less than the body.
"""

from __future__ import annotations

import aiohttp


async def read_body(content: aiohttp.StreamReader, most: int) -> bytes:
    """All of it; ValueError if it is more than `most` bytes."""
    raw = b""
    while piece := await content.read(most + 1 - len(raw)):
        raw += piece
        if len(raw) > most:
            raise ValueError(f"the body is larger than {most} bytes")
    return raw
