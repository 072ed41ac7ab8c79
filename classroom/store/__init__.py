"""What the control plane remembers: live state (who is here now) and records (what must last).

`live` declares the live state, `memory` and `live_redis` implement it; `records` keeps lessons and
links in SQL; `keys` keeps the signing key. Nothing here decides what may happen to a lesson.
"""

from classroom.store.keys import load_key, load_or_create_key
from classroom.store.live import EVERYTHING, LiveState, RelayAlive, Report, RoomsReport
from classroom.store.live_redis import RedisLiveState
from classroom.store.memory import MemoryLiveState
from classroom.store.records import Records, Transition

__all__ = [
    "EVERYTHING",
    "LiveState",
    "MemoryLiveState",
    "Records",
    "RedisLiveState",
    "RelayAlive",
    "Report",
    "RoomsReport",
    "Transition",
    "load_key",
    "load_or_create_key",
]
