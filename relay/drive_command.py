"""`classroom-relay export DRIVE` and `import DRIVE` on the command line: arguments and words.

Here: what is printed. Not here: copying (`drive`). The relay may go on running beside both.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from classroom import toml_settings
from classroom.clock import monotonic, wall
from classroom.errors import Misuse
from relay.settings import RelaySettings
from relay.sync.turn import turn

_WIDTH: Final = 30
_REFRESH_S: Final = 0.2


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Both commands."""
    for name, text in (
        ("export", "copy lessons to a USB drive"),
        ("import", "take lessons over from a USB drive"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("drive", type=Path, help="folder where the drive is, as /media/usb")
        command.add_argument(
            "--lesson", action="append", default=[], metavar="ID", help="only this one; repeatable"
        )
        command.add_argument("--config", type=Path, help="TOML file; see config/relay.toml")
        command.add_argument("--data", help="directory for archives and state")


def run(options: argparse.Namespace) -> int:
    """Carry the command out; the exit status: 1 when a lesson was left out. Raises Misuse."""
    # Imported where needed: a relay's own processes read this file for the arguments alone.
    from relay.cache.cache import Cache
    from relay.cache.materials import FOLDER, MaterialStore
    from relay.cache.reading import may_be_recording
    from relay.sync import drive, materials_drive

    settings = toml_settings.load(RelaySettings, options.config)
    if options.data is not None:
        settings = replace(settings, data=options.data)
    data = Path(settings.data)
    archives = data / "archives"
    if not data.is_dir():
        raise Misuse(f"{data} is not a relay's directory; name it with --data or --config")
    archives.mkdir(exist_ok=True)
    floor = round(settings.cache.free_floor_gb * 1e9)
    materials = MaterialStore(
        data / FOLDER, quota_bytes=round(settings.cache.materials_gb * 1e9), floor_bytes=floor
    )
    bar = _Bar()
    # The running relay has the kept state; what is imported, it sees on the disk.
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(
            archives,
            Path(folder) / "cache.json",
            root=not settings.parents,
            quota_bytes=round(settings.cache.quota_gb * 1e9),
            floor_bytes=floor,
            claim=materials.claim,
        )
        try:
            if options.command == "export":
                found = drive.export(cache, archives, options.drive, options.lesson, bar.show)
                given = materials_drive.export(
                    materials,
                    options.drive,
                    options.lesson,
                    bar.show,
                    keep_free=floor if found.own_disk else 0,
                )
            else:

                def is_running(lesson: str) -> bool:
                    return may_be_recording(archives / lesson, wall())

                asked = options.drive, options.lesson
                with turn(data):
                    # They are small, and needed in class.
                    given = materials_drive.bring(materials, *asked, bar.show)
                    found = drive.bring(
                        cache,
                        archives,
                        *asked,
                        is_running,
                        bar.show,
                        required=not materials_drive.has_materials(options.drive),
                    )
        finally:
            bar.end()
            cache.close()
    done = "on the drive" if options.command == "export" else "on this relay"
    print(
        f"{len(found.lessons)} lessons are whole {done}: {_size(found.copied)} copied, "
        f"{_size(found.kept)} were there already."
    )
    if given.lessons or given.left_out:
        print(
            f"Materials of {len(given.lessons)} lessons are whole {done}: {_size(given.copied)} "
            f"copied, {_size(given.kept)} were there already."
        )
    # A lesson to come has materials and no recording.
    for lesson in given.lessons:
        if found.left_out.get(lesson) == drive.NO_RECORDING:
            del found.left_out[lesson]
    if found.own_disk:
        print(
            f"{options.drive} is on the relay's own disk. If a drive should be there, it is not: "
            "put it in, see where it is shown, and run the command again with that folder.",
            file=sys.stderr,
        )
    left_out = [*found.left_out.items(), *given.left_out.items()]
    for lesson, why in left_out:
        print(f"Left out: {lesson}: {why}.", file=sys.stderr)
    return 1 if left_out else 0


class _Bar:
    """A line that is written over on a terminal, and one for each lesson elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown_at = 0.0
        self._lesson = ""

    def show(self, lesson: str, done: int, total: int) -> None:
        """See `drive.Progress`."""
        now = monotonic()
        if self._terminal and now - self._shown_at >= _REFRESH_S:
            share = done / total if total else 0.0
            full = round(share * _WIDTH)
            line = f"[{'#' * full}{'.' * (_WIDTH - full)}] {share:4.0%}  {_size(done)}  {lesson}"
            print(f"\r{line:<79.79}", end="", file=sys.stderr, flush=True)
            self._shown_at = now
        elif not self._terminal and lesson != self._lesson:
            print(f"{lesson} …", file=sys.stderr, flush=True)
        self._lesson = lesson

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._lesson:
            print(file=sys.stderr)


def _size(size: int) -> str:
    for unit, word in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {word}"
    return f"{size} bytes"
