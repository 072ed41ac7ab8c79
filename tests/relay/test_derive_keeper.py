"""The keeper of the worker process, when the machine gives it none.

What it keeps stands in tests/live/test_derived.py; here another program takes the worker's place.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from pathlib import Path

import pytest

from relay.derive import keeper
from relay.derive.keeper import WorkerKeeper


async def test_a_worker_that_cannot_be_started_is_tried_again_ever_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = shutil.which("true")
    assert program is not None
    monkeypatch.setattr(keeper, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    caplog.set_level(logging.INFO, "relay.derive")
    kept = WorkerKeeper(str(tmp_path / "derived.sock"))
    running = asyncio.create_task(kept.run())

    async def until(event: str, times: int) -> list[logging.LogRecord]:
        async with asyncio.timeout(20):
            while True:
                assert not running.done()
                kept.start()
                found = [record for record in caplog.records if record.message == event]
                if len(found) >= times:
                    return found
                await asyncio.sleep(0.01)

    try:
        refused = await until("worker-not-started", 3)
        waits = [record.__dict__["wait_s"] for record in refused[:3]]
        assert waits == sorted(set(waits))
        assert kept.process is None
        monkeypatch.setattr(sys, "executable", program)
        await until("worker-begins", 1)
    finally:
        running.cancel()
        await asyncio.wait((running,))
