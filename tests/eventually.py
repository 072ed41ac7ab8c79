"""Waiting in a test for what other tasks of the same loop bring about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(reached: Callable[[], object]) -> None:
    """Return as soon as `reached()` is true; AssertionError when it is not within 10 s."""
    for _ in range(5_000):
        if reached():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("never came")
