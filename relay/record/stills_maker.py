"""Asks the worker process for still pictures; starts it when it is needed, and without it goes on.

Here: one process, one question at a time, its death and its silence. Not here: codecs (that is
`stills_worker`), which keyframes are asked about. The process is this package's own module under
the same Python; when nobody needs stills any more it is ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from relay.record.stills import Keyframe
from relay.record.worker_wire import LENGTH

_log: Final = logging.getLogger("relay.recorder")

# Nine tries at 0.4 s, on a processor that others need first.
ANSWER_SECONDS: Final = 15.0
# So that a worker that dies at once does not take the processor.
RESTART_AFTER: Final = 2.0
MAX_ANSWER: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Picture:
    """A still picture as pages show it. budget: what it was to fit, bytes."""

    budget: int
    mime: str
    width: int
    height: int
    data: bytes


class StillsMaker:
    """Call `make` from one task at a time, `stop` when no stills are needed."""

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.answer_seconds = answer_seconds
        self._not_before = 0.0
        self.process: asyncio.subprocess.Process | None = None
        """The worker, None until it is needed."""
        self.failures = 0
        """Workers that died or were ended because they gave no answer."""

    async def make(
        self, frame: Keyframe, budgets: Sequence[int], again: bool
    ) -> list[Picture] | None:
        """A picture for each budget, in bytes.

        None: the picture is the same as the last one of its source (unless `again`), is broken,
        or the worker failed; the next keyframe is another chance.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            return None
        name = f"{frame.lesson}/{frame.source}"
        request = msgpack.packb([name, frame.codec, frame.config, frame.data, list(budgets), again])
        try:
            async with asyncio.timeout(self.answer_seconds):
                answer = await self._ask(request)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.failures += 1
            _log.warning("stills-worker-failed", extra={"reason": repr(error)})
            self._not_before = loop.time() + RESTART_AFTER
            await self.stop()
            return None
        except asyncio.CancelledError:
            # Its answer would be taken for that of the next question.
            await self.stop()
            raise
        return None if answer is None else [Picture(*each) for each in answer]

    async def _ask(self, request: bytes) -> list[list[Any]] | None:
        process = self.process
        if process is None or process.returncode is not None:
            process = self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "relay.record.stills_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # Else the encoder tells its settings at each picture.
                env={**os.environ, "SVT_LOG": "1"},
            )
        assert process.stdin is not None, "asked for"
        assert process.stdout is not None, "asked for"
        process.stdin.write(LENGTH.pack(len(request)) + request)
        await process.stdin.drain()
        (size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        if size > MAX_ANSWER:
            raise ValueError("an answer that is too long")
        answer: list[list[Any]] | None = msgpack.unpackb(await process.stdout.readexactly(size))
        return answer

    async def stop(self) -> None:
        """End the worker, if there is one; `make` starts another."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
