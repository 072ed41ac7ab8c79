"""The two clocks of the shell: `monotonic` for durations, `wall` for dates. Seconds, float.

Pure packages never import this; they take `now` as an argument. It exists so that a shell class
takes its clock as a parameter and a scenario test can hand it virtual time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]

monotonic: Clock = time.monotonic
wall: Clock = time.time
