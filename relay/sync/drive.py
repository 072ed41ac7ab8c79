"""Lessons on a USB drive: `classroom-relay export DRIVE` and `import DRIVE`.

Here: copying to and from a drive, verified by digest, so that both may be cut at any moment and
begun again. Not here: the command line (`relay.drive_command`). A drive holds
`classroom/archives/{lesson}/…`, each lesson as FORMAT.md tells, its manifest first and its journal
last, so a lesson that is cut short is known for what it is, and what is whole of it counts.
Everything here blocks.

A drive that is pulled out, full, or of something else raises Misuse with a sentence for people.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive.extras import Extras
from classroom.archive.manifest import Manifest
from classroom.archive.names import EVENTS, EXTRAS, HEADER, JOURNAL, MANIFEST, is_lesson
from classroom.errors import Absent, Misuse, Refused
from relay.cache.cache import Cache
from relay.cache.files import free_bytes, is_full, make_directory, write_atomic
from relay.cache.parts import Part, parts
from relay.sync.about import keep_about
from relay.sync.offer import ABOUT, words
from relay.sync.sources import TOP_BYTES

FOLDER: Final = Path("classroom") / "archives"
# A drive has this much left for its own bookkeeping (bytes).
SPARE: Final = 16 << 20
_PART_BYTES: Final = 1 << 30
"""No segment of a lesson is larger; a file that claims it is something else."""

FULL: Final = "it does not fit on the drive any more"
NO_RECORDING: Final = "there is no finished recording of it here"
NO_ROOM: Final = "there is no room for it on this relay"

Progress = Callable[[str, int, int], None]
"""(lesson, bytes done of all, bytes of all)."""


@dataclass(slots=True)
class Outcome:
    """lessons: whole now, in order. left_out: lesson to why it is not. copied: bytes; kept: bytes
    that were there already. own_disk: what was named is no drive, but on the relay's own disk."""

    lessons: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    copied: int = 0
    kept: int = 0
    own_disk: bool = False


def lessons_of(archives: Path) -> list[tuple[str, Manifest]]:
    """Finished lessons below a directory of archives, newest first. Raises OSError."""
    found = []
    for entry in os.scandir(archives):
        if is_lesson(entry.name) and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(Refused, FileNotFoundError, NotADirectoryError):
                manifest = Manifest.decode(_read(Path(entry.path) / MANIFEST, TOP_BYTES))
                if manifest.finished and manifest.lesson == entry.name:
                    found.append((entry.name, manifest))
    return sorted(found, key=lambda one: (-one[1].epoch_ms, one[0]))


def export(
    cache: Cache,
    archives: Path,
    drive: Path,
    wanted: Sequence[str],
    progress: Progress,
    free_on: Callable[[Path], int] = free_bytes,
) -> Outcome:
    """Copy lessons to a drive, all that are whole or those that are `wanted`, newest first as long
    as they fit. free_on(drive): bytes free there. Raises Misuse."""
    outcome = Outcome()
    with told(drive, "written"):
        target = drive / FOLDER
        identity = require_drive(drive)
        make_directory(target)
        chosen = _chosen(archives, wanted, outcome)
        free = free_on(drive) - SPARE
        outcome.own_disk = identity[0] == archives.stat().st_dev
        if outcome.own_disk:
            # Nobody put a drive there, perhaps: what lessons need to be recorded stays free.
            free -= cache.space().floor
        jobs: list[tuple[str, Manifest]] = []
        for name, manifest in chosen:
            need = manifest.size - _present(target / name, manifest)
            # One that is there already needs no room, however little there is.
            if need > max(0, free):
                outcome.left_out[name] = FULL
                continue
            free -= need
            jobs.append((name, manifest))
        meter = _Meter(drive, identity, sum(m.size for _, m in jobs), progress)
        for name, manifest in jobs:
            try:
                _copy_tops(archives / name, target / name, (MANIFEST, HEADER, ABOUT))
                for part in parts(manifest):
                    _export_part(cache, part, target, outcome)
                    meter.step(part)
                _copy_tops(archives / name, target / name, (EVENTS, JOURNAL))
                _copy_extras(archives / name, target / name, outcome)
            except Refused as error:
                outcome.left_out[name] = error.detail
                continue
            except OSError as error:
                # A drive's clusters are larger than its bytes say: 128 KiB for a file of 30 kB.
                if not is_full(error):
                    raise
                outcome.left_out[name] = FULL
                continue
            outcome.lessons.append(name)
    return outcome


