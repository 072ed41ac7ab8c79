"""When this machine last lost its power: a mark in the data directory while the relay runs.

Here: the mark, which a clean end takes away, and the short history that is read off marks that were
left behind. Not here: what is done about it (archives mend themselves), the words for people
(`relay.web.advice`). A mark of another start of the machine (its boot id) means that the machine
went down with the relay in it: a power cut, a pulled plug, a reset. One of the same start means
that the relay alone was killed. Dates are unix seconds of a clock that may have no battery.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_log: Final = logging.getLogger("relay.node")

MARK: Final = "running.json"
HISTORY: Final = "stops.json"
BEAT_SECONDS: Final = 60.0
"""How often the mark's date is moved on: a power cut is known to about a minute."""
_KEPT: Final = 50
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Stop:
    """An end that was not clean. kind: "power" or "killed". at: the last sign of life, None where
    the clock makes no sense. back_at: when the relay ran again."""

    kind: str
    at: float | None
    back_at: float


@dataclass(frozen=True, slots=True)
class Running:
    """The mark. url: where this machine reaches the relay. pid: the node's process."""

    boot_id: str
    started_at: float
    url: str
    pid: int


class Power:
    """Owned by the node: `begin`, then `beat` now and then, `end` when it stops as it should.

    A directory that cannot be written costs the history, never the lesson.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._mark = data / MARK

    def begin(self, url: str, now: float) -> Stop | None:
        """Note that the relay runs; the stop before, if that was not a clean one."""
        boot_id = _boot_id()
        before = read_running(self._data)
        stop = None
        if before is not None:
            seen_at = _last_beat(self._mark)
            kind = "killed" if before.boot_id == boot_id else "power"
            # Without a battery the clock may stand before the mark; then nobody knows.
            stop = Stop(kind, seen_at if seen_at is not None and seen_at <= now else None, now)
            self._write(HISTORY, [asdict(one) for one in [*read_stops(self._data), stop][-_KEPT:]])
            _log.warning("unclean-stop", extra={"kind": kind, "last_seen": stop.at})
        self._write(MARK, asdict(Running(boot_id, now, url, os.getpid())))
        self.beat(now)
        return stop

    def beat(self, now: float) -> None:
        """Still running."""
        with contextlib.suppress(OSError):
            os.utime(self._mark, (now, now))

    def end(self) -> None:
        """A clean end."""
        with contextlib.suppress(OSError):
            self._mark.unlink()

    def _write(self, name: str, document: object) -> None:
        temporary = self._data / f"{name}.tmp"
        try:
            with temporary.open("w") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._data / name)
        except OSError as error:
            _log.warning("power-mark-not-kept", extra={"file": name, "reason": str(error)})


def read_running(data: Path) -> Running | None:
    """The relay that runs on `data`, or did until it was cut off; None after a clean end. Raises
    PermissionError where nobody but its owner may look."""
    document = _read(data / MARK)
    if not isinstance(document, dict):
        # A mark that is torn is a mark: nothing takes half of it away.
        return Running("", 0.0, "", 0) if (data / MARK).exists() else None
    boot_id, url = document.get("boot_id"), document.get("url")
    return Running(
        boot_id if isinstance(boot_id, str) else "",
        _number(document.get("started_at")) or 0.0,
        url if isinstance(url, str) else "",
        int(_number(document.get("pid")) or 0),
    )


def read_stops(data: Path) -> list[Stop]:
    """Ends that were not clean, oldest first."""
    document = _read(data / HISTORY)
    stops = []
    for one in document if isinstance(document, list) else []:
        back_at = _number(one.get("back_at")) if isinstance(one, dict) else None
        if back_at is not None and one.get("kind") in ("power", "killed"):
            stops.append(Stop(one["kind"], _number(one.get("at")), back_at))
    return stops


def _read(file: Path) -> Any:
    """The document in `file`, None when there is none that can be read."""
    try:
        with file.open("rb") as opened:
            return json.loads(opened.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12:
        return float(value)
    return None


def _last_beat(mark: Path) -> float | None:
    try:
        return mark.stat().st_mtime
    except OSError:
        return None


def _boot_id() -> str:
    """Differs at each start of the machine (random(4), proc_sys_kernel); "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
