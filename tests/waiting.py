"""Where everything in this process waits: what a test that does not end says about itself.

Lives here: the report alone. Must not live here: when a test has run too long (`conftest`).
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any


def places() -> str:
    """Lines that name each task of the running loop and each other thread, and where it is."""
    lines: list[str] = []
    for task in _tasks():
        lines.append(f"task {task.get_name()}:")
        lines += (_place(frame) for frame in _awaiting(task.get_coro()))
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            lines.append(f"thread {names.get(ident, ident)}:")
            lines += (_place(one) for one, _ in traceback.walk_stack(frame))
    return "\n".join(lines)


def _tasks() -> set[asyncio.Task[Any]]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()  # no loop runs here


def _awaiting(coroutine: Any) -> Iterator[FrameType]:
    """The frames of `coroutine` and of what it awaits, the innermost last.

    `Task.get_stack` tells the outermost alone, which in a test is the test.
    """
    while coroutine is not None:
        for kind in ("cr", "gi", "ag"):
            if hasattr(coroutine, f"{kind}_frame"):
                frame = getattr(coroutine, f"{kind}_frame")
                if frame is not None:
                    yield frame
                coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            return


def _place(frame: FrameType) -> str:
    return f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