def _chosen(archives: Path, wanted: Sequence[str], outcome: Outcome) -> list[tuple[str, Manifest]]:
    found = lessons_of(archives)
    if not wanted:
        return found
    known = dict(found)
    for name in wanted:
        if name not in known:
            outcome.left_out[name] = NO_RECORDING
    return [(name, manifest) for name, manifest in found if name in wanted]


def _export_part(cache: Cache, part: Part, target: Path, outcome: Outcome) -> None:
    file = target / part.lesson / part.rendition / part.name
    # What has its final name came there whole; it is verified by whoever imports it.
    if _size(file) == part.bytes:
        outcome.kept += part.bytes
        return
    data = b""
    with contextlib.suppress(
        OSError, Absent
    ):  # our own disk's fault: another part of it may be well
        path = cache.open_verified(part.lesson, part.rendition, part.name)
        data = _read(path, part.bytes) if path is not None else b""
    if len(data) != part.bytes:
        raise Refused(
            409,
            "archive-incomplete",
            "it is not whole here yet",
            fix="Wait until it was fetched, and export it then.",
        )
    make_directory(file.parent)
    write_atomic(file, data)
    outcome.copied += part.bytes


def bring(
    cache: Cache,
    archives: Path,
    drive: Path,
    wanted: Sequence[str],
    is_running: Callable[[str], bool],
    progress: Progress,
    *,
    required: bool = True,
) -> Outcome:
    """Take lessons over from a drive, all or those that are `wanted`; what is wrong or missing on
    the drive is left to other sources. is_running(lesson): it is being recorded here. required:
    without lessons the drive is the wrong one. Raises Misuse."""
    outcome = Outcome()
    with told(drive, "read"):
        identity = require_drive(drive)
        source = drive / FOLDER
        if not source.is_dir() and not required:
            outcome.left_out.update(dict.fromkeys(wanted, NO_RECORDING))
            return outcome
        if not source.is_dir():
            raise Misuse(
                f"there are no lessons on {drive}: the folder {FOLDER} is missing; "
                "fill the drive with `classroom-relay export` where the lessons are"
            )
        chosen = _chosen(source, wanted, outcome)
        if not chosen and not wanted and required:
            raise Misuse(f"the folder {FOLDER} on {drive} has no lessons in it")
        meter = _Meter(drive, identity, sum(m.size for _, m in chosen), progress)
        for name, manifest in chosen:
            try:
                if is_running(name):
                    outcome.left_out[name] = "it is being recorded here now"
                elif cache.room_for(name) < manifest.size:
                    outcome.left_out[name] = NO_ROOM
                else:
                    _bring_one(cache, archives, source / name, manifest, outcome, meter)
            except Refused as error:
                outcome.left_out[name] = error.detail
            except OSError as error:
                if not is_full(error):
                    raise
                outcome.left_out[name] = NO_ROOM
            except Absent as error:
                raise Misuse(f"this relay's own disk: {error.what} {error.fix}") from error
    return outcome


def _bring_one(
    cache: Cache,
    archives: Path,
    folder: Path,
    manifest: Manifest,
    outcome: Outcome,
    meter: _Meter,
) -> None:
    name = manifest.lesson
    cache.begin(name, manifest.encode())
    missing = {(part.rendition, part.name) for part in cache.missing(name)}
    wrong = 0
    for part in parts(manifest):
        meter.step(part)
        if (part.rendition, part.name) not in missing:
            outcome.kept += part.bytes
            continue
        file = folder / part.rendition / part.name
        try:
            cache.put(part, _read(file, min(part.bytes, _PART_BYTES)))
        except (FileNotFoundError, NotADirectoryError, Refused):
            wrong += 1
            continue
        outcome.copied += part.bytes
    keep_about(archives, name, _about(folder))
    if wrong:
        outcome.left_out[name] = f"{wrong} of its parts are missing or damaged on the drive"
        return
    cache.finish(name, *(_top(folder / top) for top in (JOURNAL, EVENTS)))
    _copy_extras(folder, archives / name, outcome)
    outcome.lessons.append(name)


