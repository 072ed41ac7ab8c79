"""A school relay killed while it fetches, shows and puts out: its recordings come out whole.

A few kills of what `python -m tests.bench archive --scenario crash` does two hundred times.
"""

from __future__ import annotations

import random
from pathlib import Path

from tests.bench.archive_crash import fetch


async def test_a_school_killed_again_and_again_gives_out_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "school" / "archives").mkdir(parents=True)
    toll = await fetch(tmp_path, 3, random.Random(7))
    assert toll.notes == []
    assert (toll.torn, toll.lost, toll.lies, toll.damaged) == (0, 0, 0, 0)
    assert toll.kills == 3
    assert toll.answers > 0
