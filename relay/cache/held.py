"""What a cache tells of itself: lessons held, and how full it is; what else is on its disk. PURE.

Here: three records. Not here: how they come about (`room`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """A lesson of which something is here.

    manifest: digest of the manifest that the archive here follows or has; "" while it is only being
    recorded, or cannot be read. bytes: held on disk. total: when it is whole (0 unknown). settled:
    whole, and header, journal, events and manifest are the source's bytes: nothing is left to
    fetch. recorded: it was recorded here, and no source has told of it yet. pinned: kept whatever
    happens. wanted_at: unix seconds for which the timetable wants it, None if it does not.
    """

    lesson: str
    manifest: str
    bytes: int
    total: int
    settled: bool
    recorded: bool
    pinned: bool
    wanted_at: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes of something else on the disk of the archives. most: that it may take, 0 for nothing to
    be kept free. taken: that it takes now."""

    most: int = 0
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes. held: by all archives. quota: what they may take, 0 for no quota. free: on the disk.
    floor: what stays free. full: a write failed for lack of space, and none succeeded since."""

    held: int
    quota: int
    free: int
    floor: int
    full: bool