def _copy_extras(source: Path, target: Path, outcome: Outcome) -> None:
    """Captions and copies, each verified, and what names them last; without all of them, none of
    them counts: the lesson is whole all the same, and other sources have them."""
    try:
        data = _read(source / EXTRAS, TOP_BYTES)
        extras = Extras.decode(data)
        if extras.lesson != source.name:
            return
        for file in extras.files():
            there = target / file.directory / file.name
            if _size(there) == file.bytes:
                continue
            found = _read(source / file.directory / file.name, min(file.bytes, _PART_BYTES))
            if canonical.digest(found) != file.digest:
                return
            make_directory(there.parent)
            write_atomic(there, found)
            outcome.copied += file.bytes
    except (FileNotFoundError, NotADirectoryError, Refused):
        return
    write_atomic(target / EXTRAS, data)


def _top(path: Path) -> bytes:
    try:
        return _read(path, TOP_BYTES)
    except FileNotFoundError as error:
        raise Refused(
            409,
            "archive-incomplete",
            "the drive was pulled out before it was whole",
            fix="Export it again.",
        ) from error


def _about(folder: Path) -> dict[str, str | float]:
    try:
        about = json.loads(_read(folder / ABOUT, 1 << 16))
    # RecursionError: nested brackets, which nobody wrote on purpose.
    except (FileNotFoundError, ValueError, RecursionError, Refused):
        return {}
    return words(about) if isinstance(about, dict) else {}


def _copy_tops(source: Path, target: Path, names: Sequence[str]) -> None:
    make_directory(target)
    for name in names:
        try:
            data = _read(source / name, TOP_BYTES)
        except FileNotFoundError:
            continue
        if not (target / name).exists() or _read(target / name, TOP_BYTES) != data:
            write_atomic(target / name, data)


def _present(folder: Path, manifest: Manifest) -> int:
    """Bytes of a lesson that are on the drive."""
    return sum(
        part.bytes
        for part in parts(manifest)
        if _size(folder / part.rendition / part.name) == part.bytes
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _read(path: Path, most: int) -> bytes:
    """The file, at most `most` bytes and one more. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise canonical.malformed(path.name, f"{path.name} is larger than it may be")
    return data


def require_drive(drive: Path) -> tuple[int, int]:
    """What tells this drive from another one that is later found at its place."""
    if not drive.is_dir():
        raise Misuse(
            f"there is no drive at {drive}; put it in, wait until it is shown, and name the folder "
            "where it is shown, such as /media/usb"
        )
    status = drive.stat()
    return status.st_dev, status.st_ino


@dataclass(slots=True)
class _Meter:
    """What is done of all, and whether the drive is there still."""

    drive: Path
    identity: tuple[int, int]
    total: int
    progress: Progress
    done: int = 0

    def step(self, part: Part) -> None:
        """Go on with the next part. Where a drive was, there is often an empty folder of our own
        disk when it is pulled out. Raises OSError."""
        self.done += part.bytes
        self.progress(part.lesson, self.done, self.total)
        require_same(self.drive, self.identity)


def require_same(drive: Path, identity: tuple[int, int]) -> None:
    """Raises OSError when another drive, or none, is where the one of `require_drive` was."""
    status = drive.stat()
    if (status.st_dev, status.st_ino) != identity:
        raise OSError(errno.ENODEV, "it is gone")


@contextlib.contextmanager
def told(drive: Path, doing: str) -> Iterator[None]:
    """Turns what a drive does into a sentence for people."""
    try:
        yield
    except OSError as error:
        raise Misuse(
            f"the drive at {drive} cannot be {doing} any more ({error.strerror or error}); if it "
            "was pulled out, put it in again and run the same command: it goes on where it was"
        ) from error
