"""What the control plane remembers: live state (who is here now) and records (what must last).

`live` declares the live state, `memory` and `live_redis` implement it; `records` keeps lessons and
links in SQL, `school_relays` the relays of schools, `materials` which files go along with lessons,
`blobs` these files; `keys` keeps the signing key. Nothing here decides what may happen to a lesson.
"""

from classroom.store.blobs import Blobs, Upload, is_digest
from classroom.store.keys import load_key, load_or_create_key
from classroom.store.live import (
    EVERYTHING,
    BelowReport,
    LiveState,
    RelayAlive,
    Report,
    RoomsReport,
)
from classroom.store.live_redis import RedisLiveState
from classroom.store.memory import MemoryLiveState
from classroom.store.records import Records, Transition
from classroom.store.school_relays import SchoolRelay, SchoolRelays

__all__ = [
    "EVERYTHING",
    "BelowReport",
    "Blobs",
    "LiveState",
    "MemoryLiveState",
    "Records",
    "RedisLiveState",
    "RelayAlive",
    "Report",
    "RoomsReport",
    "SchoolRelay",
    "SchoolRelays",
    "Transition",
    "Upload",
    "is_digest",
    "load_key",
    "load_or_create_key",
]
