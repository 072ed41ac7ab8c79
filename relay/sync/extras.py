"""Captions and copies of a lesson that is whole here, brought from a source.

Here: fetching what `extras.json` names, each file verified by its digest, that file itself last, as
FORMAT.md wants. Not here: what they are (`classroom.archive.extras`), when their turn comes
(`plan`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive.extras import ExtraFile, Extras
from classroom.archive.names import EXTRAS
from classroom.errors import Absent, Refused
from relay.cache.cache import Cache
from relay.cache.files import make_directory, write_atomic
from relay.cache.parts import Part
from relay.sync.carrying import DiskAway, Spend
from relay.sync.sources import Source, rubbish

# A copy's segment of 8 s at 8 Mbit/s.
_FILE_BYTES: Final = 64 << 20


class NoRoom(Refused):
    """There is no room for them now."""

    def __init__(self) -> None:
        super().__init__(507, "no-room", "There is no room for it here.", fix="Make room.")


async def bring_extras(
    cache: Cache,
    archives: Path,
    lesson: str,
    digest: str,
    source: Source,
    width: int,
    spend: Spend,
) -> None:
    """Make captions and copies of `lesson` those of the `extras.json` with this SHA-256; what is
    here already stays. width: files side by side. Raises Absent, DiskAway, NoRoom, Refused."""
    data = await source.top(lesson, EXTRAS, digest)
    await spend(len(data))
    extras = Extras.decode(data)
    if extras.lesson != lesson:
        raise canonical.malformed("extras.lesson", "it is of another lesson")
    missing = await asyncio.to_thread(_missing, cache, lesson, extras)
    size = sum(file.bytes for file in missing)
    if any(file.bytes > _FILE_BYTES for file in missing):
        raise canonical.malformed("extras", "a file is larger than any can be")
    if await asyncio.to_thread(cache.room_for, lesson) < size:
        raise NoRoom
    await asyncio.to_thread(cache.make_room, size, lesson)
    turns = asyncio.Semaphore(width)

    async def bring(file: ExtraFile) -> None:
        async with turns:
            part = Part(lesson, file.directory, file.name, file.bytes, file.digest, 0.0, 0.0)
            found = bytearray()
            async with source.stretch(part, 0, file.bytes) as body:
                async for chunk in body:
                    await spend(len(chunk))
                    found += chunk
            data = bytes(found)
            if await asyncio.to_thread(canonical.digest, data) != file.digest:
                raise rubbish(f"{file.directory}/{file.name} is not what its digest says")
            await _write(archives / lesson / file.directory / file.name, data)

    async with asyncio.TaskGroup() as tasks:
        for file in missing:
            tasks.create_task(bring(file))
    await _write(archives / lesson / EXTRAS, data)


def _missing(cache: Cache, lesson: str, extras: Extras) -> list[ExtraFile]:
    def is_here(file: ExtraFile) -> bool:
        try:
            return cache.verified(lesson, file.directory, file.name, file.digest) is not None
        except Absent:
            return False  # it cannot be read: a new one takes its place

    return [file for file in extras.files() if not is_here(file)]


async def _write(path: Path, data: bytes) -> None:
    def write() -> None:
        make_directory(path.parent)
        write_atomic(path, data)

    try:
        await asyncio.to_thread(write)
    except (OSError, Absent) as error:
        raise DiskAway(str(error), fix="Check the disk.") from error
