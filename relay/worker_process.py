"""Manners of a worker process: it goes when its parent goes, and leaves the processor to others.

Here: the two calls to Linux that workers share. Not here: what workers do, and how they are
started, which is the affair of whoever needs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def die_with_parent() -> None:
    """End this process when the one that started it ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def yield_to_all() -> None:
    """Take only what of the processor nobody else wants: SCHED_IDLE of sched(7)."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
