"""The service tells the cache of recordings what to leave to materials."""

from __future__ import annotations

from pathlib import Path

from relay.service import Service
from relay.settings import CacheSettings, RelaySettings


async def test_recordings_leave_room_for_materials(tmp_path: Path) -> None:
    settings = RelaySettings(
        data=str(tmp_path / "data"),
        parents=("http://127.0.0.1:9",),
        cache=CacheSettings(free_floor_gb=0.1, materials_gb=1_000_000),
    )
    service = Service(settings, "http://127.0.0.1:9", tmp_path, restarts=0)
    room = service.cache.room_for("toan-1")
    # How much they take is not known before somebody looked; then it is a quarter at the most.
    service.materials.store.scan()
    assert service.cache.room_for("toan-1") < 0.9 * room
    service.cache.close()
