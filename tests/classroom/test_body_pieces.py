"""Bodies that are read in pieces: all of them comes, within bounds, and one that stalls ends."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from classroom import bodies
from classroom.bodies import pieces


def stream() -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    return aiohttp.StreamReader(Mock(spec=BaseProtocol, _reading_paused=False), 2**16, loop=loop)


async def read(content: aiohttp.StreamReader, most: int, stall_s: float = 5.0) -> list[bytes]:
    return [bytes(piece) async for piece in pieces(content, most, stall_s)]


async def test_small_reads_are_gathered_to_pieces_that_are_worth_a_write() -> None:
    content = stream()
    reading = asyncio.create_task(read(content, 10**6))
    data = [bytes([number]) * 10_000 for number in range(60)]
    for part in data:
        content.feed_data(part)
        await asyncio.sleep(0)
    content.feed_eof()
    found = await reading
    assert b"".join(found) == b"".join(data)
    assert len(found) == 3


async def test_a_body_has_its_most_bytes() -> None:
    for size in (1_000, 1_001):
        content = stream()
        content.feed_data(b"x" * size)
        content.feed_eof()
        if size == 1_000:
            assert await read(content, 1_000) == [b"x" * 1_000]
        else:
            with pytest.raises(ValueError, match="1000"):
                await read(content, 1_000)


async def test_no_body_is_no_piece() -> None:
    content = stream()
    content.feed_eof()
    assert await read(content, 1_000) == []


async def test_a_body_that_stalls_is_ended() -> None:
    content = stream()
    content.feed_data(b"x" * 1_000)
    with pytest.raises(TimeoutError):
        await read(content, 10_000, 0.05)


async def test_a_body_that_trickles_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_TRICKLE_SECONDS", 0.1)
    content = stream()

    async def trickle() -> None:
        while True:
            content.feed_data(b"x")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    with pytest.raises(TimeoutError):
        await read(content, 10_000)
    trickling.cancel()


async def test_what_the_stream_raises_is_passed_on() -> None:
    content = stream()
    content.set_exception(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await read(content, 1_000)
