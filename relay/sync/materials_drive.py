"""Materials of lessons on a USB drive, beside its recordings: there and back, verified by digest.

A drive holds `classroom/materials/lists/{lesson}.json`, each list as it is told, before its files,
and `classroom/materials/files/{digest}`, each whole or not at all. So both ways may be cut at any
moment and begun again, and what is whole of a lesson counts. Not here: recordings (`drive`), the
command line (`relay.drive_command`). Everything here blocks.

A drive that is pulled out, full, or of something else raises Misuse with a sentence for people.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive.materials import MAX_LIST_BYTES, Material, Materials
from classroom.archive.names import is_lesson
from classroom.errors import Absent, Misuse, Refused
from relay.cache.blobs import Unreadable
from relay.cache.files import (
    free_bytes,
    hash_file,
    is_full,
    make_directory,
    sync_directory,
    write_all,
    write_atomic,
)
from relay.cache.materials import HeldList, MaterialStore
from relay.cache.stretches import holes
from relay.sync import drive as recordings
from relay.sync.drive import FULL, NO_ROOM, Outcome, Progress

FOLDER: Final = Path("classroom") / "materials"
_CHUNK: Final = 1 << 20
_SUFFIX: Final = ".json"


def has_materials(drive: Path) -> bool:
    """Whether there are any on the drive."""
    return (drive / FOLDER / "lists").is_dir()


def export(
    store: MaterialStore,
    drive: Path,
    wanted: Sequence[str],
    progress: Progress,
    *,
    keep_free: int = 0,
    free_on: Callable[[Path], int] = free_bytes,
) -> Outcome:
    """Copy lists and files to a drive, of all lessons or of those that are `wanted`, the latest
    first as long as they fit. keep_free: bytes that stay free there. Raises Misuse. The relay may
    run meanwhile."""
    outcome = Outcome()
    with recordings.told(drive, "written"), _own_disk():
        identity = recordings.require_drive(drive)
        store.scan(mend=False)
        chosen = [(name, held) for name in store.lessons() if (held := store.held(name))]
        chosen = [one for one in chosen if not wanted or one[0] in wanted]
        chosen.sort(key=lambda one: (-one[1].at, one[0]))
        if not chosen:
            return outcome
        for part in ("lists", "files"):
            make_directory(drive / FOLDER / part)
        total, done = sum(held.materials.total_bytes for _, held in chosen), 0
        for name, held in chosen:
            try:
                write_atomic(drive / FOLDER / "lists" / f"{name}{_SUFFIX}", held.data)
                for one in held.materials.materials:
                    recordings.require_same(drive, identity)
                    free = free_on(drive) - recordings.SPARE - keep_free
                    _export_one(store, one, drive, free, outcome)
                    done += one.bytes
                    progress(name, done, total)
            except Refused as error:
                outcome.left_out[name] = error.detail
            except OSError as error:
                if not is_full(error):
                    raise
                outcome.left_out[name] = FULL
            else:
                outcome.lessons.append(name)
    return outcome


def _export_one(
    store: MaterialStore, material: Material, drive: Path, free: int, outcome: Outcome
) -> None:
    target = drive / FOLDER / "files" / material.digest
    if _size(target) == material.bytes:
        outcome.kept += material.bytes
        return
    path: Path | None = None
    with contextlib.suppress(Absent):  # our own disk's fault: another file of it may be well
        path = store.find(material.digest)
    if path is None:
        raise Refused(
            409, "material-missing", "not all of its materials are here yet", fix="Export it later."
        )
    if material.bytes > free:
        raise Refused(507, "drive-full", FULL, fix="Use a larger drive.")
    growing = target.with_name(f".{target.name}.tmp")
    try:
        descriptor = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            with path.open("rb") as file:
                while data := file.read(_CHUNK):
                    write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(growing, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(growing)
        raise
    sync_directory(target.parent)
    outcome.copied += material.bytes


def bring(store: MaterialStore, drive: Path, wanted: Sequence[str], progress: Progress) -> Outcome:
    """Take lists and files over from a drive, of all lessons or of those that are `wanted`. A list
    that is here already stays: what it names is taken from the drive. What is wrong or missing on
    the drive is left to other sources, and nothing that is here makes room. Raises Misuse."""
    outcome = Outcome()
    with recordings.told(drive, "read"), _own_disk():
        identity = recordings.require_drive(drive)
        store.scan()
        chosen = list(_lists(store, drive, wanted, outcome))
        total, done = sum(held.materials.total_bytes for _, held in chosen), 0
        for name, held in chosen:
            files = held.materials.materials
            # What was begun has its room already, and so has a list that is here.
            known = store.blobs.all()
            need = sum(one.bytes for one in files if one.digest not in known)
            need += len(held.data) if store.held(name) is None else 0
            if not store.make_room(need):
                outcome.left_out[name] = NO_ROOM
                continue
            if store.held(name) is None:
                store.take(name, held.data, held.digest, held.at)
            wrong = 0
            for one in files:
                recordings.require_same(drive, identity)
                wrong += not _bring_one(store, drive / FOLDER / "files" / one.digest, one, outcome)
                done += one.bytes
                progress(name, done, total)
            if wrong:
                why = f"{wrong} of its materials are missing or damaged on the drive"
                outcome.left_out[name] = why
            else:
                outcome.lessons.append(name)
    return outcome


def _lists(
    store: MaterialStore, drive: Path, wanted: Sequence[str], outcome: Outcome
) -> Iterator[tuple[str, HeldList]]:
    """The lessons of the drive, each with the list that counts. Raises OSError."""
    folder = drive / FOLDER / "lists"
    if not folder.is_dir():
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = entry.name.removesuffix(_SUFFIX)
        if entry.name == name or not is_lesson(name) or (wanted and name not in wanted):
            continue
        held = store.held(name)
        if held is not None:
            yield name, held
            continue
        try:
            with open(entry.path, "rb") as file:
                data = file.read(MAX_LIST_BYTES + 1)
            found = Materials.decode(data)
            if found.lesson != name:
                raise canonical.malformed("materials.lesson", "it is of another lesson")
        except Refused:
            outcome.left_out[name] = "its list of materials is damaged on the drive"
            continue
        yield name, HeldList(canonical.digest(data), 0.0, data, found)


def _bring_one(store: MaterialStore, source: Path, material: Material, outcome: Outcome) -> bool:
    """Whether the file is here now. Raises OSError of the drive, Absent of our own disk."""
    if store.blobs.has(material.digest):
        outcome.kept += material.bytes
        return True
    if not _is_right(source, material):
        return False
    # What is here may have rotted: then nothing of it is here any more, and all of it is copied.
    return any(_fill(store, source, material, outcome) for _ in range(2))


def _is_right(source: Path, material: Material) -> bool:
    """Whether a file of the drive is what its name says: read through before any of it is put
    beside bytes that crossed a weak link, which would be lost with it. Raises OSError."""
    if _size(source) != material.bytes:
        return False
    found = hash_file(source)
    return found is not None and found[1] == material.digest


def _fill(store: MaterialStore, source: Path, material: Material, outcome: Outcome) -> bool:
    """Bring what is not here of a file; whether it is whole then, else nothing of it is here.
    Raises as `_bring_one`."""
    store.begin(material)
    came = 0
    try:
        with source.open("rb") as file:
            for first, end in holes(store.blobs.have(material.digest), material.bytes):
                file.seek(first)
                while first < end and (data := file.read(min(_CHUNK, end - first))):
                    with store.writing():
                        store.blobs.write(material.digest, first, data)
                    first += len(data)
                    came += len(data)
    finally:
        # What came before the drive was pulled out need not come again.
        with store.writing():
            store.blobs.keep(material.digest)
    try:
        with store.writing():
            store.blobs.complete(material.digest)
    except (Refused, Unreadable):
        return False
    outcome.copied += came
    outcome.kept += material.bytes - came
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


@contextlib.contextmanager
def _own_disk() -> Iterator[None]:
    try:
        yield
    except Absent as error:
        raise Misuse(f"this relay's own disk: {error.what} {error.fix}") from error
