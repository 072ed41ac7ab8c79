"""An archive on disk as an entry of the library: its manifest's dates and the words beside it.

Here: reading both, and telling by their dates whether they may have changed. Titles and other words
come from `about.json`, which the library keeps beside each archive, so that a relay alone can show
what it holds. Not here: the list (`relay.web.library`), its search (`relay.web.catalogue`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from classroom.archive.canonical import DIGEST_PATTERN
from classroom.archive.manifest import Manifest
from classroom.archive.names import JOURNAL, MANIFEST
from classroom.errors import Refused
from classroom.wire import LessonState

_log: Final = logging.getLogger("relay.service")

ABOUT: Final = "about.json"
# A day's lesson in all renditions is a few megabytes; nobody's archive is read into memory whole
# because it says that it is larger.
_MANIFEST_BYTES: Final = 32 << 20
_ABOUT_BYTES: Final = 64 << 10
# Unix seconds; what lies beyond is no date. (Year 9999.)
_LAST_DATE: Final = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive on disk with the words about its lesson; can be searched.

    started_at: unix seconds, None while unknown. duration: seconds, None while it is written.
    materials: digest of the list of its materials, None for none.
    """

    id: str
    title: str
    teacher: str
    subject: str | None
    grade: str | None
    school: str | None
    planned_at: float | None
    started_at: float | None
    finished: bool
    duration: float | None
    materials: str | None = None

    @property
    def state(self) -> str:
        """A lesson whose archive is finished can be replayed as a whole."""
        return (LessonState.PUBLISHED if self.finished else LessonState.ENDED).value

    def entry(self) -> dict[str, Any]:
        """The lesson in the list, when nothing but its archive is known."""
        seconds = self.duration or 0.0
        return {
            "id": self.id,
            "title": self.title,
            "subject": self.subject,
            "grade": self.grade,
            "school": self.school,
            "teacher": self.teacher,
            "state": self.state,
            "publishing": False,
            "sources": [],
            "rooms": 0,
            "planned_at": self.planned_at,
            "started_at": self.started_at,
            "recording": {
                "state": "finished" if self.finished else "none",
                "detail": "",
                "seconds": seconds,
            },
            "materials": self.materials,
            "duration": seconds,
            "playable": True,
        }


def stamp_of(directory: Path) -> str:
    """What differs when an archive's entry may differ: dates and sizes of what it is read from."""
    parts = []
    for name in (MANIFEST, ABOUT):
        try:
            status = (directory / name).stat()
            parts.append(f"{status.st_mtime_ns}:{status.st_size}")
        except OSError:
            parts.append("")
    if not parts[0]:
        parts.append(str((directory / JOURNAL).exists()))
    return " ".join(parts)


def read_archived(directory: Path) -> Archived | None:
    """The archive in `directory`, None when there is none that can be read."""
    finished, duration, epoch = False, None, None
    try:
        manifest = Manifest.decode(_bytes(directory / MANIFEST, _MANIFEST_BYTES))
        finished = manifest.finished
        duration, epoch = manifest.duration_ms / 1000, manifest.epoch_ms / 1000
    except FileNotFoundError:
        if not (directory / JOURNAL).exists():
            return None
    except (OSError, ValueError, Refused) as error:
        _log.warning("archive-unreadable", extra={"lesson": directory.name, "reason": str(error)})
        return None
    about = _about(directory)
    name = directory.name
    return Archived(
        id=name,
        title=_words(about, "title") or name,
        teacher=_words(about, "teacher") or "",
        subject=_words(about, "subject"),
        grade=_words(about, "grade"),
        school=_words(about, "school"),
        planned_at=_date(about, "planned_at"),
        started_at=_date(about, "started_at") or epoch,
        finished=finished,
        duration=duration,
        materials=_materials(about),
    )


def _bytes(file: Path, most: int) -> bytes:
    """Raises OSError, ValueError for a file that is larger than `most`."""
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{file.name} is larger than {most} bytes")
    return data


def _about(directory: Path) -> dict[str, Any]:
    """The words kept beside the archive; empty where there are none to be used."""
    try:
        about = json.loads(_bytes(directory / ABOUT, _ABOUT_BYTES))
    # RecursionError: nested brackets, which nobody wrote on purpose.
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _words(about: dict[str, Any], name: str) -> str | None:
    value = about.get(name)
    # Half a pair of surrogates, which JSON can say, is nothing that can be kept or sent.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _materials(about: dict[str, Any]) -> str | None:
    value = about.get("materials")
    return value if isinstance(value, str) and DIGEST_PATTERN.fullmatch(value) else None


def _date(about: dict[str, Any], name: str) -> float | None:
    value = about.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < _LAST_DATE else None  # not for NaN either
