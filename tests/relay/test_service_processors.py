"""Which processors the service process takes: one stays free for whoever sends.

Run in processes of their own, since what they ask of the kernel holds for everything that follows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

_PROGRAM: Final = """
import os
from relay.service_process import leave_a_processor
os.sched_setaffinity(0, {allowed})
leave_a_processor()
print(*sorted(os.sched_getaffinity(0)))
"""


def _left(allowed: set[int]) -> set[int]:
    program = _PROGRAM.format(allowed=allowed)
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return {int(one) for one in said.stdout.split()}


def test_the_first_of_several_processors_stays_free() -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) == 1:
        pytest.fail("this test needs a machine with two processors")
    assert _left(allowed) == allowed - {min(allowed)}


def test_a_single_processor_is_shared() -> None:
    only = {max(os.sched_getaffinity(0))}
    assert _left(only) == only
