"""what a school has of a lesson after an outage: bytes fetched against bytes that did not arrive.

A lesson of 45 minutes in virtual time on a link that loses 4 % and is down for six minutes. Both
relays record with the real recorder, files and trunk; then the school's cache takes over the root's
archive, fetching what differs. Not here: how it is fetched (archive_sync).
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Figure
from tests.fakes.archive_account import account, adopt, files
from tests.fakes.trunk_story import LESSON, TrunkStory

MINUTES: Final = 45.0
OUTAGE_MINUTES: Final = 6.0
LOSS: Final = 0.04
MOST_FETCHED: Final = 1.15
# Recordings are flushed to disk every second of virtual time: hours of waiting on a slow disk.
_MEMORY: Final = Path("/dev/shm")


def run(
    minutes: float = MINUTES,
    outage_minutes: float = OUTAGE_MINUTES,
    loss: float = LOSS,
    *,
    seed: int = 1,
) -> dict[str, Any]:
    """Teach, record at both ends, and bring the school's archive to the root's.

    Gives counts and bytes: `segments`, `whole` (all of whose frames arrived), `same` (that were
    recorded alike), `lost_bytes` (of those not whole), `fetched_bytes`, `fetched` (of lost bytes),
    `same_share` (of those whole), `identical` (every file afterwards).
    """
    place = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        return asyncio.run(_teach(Path(directory), minutes, outage_minutes, loss, seed))


async def _teach(
    directory: Path, minutes: float, outage_minutes: float, loss: float, seed: int
) -> dict[str, Any]:
    story = TrunkStory(directory, seed=seed)
    for link in (story.down, story.up):
        link.loss, link.jitter, link.rate = loss, 0.01, 1_000_000.0
    story.begin(drift=5e-5)
    story.join()
    before = 60.0 * (minutes - outage_minutes) / 2
    await story.run(before)
    story.cut()
    await story.run(60.0 * outage_minutes)
    story.mend()
    await story.run(before)
    await story.end()
    found = account(story.root, story.school)
    fetched = adopt(story.root.archives / LESSON, story.school.archives, directory / "cache.json")
    return {
        "segments": len(found.segments),
        "whole": len(found.whole),
        "same": len(found.same),
        "same_share": len(found.same & found.whole) / max(1, len(found.whole)),
        "bytes": sum(found.segments.values()),
        "lost_bytes": found.lost_bytes,
        "fetched_bytes": fetched,
        "fetched": fetched / max(1, found.lost_bytes),
        "identical": files(story.root.archives) == files(story.school.archives),
    }


def measure() -> list[Figure]:
    """For `python -m tests.bench archive`."""
    found = run()
    return [
        Figure("segments recorded at the root", found["segments"]),
        Figure("of them arrived whole", found["whole"]),
        Figure("of those recorded alike", found["same_share"], least=0.99),
        Figure("did not arrive whole", found["lost_bytes"] / 1e6, "MB"),
        Figure(
            "fetched afterwards, of what did not arrive whole", found["fetched"], most=MOST_FETCHED
        ),
        Figure("files identical afterwards", float(found["identical"]), least=1.0),
    ]
